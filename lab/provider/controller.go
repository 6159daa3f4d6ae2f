package provider

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"

	"github.com/sallyport/sallyport/lab/registry"
)

// undoTimeout bounds the cleaning up after a failed or cancelled creation.
const undoTimeout = 30 * time.Second

// kind is what a type of resource has to know; controller does the rest. I are the inputs, O the inputs and outputs.
type kind[I, O any] interface {
	// noun is the type in lower case, as in messages and records.
	noun() string
	// identity returns the lab and the name of a resource within its lab and kind.
	identity(in I) (lab, name string)
	// host is the host of the lab that the resource is or lives on; empty if none.
	host(in I) string
	// check judges the inputs. Those that are not known yet are skipped by the checker.
	check(c *checker, in I)
	// with returns the state with other inputs: what a preview shows. Outputs that keep their zero value are unknown.
	with(state O, in I) O
	// create makes the resource, after clearing what is left of an earlier one of the same name. On an error the caller
	// calls remove, unless the error is an infer.ResourceInitFailedError: then the resource stays, to be mended by update.
	create(ctx context.Context, lab registry.Lab, in I) (O, error)
	// alive reports whether the resource is there and works. It may correct state where the machine differs from it.
	alive(ctx context.Context, lab registry.Lab, state *O) (bool, error)
	// update changes the resource in place, and mends it if it is not whole.
	update(ctx context.Context, lab registry.Lab, old O, in I) (O, error)
	// remove ends everything that belongs to the resource. What is gone already is no error.
	remove(ctx context.Context, lab registry.Lab, in I, state O) error
	// inputs returns the inputs that are part of the state.
	inputs(state O) I
}

// controller gives a kind the methods that infer expects.
type controller[I, O any] struct{ kind kind[I, O] }

// Check implements infer.CustomCheck.
func (c controller[I, O]) Check(ctx context.Context, req infer.CheckRequest) (infer.CheckResponse[I], error) {
	in, failures, err := infer.DefaultCheck[I](ctx, req.NewInputs)
	if err != nil || len(failures) > 0 {
		return infer.CheckResponse[I]{Inputs: in, Failures: failures}, err
	}
	judge := &checker{where: c.kind.noun() + " " + req.Name, raw: req.NewInputs}
	c.kind.check(judge, in)
	return infer.CheckResponse[I]{Inputs: in, Failures: judge.failures}, nil
}

// Create implements infer.CustomCreate.
func (c controller[I, O]) Create(ctx context.Context, req infer.CreateRequest[I]) (infer.CreateResponse[O], error) {
	if req.DryRun {
		return infer.CreateResponse[O]{Output: c.kind.with(*new(O), req.Inputs)}, nil
	}
	lab, name, err := c.open(req.Inputs)
	if err != nil {
		return infer.CreateResponse[O]{}, err
	}
	id, err := newID(lab.ID, name)
	if err != nil {
		return infer.CreateResponse[O]{}, err
	}
	if err := lab.Create(); err != nil {
		return infer.CreateResponse[O]{}, err
	}
	// The record comes first: whoever looks after a crash finds it, and a Delete of a predecessor knows it is too late.
	record := registry.Record{ID: id, Kind: c.kind.noun(), Name: name, Host: c.kind.host(req.Inputs)}
	if err := lab.PutRecord(record, req.Inputs); err != nil {
		return infer.CreateResponse[O]{}, err
	}
	state, err := c.kind.create(ctx, lab, req.Inputs)
	if err != nil {
		err = c.where(name, err)
		if failed := (infer.ResourceInitFailedError{}); errors.As(err, &failed) {
			return infer.CreateResponse[O]{ID: id, Output: state}, err
		}
		return infer.CreateResponse[O]{}, c.undo(ctx, lab, req.Inputs, state, name, err)
	}
	if err := lab.PutRecord(record, state); err != nil {
		return infer.CreateResponse[O]{}, c.undo(ctx, lab, req.Inputs, state, name, err)
	}
	return infer.CreateResponse[O]{ID: id, Output: state}, nil
}

// undo clears what a failed creation has made. It works even though the creation's context has ended.
func (c controller[I, O]) undo(ctx context.Context, lab registry.Lab, in I, state O, name string, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	if err := c.kind.remove(ctx, lab, in, state); err != nil {
		return fmt.Errorf("%w; clearing what was made: %w", cause, err)
	}
	if err := lab.RemoveRecord(c.kind.noun(), name); err != nil {
		return fmt.Errorf("%w; clearing what was made: %w", cause, err)
	}
	lab.Tidy(ctx)
	return cause
}

// Read implements infer.CustomRead.
func (c controller[I, O]) Read(ctx context.Context, req infer.ReadRequest[I, O]) (infer.ReadResponse[I, O], error) {
	state, inputs := req.State, req.Inputs
	imported := false
	if lab, _ := c.kind.identity(c.kind.inputs(state)); lab == "" {
		var err error
		if imported, err = c.imported(req.ID, &state); err != nil || !imported {
			return infer.ReadResponse[I, O]{}, err
		}
	}
	before := c.kind.inputs(state)
	lab, name, err := c.open(before)
	if err != nil {
		return infer.ReadResponse[I, O]{}, err
	}
	alive, err := c.kind.alive(ctx, lab, &state)
	if err != nil {
		return infer.ReadResponse[I, O]{}, c.where(name, err)
	}
	if !alive {
		return infer.ReadResponse[I, O]{}, nil
	}
	if imported || !reflect.DeepEqual(before, c.kind.inputs(state)) {
		inputs = c.kind.inputs(state) // recovered from the machine
	}
	return infer.ReadResponse[I, O]{ID: req.ID, Inputs: inputs, State: state}, nil
}

// imported finds the state of a resource that Pulumi does not know: its id is "<lab>/<name>".
func (c controller[I, O]) imported(id string, state *O) (bool, error) {
	lab, name, ok := strings.Cut(id, "/")
	if !ok {
		return false, fmt.Errorf("%s: id: needs the form <lab>/<name>, got %q", c.kind.noun(), id)
	}
	memory, err := registry.Open(lab)
	if err != nil {
		return false, err
	}
	name, _, _ = strings.Cut(name, "/")
	return memory.FindRecord(c.kind.noun(), name, state)
}

// Update implements infer.CustomUpdate.
func (c controller[I, O]) Update(ctx context.Context, req infer.UpdateRequest[I, O]) (infer.UpdateResponse[O], error) {
	if req.DryRun {
		return infer.UpdateResponse[O]{Output: c.kind.with(req.State, req.Inputs)}, nil
	}
	lab, name, err := c.open(req.Inputs)
	if err != nil {
		return infer.UpdateResponse[O]{}, err
	}
	if err := lab.Create(); err != nil {
		return infer.UpdateResponse[O]{}, err
	}
	state, err := c.kind.update(ctx, lab, req.State, req.Inputs)
	if err != nil {
		return infer.UpdateResponse[O]{Output: state}, c.where(name, err)
	}
	record := registry.Record{ID: req.ID, Kind: c.kind.noun(), Name: name, Host: c.kind.host(req.Inputs)}
	if err := lab.PutRecord(record, state); err != nil {
		return infer.UpdateResponse[O]{}, err
	}
	return infer.UpdateResponse[O]{Output: state}, nil
}

// Delete implements infer.CustomDelete.
func (c controller[I, O]) Delete(ctx context.Context, req infer.DeleteRequest[O]) (infer.DeleteResponse, error) {
	in := c.kind.inputs(req.State)
	lab, name, err := c.open(in)
	if err != nil {
		return infer.DeleteResponse{}, err
	}
	record, err := lab.Record(c.kind.noun(), name)
	if err != nil {
		return infer.DeleteResponse{}, err
	}
	if record.ID != "" && record.ID != req.ID {
		return infer.DeleteResponse{}, nil // a successor has the name; what was left of this one it has cleared
	}
	if err := c.kind.remove(ctx, lab, in, req.State); err != nil {
		return infer.DeleteResponse{}, c.where(name, err)
	}
	if err := lab.RemoveRecord(c.kind.noun(), name); err != nil {
		return infer.DeleteResponse{}, err
	}
	lab.Tidy(ctx)
	return infer.DeleteResponse{}, nil
}

func (c controller[I, O]) open(in I) (registry.Lab, string, error) {
	id, name := c.kind.identity(in)
	lab, err := registry.Open(id)
	if err != nil {
		return registry.Lab{}, "", fmt.Errorf("%s %s: %w", c.kind.noun(), name, err)
	}
	return lab, name, nil
}

// where names the resource in an error, and keeps the reasons of a failed initialisation.
func (c controller[I, O]) where(name string, err error) error {
	return fmt.Errorf("%s %s: %w", c.kind.noun(), name, err)
}

// newID makes the id of one incarnation of a resource: two of the same name differ in the last part.
func newID(lab, name string) (string, error) {
	var nonce [4]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return "", err
	}
	return lab + "/" + name + "/" + hex.EncodeToString(nonce[:]), nil
}

// say shows what a slow step is doing, in the line of its resource.
func say(ctx context.Context, format string, args ...any) {
	p.GetLogger(ctx).InfoStatusf(format, args...)
}
