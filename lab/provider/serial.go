package provider

import (
	"context"

	"github.com/pulumi/pulumi-go-provider/infer"

	"github.com/sallyport/sallyport/lab/registry"
)

// Serial is a number that rises by one whenever a content changes. Programs no longer declare one: allow lists count in seconds now.
// Stacks from before have one in their state, which only a provider that knows the type can delete.
type Serial struct {
	controller[SerialArgs, SerialState]
}

// SerialArgs are the inputs of a Serial.
type SerialArgs struct {
	Lab     string `pulumi:"lab" provider:"replaceOnChanges"`
	Name    string `pulumi:"name" provider:"replaceOnChanges"`
	Content string `pulumi:"content"`
}

// SerialState are the inputs and outputs of a Serial.
type SerialState struct {
	SerialArgs
	Serial int `pulumi:"serial"`
}

func newSerial() *Serial { return &Serial{controller[SerialArgs, SerialState]{serial{}}} }

// Annotate implements infer.Annotated.
func (s *Serial) Annotate(a infer.Annotator) {
	a.SetToken(module, "Serial")
	a.Describe(&s, "A number that rises by one each time its content changes.")
}

// Annotate implements infer.Annotated.
func (s *SerialArgs) Annotate(a infer.Annotator) {
	a.Describe(&s.Lab, "The lab.")
	a.Describe(&s.Name, "Name of the counter, unique in the lab.")
	a.Describe(&s.Content, "What is counted: any text.")
}

// Annotate implements infer.Annotated.
func (s *SerialState) Annotate(a infer.Annotator) {
	a.Describe(&s.Serial, "1 for the first content, one more for each change.")
}

type serial struct{}

func (serial) noun() string                                  { return "serial" }
func (serial) identity(in SerialArgs) (lab, name string)     { return in.Lab, in.Name }
func (serial) host(SerialArgs) string                        { return "" }
func (serial) inputs(s SerialState) SerialArgs               { return s.SerialArgs }
func (serial) with(s SerialState, in SerialArgs) SerialState { s.SerialArgs = in; return s }

func (serial) check(c *checker, in SerialArgs) {
	c.lab(in.Lab)
	c.name(in.Name)
}

func (serial) create(ctx context.Context, lab registry.Lab, in SerialArgs) (SerialState, error) {
	n, err := lab.Serial(ctx, in.Name, in.Content, 0)
	return SerialState{SerialArgs: in, Serial: int(n)}, err
}

// alive registers the serial again after a reboot has emptied the state directory: it is Pulumi that remembers.
func (serial) alive(ctx context.Context, lab registry.Lab, s *SerialState) (bool, error) {
	n, err := lab.Serial(ctx, s.Name, s.Content, uint64(s.Serial))
	s.Serial = int(n)
	return err == nil, err
}

func (serial) update(ctx context.Context, lab registry.Lab, old SerialState, in SerialArgs) (SerialState, error) {
	least := uint64(old.Serial)
	if old.Content != in.Content {
		least++
	}
	n, err := lab.Serial(ctx, in.Name, in.Content, least)
	return SerialState{SerialArgs: in, Serial: int(n)}, err
}

func (serial) remove(ctx context.Context, lab registry.Lab, in SerialArgs, _ SerialState) error {
	return lab.DropSerial(ctx, in.Name)
}
