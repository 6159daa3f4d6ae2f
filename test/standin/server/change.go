package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil/rpcerror"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/sallyport/sallyport/test/standin/engine"
	"github.com/sallyport/sallyport/test/standin/world"
)

// errStandIn is why a stand-in without a world changes nothing.
var errStandIn = errors.New("this is a stand-in that only previews, no real provider: nothing was changed; " +
	"use the PULUMI_HOME with the real plugins to deploy, or set SALLYPORT_STANDIN_WORLD to a folder in a test")

// Create implements the protocol.
func (s *Server) Create(_ context.Context, r *pulumirpc.CreateRequest) (*pulumirpc.CreateResponse, error) {
	urn, k, err := s.kind(r.GetUrn())
	if err != nil {
		return nil, err
	}
	in, err := decode(r.GetProperties())
	if err != nil {
		return nil, err
	}
	if r.GetPreview() {
		known, err := encode(in)
		return &pulumirpc.CreateResponse{Properties: known}, err
	}
	o, err := s.operate("create", k, urn.Name(), in, func(tx *engine.Tx) (*engine.Object, error) { return tx.Create(k, in) })
	if err != nil {
		return nil, err
	}
	out, err := encode(o.Props)
	return &pulumirpc.CreateResponse{Id: o.ID, Properties: out}, err
}

// Update implements the protocol.
func (s *Server) Update(_ context.Context, r *pulumirpc.UpdateRequest) (*pulumirpc.UpdateResponse, error) {
	urn, k, err := s.kind(r.GetUrn())
	if err != nil {
		return nil, err
	}
	in, err := decode(r.GetNews())
	if err != nil {
		return nil, err
	}
	if r.GetPreview() {
		olds, err := decode(r.GetOlds())
		if err != nil {
			return nil, err
		}
		for key, value := range in {
			olds[key] = value
		}
		known, err := encode(olds)
		return &pulumirpc.UpdateResponse{Properties: known}, err
	}
	o, err := s.operate("update", k, urn.Name(), in, func(tx *engine.Tx) (*engine.Object, error) { return tx.Update(k, r.GetId(), in) })
	if err != nil {
		return nil, err
	}
	out, err := encode(o.Props)
	return &pulumirpc.UpdateResponse{Properties: out}, err
}

// Delete implements the protocol.
func (s *Server) Delete(_ context.Context, r *pulumirpc.DeleteRequest) (*emptypb.Empty, error) {
	urn, k, err := s.kind(r.GetUrn())
	if err != nil {
		return nil, err
	}
	_, err = s.operate("delete", k, urn.Name(), nil, func(tx *engine.Tx) (*engine.Object, error) {
		gone := &engine.Object{Type: k.Token, ID: r.GetId()}
		if o := tx.Find(k.Token, r.GetId()); o != nil {
			gone = o
		}
		return gone, tx.Delete(k, r.GetId())
	})
	return &emptypb.Empty{}, err
}

// Read implements the protocol, for refresh, for import and for resources that programs look up.
func (s *Server) Read(_ context.Context, r *pulumirpc.ReadRequest) (*pulumirpc.ReadResponse, error) {
	urn, k, err := s.kind(r.GetUrn())
	if err != nil {
		return nil, err
	}
	known, err := decode(r.GetInputs())
	if err != nil {
		return nil, err
	}
	var o *engine.Object
	var inputs engine.Props
	if err := s.World.Look(func(state *world.State) {
		tx := s.tx(state)
		o, inputs = tx.Read(k, r.GetId(), known)
		if o == nil && state.Settings.Lenient {
			o, inputs = &engine.Object{ID: r.GetId(), Props: engine.Props{}}, known
		}
	}); err != nil {
		return nil, err
	}
	event := world.Event{Op: "read", Type: k.Token, Name: urn.Name(), ID: r.GetId()}
	if o == nil {
		event.Error = "gone"
	}
	if err := s.World.Record(event); err != nil || o == nil {
		return &pulumirpc.ReadResponse{}, err
	}
	out := &pulumirpc.ReadResponse{Id: o.ID}
	if out.Properties, err = encode(o.Props); err != nil {
		return nil, err
	}
	out.Inputs, err = encode(inputs)
	return out, err
}

// operate carries out a change with the faults it meets, and writes it down.
func (s *Server) operate(
	op string, k *engine.Kind, name string, in engine.Props, change func(*engine.Tx) (*engine.Object, error),
) (*engine.Object, error) {
	if s.World.InMemory() {
		return nil, errStandIn
	}
	fault, err := s.World.Strike(op, k.Token, name)
	if err != nil {
		return nil, err
	}
	event := world.Event{Op: op, Type: k.Token, Name: name}
	if err := s.World.Record(world.Event{Op: "begin-" + op, Type: k.Token, Name: name}); err != nil {
		return nil, err
	}
	if fault != nil {
		event.Fault = fault.ID
		if fault.Mode == world.Before {
			event.Error = faultMessage(fault, k)
			return nil, errors.Join(errors.New(event.Error), s.World.Record(event))
		}
	}
	var o *engine.Object
	var effects []world.Event
	failed := s.World.Do(func(state *world.State) error {
		tx := s.tx(state)
		var err error
		o, err = change(tx)
		effects = tx.Effects
		return err
	})
	if failed != nil {
		event.Error = failed.Error()
		return nil, errors.Join(failed, s.World.Record(event))
	}
	for _, effect := range effects {
		if err := s.World.Record(effect); err != nil {
			return nil, err
		}
	}
	event.ID, event.PublicIP = o.ID, world.PublicIP(o)
	if fault != nil && fault.Mode != world.Slow {
		event.Error = faultMessage(fault, k)
	}
	if err := s.World.Record(event); err != nil {
		return nil, err
	}
	return o, s.aftermath(fault, k, o, in)
}

// aftermath is what becomes of the answer to a call that had its effect.
func (s *Server) aftermath(fault *world.Fault, k *engine.Kind, o *engine.Object, in engine.Props) error {
	if fault == nil {
		return nil
	}
	switch fault.Mode {
	case world.Slow:
		select {
		case <-time.After(time.Duration(fault.Seconds * float64(time.Second))):
		case <-s.Stop.Done():
		}
		return nil
	case world.Partial:
		props, err := encode(o.Props)
		if err != nil {
			return err
		}
		inputs, err := encode(in)
		if err != nil {
			return err
		}
		message := faultMessage(fault, k)
		return rpcerror.WithDetails(rpcerror.New(codes.Unknown, message), &pulumirpc.ErrorResourceInitFailed{
			Id: o.ID, Properties: props, Inputs: inputs, Reasons: []string{message},
		})
	default:
		return errors.New(faultMessage(fault, k))
	}
}

func faultMessage(fault *world.Fault, k *engine.Kind) string {
	if fault.Message != "" {
		return fault.Message
	}
	return fmt.Sprintf("%s: api error Throttling: Rate exceeded (injected fault %s)", k.Token, fault.ID)
}
