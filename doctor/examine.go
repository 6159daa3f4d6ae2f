package doctor

import (
	"math"
	"slices"
	"time"

	"github.com/sallyport/sallyport/components/capacity"
	"github.com/sallyport/sallyport/components/stack"
)

// examiner is a report while it is being made.
type examiner struct {
	in     Input
	demand capacity.Input // what the plan was computed from
	report Report

	// natFactor is what the NAT carries over what was planned, at the gateway where it is highest; 0 if unknown.
	natFactor float64
	natFails  bool               // connections found no port
	rates     map[string]float64 // proxied destinations: new connections/s over the planned
	ports     map[string]float64 // proxied destinations: ports over the planned
}

func newExaminer(in Input) *examiner {
	return &examiner{
		in: in, demand: in.Settings.CapacityInput(), rates: map[string]float64{}, ports: map[string]float64{},
		report: Report{Stack: in.Stack, Cloud: string(in.Settings.Cloud), From: in.Window.From, To: in.Window.To, Rows: []Row{},
			Problems: append([]string{}, in.Measured.Problems...), Advice: []Advice{}},
	}
}

// scatter is how many standard deviations the highest of many values may lie above the mean before it contradicts the plan. Ports
// in use and arrivals within a time scatter like the root of their mean (Poisson, as in Erlang's formula).
const scatter = 5

// slack is what is forgiven besides: a plan is round.
const slack = 1.1

// aboveMean reports whether a highest value contradicts a planned mean, where n is how many the mean stands for: the ports
// themselves, or the arrivals of a minute for a rate.
func aboveMean(value, mean, n float64) bool {
	if n <= 0 {
		return value > 0
	}
	return value > slack*mean && value > mean*(1+scatter/math.Sqrt(n))
}

// planned makes a row of a peak that was planned as a mean over n.
func (e *examiner) planned(subject, figure, unit string, p Peak, mean, n, ceiling float64) Row {
	row := Row{Subject: subject, Figure: figure, Unit: unit, Planned: mean, Ceiling: ceiling, Verdict: NoData}
	if !p.Known {
		return row
	}
	row.measure(p.Value, p.At)
	switch {
	case ceiling > 0 && row.Share >= 1:
		row.Verdict = Over
	case ceiling > 0 && row.Share >= Close:
		row.Verdict = CloseTo
	case mean > 0 && aboveMean(p.Value, mean, n):
		row.Verdict = AbovePlan
	default:
		row.Verdict = OK
	}
	return row
}

func (r *Row) measure(value float64, at time.Time) {
	value = math.Round(value*100) / 100
	r.Measured = &value
	if !at.IsZero() {
		at = at.UTC()
		r.At = &at
	}
	if r.Ceiling > 0 {
		r.Share = math.Round(value/r.Ceiling*1e4) / 1e4
	}
}

// none makes a row of a total that has to be 0.
func none(subject, figure string, t Total, note string) Row {
	row := Row{Subject: subject, Figure: figure, Verdict: NoData}
	if t.Known {
		row.measure(t.Value, time.Time{})
		row.Verdict = OK
		if t.Value > 0 {
			row.Verdict, row.Note = Over, note
		}
	}
	return row
}

func (e *examiner) add(rows ...Row) { e.report.Rows = append(e.report.Rows, rows...) }

// via returns the destinations of one way.
func (e *examiner) via(way capacity.Via) []capacity.Destination {
	var ds []capacity.Destination
	for _, d := range e.demand.Destinations {
		if d.Via == way {
			ds = append(ds, d)
		}
	}
	return ds
}

// margin returns what the plan says of a destination.
func (e *examiner) margin(name string) capacity.Margin {
	i := slices.IndexFunc(e.in.Plan.Margins, func(m capacity.Margin) bool { return m.Destination == name })
	if i < 0 {
		return capacity.Margin{}
	}
	return e.in.Plan.Margins[i]
}

// index returns where the stack file lists a destination.
func (e *examiner) index(name string) int {
	for i, d := range e.in.Settings.Destinations {
		if d.Name == name {
			return i
		}
	}
	return -1
}

// opened is how many connections per second a destination is planned to be sent: fewer than requested where a pool shares them.
func opened(d capacity.Destination) float64 { return d.ConnectionsPerSecond / d.RequestsPerConnection }

// busiestZone is the share of the whole load that the plan gives to the busiest of the zones. It is the plan's arithmetic: nodes
// spread evenly, the busiest node among those of the zone with most.
func (e *examiner) busiestZone() float64 {
	nodes := math.Ceil(float64(e.demand.Nodes) / float64(max(len(e.demand.Zones), 1)))
	return math.Min((nodes-1+e.demand.Skew)/float64(max(e.demand.Nodes, 1)), 1)
}

// natLoad is what all destinations of the NAT are planned to take: new connections per second, and connections open at once.
func (e *examiner) natLoad() (perSecond, held float64) {
	for _, d := range e.via(capacity.ViaNat) {
		perSecond += opened(d)
		held += d.ConnectionsPerSecond * d.SecondsPerConnection
	}
	return perSecond, held
}

func (e *examiner) aws() bool { return e.in.Settings.Cloud == stack.CloudAWS }
