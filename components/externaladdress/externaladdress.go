// Package externaladdress holds the public IPs of a GCP stack: static external addresses that partners have on their allow
// lists.
//
// They are a component of their own, because they outlive whatever uses them: a NAT gateway or a proxy comes and goes, its
// address stays. Every address is named once and for all; which gateway or slot it serves is not its business. An address
// depends on nothing but the provider, is protected, and is kept in the project even when the stack is destroyed.
//
// The limit that matters: an address serves one thing at a time, one NAT gateway or one machine, and a region has a quota of
// them (STATIC_ADDRESSES, IN_USE_ADDRESSES).
package externaladdress

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/compute"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/internal/gcpname"
	"github.com/sallyport/sallyport/internal/problem"
)

// typeToken identifies the component in every state file.
const typeToken = "sallyport:externaladdress:Addresses"

// Tier is the network tier of an address.
type Tier string

// The tiers.
const (
	TierPremium  Tier = "PREMIUM"
	TierStandard Tier = "STANDARD"
)

// Address is one public IP.
type Address struct {
	// Name is given once and never changes, for example "nat-1". Unique in the component.
	Name string
	// Existing names an address resource in the region that belongs to somebody else: it is read, never changed and never
	// released. Empty: the address is allocated here.
	Existing string
	// IP picks a certain address of a delegated prefix of one's own (BYOIP). Zero: any. Ignored once the address is allocated.
	IP netip.Addr
	// Released lifts the protection, so that the address is given back when it is no longer declared.
	Released bool
	// Labels say whose address it is, for those who look without the state: allowlist.Labels. Of an address that was brought
	// none are written.
	Labels map[string]string
}

// AddressesArgs are the arguments of NewAddresses.
type AddressesArgs struct {
	// Stack is the stack's name, for the addresses' names in the project.
	Stack string
	// Project and Region are where the addresses are.
	Project, Region string
	// Kind is what the addresses are for: nat or proxy.
	Kind string
	// Tier of new addresses. Default premium.
	Tier Tier
	// Addresses are the public IPs. May be empty.
	Addresses []Address
	// Keep protects addresses against deletion and keeps them in the project when they leave the stack.
	Keep bool
}

// Addresses are the public IPs of one kind.
type Addresses struct {
	pulumi.ResourceState

	// SelfLinks are the URLs by name of the address, for gateways and machines.
	SelfLinks pulumi.StringMapOutput `pulumi:"selfLinks"`
	// PublicIPs are the values by name of the address, for the allow list.
	PublicIPs pulumi.StringMapOutput `pulumi:"publicIps"`

	allocated map[string]Allocated
}

// Allocated is one address as others use it.
type Allocated struct {
	SelfLink pulumi.StringOutput
	PublicIP pulumi.StringOutput
}

// Get returns one address by its name. Those who use it depend on that address only, not on the others of the component.
func (a *Addresses) Get(name string) (Allocated, error) {
	address, ok := a.allocated[name]
	if !ok {
		return Allocated{}, fmt.Errorf("addresses: %s: is not declared", name)
	}
	return address, nil
}

// NewAddresses allocates or reads every address.
func NewAddresses(ctx *pulumi.Context, name string, args *AddressesArgs, opts ...pulumi.ResourceOption) (*Addresses, error) {
	declared := args.withDefaults()
	if err := declared.validate(name); err != nil {
		return nil, err
	}
	a := &Addresses{allocated: map[string]Allocated{}}
	if err := ctx.RegisterComponentResourceV2(typeToken, name, declared.inputs(), a, opts...); err != nil {
		return nil, err
	}
	links, ips := pulumi.StringMap{}, pulumi.StringMap{}
	for _, address := range declared.Addresses {
		made, err := declared.createAddress(ctx, a, address)
		if err != nil {
			return nil, fmt.Errorf("addresses %q: %s: %w", name, address.Name, err)
		}
		a.allocated[address.Name] = made
		links[address.Name], ips[address.Name] = made.SelfLink, made.PublicIP
	}
	a.SelfLinks, a.PublicIPs = links.ToStringMapOutput(), ips.ToStringMapOutput()
	return a, ctx.RegisterResourceOutputs(a, pulumi.Map{"selfLinks": a.SelfLinks, "publicIps": a.PublicIPs})
}

// settled are inputs that count when an address is allocated and never again. The provider replaces an address for a change of
// the first four, and a replaced address is a lost one. The labels are facts of the allocation: a change of destinations must
// not touch an address. The other labels are kept right.
var settled = []string{
	"address", "networkTier", "addressType", "description",
	`labels["` + allowlist.LabelKey(allowlist.TagPartners) + `"]`, `labels["` + allowlist.LabelKey(allowlist.TagSince) + `"]`,
}

// createAddress allocates one address, or reads one that was brought.
func (args *AddressesArgs) createAddress(ctx *pulumi.Context, parent *Addresses, address Address) (Allocated, error) {
	name := "externaladdress-address-" + address.Name
	if address.Existing != "" {
		id := fmt.Sprintf("projects/%s/regions/%s/addresses/%s", args.Project, args.Region, address.Existing)
		brought, err := compute.GetAddress(ctx, name, pulumi.ID(id), nil, pulumi.Parent(parent))
		if err != nil {
			return Allocated{}, err
		}
		return Allocated{SelfLink: brought.SelfLink, PublicIP: brought.Address}, nil
	}
	in := &compute.AddressArgs{
		Name: pulumi.String(gcpname.Of(args.Stack, address.Name)), Project: pulumi.String(args.Project), Region: pulumi.String(args.Region),
		AddressType: pulumi.String("EXTERNAL"), NetworkTier: pulumi.String(args.Tier), Labels: pulumi.ToStringMap(address.Labels),
		Description: pulumi.String("Public IP " + address.Name + " of stack " + args.Stack + ": partners list it."),
	}
	if address.IP.IsValid() {
		in.Address = pulumi.String(address.IP.String())
	}
	keep := args.Keep && !address.Released
	made, err := compute.NewAddress(ctx, name, in, pulumi.Parent(parent), pulumi.Protect(keep), pulumi.RetainOnDelete(keep), pulumi.IgnoreChanges(settled))
	if err != nil {
		return Allocated{}, err
	}
	return Allocated{SelfLink: made.SelfLink, PublicIP: made.Address}, nil
}

// withDefaults returns a copy that is complete.
func (args *AddressesArgs) withDefaults() AddressesArgs {
	out := *args
	if out.Tier == "" {
		out.Tier = TierPremium
	}
	out.Addresses = slices.Clone(args.Addresses)
	return out
}

// inputs is what the component records for policies.
func (args *AddressesArgs) inputs() pulumi.Map {
	addresses := pulumi.Array{}
	for _, address := range args.Addresses {
		addresses = append(addresses, pulumi.Map{
			"name": pulumi.String(address.Name), "brought": pulumi.Bool(address.Existing != ""), "released": pulumi.Bool(address.Released),
		})
	}
	return pulumi.Map{
		"kind": pulumi.String(args.Kind), "tier": pulumi.String(args.Tier), "keep": pulumi.Bool(args.Keep), "addresses": addresses,
	}
}

var names = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)

// validate reports all problems at once.
func (args *AddressesArgs) validate(component string) error {
	var list problem.List
	place := "addresses " + component + ": "
	for _, field := range []struct{ name, value string }{{"stack", args.Stack}, {"project", args.Project}, {"region", args.Region}} {
		if field.value == "" {
			list.Add(place+field.name, "is required", nil, "")
		}
	}
	if args.Kind != "nat" && args.Kind != "proxy" {
		list.Add(place+"kind", "must be nat or proxy", args.Kind, "say what the addresses are for")
	}
	if args.Tier != TierPremium && args.Tier != TierStandard {
		list.Add(place+"tier", "must be PREMIUM or STANDARD", args.Tier, "leave it out for PREMIUM")
	}
	seen, picked := map[string]bool{}, map[netip.Addr]bool{}
	for i, address := range args.Addresses {
		at := problem.Index(place+"addresses", i)
		if !names.MatchString(address.Name) {
			list.Add(at+".name", "must be of a-z, 0-9 and -", address.Name, "name the slot it is made for")
		}
		if seen[address.Name] {
			list.Add(at+".name", "must be unique", address.Name, "remove one of the two")
		}
		seen[address.Name] = true
		if slot := address.Labels[allowlist.LabelKey(allowlist.TagSlot)]; address.Existing == "" && slot != address.Name {
			list.Add(at+".labels", "must say whose address it is, with the slot being its name", slot, "use allowlist.Labels")
		}
		if !address.IP.IsValid() {
			continue
		}
		if !address.IP.Is4() || picked[address.IP] {
			list.Add(at+".ip", "must be an IPv4 address that no other has", address.IP.String(), "pick another one of the prefix")
		}
		picked[address.IP] = true
	}
	return list.Err()
}
