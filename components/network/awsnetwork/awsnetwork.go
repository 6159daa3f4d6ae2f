// Package awsnetwork is a VPC for those who bring none: for a trial, or for a cluster that is yet to come. An existing VPC is the
// normal case and needs nothing of this.
//
// The VPC is divided by the last letter of the zones' names, a to h: zone a has the first eighth, zone b the second. So a zone's
// networks do not depend on which other zones there are, and adding one moves nothing. Half of an eighth is the private subnet,
// a quarter the public one with the NAT gateway, a quarter the proxies'.
//
// The limit that matters: eight zones. EC2 takes a VPC of /16 at most, so a zone has at most 4,096 private addresses; clusters
// whose pods need more bring a VPC of their own.
package awsnetwork

import (
	"fmt"
	"net/netip"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// typeToken identifies the component in every state file.
const typeToken = "sallyport:network:AWSNetwork"

// NetworkArgs are the arguments of NewNetwork.
type NetworkArgs struct {
	// Stack is the name that the tags carry.
	Stack string
	// Region is where the VPC is, for example "eu-west-1".
	Region string
	// CIDR is the VPC's network, IPv4, /16 to /22. A change makes another VPC.
	CIDR netip.Prefix
	// Zones are zones of the region whose names end with different letters from a to h. At least one.
	Zones []string
}

// Network is a VPC with a public, a private and a proxy subnet in each zone.
type Network struct {
	pulumi.ResourceState

	// VPCID is for security groups and target groups.
	VPCID pulumi.StringOutput `pulumi:"vpcId"`
	// PublicSubnets are by zone: their default route leads to the internet gateway.
	PublicSubnets pulumi.StringMapOutput `pulumi:"publicSubnets"`
	// ProxySubnets are by zone: public as well, with nothing but proxies in them.
	ProxySubnets pulumi.StringMapOutput `pulumi:"proxySubnets"`
	// PrivateSubnets are by zone: for nodes and internal load balancers.
	PrivateSubnets pulumi.StringMapOutput `pulumi:"privateSubnets"`
	// PrivateRouteTables are by zone: without a default route, which is the NAT gateway's.
	PrivateRouteTables pulumi.StringMapOutput `pulumi:"privateRouteTables"`

	zones map[string]Zone
}

// Zone is the part of the network in one zone.
type Zone struct {
	PublicSubnet, ProxySubnet, PrivateSubnet, PrivateRouteTable pulumi.StringOutput
}

// Zone returns the part of one zone. Who uses it depends on that zone only.
func (n *Network) Zone(name string) (Zone, error) {
	zone, ok := n.zones[name]
	if !ok {
		return Zone{}, fmt.Errorf("network: zone %s: is not declared", name)
	}
	return zone, nil
}

// NewNetwork makes the VPC.
func NewNetwork(ctx *pulumi.Context, name string, args *NetworkArgs, opts ...pulumi.ResourceOption) (*Network, error) {
	layouts, err := Divide(args.CIDR, args.Zones)
	if err != nil {
		return nil, fmt.Errorf("network %q: %w", name, err)
	}
	n := &Network{zones: map[string]Zone{}}
	inputs := pulumi.Map{"cidr": pulumi.String(args.CIDR.String()), "zones": pulumi.ToStringArray(args.Zones)}
	if err := ctx.RegisterComponentResourceV2(typeToken, name, inputs, n, opts...); err != nil {
		return nil, err
	}
	b := builder{ctx: ctx, stack: args.Stack, parent: n}
	if err := b.createVPC(args); err != nil {
		return nil, fmt.Errorf("network %q: %w", name, err)
	}
	for _, layout := range layouts {
		if n.zones[layout.Zone], err = b.createZone(layout); err != nil {
			return nil, fmt.Errorf("network %q: zone %s: %w", name, layout.Zone, err)
		}
	}
	if err := b.createEndpoint(args.Region, layouts); err != nil {
		return nil, fmt.Errorf("network %q: %w", name, err)
	}
	return n, n.register(ctx, b.vpc)
}

// register sets the outputs.
func (n *Network) register(ctx *pulumi.Context, vpc *ec2.Vpc) error {
	public, proxy, private, tables := pulumi.StringMap{}, pulumi.StringMap{}, pulumi.StringMap{}, pulumi.StringMap{}
	for name, zone := range n.zones {
		public[name], proxy[name], private[name], tables[name] = zone.PublicSubnet, zone.ProxySubnet, zone.PrivateSubnet, zone.PrivateRouteTable
	}
	n.VPCID = vpc.ID().ToStringOutput()
	n.PublicSubnets, n.ProxySubnets = public.ToStringMapOutput(), proxy.ToStringMapOutput()
	n.PrivateSubnets, n.PrivateRouteTables = private.ToStringMapOutput(), tables.ToStringMapOutput()
	return ctx.RegisterResourceOutputs(n, pulumi.Map{
		"vpcId": n.VPCID, "publicSubnets": n.PublicSubnets, "proxySubnets": n.ProxySubnets,
		"privateSubnets": n.PrivateSubnets, "privateRouteTables": n.PrivateRouteTables,
	})
}
