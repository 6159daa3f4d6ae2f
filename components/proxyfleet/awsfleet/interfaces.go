package awsfleet

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// interfacesToken identifies the component in every state file.
const interfacesToken = "sallyport:proxyfleet:Interfaces"

// Zone is where slots are. Its name is a key of resources: it never changes.
type Zone struct {
	// Name is the Availability Zone, for example "eu-west-1a".
	Name string
	// SubnetID is a public subnet of the zone: its default route leads to an internet gateway.
	SubnetID pulumi.StringInput
}

// SlotInterface is the place of one slot on the network.
type SlotInterface struct {
	// Slot is the slot's name, "proxy-<zone>-<number>". Unique.
	Slot string
	// Zone is the name of one of the zones.
	Zone string
	// AllocationIDs are the slot's Elastic IPs, one for each private IP, 1 to MaxIPsPerSlot; the first belongs to the primary
	// private IP.
	AllocationIDs []pulumi.StringInput
	// PrivateIPs are fixed private IPs out of the zone's subnet, as many as AllocationIDs, the primary first. Empty: EC2 picks
	// them when the interface is made, and they stay as long as the interface does. Changing them replaces the interface.
	PrivateIPs []string
}

// MaxIPsPerSlot bounds the public IPs of one slot. The limit of an interface depends on the instance type (2 to 50); 16 is that of
// HAProxy's configuration, and far beyond need: 16 IPs are a million ports for each destination.
const MaxIPsPerSlot = 16

// Access says who may reach the proxies, and what they may reach.
type Access struct {
	// ClientCIDRs are the cluster's networks: those of the nodes and, where pods have addresses of their own, of the pods.
	ClientCIDRs []string
	// ClientSecurityGroups are the cluster's security groups, by a stable name. Together with ClientCIDRs at least one.
	ClientSecurityGroups map[string]pulumi.StringInput
	// ListenPorts are the TCP ports that the proxies serve, at least one. The port of /readyz is added.
	ListenPorts []int
	// DestinationPorts are the TCP ports of the destinations, at least one. 443 is added: the routes document, the image and the log
	// go to AWS.
	DestinationPorts []int
	// DNSServers are recursive servers besides the VPC's own, which no security group concerns. May be empty.
	DNSServers []string
}

// InterfacesArgs are the arguments of NewInterfaces.
type InterfacesArgs struct {
	// Stack is the name that the tags carry.
	Stack string
	// VPCID is the VPC of the subnets.
	VPCID pulumi.StringInput
	// Zones are the zones of the slots, at least one.
	Zones []Zone
	// Slots are all slots, those without an instance included: their IPs are published.
	Slots []SlotInterface
	// Access says who may reach the proxies.
	Access Access
	// Tags are added to every resource. May be nil.
	Tags map[string]string
}

// Interfaces are the slots' places on the network: a security group, and for each slot an interface with fixed private IPs
// and an Elastic IP on each. They exist whether or not an instance runs, and outlive all instances.
type Interfaces struct {
	pulumi.ResourceState

	// SecurityGroupID is the group on every interface.
	SecurityGroupID pulumi.StringOutput `pulumi:"securityGroupId"`
	// PrivateIPs are the primary private IPs by slot: what clients connect to.
	PrivateIPs pulumi.StringMapOutput `pulumi:"privateIps"`

	bySlot map[string]Interface
}

// Interface is one slot's network interface.
type Interface struct {
	ID pulumi.StringOutput
	// PrivateIP is the primary private IP.
	PrivateIP pulumi.StringOutput
	// PrivateIPs are all of them in the order of the slot's public IPs.
	PrivateIPs pulumi.StringArrayOutput
	// Ready resolves when every public IP is associated. It equals ID.
	Ready pulumi.StringOutput
}

// Get returns the interface of a slot. Who uses it depends on that interface only.
func (i *Interfaces) Get(slot string) (Interface, error) {
	found, ok := i.bySlot[slot]
	if !ok {
		return Interface{}, fmt.Errorf("interfaces: %s: is not declared", slot)
	}
	return found, nil
}
