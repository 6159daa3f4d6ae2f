package gcpfleet

import (
	"fmt"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/compute"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/proxyfleet"
	"github.com/sallyport/sallyport/internal/gcpname"
	"github.com/sallyport/sallyport/internal/problem"
)

// loadBalancerToken identifies the component in every state file.
const loadBalancerToken = "sallyport:proxyfleet:GCPLoadBalancer"

// maxPorts is how many ports a forwarding rule names; with more it takes all, and the machines' firewall decides.
// pulumi-gcp v7.38.0, ForwardingRule.ports.
const maxPorts = 5

// LoadBalancerArgs are the arguments of NewLoadBalancer.
type LoadBalancerArgs struct {
	// Stack is the stack's name, for the names of resources.
	Stack string
	// Project and Region are where it is.
	Project, Region string
	// Network is the fleet's.
	Network Network
	// Fleet is what it stands in front of. At least one slot is active.
	Fleet *Fleet
	// Ports are the frontends' ports.
	Ports []int
	// DrainSeconds is how long connections to a machine that leaves are kept. 0 to 3,600.
	DrainSeconds int
}

// LoadBalancer is an internal passthrough load balancer: one static internal address in front of all zones. It changes no packet,
// so proxies see their clients, and it asks every proxy whether it is ready.
type LoadBalancer struct {
	pulumi.ResourceState

	// Address is the static internal address.
	Address pulumi.StringOutput `pulumi:"address"`
}

// NewLoadBalancer makes it.
func NewLoadBalancer(ctx *pulumi.Context, name string, args *LoadBalancerArgs, opts ...pulumi.ResourceOption) (*LoadBalancer, error) {
	if err := args.validate(name); err != nil {
		return nil, err
	}
	l := &LoadBalancer{}
	inputs := pulumi.Map{"region": pulumi.String(args.Region), "ports": pulumi.ToIntArray(ports(args.Ports)), "zones": pulumi.Int(len(args.Fleet.zones))}
	if err := ctx.RegisterComponentResourceV2(loadBalancerToken, name, inputs, l, opts...); err != nil {
		return nil, err
	}
	backend, err := args.createBackend(ctx, l)
	if err != nil {
		return nil, fmt.Errorf("load balancer %q: backend: %w", name, err)
	}
	address, err := compute.NewAddress(ctx, "proxyfleet-balancer", &compute.AddressArgs{
		Name: pulumi.String(gcpname.Of(args.Stack, "proxy", "balancer")), Project: pulumi.String(args.Project), Region: pulumi.String(args.Region),
		AddressType: pulumi.String("INTERNAL"), Purpose: pulumi.String("GCE_ENDPOINT"), Subnetwork: args.Network.Subnetwork.ToStringOutput(),
	}, pulumi.Parent(l))
	if err != nil {
		return nil, fmt.Errorf("load balancer %q: address: %w", name, err)
	}
	in := &compute.ForwardingRuleArgs{
		Name: pulumi.String(gcpname.Of(args.Stack, "proxy", "balancer")), Project: pulumi.String(args.Project), Region: pulumi.String(args.Region),
		LoadBalancingScheme: pulumi.String("INTERNAL"), IpProtocol: pulumi.String("TCP"), IpAddress: address.SelfLink, BackendService: backend.SelfLink,
		Network: args.Network.SelfLink.ToStringOutput(), Subnetwork: args.Network.Subnetwork.ToStringOutput(),
	}
	if list := ports(args.Ports); len(list) > maxPorts {
		in.AllPorts = pulumi.Bool(true)
	} else {
		in.Ports = texts(list)
	}
	if _, err := compute.NewForwardingRule(ctx, "proxyfleet-forwarding", in, pulumi.Parent(l)); err != nil {
		return nil, fmt.Errorf("load balancer %q: forwarding rule: %w", name, err)
	}
	l.Address = address.Address
	return l, ctx.RegisterResourceOutputs(l, pulumi.Map{"address": l.Address})
}

// createBackend makes the backend service over the groups of all zones, and its health check, which is quicker than that for repair.
func (args *LoadBalancerArgs) createBackend(ctx *pulumi.Context, l *LoadBalancer) (*compute.RegionBackendService, error) {
	check, err := compute.NewRegionHealthCheck(ctx, "proxyfleet-ready", &compute.RegionHealthCheckArgs{
		Name: pulumi.String(gcpname.Of(args.Stack, "proxy", "ready")), Project: pulumi.String(args.Project), Region: pulumi.String(args.Region),
		CheckIntervalSec: pulumi.Int(2), TimeoutSec: pulumi.Int(2), HealthyThreshold: pulumi.Int(2), UnhealthyThreshold: pulumi.Int(2),
		HttpHealthCheck: &compute.RegionHealthCheckHttpHealthCheckArgs{Port: pulumi.Int(proxyfleet.HealthPort), RequestPath: pulumi.String("/readyz")},
	}, pulumi.Parent(l))
	if err != nil {
		return nil, err
	}
	var backends compute.RegionBackendServiceBackendArray
	for _, z := range args.Fleet.zones {
		backends = append(backends, &compute.RegionBackendServiceBackendArgs{Group: z.group.InstanceGroup, BalancingMode: pulumi.String("CONNECTION")})
	}
	return compute.NewRegionBackendService(ctx, "proxyfleet-backend", &compute.RegionBackendServiceArgs{
		Name: pulumi.String(gcpname.Of(args.Stack, "proxy", "backend")), Project: pulumi.String(args.Project), Region: pulumi.String(args.Region),
		LoadBalancingScheme: pulumi.String("INTERNAL"), Protocol: pulumi.String("TCP"), SessionAffinity: pulumi.String("NONE"),
		Network: args.Network.SelfLink.ToStringOutput(), HealthChecks: check.SelfLink, Backends: backends,
		ConnectionDrainingTimeoutSec: pulumi.Int(args.DrainSeconds),
	}, pulumi.Parent(l))
}

func (args *LoadBalancerArgs) validate(name string) error {
	var list problem.List
	need := func(ok bool, field, rule string, value any) {
		if !ok {
			list.Add(fmt.Sprintf("load balancer %q: %s", name, field), rule, value, "")
		}
	}
	need(args.Stack != "" && args.Project != "" && args.Region != "", "stack, project, region", "must be given", args.Stack+" "+args.Project+" "+args.Region)
	need(args.Network.SelfLink != nil && args.Network.Subnetwork != nil, "network", "must be given with its subnetwork", nil)
	need(args.Fleet != nil && len(args.Fleet.zones) > 0, "fleet", "must have an active slot", nil)
	need(len(args.Ports) > 0, "ports", "needs at least one", 0)
	need(args.DrainSeconds >= 0 && args.DrainSeconds <= 3600, "drainSeconds", "must be 0 to 3,600", args.DrainSeconds)
	return list.Err()
}
