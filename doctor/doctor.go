// Package doctor says how close a running stack is to its ceilings, what the model predicted, and what to change in the stack file.
//
// It is pure: figures that somebody measured go in (awsmetrics and gcpmetrics read them from the clouds), a report comes out. The
// thresholds and the advice follow from the same plan that built the stack: advice is the plan of the traffic that was measured.
//
// The limit that matters: what runs out is ports per destination, and a NAT has no figure per destination. AWS tells only how many
// connections all destinations of a gateway have together, GCP only how many ports the worst destination takes. What is said about
// a destination behind a NAT is therefore an estimate, marked as such: its planned load, scaled by what the gateway really carries.
//
// No figure is no good news: what could not be read is a finding.
package doctor

import (
	"time"

	"github.com/sallyport/sallyport/components/capacity"
	"github.com/sallyport/sallyport/components/stack"
)

// Close is the share of a ceiling from which on it is a finding: that of the alarms.
const Close = 0.8

// Window is the time that is looked at, From inclusive.
type Window struct{ From, To time.Time }

// Minutes is its length.
func (w Window) Minutes() float64 { return w.To.Sub(w.From).Minutes() }

// Peak is the highest value of a figure within the window. Unless Known, there was no figure.
type Peak struct {
	Known bool
	Value float64
	At    time.Time // the beginning of the time that it was the highest of
}

// Raise takes a value into account.
func (p *Peak) Raise(value float64, at time.Time) {
	if !p.Known || value > p.Value || value == p.Value && at.Before(p.At) {
		*p = Peak{true, value, at}
	}
}

// Total is the sum of a figure over the window. Unless Known, there was no figure.
type Total struct {
	Known bool
	Value float64
}

// Add takes a value into account.
func (t *Total) Add(value float64) { t.Known, t.Value = true, t.Value+value }

// Gateway is a NAT gateway or a Cloud NAT gateway, as measured.
type Gateway struct {
	Name string // zone on AWS, the gateway's name on GCP
	ID   string // what the cloud calls it
	// Connections are those open at once, PerSecond new ones in the busiest minute.
	Connections, PerSecond Peak
	BytesPerSecond         Peak  // AWS
	PortErrors             Total // AWS: connections that found no port
	// Ports are those that the busiest VM has to one destination address. GCP.
	Ports    Peak
	Dropped  Total // GCP: packets that found no port
	Unserved Total // GCP: minutes in which a VM had no IP to leave by
}

// Slot is a place for a proxy, as measured.
type Slot struct {
	Name, Zone string
	// Elastic says that it need not have a machine all the time; Idle that it is not meant to have one at all.
	Elastic, Idle          bool
	Connections, PerSecond Peak
	Busy                   Peak  // percent of the time that HAProxy works
	ReadyMinutes           Total // in which it was ready
	LastReady              time.Time
}

// Destination is a proxied destination, as measured.
type Destination struct {
	Name string
	// Ports are those in use at the busiest source address of the busiest proxy.
	Ports Peak
	// PerSecond are new connections of the whole fleet in the busiest minute.
	PerSecond Peak
	Failures  Total // connections that the destination did not accept
}

// Fleet is what concerns all proxies, as measured.
type Fleet struct {
	Refusals, Restarts Total
	RoutesProblem      Peak // 1: a proxy does not have the routes document that it should
}

// Measured is everything that was read.
type Measured struct {
	Gateways     []Gateway
	Slots        []Slot
	Destinations []Destination
	Fleet        Fleet
	// Problems are reads that brought no answer, one line each, with what to do.
	Problems []string
}

// Input is what a report is made of.
type Input struct {
	Stack    string // its name
	Settings *stack.Stack
	Plan     capacity.Plan
	Window   Window
	Measured Measured
}

// Verdict is what a row means.
type Verdict string

// The verdicts.
const (
	OK        Verdict = "ok"
	CloseTo   Verdict = "close"      // at Close of the ceiling or above
	Over      Verdict = "over"       // at the ceiling, or something fails already
	AbovePlan Verdict = "above plan" // within the ceiling, and clearly more than was planned for
	NoData    Verdict = "no data"
)

// Row is one figure of one thing.
type Row struct {
	Subject string `json:"subject"` // "destination payments", "gateway eu-west-1a", "slot proxy-eu-west-1a-1", "fleet"
	Figure  string `json:"figure"`
	Unit    string `json:"unit,omitempty"`
	// Measured is nil if there is no figure.
	Measured *float64   `json:"measured"`
	At       *time.Time `json:"at,omitempty"`
	Planned  float64    `json:"planned"`           // 0: nothing was planned
	Ceiling  float64    `json:"ceiling,omitempty"` // 0: none
	Share    float64    `json:"share,omitempty"`   // of the ceiling
	Verdict  Verdict    `json:"verdict"`
	// Estimate says that it was not measured but follows from what was.
	Estimate bool   `json:"estimate,omitempty"`
	Note     string `json:"note,omitempty"`
}

// Change is one line of the stack file to change.
type Change struct {
	Key  string `json:"key"`
	From any    `json:"from"`
	To   any    `json:"to"`
}

// Advice is what to change and why.
type Advice struct {
	Why     string   `json:"why"`
	Changes []Change `json:"changes,omitempty"` // of the stack file; empty if it does not decide
	Effect  string   `json:"effect,omitempty"`  // what the plan becomes
}

// Report is the result.
type Report struct {
	Stack    string    `json:"stack"`
	Cloud    string    `json:"cloud"`
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	Rows     []Row     `json:"rows"`
	Problems []string  `json:"problems"` // reads that brought no answer; never nil
	Advice   []Advice  `json:"advice"`   // never nil
	Findings int       `json:"findings"` // rows that are not ok, and problems
}

// Examine compares what was measured with the plan.
func Examine(in Input) Report {
	e := newExaminer(in)
	e.gateways()
	e.natDestinations()
	e.proxiedDestinations()
	e.slots()
	e.fleet()
	e.advise()
	r := e.report
	for _, row := range r.Rows {
		if row.Verdict != OK {
			r.Findings++
		}
	}
	r.Findings += len(r.Problems)
	return r
}
