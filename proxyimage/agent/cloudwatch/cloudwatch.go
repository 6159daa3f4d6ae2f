// Package cloudwatch writes the agent's figures into its log, once a minute, as lines in CloudWatch's embedded metric format: the
// log driver sends them with the log, and CloudWatch Logs makes metrics of them. So a proxy needs no further program and no
// permission but to write its log.
//
// Every series costs money, so only what alarms, scaling and the dashboard look at becomes one. Figures per destination are not kept
// per proxy as series; the line in the log says which proxy it was.
//
// Lines are written at the same second of every minute, one a minute and proxy. So the sum of a figure over a minute is its sum over
// proxies.
package cloudwatch

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Namespace is where the metrics are.
const Namespace = "Sallyport"

// at is the second of the minute at which lines are written: far from its ends, so that a late timer stays within the minute.
const at = 30 * time.Second

// Dimensions say whose figures they are.
type Dimensions struct{ Stack, Zone, Slot string }

var value = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)

// ParseDimensions reads "stack=<stack>,zone=<zone>,slot=<slot>".
func ParseDimensions(text string) (Dimensions, error) {
	var d Dimensions
	fields := map[string]*string{"stack": &d.Stack, "zone": &d.Zone, "slot": &d.Slot}
	for _, part := range strings.Split(text, ",") {
		name, v, _ := strings.Cut(part, "=")
		field := fields[name]
		if field == nil || *field != "" || !value.MatchString(v) {
			return Dimensions{}, fmt.Errorf("must be stack=<stack>,zone=<zone>,slot=<slot> of letters, digits and . _ -")
		}
		*field = v
	}
	if d.Stack == "" || d.Zone == "" || d.Slot == "" {
		return Dimensions{}, fmt.Errorf("must name stack, zone and slot")
	}
	return d, nil
}

// Writer writes the lines.
type Writer struct {
	dimensions Dimensions
	gather     prometheus.Gatherer
	ready      func() bool
	bytes      func() (received, sent uint64, err error)
	out        io.Writer
	logger     *slog.Logger

	last *sample // nil before the first
}

// New returns a writer of the figures that gather has. Each line is one Write to out.
func New(d Dimensions, gather prometheus.Gatherer, ready func() bool, out io.Writer, logger *slog.Logger) *Writer {
	return &Writer{dimensions: d, gather: gather, ready: ready, bytes: interfaceBytes, out: out, logger: logger}
}

// Run writes once a minute until ctx is done.
func (w *Writer) Run(ctx context.Context) {
	for {
		now := time.Now()
		select {
		case <-ctx.Done():
			return
		case <-time.After(untilNext(now)):
			w.write(time.Now())
		}
	}
}

// untilNext is the time to the next second of a minute at which lines are due.
func untilNext(now time.Time) time.Duration {
	next := now.Truncate(time.Minute).Add(at)
	if !next.After(now) {
		next = next.Add(time.Minute)
	}
	return next.Sub(now)
}

// write takes a sample and writes what it and the one before it say.
func (w *Writer) write(now time.Time) {
	s, err := w.sample(now)
	if err != nil {
		w.logger.Warn("figures for CloudWatch are incomplete", "error", err)
	}
	for _, line := range w.lines(s) {
		text, err := json.Marshal(line)
		if err != nil {
			w.logger.Error("cannot write figures for CloudWatch", "error", err)
			return
		}
		if _, err := w.out.Write(append(text, '\n')); err != nil {
			return // the log is gone; so is who could be told
		}
	}
	w.last = s
}

// metric is one name in a directive.
type metric struct {
	Name string `json:"Name"`
	Unit string `json:"Unit"`
}

// directive makes metrics of members of the line. CloudWatch user guide, "Embedded metric format specification", 2026.
type directive struct {
	Namespace  string     `json:"Namespace"`
	Dimensions [][]string `json:"Dimensions"`
	Metrics    []metric   `json:"Metrics"`
}

// lines are what there is to say: one line for the proxy, one for each destination.
func (w *Writer) lines(s *sample) []map[string]any {
	elapsed := 0.0
	if w.last != nil {
		elapsed = s.when.Sub(w.last.when).Seconds()
	}
	proxy := map[string]any{
		"Stack": w.dimensions.Stack, "Zone": w.dimensions.Zone, "Slot": w.dimensions.Slot, "Ready": flag(s.ready),
		"Connections": s.sessions, "Busy": 100 * (1 - s.idle), "RoutesSerial": s.serial, "RoutesProblem": s.problem,
	}
	perProxy := []metric{{"Ready", "Count"}, {"Connections", "Count"}, {"Busy", "Percent"}}
	whole := []metric{{"RoutesSerial", "None"}, {"RoutesProblem", "Count"}}
	if elapsed > 0 {
		before := w.last
		proxy["ConnectionsPerSecond"] = rate(s.total.connections, before.total.connections, elapsed)
		proxy["BytesPerSecond"] = max(rate(s.received, before.received, elapsed), rate(s.sent, before.sent, elapsed))
		proxy["ConnectFailures"] = rise(s.total.failures, before.total.failures)
		proxy["Refusals"] = rise(s.refusals, before.refusals)
		proxy["Restarts"] = rise(s.restarts, before.restarts)
		perProxy = append(perProxy, metric{"ConnectionsPerSecond", "Count/Second"}, metric{"BytesPerSecond", "Bytes/Second"})
		whole = append(whole, metric{"ConnectFailures", "Count"}, metric{"Refusals", "Count"}, metric{"Restarts", "Count"})
	}
	proxy["_aws"] = header(s.when,
		directive{Namespace, [][]string{{"Stack", "Slot"}, {"Stack", "Zone"}}, perProxy},
		directive{Namespace, [][]string{{"Stack"}}, whole})
	lines := []map[string]any{proxy}
	for _, name := range s.names() {
		lines = append(lines, w.destination(name, s, elapsed))
	}
	return lines
}

// destination is the line of one destination.
func (w *Writer) destination(name string, s *sample, elapsed float64) map[string]any {
	d := s.destinations[name]
	line := map[string]any{
		"Stack": w.dimensions.Stack, "Zone": w.dimensions.Zone, "Slot": w.dimensions.Slot, "Destination": name, "SourcePortsInUse": d.ports,
	}
	metrics := []metric{{"SourcePortsInUse", "Count"}}
	if elapsed > 0 {
		before := w.last.destinations[name]
		line["ConnectFailures"] = rise(d.failures, before.failures)
		line["ConnectionsPerSecond"] = rate(d.connections, before.connections, elapsed)
		metrics = append(metrics, metric{"ConnectFailures", "Count"}, metric{"ConnectionsPerSecond", "Count/Second"})
	}
	line["_aws"] = header(s.when, directive{Namespace, [][]string{{"Stack", "Destination"}}, metrics})
	return line
}

func header(when time.Time, directives ...directive) map[string]any {
	return map[string]any{"Timestamp": when.UnixMilli(), "CloudWatchMetrics": directives}
}

// rise is how far a counter went up. It begins again at 0 when what counts is started again.
func rise(now, before float64) float64 {
	if now < before {
		return now
	}
	return now - before
}

func rate(now, before, seconds float64) float64 { return rise(now, before) / seconds }

func flag(set bool) int {
	if set {
		return 1
	}
	return 0
}
