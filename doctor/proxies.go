package doctor

import (
	"fmt"
	"slices"
	"time"

	"github.com/sallyport/sallyport/components/capacity"
)

// proxiedDestinations compares every destination of the fleet with its ports and its declared rate.
func (e *examiner) proxiedDestinations() {
	for _, d := range e.via(capacity.ViaProxy) {
		m, found := e.margin(d.Name), e.measuredDestination(d.Name)
		subject, rate := "destination "+d.Name, opened(d)
		ports := e.planned(subject, "ports at the busiest proxy", "", found.Ports, m.Load, m.Load, float64(m.Ceiling))
		perSecond := e.planned(subject, "new connections", "/s", found.PerSecond, rate, rate*60, 0)
		if found.Failures.Value > 0 {
			perSecond.Note = fmt.Sprintf("%s connections were not accepted by the destination", amount(found.Failures.Value, ""))
		}
		e.add(ports, perSecond)
		if ports.Verdict != OK && ports.Verdict != NoData {
			e.ports[d.Name] = found.Ports.Value / e.expected(d)
		}
		if perSecond.Verdict == AbovePlan {
			e.rates[d.Name] = found.PerSecond.Value / rate
		}
	}
}

// expected is how many ports the declared demand takes at each source address while the fleet is as large as it was: the plan does
// not count on the spares, but they carry their share.
func (e *examiner) expected(d capacity.Destination) float64 {
	running := 0
	for _, s := range e.in.Measured.Slots {
		if !s.Idle && s.Connections.Known {
			running++
		}
	}
	ports := d.ConnectionsPerSecond * (d.SecondsPerConnection + capacity.ProxyTimeWait/d.RequestsPerConnection) / float64(d.Addresses)
	return ports / float64(max(running, 1)*e.demand.Proxies.IPsPerProxy)
}

func (e *examiner) measuredDestination(name string) Destination {
	i := slices.IndexFunc(e.in.Measured.Destinations, func(d Destination) bool { return d.Name == name })
	if i < 0 {
		return Destination{}
	}
	return e.in.Measured.Destinations[i]
}

// silence is how long a proxy may say nothing before the end of the window: figures come once a minute, and take some to arrive.
const silence = 5 * time.Minute

// slots compares every proxy with what one is planned to take.
func (e *examiner) slots() {
	ds := e.via(capacity.ViaProxy)
	if len(ds) == 0 {
		return
	}
	if len(e.in.Measured.Slots) == 0 {
		e.add(Row{Subject: "slots", Figure: "all", Verdict: NoData, Note: "no proxy is known: the stack's outputs name none"})
		return
	}
	var rate, held float64
	for _, d := range ds {
		rate += opened(d)
		held += d.ConnectionsPerSecond * d.SecondsPerConnection
	}
	// The plan does not count on the spares.
	working := float64(max(e.in.Plan.Proxies.Total-e.demand.Proxies.SparePerZone*len(e.demand.Zones), 1))
	for _, s := range e.in.Measured.Slots {
		if s.Idle || s.Elastic && !s.Connections.Known {
			continue
		}
		subject := "slot " + s.Name
		e.add(
			e.planned(subject, "open connections", "", s.Connections, held/working, held/working, float64(e.demand.Proxies.MaxConnections)),
			e.planned(subject, "new connections", "/s", s.PerSecond, rate/working, rate/working*60, e.demand.Proxies.ConnectionsPerSecond),
			e.planned(subject, "busy", "%", s.Busy, 0, 0, 100),
			e.ready(s),
		)
	}
}

// ready tells whether a proxy was ready, and whether it is.
func (e *examiner) ready(s Slot) Row {
	row := Row{Subject: "slot " + s.Name, Figure: "minutes not ready", Verdict: NoData}
	if !s.ReadyMinutes.Known {
		row.Note = "it has said nothing"
		return row
	}
	down := max(e.in.Window.Minutes()-s.ReadyMinutes.Value, 0)
	row.measure(down, time.Time{})
	row.Verdict = OK
	switch {
	case s.Elastic:
		row.Note = "it starts and stops with the load"
	case s.LastReady.IsZero():
		row.Verdict, row.Note = Over, "it was never ready"
	case e.in.Window.To.Sub(s.LastReady) > silence:
		row.Verdict, row.Note = Over, "it was last ready at "+stamp(s.LastReady)
	}
	return row
}

// fleet tells what concerns all proxies.
func (e *examiner) fleet() {
	if len(e.via(capacity.ViaProxy)) == 0 || len(e.in.Measured.Slots) == 0 {
		return
	}
	f := e.in.Measured.Fleet
	routes := e.planned("fleet", "routes document not in force", "", f.RoutesProblem, 0, 0, 1)
	if routes.Verdict == Over {
		routes.Note = "/readyz of the proxy says why"
	}
	refusals := none("fleet", "refusals", f.Refusals, "")
	if refusals.Verdict == Over { // what is refused was meant to be, unless somebody misses it
		refusals.Verdict, refusals.Note = OK, "by reason in the proxies' log: destinations that are not listed, clients beyond a limit"
	}
	e.add(routes, none("fleet", "restarts of HAProxy", f.Restarts, "the proxies' log says why"), refusals)
}
