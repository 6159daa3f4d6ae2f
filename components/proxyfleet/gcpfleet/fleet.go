package gcpfleet

import (
	"fmt"
	"net/netip"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/compute"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/internal/gcpname"
)

// typeToken identifies the component in every state file.
const typeToken = "sallyport:proxyfleet:GCPFleet"

// Mode says whether a slot has a machine.
type Mode string

// The modes.
const (
	ModeActive   Mode = "active"   // one
	ModeReserved Mode = "reserved" // none: its addresses are published and wait
)

// Rollout says how a change of what runs reaches the machines.
type Rollout string

// The rollouts.
const (
	// RolloutOneByOne replaces a machine when the one before it is healthy again, and begins with a zone when the one before it is
	// through. The default.
	RolloutOneByOne Rollout = "one-by-one"
	// RolloutByHand changes the group and leaves its machines as they are, until somebody replaces them or one fails.
	RolloutByHand Rollout = "by-hand"
)

// FleetSlot is one proxy of the fleet.
type FleetSlot struct {
	// Name is the slot's name, "proxy-<zone>-<number>". Unique.
	Name string
	// Zone is its zone.
	Zone string
	// Mode says whether it has a machine.
	Mode Mode
	// Place is its static internal address.
	Place Reserved
	// PublicIP is the self link of its static external address.
	PublicIP pulumi.StringInput
}

// Network is where the fleet stands.
type Network struct {
	// Project is the network's: another than the fleet's with a Shared VPC.
	Project string
	// SelfLink and Subnetwork are the network's and the fleet's subnetwork's self links.
	SelfLink, Subnetwork pulumi.StringInput
	// Tier is that of the external addresses: PREMIUM (default) or STANDARD.
	Tier string
}

// Machine is what proxies run on.
type Machine struct {
	// Type, for example "e2-standard-2".
	Type string
	// OS is the image of Container-Optimized OS. Default its stable family, for the machine's architecture.
	OS string
	// DiskGiB is the size of the boot disk. Default 20, at least 10.
	DiskGiB int
}

// Proxy is what runs on the machine.
type Proxy struct {
	// Image is the proxy image by digest, <repository>@sha256:<64 hex digits>, for the machine's architecture or for both.
	Image string
	// RoutesURL is where the routes document lies, gs://<bucket>/<object>.
	RoutesURL pulumi.StringInput
	// DrainSeconds is how long a proxy that was told to stop serves its connections. 1 to 80: Compute Engine gives a machine 90 s.
	DrainSeconds int
	// ReadySeconds is how long a new machine may take until its proxy is ready, before its group gives it up. Default 300, 120 to 3,600.
	ReadySeconds int
	// MaxConnections is what one proxy holds at once. 0: from the limit on open files.
	MaxConnections int
	// Threads of HAProxy. Default 1.
	Threads int
	// DNSServers are recursive servers, never the VPC's own. Default gcphost.PublicResolvers.
	DNSServers []string
	// Env is added to the agent's environment. May be nil.
	Env map[string]string
}

// Access is who may use the proxies, and what they may reach.
type Access struct {
	// Clients are the networks that may connect, none larger than a /8.
	Clients []netip.Prefix
	// ListenPorts are the frontends' ports, DestinationPorts those of the destinations.
	ListenPorts, DestinationPorts []int
}

// Permissions are what the machines may read. Their service account may do nothing else.
type Permissions struct {
	// Bucket and Object name the routes document.
	Bucket pulumi.StringInput
	Object string
}

// FleetArgs are the arguments of NewFleet.
type FleetArgs struct {
	// Stack is the stack's name, for names and labels.
	Stack string
	// Project and Region are where the fleet runs.
	Project, Region string
	// Network is where it stands.
	Network Network
	// Slots are all slots, zone by zone in the order in which they change.
	Slots []FleetSlot
	// Machine is what proxies run on.
	Machine Machine
	// Proxy is what runs on it.
	Proxy Proxy
	// Access is who may use it.
	Access Access
	// Permissions are what it may read.
	Permissions Permissions
	// Rollout says how changes reach the machines. Default RolloutOneByOne.
	Rollout Rollout
	// Labels are put on the machines. May be nil.
	Labels map[string]string
}

// Fleet is the running proxies: a stateful managed instance group in each zone.
type Fleet struct {
	pulumi.ResourceState

	// Groups are the names of the managed instance groups by zone, for doctor and for people.
	Groups pulumi.StringMapOutput `pulumi:"groups"`
	// Instances are the names of the machines by slot.
	Instances pulumi.StringMapOutput `pulumi:"instances"`
	// ServiceAccount is the e-mail address of the machines' identity, for bucket policies and audits.
	ServiceAccount pulumi.StringOutput `pulumi:"serviceAccount"`

	zones []zoneGroup
}

// zoneGroup is what runs in one zone.
type zoneGroup struct {
	zone    string
	group   *compute.InstanceGroupManager
	configs []pulumi.Resource
}

// NewFleet makes what runs in the slots.
func NewFleet(ctx *pulumi.Context, name string, args *FleetArgs, opts ...pulumi.ResourceOption) (*Fleet, error) {
	declared := args.withDefaults()
	if err := declared.validate(name); err != nil {
		return nil, err
	}
	f := &Fleet{}
	if err := ctx.RegisterComponentResourceV2(typeToken, name, declared.inputs(), f, opts...); err != nil {
		return nil, err
	}
	who, err := declared.createIdentity(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("fleet %q: %w", name, err)
	}
	if err := declared.createFirewall(ctx, f, who); err != nil {
		return nil, fmt.Errorf("fleet %q: firewall: %w", name, err)
	}
	if err := declared.createGroups(ctx, f, who); err != nil {
		return nil, fmt.Errorf("fleet %q: %w", name, err)
	}
	groups, instances := pulumi.StringMap{}, pulumi.StringMap{}
	for _, z := range f.zones {
		groups[z.zone] = z.group.Name
	}
	for _, s := range declared.active() {
		instances[s.Name] = pulumi.String(InstanceName(declared.Stack, s.Name))
	}
	f.Groups, f.Instances, f.ServiceAccount = groups.ToStringMapOutput(), instances.ToStringMapOutput(), who.account.Email
	return f, ctx.RegisterResourceOutputs(f, pulumi.Map{"groups": f.Groups, "instances": f.Instances, "serviceAccount": f.ServiceAccount})
}

// InstanceName is the name of a slot's machine. It is the same for every machine that the slot ever has.
func InstanceName(stack, slot string) string { return gcpname.Of(stack, slot) }

// inputs are what policies see of the component.
func (args *FleetArgs) inputs() pulumi.Map {
	slots := pulumi.Map{}
	for _, s := range args.Slots {
		slots[s.Name] = pulumi.Map{"zone": pulumi.String(s.Zone), "mode": pulumi.String(s.Mode)}
	}
	return pulumi.Map{
		"stack": pulumi.String(args.Stack), "slots": slots, "image": pulumi.String(args.Proxy.Image), "machineType": pulumi.String(args.Machine.Type),
		"rollout": pulumi.String(args.Rollout), "drainSeconds": pulumi.Int(args.Proxy.DrainSeconds), "dnsServers": pulumi.ToStringArray(args.Proxy.DNSServers),
	}
}

// active are the slots with a machine.
func (args *FleetArgs) active() []FleetSlot {
	var active []FleetSlot
	for _, s := range args.Slots {
		if s.Mode == ModeActive {
			active = append(active, s)
		}
	}
	return active
}
