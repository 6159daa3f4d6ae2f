package load

import (
	"slices"
	"sync"
	"time"
)

// Class says how a connection failed.
type Class string

// The classes.
const (
	Timeout  Class = "timeout"  // no answer in time; also a SYN that a NAT without free port dropped
	Refused  Class = "refused"  // reset in answer to SYN, or ICMP
	Reset    Class = "reset"    // reset later
	EOF      Class = "eof"      // closed by the other side before the answer or before the hold time was over
	TLS      Class = "tls"      // handshake failed, certificate not trusted
	Status   Class = "status"   // HTTP status other than 200 (403: the partner's allow list)
	DNS      Class = "dns"      // no address
	Overload Class = "overload" // not tried: the generator had too many connections in flight
	Other    Class = "other"
)

// Result is what a run measured.
type Result struct {
	OfferedPerSecond float64           `json:"offeredPerSecond"` // connections due divided by the time in which they were due
	ElapsedSeconds   float64           `json:"elapsedSeconds"`   // until the last connection was closed
	Connections      int               `json:"connections"`      // due, each counted once, whatever the number of attempts
	OK               int               `json:"ok"`               // answered with 200 and not cut while held
	Failed           int               `json:"failed"`           // Connections - OK
	Failures         map[Class]int     `json:"failures"`         // the last attempt's class; never nil
	FirstFailures    map[Class]int     `json:"firstFailures"`    // the first attempt's class, recovered or not; never nil
	Recovered        int               `json:"recovered"`        // OK after more than one attempt
	Attempts         int               `json:"attempts"`         // all attempts
	Connect          Latency           `json:"connect"`          // TCP connect of the attempt that succeeded
	Total            Latency           `json:"total"`            // from due to answer, of connections that are OK
	Seconds          []Second          `json:"seconds"`          // by the second in which the connection was due, from 0
	Sources          map[string]int    `json:"sources"`          // connections by the source IP that the partner saw, refused ones included; never nil
	Held             HeldResult        `json:"held"`
	Errors           map[string]string `json:"errors,omitempty"` // one example of an error message per class
}

// Latency in milliseconds. All are 0 if nothing was measured.
type Latency struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// Second is one second of a run.
type Second struct {
	Connections int `json:"connections"`
	OK          int `json:"ok"`
	Failed      int `json:"failed"`
}

// HeldResult is about the connections that should last for the whole run.
type HeldResult struct {
	Opened   int            `json:"opened"`
	Unopened int            `json:"unopened"` // could not be opened
	Cut      []Cut          `json:"cut"`      // in the order of time; never nil
	Sources  map[string]int `json:"sources"`  // by the source IP that the partner saw; plain connections only, never nil
}

// Cut is a held connection that broke.
type Cut struct {
	AtSeconds float64 `json:"atSeconds"` // since the start of the run
	Class     Class   `json:"class"`
}

// recorder collects a Result. A connection takes the lock once, when it is over.
type recorder struct {
	mu             sync.Mutex
	result         Result
	connect, total []float64 // milliseconds
}

func newRecorder(expected int) *recorder {
	return &recorder{
		result: Result{Failures: map[Class]int{}, FirstFailures: map[Class]int{}, Sources: map[string]int{}, Errors: map[string]string{},
			Seconds: []Second{}, Held: HeldResult{Cut: []Cut{}, Sources: map[string]int{}}},
		connect: make([]float64, 0, expected), total: make([]float64, 0, expected),
	}
}

// outcome is how one connection went.
type outcome struct {
	due            time.Duration // since the start
	connect, total time.Duration
	attempts       int
	source         string
	failure, first Class // empty: OK, never failed
	err            error
}

func (r *recorder) record(o outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := int(o.due / time.Second)
	for len(r.result.Seconds) <= at {
		r.result.Seconds = append(r.result.Seconds, Second{})
	}
	second := &r.result.Seconds[at]
	second.Connections++
	r.result.Connections++
	r.result.Attempts += o.attempts
	if o.source != "" {
		r.result.Sources[o.source]++
	}
	if o.first != "" {
		r.result.FirstFailures[o.first]++
	}
	if o.failure != "" {
		second.Failed++
		r.result.Failed++
		r.result.Failures[o.failure]++
		r.example(o.failure, o.err)
		return
	}
	second.OK++
	r.result.OK++
	if o.attempts > 1 {
		r.result.Recovered++
	}
	r.connect = append(r.connect, milliseconds(o.connect))
	r.total = append(r.total, milliseconds(o.total))
}

// example keeps one message per class. The caller has the lock.
func (r *recorder) example(class Class, err error) {
	if _, seen := r.result.Errors[string(class)]; !seen && err != nil {
		r.result.Errors[string(class)] = err.Error()
	}
}

func (r *recorder) heldOpened(source string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.Held.Opened++
	if source != "" {
		r.result.Held.Sources[source]++
	}
}

func (r *recorder) heldUnopened(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.Held.Unopened++
	r.example(Class("held"), err)
}

func (r *recorder) heldCut(at time.Duration, class Class, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.Held.Cut = append(r.result.Held.Cut, Cut{at.Seconds(), class})
	r.example(Class("held"), err)
}

// progress returns what is known so far.
func (r *recorder) progress() (connections, ok, failed, cut int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.result.Connections, r.result.OK, r.result.Failed, len(r.result.Held.Cut)
}

// finish computes the Result. due is the time in which the connections were due.
func (r *recorder) finish(due, elapsed time.Duration) Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.ElapsedSeconds = elapsed.Seconds()
	if due > 0 {
		r.result.OfferedPerSecond = float64(r.result.Connections) / due.Seconds()
	}
	r.result.Connect, r.result.Total = latency(r.connect), latency(r.total)
	return r.result
}

func latency(values []float64) Latency {
	if len(values) == 0 {
		return Latency{}
	}
	slices.Sort(values)
	at := func(share float64) float64 { return values[int(share*float64(len(values)-1)+0.5)] }
	return Latency{P50: at(0.5), P90: at(0.9), P99: at(0.99), Max: values[len(values)-1]}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
