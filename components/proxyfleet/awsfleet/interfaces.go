package awsfleet

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/proxyfleet"
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
const MaxIPsPerSlot = proxyfleet.MaxSourceIPs

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

	bySlot      map[string]Interface
	listenPorts []int
}

// Interface is one slot's network interface.
type Interface struct {
	ID pulumi.StringOutput
	// PrivateIP is the primary private IP.
	PrivateIP pulumi.StringOutput
	// PrivateIPs are all of them in the order of the slot's public IPs.
	PrivateIPs pulumi.StringArrayOutput

	associations []pulumi.Resource // what an instance waits for: its public IPs are there before it is
}

// Get returns the interface of a slot. Who uses it depends on that interface only.
func (i *Interfaces) Get(slot string) (Interface, error) {
	found, ok := i.bySlot[slot]
	if !ok {
		return Interface{}, fmt.Errorf("interfaces: %s: is not declared", slot)
	}
	return found, nil
}

// NewInterfaces makes the security group and every slot's interface.
func NewInterfaces(ctx *pulumi.Context, name string, args *InterfacesArgs, opts ...pulumi.ResourceOption) (*Interfaces, error) {
	declared := args.withDefaults()
	if err := declared.validate(name); err != nil {
		return nil, err
	}
	i := &Interfaces{bySlot: map[string]Interface{}, listenPorts: declared.Access.ListenPorts}
	if err := ctx.RegisterComponentResourceV2(interfacesToken, name, declared.inputs(), i, opts...); err != nil {
		return nil, err
	}
	group, err := declared.createSecurityGroup(ctx, i)
	if err != nil {
		return nil, fmt.Errorf("interfaces %q: security group: %w", name, err)
	}
	i.SecurityGroupID = group.ID().ToStringOutput()
	addresses := pulumi.StringMap{}
	for _, slot := range declared.Slots {
		made, err := declared.createInterface(ctx, i, slot)
		if err != nil {
			return nil, fmt.Errorf("interfaces %q: %s: %w", name, slot.Slot, err)
		}
		i.bySlot[slot.Slot] = made
		addresses[slot.Slot] = made.PrivateIP
	}
	i.PrivateIPs = addresses.ToStringMapOutput()
	return i, ctx.RegisterResourceOutputs(i, pulumi.Map{"securityGroupId": i.SecurityGroupID, "privateIps": i.PrivateIPs})
}

// inputs are what policies see of the component.
func (args *InterfacesArgs) inputs() pulumi.Map {
	slots := pulumi.Map{}
	for _, s := range args.Slots {
		slots[s.Slot] = pulumi.Map{"zone": pulumi.String(s.Zone), "publicIps": pulumi.Int(len(s.AllocationIDs))}
	}
	return pulumi.Map{
		"stack": pulumi.String(args.Stack), "slots": slots,
		"clientCidrs": pulumi.ToStringArray(args.Access.ClientCIDRs), "listenPorts": pulumi.ToIntArray(args.Access.ListenPorts),
		"destinationPorts": pulumi.ToIntArray(args.Access.DestinationPorts),
	}
}

// createInterface makes the interface of one slot and ties its public IPs to its private ones.
func (args *InterfacesArgs) createInterface(ctx *pulumi.Context, i *Interfaces, slot SlotInterface) (Interface, error) {
	in := &ec2.NetworkInterfaceArgs{
		Description:    pulumi.Sprintf("sallyport %s %s", args.Stack, slot.Slot),
		SubnetId:       args.subnet(slot.Zone),
		SecurityGroups: pulumi.StringArray{i.SecurityGroupID},
		Tags:           tags(args.Tags, args.Stack, slot.Slot),
	}
	if len(slot.PrivateIPs) > 0 {
		in.PrivateIpListEnabled, in.PrivateIpLists = pulumi.Bool(true), pulumi.ToStringArray(slot.PrivateIPs)
	} else if more := len(slot.AllocationIDs) - 1; more > 0 {
		in.PrivateIpsCount = pulumi.Int(more)
	}
	made, err := ec2.NewNetworkInterface(ctx, "proxyfleet-interface-"+key(slot.Slot), in, pulumi.Parent(i))
	if err != nil {
		return Interface{}, err
	}
	out := Interface{ID: made.ID().ToStringOutput(), PrivateIP: made.PrivateIp}
	out.PrivateIPs = pulumi.All(made.PrivateIp, made.PrivateIps).ApplyT(func(values []any) ([]string, error) {
		primary, _ := values[0].(string)
		all, _ := values[1].([]string)
		return inOrder(slot.PrivateIPs, primary, all)
	}).(pulumi.StringArrayOutput)
	for n, allocation := range slot.AllocationIDs {
		association, err := ec2.NewEipAssociation(ctx, fmt.Sprintf("proxyfleet-association-%s-%d", key(slot.Slot), n+1), &ec2.EipAssociationArgs{
			AllocationId:       allocation,
			NetworkInterfaceId: made.ID(),
			PrivateIpAddress:   out.PrivateIPs.Index(pulumi.Int(n)),
			// An address that serves something else is not taken away from it. So an association ends before the next one begins.
			AllowReassociation: pulumi.Bool(false),
		}, pulumi.Parent(i), pulumi.DeleteBeforeReplace(true))
		if err != nil {
			return Interface{}, err
		}
		out.associations = append(out.associations, association)
	}
	return out, nil
}

// inOrder puts the addresses of an interface into the order of the slot's public IPs: as they were fixed, or the primary and then the
// others by value. EC2 names the others in no order.
func inOrder(fixed []string, primary string, all []string) ([]string, error) {
	if len(fixed) > 0 {
		return fixed, nil
	}
	others := make([]netip.Addr, 0, len(all))
	for _, text := range all {
		ip, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("private IP: %w", err)
		}
		if text != primary {
			others = append(others, ip)
		}
	}
	slices.SortFunc(others, func(a, b netip.Addr) int { return bytes.Compare(a.AsSlice(), b.AsSlice()) })
	ordered := []string{primary}
	for _, ip := range others {
		ordered = append(ordered, ip.String())
	}
	return ordered, nil
}

// subnet is the subnet of a zone.
func (args *InterfacesArgs) subnet(zone string) pulumi.StringInput {
	for _, z := range args.Zones {
		if z.Name == zone {
			return z.SubnetID
		}
	}
	return nil // validate has seen to it that there is one
}
