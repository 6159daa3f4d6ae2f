package demo

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
)

// Report is everything the demo measured.
type Report struct {
	Exhaustion []Point     `json:"exhaustion"` // a NAT with too few ports, measured beside predicted
	Paths      []Path      `json:"paths"`      // the ways out of the stack at the declared demand
	DNS        []DNSLookup `json:"dns"`        // queries a lookup costs
	Failover   *Failover   `json:"failover"`   // a proxy killed under load; nil if the fleet has only one
}

// Point is one offered load on the NAT with few ports.
type Point struct {
	Ports       int     `json:"ports"`
	OfferedLoad float64 `json:"offeredLoad"` // ports in use if there were enough: rate x (hold + TIME_WAIT)
	Attempts    int     `json:"attempts"`
	Failed      int     `json:"failed"`
	Predicted   float64 `json:"predicted"` // Erlang B
}

// Measured is the share of attempts that found no port.
func (p Point) Measured() float64 { return share(p.Failed, p.Attempts) }

// Path is one way out under load.
type Path struct {
	Name        string   `json:"name"`
	Destination string   `json:"destination"`
	Rate        float64  `json:"rate"` // new connections per second that were really offered
	Attempts    int      `json:"attempts"`
	Failed      int      `json:"failed"`
	P50Millis   float64  `json:"p50Millis"` // DNS, connect, TLS and first answer together
	P99Millis   float64  `json:"p99Millis"`
	Sources     []string `json:"sources"` // source IPs the partner saw
}

// DNSLookup says what resolving one external name costs.
type DNSLookup struct {
	NDots    int     `json:"ndots"`
	Lookups  int     `json:"lookups"`
	Queries  float64 `json:"queriesPerLookup"`  // from the pod
	Upstream float64 `json:"upstreamPerLookup"` // of these, past the node's cache
}

// Failover is what clients saw when a whole proxy was killed.
type Failover struct {
	Proxy        string  `json:"proxy"`
	Rate         float64 `json:"rate"`
	Attempts     int     `json:"attempts"`
	Failed       int     `json:"failed"`       // even after trying the next address
	FirstRefused int     `json:"firstRefused"` // first tries that failed; the next try succeeded or is counted in Failed
	LastFailure  float64 `json:"lastFailure"`  // seconds after the kill; 0 if nothing failed
}

// share is part of whole, 0 for an empty whole.
func share(part, whole int) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

// Print writes the report as a person reads it.
func (r Report) Print(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	line := func(cells ...any) {
		text := make([]string, len(cells))
		for i, cell := range cells {
			text[i] = fmt.Sprint(cell)
		}
		_, _ = fmt.Fprintln(table, "  "+strings.Join(text, "\t"))
	}
	title := func(format string, args ...any) {
		_ = table.Flush()
		_, _ = fmt.Fprintf(w, "\n"+format+"\n", args...)
	}
	if len(r.Exhaustion) > 0 {
		title("A NAT with %d ports per VM, one destination: measured beside Erlang B", r.Exhaustion[0].Ports)
		line("offered load", "attempts", "failed", "measured", "predicted", "")
		for _, p := range r.Exhaustion {
			line(fmt.Sprintf("%.1f", p.OfferedLoad), p.Attempts, p.Failed, percent(p.Measured()), percent(p.Predicted), bar(p.Measured()))
		}
	}
	title("The ways out of this stack")
	line("way", "destination", "new/s", "attempts", "failed", "p50 ms", "p99 ms", "seen as")
	for _, p := range r.Paths {
		line(p.Name, p.Destination, fmt.Sprintf("%.0f", p.Rate), p.Attempts, p.Failed,
			fmt.Sprintf("%.1f", p.P50Millis), fmt.Sprintf("%.1f", p.P99Millis), strings.Join(p.Sources, " "))
	}
	title("DNS queries for one external name")
	line("ndots", "queries per lookup", "past the node's cache")
	for _, d := range r.DNS {
		line(d.NDots, fmt.Sprintf("%.2f", d.Queries), fmt.Sprintf("%.3f", d.Upstream))
	}
	if f := r.Failover; f != nil {
		title("Proxy %s killed under %.0f new connections/s", f.Proxy, f.Rate)
		line("attempts", "first try refused", "failed after next try", "last failure after")
		line(f.Attempts, f.FirstRefused, f.Failed, fmt.Sprintf("%.1f s", f.LastFailure))
	}
	return table.Flush()
}

// percent prints a share.
func percent(x float64) string { return fmt.Sprintf("%.1f %%", 100*x) }

// bar draws a share as up to 30 marks.
func bar(x float64) string { return strings.Repeat("#", int(30*x+0.5)) }

// Write writes report.json and, if there is a curve, blocking.svg and blocking.png into a folder.
func (r Report) Write(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if err := os.WriteFile(filepath.Join(folder, "report.json"), append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if len(r.Exhaustion) == 0 {
		return nil
	}
	return plotBlocking(r.Exhaustion, folder)
}
