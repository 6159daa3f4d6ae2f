// Package gcpnetwork is a VPC network for those who bring none: for a trial, or for a cluster that is yet to come. An existing
// network is the normal case and needs nothing of this.
//
// The network is divided once and for all: the lower half is for nodes, the upper half for proxies, which have public IPs of
// their own and must not be behind the NAT. Subnetworks are regional, so zones come and go without moving anything.
//
// The limit that matters: a primary range can grow later but never shrink or move, so the division is generous.
package gcpnetwork

import (
	"fmt"
	"net/netip"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/compute"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/internal/gcpname"
	"github.com/sallyport/sallyport/internal/problem"
)

// typeToken identifies the component in every state file.
const typeToken = "sallyport:network:GCPNetwork"

// Names of the secondary ranges of the nodes' subnetwork.
const (
	PodsRange     = "pods"
	ServicesRange = "services"
)

// NetworkArgs are the arguments of NewNetwork.
type NetworkArgs struct {
	// Stack is the stack's name, for the names of resources.
	Stack string
	// Project and Region are where the subnetworks are.
	Project, Region string
	// CIDR is divided into nodes and proxies. IPv4, /8 to /24. A change makes another network.
	CIDR netip.Prefix
	// Pods and Services are secondary ranges of the nodes' subnetwork, for GKE. The zero value: none.
	Pods, Services netip.Prefix
}

// Network is a VPC network with a subnetwork for nodes and one for proxies.
type Network struct {
	pulumi.ResourceState

	// SelfLink is for the Cloud Router and firewall rules.
	SelfLink pulumi.StringOutput `pulumi:"selfLink"`
	// Nodes is the nodes' subnetwork, by its self link.
	Nodes pulumi.StringOutput `pulumi:"nodes"`
	// Fleet is the proxies' subnetwork, by its self link.
	Fleet pulumi.StringOutput `pulumi:"fleet"`
}

// Layout is how a network is divided.
type Layout struct{ Nodes, Fleet netip.Prefix }

// Divide halves a network.
func Divide(cidr netip.Prefix) (Layout, error) {
	if !cidr.IsValid() || !cidr.Addr().Is4() || cidr != cidr.Masked() || cidr.Bits() < 8 || cidr.Bits() > 24 {
		return Layout{}, problem.Problem{Place: "cidr", Rule: "must be an IPv4 network from /8 to /24 without bits beyond the mask", Value: cidr.String(),
			Remedy: "write for example 10.0.0.0/16"}
	}
	upper := cidr.Addr().As4()
	bit := cidr.Bits()
	upper[bit/8] |= 1 << (7 - bit%8)
	return Layout{netip.PrefixFrom(cidr.Addr(), bit+1), netip.PrefixFrom(netip.AddrFrom4(upper), bit+1)}, nil
}

// NewNetwork makes the network.
func NewNetwork(ctx *pulumi.Context, name string, args *NetworkArgs, opts ...pulumi.ResourceOption) (*Network, error) {
	layout, err := Divide(args.CIDR)
	if err != nil {
		return nil, fmt.Errorf("network %q: %w", name, err)
	}
	n := &Network{}
	inputs := pulumi.Map{"cidr": pulumi.String(args.CIDR.String()), "region": pulumi.String(args.Region)}
	if err := ctx.RegisterComponentResourceV2(typeToken, name, inputs, n, opts...); err != nil {
		return nil, err
	}
	network, err := compute.NewNetwork(ctx, "network-vpc", &compute.NetworkArgs{
		Name: pulumi.String(gcpname.Of(args.Stack)), Project: pulumi.String(args.Project), AutoCreateSubnetworks: pulumi.Bool(false),
		RoutingMode: pulumi.String("REGIONAL"), Description: pulumi.String("Network of stack " + args.Stack),
	}, pulumi.Parent(n))
	if err != nil {
		return nil, fmt.Errorf("network %q: %w", name, err)
	}
	n.SelfLink = network.SelfLink
	if n.Nodes, err = args.createSubnetwork(ctx, n, "nodes", layout.Nodes, args.secondary()); err != nil {
		return nil, fmt.Errorf("network %q: nodes: %w", name, err)
	}
	if n.Fleet, err = args.createSubnetwork(ctx, n, "fleet", layout.Fleet, nil); err != nil {
		return nil, fmt.Errorf("network %q: fleet: %w", name, err)
	}
	return n, ctx.RegisterResourceOutputs(n, pulumi.Map{"selfLink": n.SelfLink, "nodes": n.Nodes, "fleet": n.Fleet})
}

// createSubnetwork makes one subnetwork. Machines without a public IP reach Google's own services (images, logs) without NAT.
func (args *NetworkArgs) createSubnetwork(ctx *pulumi.Context, parent *Network, role string, cidr netip.Prefix,
	secondary compute.SubnetworkSecondaryIpRangeArray) (pulumi.StringOutput, error) {
	made, err := compute.NewSubnetwork(ctx, "network-subnetwork-"+role, &compute.SubnetworkArgs{
		Name: pulumi.String(gcpname.Of(args.Stack, role)), Project: pulumi.String(args.Project), Region: pulumi.String(args.Region),
		Network: parent.SelfLink, IpCidrRange: pulumi.String(cidr.String()), PrivateIpGoogleAccess: pulumi.Bool(true),
		SecondaryIpRanges: secondary,
	}, pulumi.Parent(parent))
	if err != nil {
		return pulumi.StringOutput{}, err
	}
	return made.SelfLink, nil
}

func (args *NetworkArgs) secondary() compute.SubnetworkSecondaryIpRangeArray {
	var ranges compute.SubnetworkSecondaryIpRangeArray
	for _, r := range []struct {
		name string
		cidr netip.Prefix
	}{{PodsRange, args.Pods}, {ServicesRange, args.Services}} {
		if r.cidr.IsValid() {
			ranges = append(ranges, &compute.SubnetworkSecondaryIpRangeArgs{RangeName: pulumi.String(r.name), IpCidrRange: pulumi.String(r.cidr.String())})
		}
	}
	return ranges
}
