// Package gcpalerts watches a GCP stack from Cloud Monitoring: alert policies with thresholds from the plan.
//
// Cloud NAT tells what matters: the ports that its busiest VM has in use towards one destination, which is what runs out. It does
// not say which destination that is; the plan says which it expects. Of proxies, Cloud Monitoring knows whether their machines are
// there and healthy; their own figures are at port 8404 of each (proxyimage/monitoring).
//
// The limit that matters: a policy sees the metrics of its own project's scope. With a Shared VPC the NAT's are in the host
// project, which has to be in the scope of the stack's.
package gcpalerts

import (
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/monitoring"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/capacity"
	"github.com/sallyport/sallyport/internal/problem"
)

// typeToken identifies the component in every state file.
const typeToken = "sallyport:alarms:GCP"

// Gateway is one Cloud NAT gateway.
type Gateway struct {
	// Name is its name in the stack file, the key of its policies.
	Name string
	// GatewayName is its name in the project.
	GatewayName string
	// PortsPerVM is the most ports that a VM can have: the ceiling. At least 32.
	PortsPerVM int
}

// Slot is one proxy that has a machine.
type Slot struct {
	// Name is the slot's name, the key of its policy.
	Name string
	// Zone is its zone.
	Zone string
	// InstanceName is its machine's name.
	InstanceName string
}

// AlertsArgs are the arguments of NewAlerts.
type AlertsArgs struct {
	// Stack is the stack's name, in titles and labels.
	Stack string
	// Project and Region are where the policies and what they watch are.
	Project, Region string
	// Plan says which destinations are expected to come close.
	Plan capacity.Plan
	// Share of the ceiling at which to warn. Default 0.8.
	Share float64
	// Gateways and Slots are what is watched. Either may be empty.
	Gateways []Gateway
	Slots    []Slot
	// Groups are the names of the managed instance groups of the slots.
	Groups []string
	// ReplaceSeconds is how long a slot may be without a machine: the time to replace one. Default 600, at least 180.
	ReplaceSeconds int
	// Channels are told: projects/PROJECT/notificationChannels/ID. May be empty: then incidents are only shown.
	Channels []string
	// Labels are put on the policies. May be nil.
	Labels map[string]string
}

// Alerts are what watches.
type Alerts struct {
	pulumi.ResourceState

	// Policies are the names of the alert policies by key.
	Policies pulumi.StringMapOutput `pulumi:"policies"`
}

var channelRule = regexp.MustCompile(`^projects/[^/]+/notificationChannels/[^/]+$`)

// NewAlerts makes the policies.
func NewAlerts(ctx *pulumi.Context, name string, args *AlertsArgs, opts ...pulumi.ResourceOption) (*Alerts, error) {
	declared := args.withDefaults()
	if err := declared.validate(name); err != nil {
		return nil, err
	}
	a := &Alerts{}
	inputs := pulumi.Map{
		"stack": pulumi.String(declared.Stack), "share": pulumi.Float64(declared.Share), "gateways": pulumi.Int(len(declared.Gateways)),
		"slots": pulumi.Int(len(declared.Slots)), "channels": pulumi.ToStringArray(declared.Channels),
	}
	if err := ctx.RegisterComponentResourceV2(typeToken, name, inputs, a, opts...); err != nil {
		return nil, err
	}
	names := pulumi.StringMap{}
	for _, alert := range declared.alerts() {
		made, err := declared.createPolicy(ctx, a, alert)
		if err != nil {
			return nil, fmt.Errorf("alerts %q: %s: %w", name, alert.key, err)
		}
		names[alert.key] = made.Name
	}
	a.Policies = names.ToStringMapOutput()
	return a, ctx.RegisterResourceOutputs(a, pulumi.Map{"policies": a.Policies})
}

// createPolicy makes one alert policy of one condition.
func (args *AlertsArgs) createPolicy(ctx *pulumi.Context, a *Alerts, alert alert) (*monitoring.AlertPolicy, error) {
	strategy := &monitoring.AlertPolicyAlertStrategyArgs{AutoClose: pulumi.String(autoClose)}
	if alert.kind == kindLog { // a policy on logs must say how often it may tell
		strategy.NotificationRateLimit = &monitoring.AlertPolicyAlertStrategyNotificationRateLimitArgs{Period: pulumi.String("300s")}
	}
	return monitoring.NewAlertPolicy(ctx, "alerts-"+alert.key, &monitoring.AlertPolicyArgs{
		Project: pulumi.String(args.Project), DisplayName: pulumi.Sprintf("sallyport %s: %s", args.Stack, alert.title), Combiner: pulumi.String("OR"),
		Conditions: monitoring.AlertPolicyConditionArray{alert.condition()}, AlertStrategy: strategy, Severity: pulumi.String(string(alert.severity)),
		Documentation:        &monitoring.AlertPolicyDocumentationArgs{MimeType: pulumi.String("text/markdown"), Content: pulumi.String(alert.advice)},
		NotificationChannels: pulumi.ToStringArray(args.Channels), UserLabels: pulumi.ToStringMap(args.Labels),
	}, pulumi.Parent(a))
}

func (args *AlertsArgs) withDefaults() AlertsArgs {
	out := *args
	out.Labels = maps.Clone(args.Labels)
	if out.Labels == nil {
		out.Labels = map[string]string{}
	}
	out.Labels["sallyport-stack"] = args.Stack
	if out.Share == 0 {
		out.Share = 0.8
	}
	if out.ReplaceSeconds == 0 {
		out.ReplaceSeconds = 600
	}
	return out
}

// validate reports every problem at once.
func (args *AlertsArgs) validate(name string) error {
	var list problem.List
	need := func(ok bool, field, rule string, value any) {
		if !ok {
			list.Add(fmt.Sprintf("alerts %q: %s", name, field), rule, value, "")
		}
	}
	need(args.Stack != "" && args.Project != "" && args.Region != "", "stack, project, region", "must be given", args.Stack+" "+args.Project+" "+args.Region)
	need(args.Share > 0 && args.Share <= 1, "share", "must be above 0 and at most 1", args.Share)
	// Cloud Monitoring, "Alerting policies", metric-absence conditions, 2026: at least 3 minutes, at most 23.5 hours.
	need(args.ReplaceSeconds >= 180 && args.ReplaceSeconds <= 84600, "replaceSeconds", "must be 180 to 84,600", args.ReplaceSeconds)
	var seen []string
	for _, g := range args.Gateways {
		need(g.Name != "" && g.GatewayName != "" && !slices.Contains(seen, g.Name), "gateways", "must have names, each once", g.Name)
		need(g.PortsPerVM >= capacity.MinDynamicPortsPerVM, "gateways: portsPerVM", fmt.Sprintf("must be at least %d", capacity.MinDynamicPortsPerVM), g.PortsPerVM)
		seen = append(seen, g.Name)
	}
	seen = nil
	for _, s := range args.Slots {
		need(s.Name != "" && s.InstanceName != "" && !slices.Contains(seen, s.Name), "slots", "must have names, each once", s.Name)
		seen = append(seen, s.Name)
	}
	need((len(args.Slots) == 0) == (len(args.Groups) == 0), "groups", "must be given if and only if there are slots", len(args.Groups))
	for _, channel := range args.Channels {
		need(channelRule.MatchString(channel), "channels", "must be projects/PROJECT/notificationChannels/ID", channel)
	}
	return list.Err()
}
