package topology

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/internal/clock"
)

// Previous is what a stack exported after its last update.
type Previous struct{ outputs map[string]any }

// readOutputs is the function behind Pulumi's stack references. A reference to oneself as a resource would fail the whole update
// whenever it met a state file that this very update was writing; a call can be made again.
const readOutputs = "pulumi:pulumi:readStackOutputs"

// How often, and how far apart, the state is read when it is being written.
const (
	readAttempts = 100
	readPause    = 50 * time.Millisecond
)

// ReadPrevious reads the stack's own outputs out of its stored state, which the running update has not replaced yet. It depends
// on the back end's own access only.
func ReadPrevious(ctx *pulumi.Context) (*Previous, error) {
	name := fmt.Sprintf("%s/%s/%s", ctx.Organization(), ctx.Project(), ctx.Stack())
	var err error
	for range readAttempts {
		var state struct {
			Outputs map[string]any `pulumi:"outputs"`
		}
		if err = ctx.Invoke(readOutputs, map[string]any{"name": name}, &state); err == nil {
			return &Previous{outputs: state.Outputs}, nil
		}
		if !strings.Contains(err.Error(), "checkpoint") {
			break
		}
		time.Sleep(readPause)
	}
	return nil, fmt.Errorf("previous outputs of stack %s: %w", name, err)
}

// Output returns one of the outputs as maps, slices and scalars, nil if there was none, for example before the first update or
// after one that failed early. It is known at once, in a preview too, so it may decide which resources there are.
func (p *Previous) Output(name string) (any, error) { return p.outputs[name], nil }

// remembered are the outputs that the next update, or whoever looks at the stack until then, decides by.
var remembered = []string{"allowlist", "capacity", "endpoints", "kubernetes", "nat", "routes"}

// Keep exports what the last update exported, and returns the cause. A program that fails still replaces the stack's outputs
// (sdk/v3/go/pulumi/run.go): the next update would take every public IP for new, and partners would lose their notice.
func (p *Previous) Keep(ctx *pulumi.Context, cause error) error {
	for _, name := range remembered {
		value, err := p.Output(name)
		if err != nil {
			return errors.Join(cause, err)
		}
		if value != nil {
			ctx.Export(name, pulumi.Any(value))
		}
	}
	return cause
}

// Fail is Keep for a program that fails before it has read its previous outputs.
func Fail(ctx *pulumi.Context, cause error) error {
	previous, err := ReadPrevious(ctx)
	if err != nil {
		return errors.Join(cause, err)
	}
	return previous.Keep(ctx, cause)
}

// Allowlist returns the allow list of the last update, nil if there was none. One that cannot be read is an error: what it
// promised to partners would be forgotten.
func (p *Previous) Allowlist() (*allowlist.Document, error) {
	value, err := p.Output("allowlist")
	if value == nil || err != nil {
		return nil, err
	}
	text, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("previous output allowlist: %w", err)
	}
	document, err := allowlist.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("previous output allowlist: %w", err)
	}
	return &document, nil
}

// NextSerial returns the serial of a document: that of the previous one if the content is the same, and the time in Unix
// seconds otherwise, so that serials rise even where the previous document was lost. Previous is the resolved output, as maps
// and scalars, or nil; the key "serial" of either is not content.
func NextSerial(previous, content any) (uint64, error) {
	now, err := clock.Now()
	if err != nil {
		return 0, err
	}
	before, _ := previous.(map[string]any)
	serial, _ := before["serial"].(float64)
	next, err := JSONTree(content)
	if err != nil {
		return 0, err
	}
	after, _ := next.(map[string]any)
	if after == nil {
		return 0, fmt.Errorf("serial: needs an object, got %T", content)
	}
	if serial > 0 && sameBut(before, after, "serial") {
		return uint64(serial), nil
	}
	return max(uint64(now.Unix()), uint64(serial)+1), nil
}

// sameBut compares two objects without one of their keys.
func sameBut(a, b map[string]any, key string) bool {
	a, b = maps.Clone(a), maps.Clone(b)
	delete(a, key)
	delete(b, key)
	return reflect.DeepEqual(a, b)
}

// Export exports a plain value under its JSON names, so that outputs and documents never differ in spelling.
func Export(ctx *pulumi.Context, name string, value any) error {
	tree, err := JSONTree(value)
	if err != nil {
		return fmt.Errorf("output %s: %w", name, err)
	}
	ctx.Export(name, pulumi.Any(tree))
	return nil
}

// JSONTree turns a value into maps, slices and scalars.
func JSONTree(value any) (any, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	var tree any
	err = json.Unmarshal(text, &tree)
	return tree, err
}
