package awsfleet

import (
	"fmt"
	"maps"
	"slices"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/autoscaling"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// How a change of what runs (image, settings, machine) reaches an active slot, and how Pulumi comes to wait for it.
//
// An instance refresh is not waited for by the provider: it would be under way in every slot at once. A new group is waited
// for until its instance is in service, and a deleted one until its instance is gone. So a slot's group is replaced, and
// deleted before: there is one interface, and it cannot be in two instances. Groups depend on one another in the order of the slots, so
// the engine begins with one when the one before is in service again.
//
// In service means ready: a hook keeps a new instance out of service for ReadySeconds, and an instance whose proxy is not
// ready 30 s before ends itself (awshost/watch.sh). Then there is never an instance in service, the wait ends with an error, and the
// slots that follow keep what they run.
//
// Before an instance ends, another hook keeps it for as long as its proxy may drain.

// capacityMargin is added to ReadySeconds in the wait for an instance: the old one may still hold the interface, so the first
// attempts to start fail; and a machine that could not work is tried again.
const capacityMargin = 600

// endMargin is added to the drain in the hook that precedes the end: the watch looks every few seconds, and the unit has some
// seconds of its own.
const endMargin = 45

// elasticLifetime is how long an elastic instance lives at most, in seconds: a day, the shortest that EC2 takes. An elastic slot gets a new
// image when it starts next, so one that never rests gets it by then. Amazon EC2 Auto Scaling user guide, "Maximum instance
// lifetime", 2023-06-15.
const elasticLifetime = 86400

// createGroups makes every slot's launch template and group, and what scales the elastic ones.
func (args *FleetArgs) createGroups(ctx *pulumi.Context, f *Fleet, log *cloudwatch.LogGroup, roles map[string]zoneRole) (pulumi.StringMap, error) {
	names := pulumi.StringMap{}
	var previous pulumi.Resource
	for _, slot := range args.Slots {
		place, err := args.Interfaces.Get(slot.Name)
		if err != nil {
			return nil, err
		}
		role := roles[slot.Zone]
		template, err := args.createTemplate(ctx, f, slot, place, log, role)
		if err != nil {
			return nil, fmt.Errorf("%s: launch template: %w", slot.Name, err)
		}
		after := append([]pulumi.Resource{role.policy}, place.associations...)
		if previous != nil && args.Rollout == RolloutOneByOne {
			after = append(after, previous)
		}
		group, err := args.createGroup(ctx, f, slot, template, after)
		if err != nil {
			return nil, fmt.Errorf("%s: group: %w", slot.Name, err)
		}
		if slot.Mode == ModeElastic {
			if err := args.createScaling(ctx, f, slot, group); err != nil {
				return nil, fmt.Errorf("%s: scaling: %w", slot.Name, err)
			}
		}
		names[slot.Name], previous = group.Name, group
	}
	return names, nil
}

// createGroup makes the group of one slot.
func (args *FleetArgs) createGroup(ctx *pulumi.Context, f *Fleet, slot FleetSlot, template *ec2.LaunchTemplate, after []pulumi.Resource) (*autoscaling.Group, error) {
	in := &autoscaling.GroupArgs{
		Name:              pulumi.Sprintf("sallyport-%s-%s", args.Stack, slot.Name),
		AvailabilityZones: pulumi.ToStringArray([]string{slot.Zone}), // and no subnet: the interface has one
		LaunchTemplate:    &autoscaling.GroupLaunchTemplateArgs{Id: template.ID(), Version: template.LatestVersion.ApplyT(decimal).(pulumi.StringOutput)},
		HealthCheckType:   pulumi.String("EC2"), HealthCheckGracePeriod: pulumi.Int(60),
		InitialLifecycleHooks: autoscaling.GroupInitialLifecycleHookArray{
			hook("ready", "autoscaling:EC2_INSTANCE_LAUNCHING", args.Proxy.ReadySeconds),
			hook("drain", "autoscaling:EC2_INSTANCE_TERMINATING", args.Proxy.DrainSeconds+endMargin),
		},
		// The interface may still be held by the instance before: an attempt to start that fails is followed by another.
		IgnoreFailedScalingActivities: pulumi.Bool(true),
		WaitForCapacityTimeout:        pulumi.Sprintf("%ds", args.Proxy.ReadySeconds+capacityMargin),
		Tags:                          groupTags(plainTags(args.Tags, args.Stack, slot.Name)),
	}
	end := fmt.Sprintf("%ds", args.Proxy.DrainSeconds+endMargin+capacityMargin)
	opts := []pulumi.ResourceOption{
		pulumi.Parent(f), pulumi.DependsOn(after), pulumi.DeleteBeforeReplace(true),
		pulumi.Timeouts(&pulumi.CustomTimeouts{Update: end, Delete: end}),
	}
	// Hooks are given to a group when it is made, before its first instance is.
	replaced := []string{"initialLifecycleHooks"}
	switch slot.Mode {
	case ModeActive:
		in.MinSize, in.MaxSize, in.DesiredCapacity = pulumi.Int(1), pulumi.Int(1), pulumi.Int(1)
		replaced = append(replaced, "launchTemplate")
	case ModeElastic:
		in.MinSize, in.MaxSize, in.DesiredCapacity = pulumi.Int(0), pulumi.Int(1), pulumi.Int(0)
		in.MaxInstanceLifetime = pulumi.Int(elasticLifetime)
		opts = append(opts, pulumi.IgnoreChanges([]string{"desiredCapacity"})) // that is the alarms' business
	case ModeReserved:
		in.MinSize, in.MaxSize, in.DesiredCapacity = pulumi.Int(0), pulumi.Int(0), pulumi.Int(0)
	}
	return autoscaling.NewGroup(ctx, "proxyfleet-slot-"+key(slot.Name), in, append(opts, pulumi.ReplaceOnChanges(replaced))...)
}

// hook keeps an instance in transition for so many seconds, and then lets it go on. The instance itself may not end the wait: its
// role knows nothing of groups.
func hook(name, transition string, seconds int) autoscaling.GroupInitialLifecycleHookArgs {
	return autoscaling.GroupInitialLifecycleHookArgs{
		Name: pulumi.String("sallyport-" + name), LifecycleTransition: pulumi.String(transition),
		DefaultResult: pulumi.String("CONTINUE"), HeartbeatTimeout: pulumi.Int(seconds),
	}
}

// groupTags are tags in a group's own form. Instances get theirs from the launch template.
func groupTags(all map[string]string) autoscaling.GroupTagArray {
	var list autoscaling.GroupTagArray
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, autoscaling.GroupTagArgs{Key: pulumi.String(name), Value: pulumi.String(all[name]), PropagateAtLaunch: pulumi.Bool(false)})
	}
	return list
}

func decimal(n int) string { return fmt.Sprint(n) }
