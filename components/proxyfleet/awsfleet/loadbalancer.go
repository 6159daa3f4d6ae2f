package awsfleet

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
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
