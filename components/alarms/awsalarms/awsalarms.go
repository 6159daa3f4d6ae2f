// Package awsalarms watches an AWS stack from CloudWatch: alarms with thresholds from the plan, a topic that tells people, and a
// dashboard.
//
// The limit that matters: what runs out are ports for one destination, and a NAT gateway has no figure per destination. It counts its
// connections to all of them, which cannot be fewer than those to one: so that count stays an honest early warning, and
// ErrorPortAllocation says it after the fact. Proxies do count per destination.
//
// Figures of proxies are lines of their log (proxyimage/agent/cloudwatch), one a minute.
package awsalarms

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/sns"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/capacity"
	"github.com/sallyport/sallyport/internal/problem"
)

// typeToken identifies the component in every state file.
const typeToken = "sallyport:alarms:AWS"

// Gateway is one NAT gateway.
type Gateway struct {
	// Zone is its Availability Zone and the key of its alarms.
	Zone string
	// ID is nat-....
	ID pulumi.StringInput
}

// Slot is one proxy.
type Slot struct {
	Name, Zone string
	// Always says that it should have an instance all the time (awsfleet.ModeActive). Elastic slots are watched while they have
	// one; reserved slots are left out of the list.
	Always bool
}

// AlarmsArgs are the arguments of NewAlarms.
type AlarmsArgs struct {
	// Stack is the name that alarms, dashboard and the fleet's metrics carry.
	Stack string
	// Region is for the dashboard.
	Region string
	// Plan gives the thresholds.
	Plan capacity.Plan
	// Share of a ceiling at which to warn. Default 0.8.
	Share float64
	// MaxConnections and ConnectionsPerSecond are what one proxy holds and takes, as planned.
	MaxConnections       int
	ConnectionsPerSecond float64
	// DrainSeconds is how long a proxy that was told to stop serves its connections; for so long it may be not ready without an
	// alarm. 0 to 3,600.
	DrainSeconds int
	// Gateways and Slots are what is watched. Either may be empty.
	Gateways []Gateway
	Slots    []Slot
	// Emails are subscribed to the topic; each has to confirm. May be empty.
	Emails []string
	// TopicARNs are topics of one's own that are told as well. May be empty.
	TopicARNs []string
	// Dashboard makes one.
	Dashboard bool
	// Tags are added to every resource. May be nil.
	Tags map[string]string
}

// Alarms are what watches.
type Alarms struct {
	pulumi.ResourceState

	// TopicARN is the stack's own topic.
	TopicARN pulumi.StringOutput `pulumi:"topicArn"`
	// DashboardName is the dashboard's name, empty if there is none.
	DashboardName pulumi.StringOutput `pulumi:"dashboardName"`
}

var (
	stackRule = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$`)
	emailRule = regexp.MustCompile(`^[^@\s]+@[^@\s]+\.[^@\s]+$`)
	topicRule = regexp.MustCompile(`^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+$`)
)

// NewAlarms makes the topic, the alarms and the dashboard.
func NewAlarms(ctx *pulumi.Context, name string, args *AlarmsArgs, opts ...pulumi.ResourceOption) (*Alarms, error) {
	declared := args.withDefaults()
	if err := declared.validate(name); err != nil {
		return nil, err
	}
	a := &Alarms{}
	inputs := pulumi.Map{"stack": pulumi.String(declared.Stack), "share": pulumi.Float64(declared.Share), "gateways": pulumi.Int(len(declared.Gateways)), "slots": pulumi.Int(len(declared.Slots))}
	if err := ctx.RegisterComponentResourceV2(typeToken, name, inputs, a, opts...); err != nil {
		return nil, err
	}
	topic, err := declared.createTopic(ctx, a)
	if err != nil {
		return nil, fmt.Errorf("alarms %q: topic: %w", name, err)
	}
	a.TopicARN = topic.Arn
	for _, alarm := range declared.alarms() {
		if err := declared.createAlarm(ctx, a, alarm); err != nil {
			return nil, fmt.Errorf("alarms %q: %s: %w", name, alarm.key, err)
		}
	}
	if a.DashboardName, err = declared.createDashboard(ctx, a); err != nil {
		return nil, fmt.Errorf("alarms %q: dashboard: %w", name, err)
	}
	return a, ctx.RegisterResourceOutputs(a, pulumi.Map{"topicArn": a.TopicARN, "dashboardName": a.DashboardName})
}

func (args *AlarmsArgs) withDefaults() AlarmsArgs {
	out := *args
	out.Tags = maps.Clone(args.Tags)
	if out.Tags == nil {
		out.Tags = map[string]string{}
	}
	out.Tags["sallyport:stack"] = args.Stack
	if out.Share == 0 {
		out.Share = 0.8
	}
	return out
}

// validate reports every problem at once.
func (args *AlarmsArgs) validate(name string) error {
	var problems problem.List
	need := func(ok bool, field, rule string, value any) {
		if !ok {
			problems.Add(fmt.Sprintf("alarms %q: %s", name, field), rule, value, "")
		}
	}
	need(stackRule.MatchString(args.Stack), "stack", "must be letters, digits and . _ -, at most 100", args.Stack)
	need(args.Region != "", "region", "must be given", args.Region)
	need(args.Share > 0 && args.Share <= 1, "share", "must be above 0 and at most 1", args.Share)
	zones, slots := map[string]bool{}, map[string]bool{}
	for _, g := range args.Gateways {
		need(g.Zone != "" && !zones[g.Zone] && g.ID != nil, "gateways", "must have unique zones and ids", g.Zone)
		zones[g.Zone] = true
	}
	need(len(args.Gateways) == 0 || args.Plan.Nat.IPsPerZone > 0, "plan", "must have NAT IPs if there are gateways", args.Plan.Nat.IPsPerZone)
	for _, s := range args.Slots {
		need(s.Name != "" && !slots[s.Name], "slots", "must have unique names", s.Name)
		slots[s.Name] = true
	}
	need(args.DrainSeconds >= 0 && args.DrainSeconds <= 3600, "drainSeconds", "must be 0 to 3,600", args.DrainSeconds)
	need(len(args.Slots) == 0 || args.MaxConnections > 0 && args.ConnectionsPerSecond > 0, "maxConnections, connectionsPerSecond",
		"must be above 0 if there are slots", fmt.Sprintf("%d, %g", args.MaxConnections, args.ConnectionsPerSecond))
	for _, email := range args.Emails {
		need(emailRule.MatchString(email), "emails", "must be e-mail addresses", email)
	}
	for _, arn := range args.TopicARNs {
		need(topicRule.MatchString(arn), "topicArns", "must be ARNs of SNS topics", arn)
	}
	return problems.Err()
}

// createTopic makes the stack's topic and subscribes those who want mail.
func (args *AlarmsArgs) createTopic(ctx *pulumi.Context, a *Alarms) (*sns.Topic, error) {
	topic, err := sns.NewTopic(ctx, "alarms-topic", &sns.TopicArgs{
		Name: pulumi.Sprintf("sallyport-%s-alarms", strings.ReplaceAll(args.Stack, ".", "-")), Tags: pulumi.ToStringMap(args.Tags),
	}, pulumi.Parent(a))
	if err != nil {
		return nil, err
	}
	for _, email := range slices.Sorted(slices.Values(args.Emails)) {
		_, err := sns.NewTopicSubscription(ctx, "alarms-mail-"+email, &sns.TopicSubscriptionArgs{
			Topic: topic.Arn, Protocol: pulumi.String("email"), Endpoint: pulumi.String(email),
		}, pulumi.Parent(a))
		if err != nil {
			return nil, err
		}
	}
	return topic, nil
}

// createAlarm makes one alarm. It tells when it begins and when it ends.
func (args *AlarmsArgs) createAlarm(ctx *pulumi.Context, a *Alarms, alarm alarm) error {
	actions := pulumi.Array{a.TopicARN}
	for _, arn := range args.TopicARNs {
		actions = append(actions, pulumi.String(arn))
	}
	in := &cloudwatch.MetricAlarmArgs{
		Name: pulumi.Sprintf("sallyport-%s-%s", args.Stack, alarm.key), AlarmDescription: pulumi.String(alarm.description),
		ComparisonOperator: pulumi.String(alarm.comparison()), Threshold: pulumi.Float64(alarm.threshold),
		EvaluationPeriods: pulumi.Int(alarm.of), DatapointsToAlarm: pulumi.Int(alarm.minutes), TreatMissingData: pulumi.String(alarm.missing),
		AlarmActions: actions, OkActions: actions, Tags: pulumi.ToStringMap(args.Tags),
	}
	if alarm.expression == "" {
		m := alarm.metrics[0]
		in.Namespace, in.MetricName, in.Statistic = pulumi.String(m.namespace), pulumi.String(m.name), pulumi.String(m.statistic)
		in.Period, in.Dimensions = pulumi.Int(60), m.dimensions
	} else {
		in.MetricQueries = alarm.queries()
	}
	_, err := cloudwatch.NewMetricAlarm(ctx, "alarms-"+alarm.key, in, pulumi.Parent(a))
	return err
}

// createDashboard makes the dashboard if one is wanted, and returns its name or "".
func (args *AlarmsArgs) createDashboard(ctx *pulumi.Context, a *Alarms) (pulumi.StringOutput, error) {
	if !args.Dashboard {
		return pulumi.String("").ToStringOutput(), nil
	}
	ids := make([]any, 0, len(args.Gateways))
	for _, g := range args.Gateways {
		ids = append(ids, g.ID)
	}
	body := pulumi.All(ids...).ApplyT(func(values []any) (string, error) {
		gateways := map[string]string{}
		for i, g := range args.Gateways {
			gateways[g.Zone], _ = values[i].(string)
		}
		return args.dashboard(gateways)
	}).(pulumi.StringOutput)
	made, err := cloudwatch.NewDashboard(ctx, "alarms-dashboard", &cloudwatch.DashboardArgs{
		DashboardName: pulumi.Sprintf("sallyport-%s", strings.ReplaceAll(args.Stack, ".", "-")), DashboardBody: body,
	}, pulumi.Parent(a))
	if err != nil {
		return pulumi.StringOutput{}, err
	}
	return made.DashboardName, nil
}
