package provider

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"

	"github.com/pulumi/pulumi-go-provider/infer"

	"github.com/sallyport/sallyport/lab/registry"
	"github.com/sallyport/sallyport/proxyimage/routes"
)

// routesSerial is the name of the counter of the routes document. No Serial can have it: it is no DNS label.
const routesSerial = "routes.json"

// Routes is the routes document that all agents of a lab follow.
type Routes struct {
	controller[RoutesArgs, RoutesState]
}

// RoutesArgs are the inputs of Routes.
type RoutesArgs struct {
	Lab      string `pulumi:"lab" provider:"replaceOnChanges"`
	Document string `pulumi:"document"`
}

// RoutesState are the inputs and outputs of Routes.
type RoutesState struct {
	RoutesArgs
	Serial int    `pulumi:"serial"`
	Path   string `pulumi:"path"`
}

func newRoutes() *Routes { return &Routes{controller[RoutesArgs, RoutesState]{routesKind{}}} }

// Annotate implements infer.Annotated.
func (r *Routes) Annotate(a infer.Annotator) {
	a.SetToken(module, "Routes")
	a.Describe(&r, "The routes document that the agents of all proxies and nodes follow. A change takes effect without a restart.")
}

// Annotate implements infer.Annotated.
func (r *RoutesArgs) Annotate(a infer.Annotator) {
	a.Describe(&r.Lab, "The lab.")
	a.Describe(&r.Document, "The document as JSON. Its serial is left out or 0: it is given here.")
}

// Annotate implements infer.Annotated.
func (r *RoutesState) Annotate(a infer.Annotator) {
	a.Describe(&r.Serial, "Serial of the document in force: one more with each change.")
	a.Describe(&r.Path, "File of the document.")
}

// WireDependencies implements infer.ExplicitDependencies: the path never changes.
func (*Routes) WireDependencies(f infer.FieldSelector, args *RoutesArgs, state *RoutesState) {
	f.OutputField(&state.Serial).DependsOn(f.InputField(&args.Document))
	f.OutputField(&state.Path).DependsOn(f.InputField(&args.Lab))
}

type routesKind struct{}

func (routesKind) noun() string                              { return "routes" }
func (routesKind) identity(in RoutesArgs) (lab, name string) { return in.Lab, "routes" }
func (routesKind) host(RoutesArgs) string                    { return "" }
func (routesKind) inputs(s RoutesState) RoutesArgs           { return s.RoutesArgs }

func (routesKind) with(s RoutesState, in RoutesArgs) RoutesState {
	s.RoutesArgs = in
	return s
}

func (routesKind) check(c *checker, in RoutesArgs) {
	c.lab(in.Lab)
	if !c.known("document") {
		return
	}
	document, err := routes.Decode([]byte(in.Document))
	if err != nil {
		c.fail("document", "needs to be a routes document: "+err.Error(), nil, "")
	} else if document.Serial != 0 {
		c.fail("document", "must not have a serial", document.Serial, "leave it out: the lab gives it")
	}
}

func (k routesKind) create(ctx context.Context, lab registry.Lab, in RoutesArgs) (RoutesState, error) {
	return k.write(ctx, lab, in, 0)
}

func (k routesKind) update(ctx context.Context, lab registry.Lab, old RoutesState, in RoutesArgs) (RoutesState, error) {
	least := old.Serial
	if old.Document != in.Document {
		least++
	}
	return k.write(ctx, lab, in, least)
}

// write gives the document its serial and puts it in place by rename. The serial never falls below least.
func (k routesKind) write(ctx context.Context, lab registry.Lab, in RoutesArgs, least int) (RoutesState, error) {
	state := RoutesState{RoutesArgs: in, Path: routesPath(lab)}
	document, err := routes.Decode([]byte(in.Document))
	if err != nil {
		return state, fmt.Errorf("document: %w", err)
	}
	serial, err := lab.Serial(ctx, routesSerial, in.Document, uint64(least))
	if err != nil {
		return state, err
	}
	document.Serial = serial
	text, err := routes.Encode(document)
	if err != nil {
		return state, fmt.Errorf("document: %w", err)
	}
	state.Serial = int(serial)
	return state, registry.WriteFile(state.Path, text, 0o644)
}

// routesPath is the file of the document. Its directory is mounted into every agent, so that a rename is seen there.
func routesPath(lab registry.Lab) string { return lab.Path("routes", "routes.json") }

// alive compares the file with the document. A file that somebody changed is reported as a changed input, so that the next
// update puts it right, with a new serial that every agent follows.
func (k routesKind) alive(ctx context.Context, lab registry.Lab, s *RoutesState) (bool, error) {
	text, err := os.ReadFile(routesPath(lab))
	if errors.Is(err, fs.ErrNotExist) {
		// The next creation goes on counting, even after a reboot.
		_, err := lab.Serial(ctx, routesSerial, s.Document, uint64(s.Serial))
		return false, err
	}
	if err != nil {
		return false, err
	}
	found, err := routes.Decode(text)
	if err != nil {
		s.Document = string(text)
		return true, nil
	}
	s.Serial = int(max(found.Serial, uint64(s.Serial)))
	found.Serial = 0
	wanted, err := routes.Decode([]byte(s.Document))
	if err == nil && reflect.DeepEqual(found, wanted) {
		return true, nil
	}
	changed, err := routes.Encode(found)
	s.Document = string(changed)
	return true, err
}

func (routesKind) remove(ctx context.Context, lab registry.Lab, _ RoutesArgs, _ RoutesState) error {
	if err := os.Remove(routesPath(lab)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := os.Stat(lab.Path("hosts")); err != nil {
		_ = os.Remove(filepath.Dir(routesPath(lab))) // no agent has it mounted
	}
	return lab.DropSerial(ctx, routesSerial)
}
