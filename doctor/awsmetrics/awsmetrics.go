// Package awsmetrics reads from CloudWatch what doctor compares with the plan: the NAT gateways' own metrics, and those that the
// proxies write into their log (proxyimage/agent/cloudwatch).
//
// It takes the permission cloudwatch:GetMetricData and nothing else. CloudWatch keeps single minutes for 15 days: a window that
// begins earlier is read in steps of five minutes, beyond 63 days in steps of an hour, and a short peak is then averaged out of the
// rates.
package awsmetrics

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/sallyport/sallyport/doctor"
	"github.com/sallyport/sallyport/preflight/awsapi"
)

// Action is the permission that reading takes.
const Action = "cloudwatch:GetMetricData"

// Source says what to read.
type Source struct {
	Stack, Region string
	Gateways      []doctor.Gateway     // Name and ID are read
	Slots         []doctor.Slot        // Name, Zone, Elastic and Idle are read
	Destinations  []doctor.Destination // the proxied ones; Name is read
}

// Read returns the figures of a window. A read that brought no answer is among the problems of the result. At tells the time, for
// what CloudWatch still keeps.
func Read(ctx context.Context, s Source, w doctor.Window, now time.Time) doctor.Measured {
	m := doctor.Measured{Gateways: slices.Clone(s.Gateways), Slots: slices.Clone(s.Slots), Destinations: slices.Clone(s.Destinations)}
	r := &reader{source: s, window: w, fine: finest(now.Sub(w.From)), coarse: coarsest(w, finest(now.Sub(w.From)))}
	for i := range m.Gateways {
		r.gateway(&m.Gateways[i])
	}
	for i := range m.Slots {
		r.slot(&m.Slots[i])
	}
	for i := range m.Destinations {
		r.destination(&m.Destinations[i])
	}
	if len(m.Slots) > 0 {
		r.fleet(&m.Fleet)
	}
	if len(r.queries) == 0 {
		return m
	}
	if err := r.read(ctx); err != nil {
		m.Problems = append(m.Problems, problemOf(err))
	}
	return m
}

func problemOf(err error) string {
	var refused *awsapi.Error
	if errors.As(err, &refused) && refused.Refusal.Action == Action {
		refused.Refusal.Grant = "the one permission of sallyport doctor on AWS"
	}
	return err.Error()
}

// How long CloudWatch keeps what. "Amazon CloudWatch user guide", "Metrics retention", 2026-09.
const (
	keptMinutes     = 15 * 24 * time.Hour
	keptFiveMinutes = 63 * 24 * time.Hour
)

// finest is the shortest step in which figures that old are kept.
func finest(age time.Duration) time.Duration {
	switch {
	case age < keptMinutes:
		return time.Minute
	case age < keptFiveMinutes:
		return 5 * time.Minute
	default:
		return time.Hour
	}
}

// steps is in how many pieces a window is read where the step does not matter: for a maximum or a sum.
const steps = 100

// coarsest is the step for these.
func coarsest(w doctor.Window, finest time.Duration) time.Duration {
	step := w.To.Sub(w.From) / steps
	return max((step + finest - 1).Truncate(finest), finest)
}

// query asks for one metric; take gets every value.
type query struct {
	namespace, name, statistic string
	dimensions                 map[string]string
	step                       time.Duration
	take                       func(value float64, at time.Time)
}

// reader collects queries and asks them.
type reader struct {
	source       Source
	window       doctor.Window
	fine, coarse time.Duration
	queries      []query
}

const (
	// natNamespace has the gateways' metrics, one value a minute. Amazon VPC user guide, "NAT gateway metrics and dimensions", 2023-06-15.
	natNamespace = "AWS/NATGateway"
	// fleetNamespace has the proxies': see proxyimage/agent/cloudwatch.
	fleetNamespace = "Sallyport"
)

// highest asks for the highest value of a metric.
func (r *reader) highest(namespace, name string, dimensions map[string]string, into *doctor.Peak) {
	r.queries = append(r.queries, query{namespace, name, "Maximum", dimensions, r.coarse, into.Raise})
}

// sum asks for the sum of a metric.
func (r *reader) sum(namespace, name string, dimensions map[string]string, into *doctor.Total) {
	r.queries = append(r.queries, query{namespace, name, "Sum", dimensions, r.coarse, func(v float64, _ time.Time) { into.Add(v) }})
}

// busiest asks for the highest sum of a step, over the number of units that the step has.
func (r *reader) busiest(namespace, name string, dimensions map[string]string, unit time.Duration, into *doctor.Peak) {
	units := float64(r.fine) / float64(unit)
	r.queries = append(r.queries, query{namespace, name, "Sum", dimensions, r.fine, func(v float64, at time.Time) { into.Raise(v/units, at) }})
}

func (r *reader) gateway(g *doctor.Gateway) {
	if g.ID == "" {
		return
	}
	d := map[string]string{"NatGatewayId": g.ID}
	r.highest(natNamespace, "ActiveConnectionCount", d, &g.Connections)
	r.highest(natNamespace, "PeakBytesPerSecond", d, &g.BytesPerSecond)
	r.busiest(natNamespace, "ConnectionAttemptCount", d, time.Second, &g.PerSecond)
	r.sum(natNamespace, "ErrorPortAllocation", d, &g.PortErrors)
}

func (r *reader) slot(s *doctor.Slot) {
	if s.Idle {
		return
	}
	d := map[string]string{"Stack": r.source.Stack, "Slot": s.Name}
	r.highest(fleetNamespace, "Connections", d, &s.Connections)
	r.highest(fleetNamespace, "ConnectionsPerSecond", d, &s.PerSecond)
	r.highest(fleetNamespace, "Busy", d, &s.Busy)
	r.queries = append(r.queries, query{fleetNamespace, "Ready", "Maximum", d, r.fine, func(v float64, at time.Time) {
		s.ReadyMinutes.Add(0) // it has spoken
		if v >= 1 {
			s.ReadyMinutes.Add(r.fine.Minutes())
			if end := at.Add(r.fine); end.After(s.LastReady) {
				s.LastReady = end
			}
		}
	}})
}

func (r *reader) destination(d *doctor.Destination) {
	dimensions := map[string]string{"Stack": r.source.Stack, "Destination": d.Name}
	r.highest(fleetNamespace, "SourcePortsInUse", dimensions, &d.Ports)
	// Every proxy writes its rate once a minute: the sum of a minute is the rate of all.
	r.busiest(fleetNamespace, "ConnectionsPerSecond", dimensions, time.Minute, &d.PerSecond)
	r.sum(fleetNamespace, "ConnectFailures", dimensions, &d.Failures)
}

func (r *reader) fleet(f *doctor.Fleet) {
	d := map[string]string{"Stack": r.source.Stack}
	r.sum(fleetNamespace, "Refusals", d, &f.Refusals)
	r.sum(fleetNamespace, "Restarts", d, &f.Restarts)
	r.highest(fleetNamespace, "RoutesProblem", d, &f.RoutesProblem)
}

// maxQueries is how many metrics one call may ask for. "Amazon CloudWatch API Reference", GetMetricData, 2026-09.
const maxQueries = 500

// timeout bounds all calls together.
const timeout = 3 * time.Minute

// read asks everything, as many metrics at a time as the API takes.
func (r *reader) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cfg, err := awsapi.Config(ctx, r.source.Region)
	if err != nil {
		return err
	}
	client := cloudwatch.NewFromConfig(cfg)
	for part := range slices.Chunk(r.queries, maxQueries) {
		if err := r.readPart(ctx, client, part); err != nil {
			return awsapi.Wrap(r.source.Region, Action, err)
		}
	}
	return nil
}

func (r *reader) readPart(ctx context.Context, client *cloudwatch.Client, part []query) error {
	in := &cloudwatch.GetMetricDataInput{
		StartTime: aws.Time(r.window.From.Truncate(r.fine)), EndTime: aws.Time(r.window.To), ScanBy: types.ScanByTimestampAscending,
	}
	byID := map[string]query{}
	for i, q := range part {
		id := fmt.Sprintf("q%d", i)
		byID[id] = q
		metric := &types.Metric{Namespace: aws.String(q.namespace), MetricName: aws.String(q.name)}
		for _, name := range []string{"Stack", "Slot", "Destination", "NatGatewayId"} {
			if value, ok := q.dimensions[name]; ok {
				metric.Dimensions = append(metric.Dimensions, types.Dimension{Name: aws.String(name), Value: aws.String(value)})
			}
		}
		in.MetricDataQueries = append(in.MetricDataQueries, types.MetricDataQuery{Id: aws.String(id), MetricStat: &types.MetricStat{
			Metric: metric, Period: aws.Int32(int32(q.step / time.Second)), Stat: aws.String(q.statistic)}})
	}
	for pages := cloudwatch.NewGetMetricDataPaginator(client, in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, result := range page.MetricDataResults {
			q, asked := byID[aws.ToString(result.Id)]
			if !asked || len(result.Timestamps) != len(result.Values) {
				return fmt.Errorf("the answer does not fit the question: metric %q with %d times and %d values", aws.ToString(result.Id), len(result.Timestamps), len(result.Values))
			}
			for i, value := range result.Values {
				q.take(value, result.Timestamps[i])
			}
		}
	}
	return nil
}
