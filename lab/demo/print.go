package demo

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Print writes the report as a person reads it. Parts that were not measured do not appear.
func (r Report) Print(w io.Writer) error {
	p := &printer{w: w, table: tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)}
	r.printExhaustion(p)
	r.printPaths(p)
	r.printFailover(p)
	r.printPooling(p)
	r.printDNS(p)
	p.keep(p.table.Flush())
	return p.err
}

// printer keeps the first error.
type printer struct {
	w     io.Writer
	table *tabwriter.Writer
	err   error
}

func (p *printer) keep(err error) {
	if p.err == nil {
		p.err = err
	}
}

// title begins a table.
func (p *printer) title(format string, args ...any) {
	p.note("")
	p.note(format, args...)
}

// note writes a line outside of tables.
func (p *printer) note(format string, args ...any) {
	p.keep(p.table.Flush())
	_, err := fmt.Fprintf(p.w, format+"\n", args...)
	p.keep(err)
}

// row adds a line to a table.
func (p *printer) row(cells ...any) {
	text := make([]string, len(cells))
	for i, cell := range cells {
		text[i] = fmt.Sprint(cell)
	}
	_, err := fmt.Fprintln(p.table, "  "+strings.Join(text, "\t"))
	p.keep(err)
}

func (r Report) printExhaustion(p *printer) {
	if len(r.Exhaustion) == 0 {
		return
	}
	p.title("A NAT with %d ports per VM, one destination: measured beside the prediction (Erlang B)", r.Exhaustion[0].Ports)
	p.row("ports", "offered load", "connections", "failed", "measured", "predicted", "")
	other := 0
	row := func(ports string, point Point) {
		p.row(ports, fmt.Sprintf("%.1f", point.OfferedLoad), point.Attempts, point.Failed, percent(point.Measured()),
			percent(point.Predicted), bar(point.Measured()))
		other += point.Other
	}
	for _, point := range r.Exhaustion {
		row(strconv.Itoa(point.Ports), point)
	}
	if r.Computed != nil {
		row(fmt.Sprintf("%d, computed", r.Computed.Ports), *r.Computed)
	}
	p.note("  Offered load: new connections/s x the %.2f s (life and TIME_WAIT) that each holds a port, so the ports in use if there were enough.",
		r.Exhaustion[0].OccupiedSeconds)
	if other > 0 {
		p.note("  NOTE: %d connections failed otherwise than by a timeout, see report.json.", other)
	}
	if r.Computed != nil && r.Computed.Failed > 0 {
		p.note("  NOTE: %d connections got no answer within 0.9 s although ports were free: this machine is too busy. The other lines suffer as well.",
			r.Computed.Failed)
	}
}

func (r Report) printPaths(p *printer) {
	if len(r.Paths) == 0 {
		return
	}
	p.title("The ways out of stack %s at the declared demand", r.Stack)
	p.row("way out", "destination", "new/s", "connections", "failed", "p50 ms", "p99 ms", "seen as")
	for _, path := range r.Paths {
		p.row(path.Name, path.Destination, fmt.Sprintf("%.0f", path.Rate), path.Attempts, path.Failed,
			fmt.Sprintf("%.1f", path.P50Millis), fmt.Sprintf("%.1f", path.P99Millis), Ranges(path.Sources))
	}
	failed := 0
	for _, path := range r.Paths {
		failed += path.Failed
	}
	p.note("  The NAT dropped %d SYNs for want of a port.", r.NoPort)
	if failed > 0 && r.NoPort == 0 {
		p.note("  NOTE: %d connections failed for other reasons, see report.json; timeouts mean that this machine is too busy for the load.", failed)
	}
	for _, path := range r.Paths {
		if len(path.Unlisted) > 0 {
			p.note("  NOTE: %s saw IPs that are not active on its allow list: %s", path.Destination, strings.Join(path.Unlisted, " "))
		}
	}
	switch {
	case r.Sources == nil:
	case r.Sources.Same():
		p.note("  Partners saw exactly the %d active IPs of the allow list.", len(r.Sources.Active))
	default:
		p.note("  Partners saw %s; active on the allow list: %s", Ranges(r.Sources.Seen), Ranges(r.Sources.Active))
	}
}

func (r Report) printFailover(p *printer) {
	f := r.Failover
	if f == nil {
		return
	}
	p.title("%s killed (SIGKILL) under %.0f new connections/s", f.Proxy, f.Rate)
	p.row("client", "connections", "failed", "last failure")
	p.row("tries once", f.OnceAttempts, f.OnceFailed, after(f.LastFailure))
	p.row("tries a second address", f.Attempts, f.Failed, after(f.LastFinalFailure))
	p.note("  Of the latter, %d first tries failed. Node-local DNS stops handing out a dead proxy within seconds.", f.FirstRefused)
	if f.RepairSeconds > 0 {
		addresses := "the same IPs"
		if !f.SameAddresses {
			addresses = "OTHER IPs"
		}
		p.note("  `pulumi up --refresh` had it back after %.0f s, with %s.", f.RepairSeconds, addresses)
	}
}

func (r Report) printDNS(p *printer) {
	if len(r.DNS) == 0 {
		return
	}
	p.title("DNS queries for %s, as a glibc client sends them", r.DNS[0].Host)
	p.row("resolv.conf", "lookups", "queries per lookup", "of these past the node's cache")
	for _, d := range r.DNS {
		p.row(fmt.Sprintf("ndots:%d", d.NDots), d.Lookups, fmt.Sprintf("%.2f", d.Queries), fmt.Sprintf("%.3f", d.Upstream))
	}
}

// after prints a time after the kill that was rounded up.
func after(seconds float64) string {
	if seconds == 0 {
		return "-"
	}
	return fmt.Sprintf("within %.0f s", seconds)
}

// percent prints a share.
func percent(x float64) string { return fmt.Sprintf("%.1f %%", 100*x) }

// bar draws a share as up to 30 marks.
func bar(x float64) string { return strings.Repeat("#", int(30*x+0.5)) }
