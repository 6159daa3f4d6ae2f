// Package gcpfleet is the proxy fleet on Google Cloud.
//
// A slot is a zone and a number in it. Its place on the network, a static internal address, exists before any machine and
// survives all of them: the cluster's routing and the routes document know the proxies by it. Its public IP is made elsewhere
// (package externaladdress), because it outlives the slot.
//
// The limit that matters: an interface has one external IP, and that serves the interface's primary internal address only, so a
// proxy has exactly one of each, and more source ports take more proxies.
package gcpfleet

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/compute"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/internal/gcpname"
	"github.com/sallyport/sallyport/internal/problem"
)

// placesToken identifies the component in every state file.
const placesToken = "sallyport:proxyfleet:GCPPlaces"

// PlacesArgs are the arguments of NewPlaces.
type PlacesArgs struct {
	// Stack is the stack's name, for the names of resources.
	Stack string
	// Project and Region are where the addresses are.
	Project, Region string
	// Subnetwork is the self link of the fleet's subnetwork.
	Subnetwork pulumi.StringInput
	// Slots are all slots, also those without a machine: what routes to a proxy must not change when it starts.
	Slots []Place
}

// Place is where one slot is on the network.
type Place struct {
	Slot string // "proxy-europe-west1-b-1", unique
	Zone string
	// Address picks the internal address. Zero: any that is free in the subnetwork.
	Address netip.Addr
}

// Places are the fleet's static internal addresses.
type Places struct {
	pulumi.ResourceState

	// Addresses are the internal addresses by slot.
	Addresses pulumi.StringMapOutput `pulumi:"addresses"`

	slots map[string]Reserved
}

// Reserved is a slot's static internal address.
type Reserved struct {
	Address  pulumi.StringOutput
	SelfLink pulumi.StringOutput
}

// Get returns the place of one slot. Who uses it depends on that slot only.
func (p *Places) Get(slot string) (Reserved, error) {
	reserved, ok := p.slots[slot]
	if !ok {
		return Reserved{}, fmt.Errorf("places: slot %s: is not declared", slot)
	}
	return reserved, nil
}

// NewPlaces reserves the internal addresses.
func NewPlaces(ctx *pulumi.Context, name string, args *PlacesArgs, opts ...pulumi.ResourceOption) (*Places, error) {
	if err := args.validate(name); err != nil {
		return nil, err
	}
	p := &Places{slots: map[string]Reserved{}}
	slots := pulumi.Array{}
	for _, s := range args.Slots {
		slots = append(slots, pulumi.Map{"slot": pulumi.String(s.Slot), "zone": pulumi.String(s.Zone)})
	}
	inputs := pulumi.Map{"region": pulumi.String(args.Region), "slots": slots}
	if err := ctx.RegisterComponentResourceV2(placesToken, name, inputs, p, opts...); err != nil {
		return nil, err
	}
	addresses := pulumi.StringMap{}
	for _, s := range args.Slots {
		made, err := args.reserve(ctx, p, s)
		if err != nil {
			return nil, fmt.Errorf("places %q: %s: %w", name, s.Slot, err)
		}
		p.slots[s.Slot] = Reserved{Address: made.Address, SelfLink: made.SelfLink}
		addresses[s.Slot] = made.Address
	}
	p.Addresses = addresses.ToStringMapOutput()
	return p, ctx.RegisterResourceOutputs(p, pulumi.Map{"addresses": p.Addresses})
}

// reserve makes one static internal address. Which address it is, once it has one, is not asked again.
func (args *PlacesArgs) reserve(ctx *pulumi.Context, parent *Places, s Place) (*compute.Address, error) {
	in := &compute.AddressArgs{
		Name: pulumi.String(gcpname.Of(args.Stack, s.Slot, "internal")), Project: pulumi.String(args.Project), Region: pulumi.String(args.Region),
		AddressType: pulumi.String("INTERNAL"), Purpose: pulumi.String("GCE_ENDPOINT"), Subnetwork: args.Subnetwork,
	}
	if s.Address.IsValid() {
		in.Address = pulumi.String(s.Address.String())
	}
	return compute.NewAddress(ctx, "proxyfleet-place-"+s.Slot, in, pulumi.Parent(parent), pulumi.IgnoreChanges([]string{"address"}))
}

// validate reports all problems at once.
func (args *PlacesArgs) validate(name string) error {
	var list problem.List
	place := fmt.Sprintf("places %q: ", name)
	for _, field := range []struct{ name, value string }{{"stack", args.Stack}, {"project", args.Project}, {"region", args.Region}} {
		if field.value == "" {
			list.Add(place+field.name, "is required", nil, "")
		}
	}
	if args.Subnetwork == nil {
		list.Add(place+"subnetwork", "is required", nil, "give the self link of the fleet's subnetwork")
	}
	var seen []string
	for i, s := range args.Slots {
		at := problem.Index(place+"slots", i)
		if s.Slot == "" || slices.Contains(seen, s.Slot) {
			list.Add(at, "must have a name of its own", s.Slot, "")
		}
		seen = append(seen, s.Slot)
		if s.Address.IsValid() && !s.Address.Is4() {
			list.Add(at+".address", "must be an IPv4 address", s.Address.String(), "")
		}
	}
	return list.Err()
}
