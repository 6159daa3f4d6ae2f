package awsfleet

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/autoscaling"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/internal/problem"
)

// metricNamespace is where the agents' figures are; proxyimage/agent/cloudwatch.
const metricNamespace = "Sallyport"

// withDefaults returns a copy that is complete.
func (a Autoscaling) withDefaults() Autoscaling {
	if a.StartShare == 0 {
		a.StartShare = 0.7
	}
	if a.DrainShare == 0 {
		a.DrainShare = 0.5
	}
	if a.StartMinutes == 0 {
		a.StartMinutes = 3
	}
	if a.DrainMinutes == 0 {
		a.DrainMinutes = 15
	}
	return a
}

func (a Autoscaling) validate(place func(string) string, problems *problem.List) {
	need := func(ok bool, field, rule string, value any) {
		if !ok {
			problems.Add(place("autoscaling: "+field), rule, value, "")
		}
	}
	need(a.MaxConnections > 0, "maxConnections", "must be above 0", a.MaxConnections)
	need(a.ConnectionsPerSecond > 0, "connectionsPerSecond", "must be above 0", a.ConnectionsPerSecond)
	need(a.BytesPerSecond >= 0, "bytesPerSecond", "must be at least 0", a.BytesPerSecond)
	need(a.StartShare > 0 && a.StartShare <= 1, "startShare", "must be above 0 and at most 1", a.StartShare)
	need(a.DrainShare > 0 && a.DrainShare < a.StartShare, "drainShare", fmt.Sprintf("must be above 0 and below startShare, %g", a.StartShare), a.DrainShare)
	need(a.StartMinutes >= 1 && a.StartMinutes <= 60, "startMinutes", "must be 1 to 60", a.StartMinutes)
	need(a.DrainMinutes >= 1 && a.DrainMinutes <= 60, "drainMinutes", "must be 1 to 60", a.DrainMinutes)
}

// thresholds are the loads of a zone, in proxies, above which slot n starts and below which it drains. What n-1 proxies carry decides
// both, so slots start one by one in their order and drain in the reverse one; and after a drain the load of those left is
// below what starts a slot.
func (a Autoscaling) thresholds(n int) (start, drain float64) {
	others := float64(n - 1)
	return a.StartShare * others, a.DrainShare * others
}

// term is one of the figures that make up the load of a zone.
type term struct {
	id, metric string
	perProxy   float64
}

func (a Autoscaling) terms() []term {
	terms := []term{{"connections", "Connections", float64(a.MaxConnections)}, {"rate", "ConnectionsPerSecond", a.ConnectionsPerSecond}}
	if a.BytesPerSecond > 0 {
		terms = append(terms, term{"bytes", "BytesPerSecond", a.BytesPerSecond})
	}
	return terms
}

// queries are the load of a zone in proxies: the largest of the shares that its figures, summed over its proxies, take of what one
// proxy carries. Every proxy reports once a minute, so the sum of a minute is the sum over proxies.
func (a Autoscaling) queries(stack, zone string) cloudwatch.MetricAlarmMetricQueryArray {
	var queries cloudwatch.MetricAlarmMetricQueryArray
	var shares []string
	for _, t := range a.terms() {
		queries = append(queries, cloudwatch.MetricAlarmMetricQueryArgs{
			Id: pulumi.String(t.id),
			Metric: cloudwatch.MetricAlarmMetricQueryMetricArgs{
				Namespace: pulumi.String(metricNamespace), MetricName: pulumi.String(t.metric), Period: pulumi.Int(60), Stat: pulumi.String("Sum"),
				Dimensions: pulumi.StringMap{"Stack": pulumi.String(stack), "Zone": pulumi.String(zone)},
			},
		})
		// Metric math knows no exponents.
		shares = append(shares, t.id+"/"+strconv.FormatFloat(t.perProxy, 'f', -1, 64))
	}
	return append(queries, cloudwatch.MetricAlarmMetricQueryArgs{
		Id: pulumi.String("load"), Label: pulumi.String("load in proxies"), ReturnData: pulumi.Bool(true),
		Expression: pulumi.String("MAX([" + strings.Join(shares, ", ") + "])"),
	})
}

// createScaling lets alarms start and drain one elastic slot. Without figures nothing happens: a slot neither starts nor drains
// because nobody knows the load.
func (args *FleetArgs) createScaling(ctx *pulumi.Context, f *Fleet, slot FleetSlot, group *autoscaling.Group) error {
	start, drain := args.Autoscaling.thresholds(slot.Number)
	for _, step := range []struct {
		role, comparison, bound, what string
		capacity, minutes             int
		threshold                     float64
	}{
		{"start", "GreaterThanThreshold", "lower", "more", 1, args.Autoscaling.StartMinutes, start},
		{"drain", "LessThanThreshold", "upper", "less", 0, args.Autoscaling.DrainMinutes, drain},
	} {
		adjustment := autoscaling.PolicyStepAdjustmentArgs{ScalingAdjustment: pulumi.Int(step.capacity)}
		if step.bound == "lower" {
			adjustment.MetricIntervalLowerBound = pulumi.String("0")
		} else {
			adjustment.MetricIntervalUpperBound = pulumi.String("0")
		}
		policy, err := autoscaling.NewPolicy(ctx, "proxyfleet-"+step.role+"-"+key(slot.Name), &autoscaling.PolicyArgs{
			AutoscalingGroupName: group.Name, PolicyType: pulumi.String("StepScaling"), AdjustmentType: pulumi.String("ExactCapacity"),
			StepAdjustments: autoscaling.PolicyStepAdjustmentArray{adjustment},
		}, pulumi.Parent(f))
		if err != nil {
			return err
		}
		_, err = cloudwatch.NewMetricAlarm(ctx, "proxyfleet-"+step.role+"-"+key(slot.Name), &cloudwatch.MetricAlarmArgs{
			Name: pulumi.Sprintf("sallyport-%s-%s-%s", args.Stack, step.role, slot.Name),
			AlarmDescription: pulumi.Sprintf("Zone %s carries %s than %.4g proxies do: %s %s. This alarm is part of scaling, not a fault.",
				slot.Zone, step.what, step.threshold, step.role, slot.Name),
			MetricQueries: args.Autoscaling.queries(args.Stack, slot.Zone), ComparisonOperator: pulumi.String(step.comparison),
			Threshold: pulumi.Float64(step.threshold), EvaluationPeriods: pulumi.Int(step.minutes), DatapointsToAlarm: pulumi.Int(step.minutes),
			TreatMissingData: pulumi.String("ignore"), AlarmActions: pulumi.Array{policy.Arn}, Tags: tags(args.Tags, args.Stack, slot.Name),
		}, pulumi.Parent(f))
		if err != nil {
			return err
		}
	}
	return nil
}
