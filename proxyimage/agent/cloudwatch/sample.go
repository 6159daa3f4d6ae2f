package cloudwatch

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// counts are what is counted of one destination, or of all.
type counts struct {
	connections, failures float64
	ports                 float64 // taken of the busiest source address
}

// sample is the figures at one time.
type sample struct {
	when               time.Time
	ready              bool
	sessions, idle     float64
	serial, problem    float64
	restarts, refusals float64
	received, sent     float64 // bytes of all interfaces
	total              counts
	destinations       map[string]counts
}

// names are the destinations, sorted.
func (s *sample) names() []string { return slices.Sorted(maps.Keys(s.destinations)) }

// sample asks for the figures. What could be found is in the sample even when there is an error.
func (w *Writer) sample(now time.Time) (*sample, error) {
	s := &sample{when: now, ready: w.ready(), idle: 1, destinations: map[string]counts{}}
	received, sent, errBytes := w.bytes()
	s.received, s.sent = float64(received), float64(sent)
	families, err := w.gather.Gather()
	for _, family := range families {
		for _, m := range family.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			s.add(family.GetName(), labels["destination"], m.GetGauge().GetValue()+m.GetCounter().GetValue())
		}
	}
	return s, errors.Join(errBytes, err)
}

// add takes one series of the agent's own metrics; see agent/metrics.go for their names.
func (s *sample) add(name, destination string, v float64) {
	switch name {
	case "sallyport_haproxy_sessions":
		s.sessions = v
	case "sallyport_haproxy_idle_ratio":
		s.idle = v
	case "sallyport_routes_serial":
		s.serial = v
	case "sallyport_routes_problem":
		s.problem = v
	case "sallyport_haproxy_restarts_total":
		s.restarts = v
	case "sallyport_refusals_total":
		s.refusals += v
	case "sallyport_connections_total":
		s.total.connections += v
		s.count(destination, func(c *counts) { c.connections += v })
	case "sallyport_connect_failures_total":
		s.total.failures += v
		s.count(destination, func(c *counts) { c.failures += v })
	case "sallyport_source_ports_in_use":
		s.count(destination, func(c *counts) { c.ports = max(c.ports, v) })
	}
}

// count adds to a destination, or to all that share an address and are named together. What has no name is left out: hosts below
// wildcards are counted with their destination when their connections end, and their ports with nobody's.
func (s *sample) count(names string, change func(*counts)) {
	for _, name := range strings.Split(names, ",") {
		if name != "" {
			c := s.destinations[name]
			change(&c)
			s.destinations[name] = c
		}
	}
}

// interfaceBytes returns what all interfaces but loopback have received and sent since the machine started. The proxy shares the
// machine's network, so this is the machine's traffic.
func interfaceBytes() (received, sent uint64, err error) {
	file, err := os.Open("/proc/net/dev")
	if err != nil {
		return 0, 0, err
	}
	defer file.Close()
	return parseInterfaces(file)
}

// parseInterfaces reads the kernel's table: two lines of headings, then "<name>: <bytes> <7 more received> <bytes> <7 more sent>".
func parseInterfaces(table io.Reader) (received, sent uint64, err error) {
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		name, figures, ok := strings.Cut(lines.Text(), ":")
		if !ok || strings.TrimSpace(name) == "lo" {
			continue
		}
		fields := strings.Fields(figures)
		if len(fields) < 16 {
			return 0, 0, fmt.Errorf("/proc/net/dev: needs 16 figures, got %q", lines.Text())
		}
		var in, out uint64
		if _, err := fmt.Sscan(fields[0]+" "+fields[8], &in, &out); err != nil {
			return 0, 0, fmt.Errorf("/proc/net/dev: %w", err)
		}
		received, sent = received+in, sent+out
	}
	return received, sent, lines.Err()
}
