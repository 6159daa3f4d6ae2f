package lab

import "github.com/pulumi/pulumi/sdk/v3/go/pulumi"

// The flavours of a NatGateway: the values of Flavor.
const (
	FlavorCloudNat   = "cloudnat"   // a block of source ports per VM, as Cloud NAT
	FlavorNatGateway = "natgateway" // source ports per address and destination, shared by all clients, as an AWS NAT gateway
)

// NatGateway translates the source addresses of nodes and pods and holds a source port after its connection has closed, as
// the clouds do. Its rules change in one transaction: established connections go on.
type NatGateway struct {
	pulumi.CustomResourceState

	// PrivateAddress is the next hop for nodes.
	PrivateAddress pulumi.StringOutput `pulumi:"privateAddress"`
	// Blocks are the source ports of each VM; empty for flavour natgateway.
	Blocks BlockArrayOutput `pulumi:"blocks"`
}

// VM is a client of a NatGateway of flavour cloudnat.
type VM struct {
	Name  string             // unique in the gateway; a VM keeps its ports as long as its name stays
	CIDRs pulumi.StringArray // IPv4 networks of the VM and its pods
}

// Block is a range of source ports of one public IP that belongs to one VM.
type Block struct {
	VM        string `pulumi:"vm"`
	Address   string `pulumi:"address"`
	FirstPort int    `pulumi:"firstPort"` // inclusive
	LastPort  int    `pulumi:"lastPort"`  // inclusive
}

// NatGatewayArgs are the arguments of NewNatGateway.
type NatGatewayArgs struct {
	// Lab is the lab's id.
	Lab pulumi.StringInput
	// Name is a DNS label of at most 32 characters, unique in the lab. The host is nat-<name>, or <name> if that begins with
	// "nat".
	Name string
	// Zone is informative.
	Zone string
	// Flavor is FlavorCloudNat or FlavorNatGateway.
	Flavor string
	// Addresses are the public IPs, at least one, in 198.51.100.0/25.
	Addresses pulumi.StringArrayInput
	// VMs are the clients of flavour cloudnat; nobody else is translated.
	VMs []VM
	// PortsPerVM is the number of source ports of each VM, flavour cloudnat. 1 to 65,536.
	PortsPerVM int
	// PortsPerAddress is the number of source ports per address and destination, flavour natgateway. Default 55,000.
	PortsPerAddress int
	// TimeWaitSeconds is how long a port stays taken after its connection closed. 1 to 3,600.
	TimeWaitSeconds int
}

// NewNatGateway makes a NAT gateway.
func NewNatGateway(ctx *pulumi.Context, name string, args *NatGatewayArgs, opts ...pulumi.ResourceOption) (*NatGateway, error) {
	n := &NatGateway{}
	vms := make(pulumi.MapArray, len(args.VMs))
	for i, vm := range args.VMs {
		vms[i] = pulumi.Map{"name": pulumi.String(vm.Name), "cidrs": vm.CIDRs}
	}
	inputs := pulumi.Map{
		"lab": args.Lab, "name": pulumi.String(args.Name), "zone": pulumi.String(args.Zone), "flavor": pulumi.String(args.Flavor),
		"addresses": list(args.Addresses), "vms": vms, "timeWaitSeconds": pulumi.Int(args.TimeWaitSeconds),
		"portsPerVm": pulumi.Int(args.PortsPerVM), "portsPerAddress": pulumi.Int(args.PortsPerAddress),
	}
	if err := resource(ctx, "lab:index:NatGateway", name, inputs, n, opts); err != nil {
		return nil, err
	}
	return n, nil
}
