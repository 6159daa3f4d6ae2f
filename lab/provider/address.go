package provider

import (
	"context"
	"net/netip"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"

	"github.com/sallyport/sallyport/lab/registry"
)

// Address is a static IP address: it belongs to a name, and a name keeps it.
type Address struct {
	controller[AddressArgs, AddressState]
}

// AddressArgs are the inputs of an Address.
type AddressArgs struct {
	Lab     string  `pulumi:"lab" provider:"replaceOnChanges"`
	Name    string  `pulumi:"name" provider:"replaceOnChanges"`
	Kind    string  `pulumi:"kind" provider:"replaceOnChanges"`
	Address *string `pulumi:"address,optional"`
}

// AddressState are the inputs and outputs of an Address.
type AddressState struct {
	Lab     string `pulumi:"lab"`
	Name    string `pulumi:"name"`
	Kind    string `pulumi:"kind"`
	Address string `pulumi:"address"`
}

func newAddress() *Address { return &Address{controller[AddressArgs, AddressState]{address{}}} }

// Annotate implements infer.Annotated.
func (a *Address) Annotate(n infer.Annotator) {
	n.SetToken(module, "Address")
	n.Describe(&a, "A static IP address that belongs to a name until it is deleted.")
}

// Annotate implements infer.Annotated.
func (a *AddressArgs) Annotate(n infer.Annotator) {
	n.Describe(&a.Lab, "The lab.")
	n.Describe(&a.Name, "What the address belongs to, unique in lab and kind.")
	n.Describe(&a.Kind, "nat (198.51.100.1 to .126), proxy (198.51.100.129 to .254), interface (private, 10.0.2.10 to .254) or pods (of a node: the first address of a /24 in 10.244.0.0/16).")
	n.Describe(&a.Address, "A certain address; if left out the lowest free one.")
}

// Annotate implements infer.Annotated.
func (a *AddressState) Annotate(n infer.Annotator) {
	n.Describe(&a.Address, "The address.")
}

// Diff implements infer.CustomDiff: naming the address that is in force already, or no longer naming it, changes nothing.
func (a *Address) Diff(_ context.Context, req infer.DiffRequest[AddressArgs, AddressState]) (infer.DiffResponse, error) {
	changes := map[string]p.PropertyDiff{}
	for field, pair := range map[string][2]string{
		"lab":  {req.State.Lab, req.Inputs.Lab},
		"name": {req.State.Name, req.Inputs.Name},
		"kind": {req.State.Kind, req.Inputs.Kind},
	} {
		if pair[0] != pair[1] {
			changes[field] = p.PropertyDiff{Kind: p.UpdateReplace, InputDiff: true}
		}
	}
	if want := req.Inputs.Address; want != nil && *want != req.State.Address {
		changes["address"] = p.PropertyDiff{Kind: p.UpdateReplace, InputDiff: true}
	}
	return infer.DiffResponse{HasChanges: len(changes) > 0, DetailedDiff: changes}, nil
}

type address struct{}

func (address) noun() string { return "address" }

// identity joins kind and name: a proxy and its interface may have the same name.
func (address) identity(in AddressArgs) (lab, name string) { return in.Lab, in.Kind + "." + in.Name }
func (address) host(AddressArgs) string                    { return "" }

func (address) inputs(s AddressState) AddressArgs {
	return AddressArgs{Lab: s.Lab, Name: s.Name, Kind: s.Kind, Address: &s.Address}
}

func (address) with(s AddressState, in AddressArgs) AddressState {
	s.Lab, s.Name, s.Kind = in.Lab, in.Name, in.Kind
	if in.Address != nil {
		s.Address = *in.Address
	}
	return s
}

// pools are the kinds a user may ask for.
var pools = map[string]registry.Pool{
	"nat":       registry.PoolNat,
	"proxy":     registry.PoolProxy,
	"interface": registry.PoolInterface,
	"pods":      registry.PoolPods,
}

func (address) check(c *checker, in AddressArgs) {
	c.lab(in.Lab)
	c.name(in.Name)
	c.oneOf("kind", in.Kind, "nat", "proxy", "interface", "pods")
	if in.Address == nil || !c.known("address") {
		return
	}
	a, err := netip.ParseAddr(*in.Address)
	if pool, ok := pools[in.Kind]; ok && c.known("kind") && (err != nil || !pool.Contains(a)) {
		c.fail("address", "needs to be from "+pool.First.String()+" to "+pool.Last.String()+" for kind "+in.Kind, *in.Address, "leave it out to get a free one")
	}
}

func (k address) create(ctx context.Context, lab registry.Lab, in AddressArgs) (AddressState, error) {
	state := k.with(AddressState{}, in)
	var want netip.Addr
	if in.Address != nil {
		var err error
		if want, err = netip.ParseAddr(*in.Address); err != nil {
			return state, err
		}
	}
	given, err := lab.Allocate(ctx, pools[in.Kind], in.Name, want)
	if err != nil {
		state.Address = "" // nothing to release
		return state, err
	}
	state.Address = given.String()
	return state, nil
}

// alive registers the address again after a reboot has emptied the state directory: it is Pulumi that remembers.
func (address) alive(ctx context.Context, lab registry.Lab, s *AddressState) (bool, error) {
	own, err := netip.ParseAddr(s.Address)
	if err != nil {
		return false, nil
	}
	have, err := lab.Lookup(pools[s.Kind], s.Name)
	if err != nil {
		return false, err
	}
	if have != own {
		_, err = lab.Allocate(ctx, pools[s.Kind], s.Name, own)
	}
	return err == nil, err
}

func (k address) update(ctx context.Context, lab registry.Lab, old AddressState, in AddressArgs) (AddressState, error) {
	in.Address = &old.Address
	return k.create(ctx, lab, in)
}

func (address) remove(ctx context.Context, lab registry.Lab, _ AddressArgs, s AddressState) error {
	own, err := netip.ParseAddr(s.Address)
	if err != nil {
		return nil // none was given
	}
	return lab.Release(ctx, pools[s.Kind], s.Name, own)
}
