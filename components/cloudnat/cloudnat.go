// Package cloudnat makes Cloud NAT gateways that speak to the world from static public IPs only.
//
// A gateway gives every VM behind it a block of source ports, taken from all its IPs together; the plan (package capacity) says
// how many ports and IPs there have to be. One gateway holds 300 IPs and 50 subnetwork ranges; more take several gateways, each
// with subnetworks of its own. A NAT rule gives the networks of one partner IPs of their own.
//
// What would cut connections is refused or done in steps, see [Change]: an IP leaves a gateway only after it has drained, and
// ports are lowered only when somebody says so. The legal settings are in package capacity, [capacity.CloudNatSettings].
//
// The addresses are made elsewhere (package externaladdress): they outlive the gateways.
package cloudnat

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/compute"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/internal/gcpname"
)

// typeToken identifies the component in every state file.
const typeToken = "sallyport:cloudnat:CloudNat"

// MaxGateways are the gateways of one Cloud Router. cloud.google.com/nat/quota, 2026.
const MaxGateways = 50

// Args are the arguments of NewCloudNat.
type Args struct {
	// Stack is the stack's name, for the names of resources.
	Stack string
	// Project and Region are where the router is.
	Project, Region string
	// Network is the self link of the VPC network.
	Network pulumi.StringInput
	// Ports are the same on every gateway.
	Ports Ports
	// Timeouts of mappings.
	Timeouts Timeouts
	// Log is what the gateways log: ERRORS_ONLY (default), TRANSLATIONS_ONLY or ALL.
	Log string
	// Gateways are the gateways with what is behind them. At least one, at most MaxGateways.
	Gateways []Gateway
	// Demand is what the ports were computed from. It is recorded for policies and changes nothing.
	Demand Demand
}

// Ports are the source ports of each VM.
type Ports struct {
	// PerVM is the number of ports, with Dynamic the smallest. A power of two.
	PerVM int
	// Dynamic lets a VM's ports grow by doubling, up to Max.
	Dynamic bool
	// Max is set with Dynamic only. A power of two above PerVM.
	Max int
}

// Timeouts of mappings, in seconds. All are required, so that no default of the API can change them unseen.
type Timeouts struct {
	TCPEstablished int
	TCPTransitory  int
	TCPTimeWait    int // the plan depends on it
	UDP            int
	ICMP           int
}

// Gateway is one Cloud NAT gateway.
type Gateway struct {
	// Name is unique and never changes.
	Name string
	// Subnetworks are those whose VMs leave here.
	Subnetworks []Subnetwork
	// IPs serve every destination that no rule has. Draining take no new connections.
	IPs, Draining []IP
	// Rules give destinations IPs of their own.
	Rules []Rule
}

// IP is a static public IP of the region.
type IP struct {
	Name     string // of the address, for example "nat-1"
	SelfLink pulumi.StringInput
}

// Subnetwork is a subnetwork with the ranges that are translated.
type Subnetwork struct {
	Name     string // identifies it in records
	SelfLink pulumi.StringInput
	Primary  bool     // the nodes' own range
	Ranges   []string // names of secondary ranges, those of pods
}

// Rule is a NAT rule.
type Rule struct {
	Name          string
	Number        int // unique on the gateway, 1 to 65,000
	Destinations  []netip.Prefix
	IPs, Draining []IP
}

// Demand is what the plan was made for.
type Demand struct {
	// MaxVMs is how many VMs there may be, surge included.
	MaxVMs int
	// RequiredPortsPerVM is what the busiest destination needs on the busiest VM.
	RequiredPortsPerVM int
	// Deciding names that destination.
	Deciding string
	// Destinations are the loads on the busiest VM, by destination.
	Destinations map[string]float64
}

// CloudNat is the gateways of one network and region.
type CloudNat struct {
	pulumi.ResourceState

	// Router is the name of the Cloud Router, for metrics and for those who look at mappings.
	Router pulumi.StringOutput `pulumi:"router"`
	// Gateways are the names of the gateways on the router, by their names here.
	Gateways pulumi.StringMapOutput `pulumi:"gateways"`
}

// NewCloudNat makes the router and its gateways.
func NewCloudNat(ctx *pulumi.Context, name string, args *Args, opts ...pulumi.ResourceOption) (*CloudNat, error) {
	declared := args.withDefaults()
	if err := declared.validate(name); err != nil {
		return nil, err
	}
	c := &CloudNat{}
	if err := ctx.RegisterComponentResourceV2(typeToken, name, declared.inputs(), c, opts...); err != nil {
		return nil, err
	}
	router, err := declared.createRouter(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("cloud nat %q: router: %w", name, err)
	}
	gateways := pulumi.StringMap{}
	for _, g := range declared.Gateways {
		made, err := declared.createGateway(ctx, c, router, g)
		if err != nil {
			return nil, fmt.Errorf("cloud nat %q: gateway %s: %w", name, g.Name, err)
		}
		gateways[g.Name] = made.Name
	}
	c.Router, c.Gateways = router.Name, gateways.ToStringMapOutput()
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{"router": c.Router, "gateways": c.Gateways})
}

func (args *Args) withDefaults() Args {
	out := *args
	if out.Log == "" {
		out.Log = logErrors
	}
	out.Gateways = slices.Clone(args.Gateways)
	return out
}

// What a gateway can log. pulumi-gcp v7.38.0 RouterNatLogConfig.filter.
const (
	logErrors       = "ERRORS_ONLY"
	logTranslations = "TRANSLATIONS_ONLY"
	logAll          = "ALL"
)

// RouterName and GatewayName are the names of the router and of a gateway in the project.
func RouterName(stack string) string { return gcpname.Of(stack, "egress") }

// GatewayName is the name of a gateway in the project: "<stack>-nat" for nat, "<stack>-nat-<name>" for others.
func GatewayName(stack, gateway string) string {
	if gateway == Own {
		return gcpname.Of(stack, Own)
	}
	return gcpname.Of(stack, Own, gateway)
}

func (args *Args) createRouter(ctx *pulumi.Context, parent *CloudNat) (*compute.Router, error) {
	return compute.NewRouter(ctx, "cloudnat-router-"+args.Region, &compute.RouterArgs{
		Name: pulumi.String(RouterName(args.Stack)), Project: pulumi.String(args.Project), Region: pulumi.String(args.Region), Network: args.Network,
		Description: pulumi.String("Cloud NAT of stack " + args.Stack),
	}, pulumi.Parent(parent))
}

func (args *Args) createGateway(ctx *pulumi.Context, parent *CloudNat, router *compute.Router, g Gateway) (*compute.RouterNat, error) {
	in := &compute.RouterNatArgs{
		Name: pulumi.String(GatewayName(args.Stack, g.Name)), Project: pulumi.String(args.Project), Region: pulumi.String(args.Region), Router: router.Name,
		Type: pulumi.String("PUBLIC"), EndpointTypes: pulumi.ToStringArray([]string{"ENDPOINT_TYPE_VM"}),
		NatIpAllocateOption: pulumi.String("MANUAL_ONLY"), NatIps: links(g.IPs), DrainNatIps: links(g.Draining),
		SourceSubnetworkIpRangesToNat: pulumi.String("LIST_OF_SUBNETWORKS"), Subnetworks: subnetworks(g.Subnetworks),
		MinPortsPerVm: pulumi.Int(args.Ports.PerVM), EnableDynamicPortAllocation: pulumi.Bool(args.Ports.Dynamic),
		// Written out, because the default was not always the same: with it on, ports are not counted per destination.
		EnableEndpointIndependentMapping: pulumi.Bool(false),
		TcpEstablishedIdleTimeoutSec:     pulumi.Int(args.Timeouts.TCPEstablished),
		TcpTransitoryIdleTimeoutSec:      pulumi.Int(args.Timeouts.TCPTransitory),
		TcpTimeWaitTimeoutSec:            pulumi.Int(args.Timeouts.TCPTimeWait),
		UdpIdleTimeoutSec:                pulumi.Int(args.Timeouts.UDP),
		IcmpIdleTimeoutSec:               pulumi.Int(args.Timeouts.ICMP),
		LogConfig:                        &compute.RouterNatLogConfigArgs{Enable: pulumi.Bool(true), Filter: pulumi.String(args.Log)},
		Rules:                            natRules(g.Rules),
	}
	if args.Ports.Dynamic {
		in.MaxPortsPerVm = pulumi.Int(args.Ports.Max)
	}
	return compute.NewRouterNat(ctx, "cloudnat-gateway-"+g.Name, in, pulumi.Parent(parent))
}

// links are the self links of IPs; nil for none, so that an empty list is never sent.
func links(ips []IP) pulumi.StringArrayInput {
	if len(ips) == 0 {
		return nil
	}
	var all pulumi.StringArray
	for _, ip := range ips {
		all = append(all, ip.SelfLink)
	}
	return all
}

func subnetworks(all []Subnetwork) compute.RouterNatSubnetworkArray {
	var out compute.RouterNatSubnetworkArray
	for _, s := range all {
		entry := &compute.RouterNatSubnetworkArgs{Name: s.SelfLink}
		var kinds pulumi.StringArray
		if s.Primary {
			kinds = append(kinds, pulumi.String("PRIMARY_IP_RANGE"))
		}
		if len(s.Ranges) > 0 {
			kinds = append(kinds, pulumi.String("LIST_OF_SECONDARY_IP_RANGES"))
			entry.SecondaryIpRangeNames = pulumi.ToStringArray(s.Ranges)
		}
		entry.SourceIpRangesToNats = kinds
		out = append(out, entry)
	}
	return out
}
