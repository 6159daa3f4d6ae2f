package awsfleet

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/lb"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/vpc"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/proxyfleet"
	"github.com/sallyport/sallyport/internal/problem"
)

// loadBalancerToken identifies the component in every state file.
const loadBalancerToken = "sallyport:proxyfleet:LoadBalancer"

// LoadBalancerZone is one zone's end of the load balancer.
type LoadBalancerZone struct {
	// Name is the Availability Zone.
	Name string
	// SubnetID is a subnet of the zone, usually a private one.
	SubnetID pulumi.StringInput
	// Address is the fixed private IP in that subnet.
	Address string
}

// LoadBalancerArgs are the arguments of NewLoadBalancer.
type LoadBalancerArgs struct {
	// Stack is the name that the tags carry.
	Stack string
	// VPCID is the VPC of the subnets.
	VPCID pulumi.StringInput
	// Zones are where clients enter, at least one.
	Zones []LoadBalancerZone
	// Interfaces are the proxies' places; SlotZones names the zone of each slot that takes part, elastic ones included.
	Interfaces *Interfaces
	SlotZones  map[string]string
	// Ports are the proxies' listening ports.
	Ports []int
	// IdleSeconds is when a TCP connection without traffic is forgotten, 60 to 6,000. Default 350, AWS's own.
	IdleSeconds int
	// DrainSeconds is how long connections to a proxy that left may last, 0 to 3,600.
	DrainSeconds int
	// Tags are added to every resource. May be nil.
	Tags map[string]string
}

// LoadBalancer is an internal network load balancer with one static address per zone. A zone's address leads to that zone's
// proxies only, and proxies see the clients' own addresses.
//
// The price: flows through it count against the instances' connection tracking allowance, and it forgets idle connections
// after IdleSeconds. Clients that can should use the proxies' own addresses.
type LoadBalancer struct {
	pulumi.ResourceState

	// Addresses are the static IPs by zone.
	Addresses pulumi.StringMapOutput `pulumi:"addresses"`
	// DNSName answers with the addresses of all zones.
	DNSName pulumi.StringOutput `pulumi:"dnsName"`
}

// Limits of a network load balancer. Elastic Load Balancing user guide, "Network Load Balancers", TCP idle timeout, 2026.
const (
	defaultIdleSeconds             = 350
	minIdleSeconds, maxIdleSeconds = 60, 6000
)

// NewLoadBalancer makes the load balancer and lets its health checks in.
func NewLoadBalancer(ctx *pulumi.Context, name string, args *LoadBalancerArgs, opts ...pulumi.ResourceOption) (*LoadBalancer, error) {
	declared := args.withDefaults()
	if err := declared.validate(name); err != nil {
		return nil, err
	}
	l := &LoadBalancer{}
	if err := ctx.RegisterComponentResourceV2(loadBalancerToken, name, declared.inputs(), l, opts...); err != nil {
		return nil, err
	}
	balancer, err := declared.createBalancer(ctx, l)
	if err != nil {
		return nil, fmt.Errorf("load balancer %q: %w", name, err)
	}
	if err := declared.admitHealthChecks(ctx, l); err != nil {
		return nil, fmt.Errorf("load balancer %q: %w", name, err)
	}
	for _, port := range declared.Ports {
		if err := declared.createListener(ctx, l, balancer, port); err != nil {
			return nil, fmt.Errorf("load balancer %q: port %d: %w", name, port, err)
		}
	}
	addresses := pulumi.StringMap{}
	for _, z := range declared.Zones {
		addresses[z.Name] = pulumi.String(z.Address)
	}
	l.Addresses, l.DNSName = addresses.ToStringMapOutput(), balancer.DnsName
	return l, ctx.RegisterResourceOutputs(l, pulumi.Map{"addresses": l.Addresses, "dnsName": l.DNSName})
}

func (args *LoadBalancerArgs) withDefaults() LoadBalancerArgs {
	out := *args
	out.Zones, out.SlotZones, out.Tags = slices.Clone(args.Zones), maps.Clone(args.SlotZones), maps.Clone(args.Tags)
	out.Ports = ports(slices.Clone(args.Ports))
	if out.IdleSeconds == 0 {
		out.IdleSeconds = defaultIdleSeconds
	}
	return out
}

func (args *LoadBalancerArgs) validate(name string) error {
	var problems problem.List
	need := func(ok bool, field, rule string, value any) {
		if !ok {
			problems.Add(fmt.Sprintf("load balancer %q: %s", name, field), rule, value, "")
		}
	}
	need(stackRule.MatchString(args.Stack), "stack", "must be letters, digits and . _ -, at most 100", args.Stack)
	need(args.VPCID != nil && args.Interfaces != nil, "network", "needs the VPC and the proxies' interfaces", nil)
	need(len(args.Ports) > 0, "ports", "needs at least one", nil)
	need(args.IdleSeconds >= minIdleSeconds && args.IdleSeconds <= maxIdleSeconds, "idleSeconds", fmt.Sprintf("must be %d to %d", minIdleSeconds, maxIdleSeconds), args.IdleSeconds)
	need(args.DrainSeconds >= 0 && args.DrainSeconds <= 3600, "drainSeconds", "must be 0 to 3,600", args.DrainSeconds)
	zones := map[string]bool{}
	for _, z := range args.Zones {
		ip, err := netip.ParseAddr(z.Address)
		need(z.Name != "" && !zones[z.Name] && z.SubnetID != nil, "zones", "must have unique names and a subnet each", z.Name)
		need(err == nil && ip.Is4() && ip.IsPrivate(), "zones: "+z.Name+": address", "must be a private IPv4 address", z.Address)
		zones[z.Name] = true
	}
	for _, slot := range slices.Sorted(maps.Keys(args.SlotZones)) {
		// Cross-zone is off: a zone without an end of its own would leave its proxies without clients.
		need(zones[args.SlotZones[slot]], "zones", "must include the zone of every proxy", args.SlotZones[slot])
	}
	need(len(args.SlotZones) > 0, "slotZones", "needs at least one proxy", nil)
	return problems.Err()
}

func (args *LoadBalancerArgs) inputs() pulumi.Map {
	return pulumi.Map{
		"stack": pulumi.String(args.Stack), "ports": pulumi.ToIntArray(args.Ports), "idleSeconds": pulumi.Int(args.IdleSeconds),
		"crossZone": pulumi.Bool(false), "internal": pulumi.Bool(true),
	}
}

// createBalancer makes the load balancer with its fixed addresses. It has no security group: it keeps the clients' addresses, so the
// proxies' own group decides who may pass.
func (args *LoadBalancerArgs) createBalancer(ctx *pulumi.Context, l *LoadBalancer) (*lb.LoadBalancer, error) {
	var mappings lb.LoadBalancerSubnetMappingArray
	for _, z := range args.Zones {
		mappings = append(mappings, lb.LoadBalancerSubnetMappingArgs{SubnetId: z.SubnetID, PrivateIpv4Address: pulumi.String(z.Address)})
	}
	return lb.NewLoadBalancer(ctx, "proxyfleet-balancer", &lb.LoadBalancerArgs{
		LoadBalancerType: pulumi.String("network"), Internal: pulumi.Bool(true), SubnetMappings: mappings,
		EnableCrossZoneLoadBalancing: pulumi.Bool(false), EnableDeletionProtection: pulumi.Bool(false),
		Tags: tags(args.Tags, args.Stack, ""),
	}, pulumi.Parent(l))
}

// admitHealthChecks lets the load balancer's own addresses ask whether a proxy is ready.
func (args *LoadBalancerArgs) admitHealthChecks(ctx *pulumi.Context, l *LoadBalancer) error {
	for _, z := range args.Zones {
		_, err := vpc.NewSecurityGroupIngressRule(ctx, "proxyfleet-health-"+z.Name, &vpc.SecurityGroupIngressRuleArgs{
			SecurityGroupId: args.Interfaces.SecurityGroupID, Description: pulumi.String("the load balancer asks whether the proxy is ready"),
			IpProtocol: pulumi.String("tcp"), FromPort: pulumi.Int(proxyfleet.HealthPort), ToPort: pulumi.Int(proxyfleet.HealthPort),
			CidrIpv4: pulumi.String(z.Address + "/32"), Tags: tags(args.Tags, args.Stack, ""),
		}, pulumi.Parent(l))
		if err != nil {
			return err
		}
	}
	return nil
}

// createListener makes a port's target group, with the private IP of every proxy in it, and the listener. Targets are addresses and
// not instances: an instance that is replaced comes back at the same address, so nothing is registered anew.
func (args *LoadBalancerArgs) createListener(ctx *pulumi.Context, l *LoadBalancer, balancer *lb.LoadBalancer, port int) error {
	group, err := lb.NewTargetGroup(ctx, fmt.Sprintf("proxyfleet-targets-%d", port), &lb.TargetGroupArgs{
		Port: pulumi.Int(port), Protocol: pulumi.String("TCP"), TargetType: pulumi.String("ip"), VpcId: args.VPCID,
		PreserveClientIp: pulumi.String("true"), DeregistrationDelay: pulumi.Int(args.DrainSeconds), ConnectionTermination: pulumi.Bool(false),
		LoadBalancingCrossZoneEnabled: pulumi.String("false"),
		HealthCheck: lb.TargetGroupHealthCheckArgs{
			Protocol: pulumi.String("HTTP"), Port: pulumi.String(fmt.Sprint(proxyfleet.HealthPort)), Path: pulumi.String("/readyz"), Matcher: pulumi.String("200"),
			Interval: pulumi.Int(5), Timeout: pulumi.Int(3), HealthyThreshold: pulumi.Int(2), UnhealthyThreshold: pulumi.Int(2),
		},
		Tags: tags(args.Tags, args.Stack, ""),
	}, pulumi.Parent(l))
	if err != nil {
		return err
	}
	for _, slot := range slices.Sorted(maps.Keys(args.SlotZones)) {
		place, err := args.Interfaces.Get(slot)
		if err != nil {
			return err
		}
		_, err = lb.NewTargetGroupAttachment(ctx, fmt.Sprintf("proxyfleet-target-%d-%s", port, key(slot)), &lb.TargetGroupAttachmentArgs{
			TargetGroupArn: group.Arn, TargetId: place.PrivateIP, Port: pulumi.Int(port),
		}, pulumi.Parent(l))
		if err != nil {
			return err
		}
	}
	_, err = lb.NewListener(ctx, fmt.Sprintf("proxyfleet-listener-%d", port), &lb.ListenerArgs{
		LoadBalancerArn: balancer.Arn, Port: pulumi.Int(port), Protocol: pulumi.String("TCP"), TcpIdleTimeoutSeconds: pulumi.Int(args.IdleSeconds),
		DefaultActions: lb.ListenerDefaultActionArray{lb.ListenerDefaultActionArgs{Type: pulumi.String("forward"), TargetGroupArn: group.Arn}},
		Tags:           tags(args.Tags, args.Stack, ""),
	}, pulumi.Parent(l))
	return err
}
