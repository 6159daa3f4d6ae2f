// Package awsfleet is the proxy fleet on EC2.
//
// A slot is a zone and a number in it. It owns its Elastic IPs, a network interface with fixed private IPs, and an Auto Scaling
// group of size one whose launch template attaches that interface. So an instance that dies is replaced by one with the same
// private and public IPs, without a boot script that moves addresses and without the permission to do so.
//
// Three components: Interfaces are the slots' places on the network, which outlive instances; Fleet is what runs there;
// LoadBalancer, where wanted, is one static address per zone in front. The routes document lies between the first two: it
// names the private IPs, and proxies need it to be ready.
//
// The limit that matters: an interface is attached to one instance at a time, so a slot is down from the end of its old instance to
// the readiness of the new one, one to three minutes. The fleet therefore changes one slot at a time; see rollout.go.
package awsfleet

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// typeToken identifies the component in every state file.
const typeToken = "sallyport:proxyfleet:Fleet"

// Mode says how many instances a slot has.
type Mode string

// The modes.
const (
	ModeActive   Mode = "active"   // one
	ModeElastic  Mode = "elastic"  // one while the load asks for it, see Autoscaling
	ModeReserved Mode = "reserved" // none: the public IPs are published and wait
)

// FleetSlot is one proxy of the fleet.
type FleetSlot struct {
	// Name is the slot's name, "proxy-<zone>-<number>", as in Interfaces. Unique.
	Name string
	// Zone is its Availability Zone.
	Zone string
	// Number counts from 1 within the zone: elastic slots start in its order.
	Number int
	// Mode says whether it has an instance.
	Mode Mode
}

// Machine is what proxies run on.
type Machine struct {
	// InstanceType, for example "c7gn.large".
	InstanceType string
	// Architecture is ArchitectureARM64 or ArchitectureX86. Empty: derived from InstanceType.
	Architecture Architecture
	// AMI pins an image, "ami-...". Empty: the newest ECS-optimized Amazon Linux 2023 at each start of an instance, by its public
	// parameter; no change of the stack starts one.
	AMI string
	// VolumeGiB is the size of the encrypted root volume. Default and minimum 30: the AMI's.
	VolumeGiB int
	// KMSKeyARN encrypts the volume; its policy must let the account's service-linked role for Auto Scaling use it. Empty: the
	// account's default key for EBS.
	KMSKeyARN string
}

// Architecture is that of the machine.
type Architecture string

// The architectures.
const (
	ArchitectureARM64 Architecture = "arm64"
	ArchitectureX86   Architecture = "x86_64"
)

// Proxy is what runs on the machine.
type Proxy struct {
	// Image is the proxy image by digest, <repository>@sha256:<64 hex digits>, for the machine's architecture or for both.
	Image pulumi.StringInput
	// RoutesURL is where the routes document lies, s3://<bucket>/<key>?region=<region>.
	RoutesURL pulumi.StringInput
	// DrainSeconds is how long a proxy that was told to stop serves its connections. 1 to 3,600.
	DrainSeconds int
	// ReadySeconds is how long a new instance may take until its proxy is ready, and how long it is watched before the next slot
	// follows. Default 180, 90 to 1,800.
	ReadySeconds int
	// MaxConnections is what one proxy holds at once. 0: from the limit on open files.
	MaxConnections int
	// Threads of HAProxy. Default 1; as many as the machine has virtual CPUs is sensible.
	Threads int
	// DNSServers are recursive servers. Default: the VPC's own, 169.254.169.253.
	DNSServers []string
	// Env is added to the agent's environment. May be nil.
	Env map[string]string
}

// Permissions are what the instances may use. Their role allows nothing else.
type Permissions struct {
	// BucketARN and ObjectKey name the routes document.
	BucketARN pulumi.StringInput
	ObjectKey string
	// RepositoryARN is the ECR repository of the image. Nil: the image comes from a registry that needs no login.
	RepositoryARN pulumi.StringInput
}

// Rollout says how a change of what runs reaches the slots.
type Rollout string

// The rollouts.
const (
	// RolloutOneByOne changes a slot when the one before it is in service again. The default.
	RolloutOneByOne Rollout = "one-by-one"
	// RolloutTogether changes all slots at once: for a fleet that nobody uses yet.
	RolloutTogether Rollout = "together"
)

// Autoscaling starts and drains the elastic slots. Their public IPs never change.
type Autoscaling struct {
	// MaxConnections and ConnectionsPerSecond and BytesPerSecond are what one proxy carries. The load of a zone, in proxies, is the
	// largest of the three shares. BytesPerSecond 0: not looked at.
	MaxConnections       int
	ConnectionsPerSecond float64
	BytesPerSecond       float64
	// StartShare: slot n starts when the zone carries more than this share of what n-1 proxies carry. Default 0.7.
	StartShare float64
	// DrainShare: slot n is drained when the zone carries less than this share of what n-1 proxies carry. Default 0.5, below
	// StartShare.
	DrainShare float64
	// StartMinutes and DrainMinutes are how long that must hold. Defaults 3 and 15.
	StartMinutes, DrainMinutes int
}

// FleetArgs are the arguments of NewFleet.
type FleetArgs struct {
	// Stack is the name that tags, groups, log streams and metrics carry.
	Stack string
	// Region is where the fleet runs.
	Region string
	// Interfaces are the slots' places on the network.
	Interfaces *Interfaces
	// Slots are what runs, in the order in which they change. Every one has an interface.
	Slots []FleetSlot
	// Machine is what proxies run on.
	Machine Machine
	// Proxy is what runs on it.
	Proxy Proxy
	// Permissions are what instances may use.
	Permissions Permissions
	// LogRetentionDays is how long logs are kept, one of CloudWatch's values. Default 30.
	LogRetentionDays int
	// Autoscaling is required if and only if a slot is elastic.
	Autoscaling *Autoscaling
	// Rollout says how changes reach the slots. Default RolloutOneByOne.
	Rollout Rollout
	// Tags are added to every resource and instance. May be nil.
	Tags map[string]string
}

// Fleet is the running proxies.
type Fleet struct {
	pulumi.ResourceState

	// Groups are the names of the Auto Scaling groups by slot, for doctor and for people.
	Groups pulumi.StringMapOutput `pulumi:"groups"`
	// LogGroup is the CloudWatch log group of all proxies.
	LogGroup pulumi.StringOutput `pulumi:"logGroup"`
	// Roles are the ARNs of the instances' roles by zone, for bucket policies and audits.
	Roles pulumi.StringMapOutput `pulumi:"roles"`
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
	log, err := cloudwatch.NewLogGroup(ctx, "proxyfleet-log", &cloudwatch.LogGroupArgs{
		Name: pulumi.String("/sallyport/" + declared.Stack), RetentionInDays: pulumi.Int(declared.LogRetentionDays),
		Tags: tags(declared.Tags, declared.Stack, ""),
	}, pulumi.Parent(f))
	if err != nil {
		return nil, fmt.Errorf("fleet %q: log: %w", name, err)
	}
	roles, err := declared.createRoles(ctx, f, log)
	if err != nil {
		return nil, fmt.Errorf("fleet %q: %w", name, err)
	}
	groups, err := declared.createGroups(ctx, f, log, roles)
	if err != nil {
		return nil, fmt.Errorf("fleet %q: %w", name, err)
	}
	arns := pulumi.StringMap{}
	for zone, r := range roles {
		arns[zone] = r.role.Arn
	}
	f.Groups, f.LogGroup, f.Roles = groups.ToStringMapOutput(), log.Name, arns.ToStringMapOutput()
	return f, ctx.RegisterResourceOutputs(f, pulumi.Map{"groups": f.Groups, "logGroup": f.LogGroup, "roles": f.Roles})
}

// inputs are what policies see of the component.
func (args *FleetArgs) inputs() pulumi.Map {
	slots := pulumi.Map{}
	for _, s := range args.Slots {
		slots[s.Name] = pulumi.Map{"zone": pulumi.String(s.Zone), "mode": pulumi.String(s.Mode)}
	}
	return pulumi.Map{
		"stack": pulumi.String(args.Stack), "slots": slots, "image": args.Proxy.Image, "instanceType": pulumi.String(args.Machine.InstanceType),
		"architecture": pulumi.String(args.Machine.Architecture), "rollout": pulumi.String(args.Rollout),
		"drainSeconds": pulumi.Int(args.Proxy.DrainSeconds),
	}
}

// zones are the zones of the slots, each once, in their order.
func (args *FleetArgs) zones() []string {
	var zones []string
	for _, s := range args.Slots {
		if !slices.Contains(zones, s.Zone) {
			zones = append(zones, s.Zone)
		}
	}
	return zones
}

// key is the part of a slot's name that is unique, for the names of resources: zone and number.
func key(slot string) string { return strings.TrimPrefix(slot, "proxy-") }

// tags are the tags of a resource; slot may be empty.
func tags(more map[string]string, stack, slot string) pulumi.StringMap {
	return pulumi.ToStringMap(plainTags(more, stack, slot))
}

func plainTags(more map[string]string, stack, slot string) map[string]string {
	all := maps.Clone(more)
	if all == nil {
		all = map[string]string{}
	}
	all["sallyport:stack"], all["sallyport:kind"], all["Name"] = stack, "proxy", "sallyport-"+stack
	if slot != "" {
		all["sallyport:slot"], all["Name"] = slot, "sallyport-"+stack+"-"+slot
	}
	return all
}
