package gcpalerts

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/monitoring"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/capacity"
)

const (
	// minute is the period of the NAT's figures. Cloud NAT, "Logs and metrics", 2026.
	minute = "60s"
	// autoClose ends an incident that gets no data any more; the shortest. Cloud Monitoring, AlertPolicy.AlertStrategy, 2026.
	autoClose = "1800s"
	// maxExpected is how many destinations an advice names.
	maxExpected = 5
)

// kind is the kind of a condition.
type kind int

const (
	kindAbove kind = iota // a metric above a threshold
	kindAbsent
	kindLog
)

// severity is Cloud Monitoring's.
type severity string

const (
	critical severity = "CRITICAL" // connections fail
	warning  severity = "WARNING"  // they will
)

// alert is one policy: a filter with a condition of its kind.
type alert struct {
	key      string // unique in the stack and stable: what and gateway or slot
	title    string
	advice   string
	severity severity
	kind     kind

	filter           string
	threshold        float64
	aligner, reducer string
	groupBy          []string
	duration         string
}

// condition is the alert's condition.
func (a alert) condition() *monitoring.AlertPolicyConditionArgs {
	in := &monitoring.AlertPolicyConditionArgs{DisplayName: pulumi.String(a.title)}
	switch a.kind {
	case kindLog:
		in.ConditionMatchedLog = &monitoring.AlertPolicyConditionConditionMatchedLogArgs{Filter: pulumi.String(a.filter)}
	case kindAbsent:
		in.ConditionAbsent = &monitoring.AlertPolicyConditionConditionAbsentArgs{
			Filter: pulumi.String(a.filter), Duration: pulumi.String(a.duration),
			Aggregations: monitoring.AlertPolicyConditionConditionAbsentAggregationArray{&monitoring.AlertPolicyConditionConditionAbsentAggregationArgs{
				AlignmentPeriod: pulumi.String(minute), PerSeriesAligner: pulumi.String(a.aligner), CrossSeriesReducer: pulumi.String(a.reducer),
			}},
		}
	case kindAbove:
		in.ConditionThreshold = &monitoring.AlertPolicyConditionConditionThresholdArgs{
			Filter: pulumi.String(a.filter), Comparison: pulumi.String("COMPARISON_GT"), ThresholdValue: pulumi.Float64(a.threshold), Duration: pulumi.String(a.duration),
			Aggregations: monitoring.AlertPolicyConditionConditionThresholdAggregationArray{&monitoring.AlertPolicyConditionConditionThresholdAggregationArgs{
				AlignmentPeriod: pulumi.String(minute), PerSeriesAligner: pulumi.String(a.aligner), CrossSeriesReducer: pulumi.String(a.reducer), GroupByFields: pulumi.ToStringArray(a.groupBy),
			}},
		}
	}
	return in
}

// alerts are all policies of the stack.
func (args *AlertsArgs) alerts() []alert {
	var all []alert
	for _, g := range args.Gateways {
		all = append(all, args.gatewayAlerts(g)...)
	}
	for _, s := range args.Slots {
		all = append(all, args.slotAlert(s))
	}
	if len(args.Slots) > 0 {
		all = append(all, args.healthAlert())
	}
	return all
}

// gatewayAlerts watch one gateway. The metrics are those of router.googleapis.com/nat; the same of compute.googleapis.com/nat name the VM.
func (args *AlertsArgs) gatewayAlerts(g Gateway) []alert {
	of := func(metric string) string {
		return fmt.Sprintf("resource.type = \"nat_gateway\" AND resource.labels.region = %q AND resource.labels.gateway_name = %q AND metric.type = \"router.googleapis.com/nat/%s\"",
			args.Region, g.GatewayName, metric)
	}
	at := math.Floor(args.Share * float64(g.PortsPerVM))
	doctor := fmt.Sprintf("`sallyport doctor --stack %s` says how close each destination is.", args.Stack)
	vm := "Metrics explorer shows the VM: compute.googleapis.com/nat/"
	return []alert{
		{
			key: "ports-" + g.Name, title: fmt.Sprintf("%s: a VM has more than %.0f of its %d ports in use", g.GatewayName, at, g.PortsPerVM), severity: warning,
			filter: of("port_usage"), threshold: at, aligner: "ALIGN_MAX", reducer: "REDUCE_MAX", duration: "180s",
			advice: fmt.Sprintf("A VM has %g of its %d ports in use towards one destination. %s %s\n\n%sport_usage. Raise the demand in the stack file to what it is and apply, or route the destination through the proxies.",
				args.Share, g.PortsPerVM, args.expected(), doctor, vm),
		}, {
			key: "drops-" + g.Name, title: g.GatewayName + ": packets dropped for want of a port", severity: critical,
			filter: of("dropped_sent_packets_count"), threshold: 0, aligner: "ALIGN_DELTA", reducer: "REDUCE_SUM", groupBy: []string{"metric.label.reason"}, duration: "0s",
			advice: fmt.Sprintf("New connections find no port, and fail or wait. OUT_OF_RESOURCES: the VM's ports are used up. %s %s\n\n%sdropped_sent_packets_count.", args.expected(), doctor, vm),
		}, {
			key: "allocation-" + g.Name, title: g.GatewayName + ": a VM gets no ports", severity: critical,
			filter: of("nat_allocation_failed"), threshold: 0, aligner: "ALIGN_COUNT_TRUE", reducer: "REDUCE_SUM", duration: "0s",
			advice: fmt.Sprintf("The gateway's IPs have no ports left for another VM: new VMs have no way out, existing ones keep theirs. The plan holds for cluster.maxNodes and surgeNodes: raise them to what the cluster has and apply. %s", doctor),
		},
	}
}

// expected names the destinations that the plan expects to use the most ports of a VM.
func (args *AlertsArgs) expected() string {
	margins := slices.Clone(args.Plan.Margins)
	margins = slices.DeleteFunc(margins, func(m capacity.Margin) bool { return m.Via != capacity.ViaNat })
	slices.SortStableFunc(margins, func(a, b capacity.Margin) int { return cmp.Compare(b.Load, a.Load) })
	var parts []string
	for _, m := range margins[:min(len(margins), maxExpected)] {
		parts = append(parts, fmt.Sprintf("%s %.0f", m.Destination, math.Ceil(m.Load)))
	}
	if len(parts) == 0 {
		return "The plan expects none."
	}
	return "The plan expects, at peak on the busiest VM: " + strings.Join(parts, ", ") + "."
}

// slotAlert watches whether a slot has a machine: its uptime is the figure that only a running machine has.
func (args *AlertsArgs) slotAlert(s Slot) alert {
	return alert{
		key: "missing-" + s.Name, title: s.Name + " has no machine", severity: critical, kind: kindAbsent,
		filter: fmt.Sprintf("resource.type = \"gce_instance\" AND resource.labels.zone = %q AND metric.labels.instance_name = %q AND metric.type = \"compute.googleapis.com/instance/uptime\"",
			s.Zone, s.InstanceName),
		aligner: "ALIGN_DELTA", reducer: "REDUCE_SUM", duration: fmt.Sprintf("%ds", args.ReplaceSeconds/60*60),
		advice: fmt.Sprintf("No machine has run in slot %s for %d minutes, so its IP carries nothing. Its managed instance group tries again and again: `gcloud compute instance-groups managed list-errors` says why it fails; often the zone has no such machine left, or a quota is used up.",
			s.Name, args.ReplaceSeconds/60),
	}
}

// healthAlert watches what the groups log about the health of their machines. The text is in both entries, of a proxy that is not
// ready any more and of one that is again: a policy on logs has no end of its own.
// Compute Engine, "Monitor VM health state changes", 2026.
func (args *AlertsArgs) healthAlert() alert {
	groups := slices.Sorted(slices.Values(args.Groups))
	for i, group := range groups {
		groups[i] = fmt.Sprintf("%q", group)
	}
	return alert{
		key: "unhealthy", title: "a proxy is not ready", severity: critical, kind: kindLog,
		filter: fmt.Sprintf("resource.type=\"gce_instance_group_manager\" AND logName=\"projects/%s/logs/compute.googleapis.com%%2Finstance_group_manager_events\" AND resource.labels.instance_group_manager_name=(%s) AND \"UNHEALTHY\"",
			args.Project, strings.Join(groups, " OR ")),
		advice: "A proxy changed from or to UNHEALTHY; the entry names the machine. After two minutes its group makes the machine anew, with the same addresses. Its log is gcplogs-docker-driver in Logs explorer; /readyz at its port 8404 says what it waits for.",
	}
}
