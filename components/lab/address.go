package lab

import "github.com/pulumi/pulumi/sdk/v3/go/pulumi"

// Kind says what an Address is for, and so from which range it comes.
type Kind string

// The kinds.
const (
	KindNat       Kind = "nat"       // public, of a NAT gateway: 198.51.100.1 to 198.51.100.126
	KindProxy     Kind = "proxy"     // public, of a proxy: 198.51.100.129 to 198.51.100.254
	KindInterface Kind = "interface" // private, of a proxy: 10.0.2.10 to 10.0.2.254
	KindPods      Kind = "pods"      // of a node: the first address of its pods' /24 in 10.244.0.0/16
)

// Address is a static IP address. It belongs to a name until it is deleted: whatever happens to the rest of the lab, the same name gets the same address again.
type Address struct {
	pulumi.CustomResourceState

	// Address is the IPv4 address.
	Address pulumi.StringOutput `pulumi:"address"`
}

// AddressArgs are the arguments of NewAddress.
type AddressArgs struct {
	// Lab is the lab's id.
	Lab pulumi.StringInput
	// Name is what the address belongs to: a DNS label of at most 32 characters, unique in lab and kind.
	Name string
	// Kind is what the address is for. Changing it replaces the address.
	Kind Kind
	// Address asks for a certain address; changing it replaces the address. Empty: the lowest free one.
	Address string
}

// NewAddress allocates an address.
func NewAddress(ctx *pulumi.Context, name string, args *AddressArgs, opts ...pulumi.ResourceOption) (*Address, error) {
	a := &Address{}
	inputs := pulumi.Map{
		"lab": args.Lab, "name": pulumi.String(args.Name), "kind": pulumi.String(args.Kind), "address": optional(args.Address),
	}
	if err := resource(ctx, "lab:index:Address", name, inputs, a, opts); err != nil {
		return nil, err
	}
	return a, nil
}
