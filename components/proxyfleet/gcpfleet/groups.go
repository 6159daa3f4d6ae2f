package gcpfleet

import (
	"fmt"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/compute"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/proxyfleet"
	"github.com/sallyport/sallyport/internal/gcpname"
)

// How a change of what runs reaches the machines.
//
// A change makes a new template, and each zone's group replaces its machines by it: one at a time, under the same name, with the
// same addresses (RECREATE, no surge, one unavailable at most). A machine counts as available when its proxy is ready, so the group
// stops at the first that is not, and the other machines keep what they run. Pulumi waits for a group to be through, and groups depend on
// one another in the order of the zones; so a change that does not work costs one machine in one zone, and ends with an error.
//
// How many machines a group has is not said anywhere: the configurations of its machines make and remove them. A number beside
// them would let a refresh remove machines, or add some that have no address of ours.

// What the health check for repair waits for: two minutes of silence. A proxy that starts again is back in seconds, and a machine
// that is made anew takes minutes.
const (
	repairIntervalSeconds = 10
	repairFailures        = 12
)

// machineMargin is what one machine may take to be replaced besides its proxy's readiness, in seconds.
const machineMargin = 300

// createGroups makes what runs, zone by zone.
func (args *FleetArgs) createGroups(ctx *pulumi.Context, f *Fleet, who identity) error {
	active := args.active()
	if len(active) == 0 {
		return nil
	}
	template, err := args.createTemplate(ctx, f, who)
	if err != nil {
		return fmt.Errorf("template: %w", err)
	}
	check, err := compute.NewHealthCheck(ctx, "proxyfleet-repair", &compute.HealthCheckArgs{
		Name: pulumi.String(gcpname.Of(args.Stack, "proxy", "repair")), Project: pulumi.String(args.Project),
		Description:      pulumi.String("A proxy that is not ready for two minutes has its machine made anew"),
		CheckIntervalSec: pulumi.Int(repairIntervalSeconds), TimeoutSec: pulumi.Int(5), HealthyThreshold: pulumi.Int(1), UnhealthyThreshold: pulumi.Int(repairFailures),
		HttpHealthCheck: &compute.HealthCheckHttpHealthCheckArgs{Port: pulumi.Int(proxyfleet.HealthPort), RequestPath: pulumi.String("/readyz")},
	}, pulumi.Parent(f))
	if err != nil {
		return fmt.Errorf("health check: %w", err)
	}
	byZone := map[string][]FleetSlot{}
	var zones []string
	for _, s := range active {
		if byZone[s.Zone] == nil {
			zones = append(zones, s.Zone)
		}
		byZone[s.Zone] = append(byZone[s.Zone], s)
	}
	for _, zone := range zones {
		made := zoneGroup{zone: zone}
		if made.group, err = args.createGroup(ctx, f, zone, len(byZone[zone]), template, check); err != nil {
			return fmt.Errorf("%s: %w", zone, err)
		}
		for _, slot := range byZone[zone] {
			config, err := args.createMachine(ctx, f, slot, made.group)
			if err != nil {
				return fmt.Errorf("%s: %w", slot.Name, err)
			}
			made.configs = append(made.configs, config)
		}
		f.zones = append(f.zones, made)
	}
	return nil
}

// GroupName is the name of a zone's managed instance group.
func GroupName(stack, zone string) string { return gcpname.Of(stack, "proxy", zone) }

// createGroup makes the group of one zone, after that of the zone before.
func (args *FleetArgs) createGroup(ctx *pulumi.Context, f *Fleet, zone string, machines int, template *compute.InstanceTemplate, check *compute.HealthCheck) (*compute.InstanceGroupManager, error) {
	kind, status := "PROACTIVE", "UPDATED"
	if args.Rollout == RolloutByHand {
		kind, status = "OPPORTUNISTIC", "STABLE"
	}
	var after []pulumi.Resource
	if n := len(f.zones); n > 0 {
		after = append([]pulumi.Resource{f.zones[n-1].group}, f.zones[n-1].configs...)
	}
	patience := fmt.Sprintf("%ds", machines*(args.Proxy.ReadySeconds+args.Proxy.DrainSeconds+machineMargin))
	return compute.NewInstanceGroupManager(ctx, "proxyfleet-group-"+zone, &compute.InstanceGroupManagerArgs{
		Name: pulumi.String(GroupName(args.Stack, zone)), BaseInstanceName: pulumi.String(gcpname.Short(maxBaseName, args.Stack, "proxy", zone)), Project: pulumi.String(args.Project), Zone: pulumi.String(zone),
		Versions: compute.InstanceGroupManagerVersionArray{&compute.InstanceGroupManagerVersionArgs{InstanceTemplate: template.SelfLink}},
		UpdatePolicy: &compute.InstanceGroupManagerUpdatePolicyArgs{
			Type: pulumi.String(kind), MinimalAction: pulumi.String("REPLACE"), MostDisruptiveAllowedAction: pulumi.String("REPLACE"),
			ReplacementMethod: pulumi.String("RECREATE"), MaxSurgeFixed: pulumi.Int(0), MaxUnavailableFixed: pulumi.Int(1),
		},
		AutoHealingPolicies: &compute.InstanceGroupManagerAutoHealingPoliciesArgs{HealthCheck: check.SelfLink, InitialDelaySec: pulumi.Int(args.Proxy.ReadySeconds)},
		InstanceLifecyclePolicy: &compute.InstanceGroupManagerInstanceLifecyclePolicyArgs{
			// A machine that fails is made anew with what its neighbours run, not with what they will run.
			DefaultActionOnFailure: pulumi.String("REPAIR"), ForceUpdateOnRepair: pulumi.String("NO"),
		},
		WaitForInstances: pulumi.Bool(true), WaitForInstancesStatus: pulumi.String(status),
	}, pulumi.Parent(f), pulumi.DependsOn(after), pulumi.IgnoreChanges([]string{"targetSize"}),
		pulumi.Timeouts(&pulumi.CustomTimeouts{Create: patience, Update: patience, Delete: patience}))
}

// maxBaseName leaves room for the five characters that a group adds to the names of machines of its own. pulumi-gcp v7.38.0,
// InstanceGroupManager.baseInstanceName.
const maxBaseName = 58

// createMachine makes the machine of one slot in its group, and says which addresses every machine of that slot has. They are
// never released with it.
func (args *FleetArgs) createMachine(ctx *pulumi.Context, f *Fleet, slot FleetSlot, group *compute.InstanceGroupManager) (pulumi.Resource, error) {
	const nic, keep = "nic0", "NEVER"
	return compute.NewPerInstanceConfig(ctx, "proxyfleet-machine-"+slot.Name, &compute.PerInstanceConfigArgs{
		Name: pulumi.String(InstanceName(args.Stack, slot.Name)), Project: pulumi.String(args.Project), Zone: pulumi.String(slot.Zone), InstanceGroupManager: group.Name,
		PreservedState: &compute.PerInstanceConfigPreservedStateArgs{
			ExternalIps: compute.PerInstanceConfigPreservedStateExternalIpArray{&compute.PerInstanceConfigPreservedStateExternalIpArgs{
				InterfaceName: pulumi.String(nic), AutoDelete: pulumi.String(keep),
				IpAddress: &compute.PerInstanceConfigPreservedStateExternalIpIpAddressArgs{Address: slot.PublicIP.ToStringOutput()},
			}},
			InternalIps: compute.PerInstanceConfigPreservedStateInternalIpArray{&compute.PerInstanceConfigPreservedStateInternalIpArgs{
				InterfaceName: pulumi.String(nic), AutoDelete: pulumi.String(keep),
				IpAddress: &compute.PerInstanceConfigPreservedStateInternalIpIpAddressArgs{Address: slot.Place.SelfLink},
			}},
		},
		MinimalAction: pulumi.String("NONE"), MostDisruptiveAllowedAction: pulumi.String("REPLACE"), RemoveInstanceOnDestroy: pulumi.Bool(true),
	}, pulumi.Parent(f))
}
