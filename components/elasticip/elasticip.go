// Package elasticip holds the public IPs of an AWS stack: Elastic IPs that partners have on their allow lists.
//
// They are a component of their own, because they outlive whatever uses them: a NAT gateway or a proxy comes and goes, its
// address stays. Every address is named once and for all; which gateway or slot it serves is not its business. An address
// depends on nothing but the provider, is protected, is kept in the account even when the stack is destroyed, and is never
// replaced: where a new one would be allocated from counts for new ones only.
//
// The limit that matters: an account may have 5 Elastic IPs a region unless its quota L-0263D0A3 is raised; addresses of one's
// own (BYOIP) do not count. "Amazon VPC quotas", 2026-09-26.
package elasticip

import (
	"fmt"
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// typeToken identifies the component in every state file.
const typeToken = "sallyport:elasticip:Addresses"

// Source says where new addresses come from.
type Source string

// The sources.
const (
	SourceAmazon Source = "amazon" // Amazon's pool: any address of the region
	SourceBYOIP  Source = "byoip"  // a public IPv4 pool of one's own, ipv4pool-ec2-...
	SourceIPAM   Source = "ipam"   // an IPAM pool, ipam-pool-..., also one with a contiguous block of Amazon's
)

// Address is one public IP.
type Address struct {
	// Name is given once and never changes, for example "nat-eu-west-1a-1". Unique in the component.
	Name string
	// AllocationID names an Elastic IP that exists and belongs to somebody else: it is read, never changed and never released.
	// Empty: the address is allocated here.
	AllocationID string
	// PublicIP picks a certain address of the pool. Empty: any. Ignored once the address is allocated.
	PublicIP string
	// Released lifts the protection, so that the address is given back when it is no longer declared.
	Released bool
	// Tags say whose address it is, for those who look without the state: allowlist.Tags. Of an address that was brought none are
	// written.
	Tags map[string]string
}

// AddressesArgs are the arguments of NewAddresses.
type AddressesArgs struct {
	// Stack is the stack's name, for the addresses' names in the console.
	Stack string
	// Kind is what the addresses are for: nat or proxy.
	Kind string
	// Source is where new addresses come from. Default amazon.
	Source Source
	// Pool is the id of the pool. Empty if and only if Source is amazon.
	Pool string
	// Addresses are the public IPs. May be empty.
	Addresses []Address
	// Keep protects addresses against deletion and keeps them in the account when they leave the stack.
	Keep bool
}

// Addresses are the public IPs of one kind.
type Addresses struct {
	pulumi.ResourceState

	// AllocationIDs are the ids by name of the address, for gateways and associations.
	AllocationIDs pulumi.StringMapOutput `pulumi:"allocationIds"`
	// PublicIPs are the values by name of the address, for the allow list.
	PublicIPs pulumi.StringMapOutput `pulumi:"publicIps"`

	allocated map[string]Allocated
}

// Allocated is one address as others use it.
type Allocated struct {
	AllocationID pulumi.StringOutput
	PublicIP     pulumi.StringOutput
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
	ids, ips := pulumi.StringMap{}, pulumi.StringMap{}
	for _, address := range declared.Addresses {
		made, err := declared.createAddress(ctx, a, address)
		if err != nil {
			return nil, fmt.Errorf("addresses %q: %s: %w", name, address.Name, err)
		}
		a.allocated[address.Name] = made
		ids[address.Name], ips[address.Name] = made.AllocationID, made.PublicIP
	}
	a.AllocationIDs, a.PublicIPs = ids.ToStringMapOutput(), ips.ToStringMapOutput()
	return a, ctx.RegisterResourceOutputs(a, pulumi.Map{"allocationIds": a.AllocationIDs, "publicIps": a.PublicIPs})
}

// withDefaults returns a copy that is complete.
func (args *AddressesArgs) withDefaults() AddressesArgs {
	out := *args
	if out.Source == "" {
		out.Source = SourceAmazon
	}
	out.Addresses = slices.Clone(args.Addresses)
	return out
}

// inputs is what the component records for policies.
func (args *AddressesArgs) inputs() pulumi.Map {
	addresses := pulumi.Array{}
	for _, address := range args.Addresses {
		addresses = append(addresses, pulumi.Map{
			"name": pulumi.String(address.Name), "brought": pulumi.Bool(address.AllocationID != ""), "released": pulumi.Bool(address.Released),
		})
	}
	return pulumi.Map{
		"kind": pulumi.String(args.Kind), "source": pulumi.String(args.Source), "pool": pulumi.String(args.Pool),
		"keep": pulumi.Bool(args.Keep), "addresses": addresses,
	}
}
