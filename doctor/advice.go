package doctor

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/components/capacity"
)

// Headroom is what advice adds to a measured peak before it becomes a declared one.
const Headroom = 1.2

// most is how many destinations one advice changes: beyond that the cause is not a destination.
const most = 8

// advise says what to change for every kind of finding.
func (e *examiner) advise() {
	e.adviseProxied()
	e.adviseNat()
	e.adviseUnserved()
	e.adviseSlots()
}

func (e *examiner) advice(a Advice) { e.report.Advice = append(e.report.Advice, a) }

// adviseProxied changes what is declared of destinations whose figures contradict it.
func (e *examiner) adviseProxied() {
	for _, d := range e.via(capacity.ViaProxy) {
		rate, byRate := e.rates[d.Name]
		ports, byPorts := e.ports[d.Name]
		if !byRate && !byPorts {
			continue
		}
		changed, place := d, fmt.Sprintf("sallyport:destinations[%d].demand.", e.index(d.Name))
		var changes []Change
		why := []string{}
		if byRate {
			changed.ConnectionsPerSecond = roundUp(d.ConnectionsPerSecond * rate * Headroom)
			changes = append(changes, Change{place + "connectionsPerSecond", d.ConnectionsPerSecond, changed.ConnectionsPerSecond})
			why = append(why, fmt.Sprintf("%s opens %s times the connections that are declared", d.Name, ratio(rate)))
		}
		// Ports that the rate does not explain: connections live longer than declared.
		if rest := ports / max(rate, 1); byPorts && rest > slack {
			hold := d.SecondsPerConnection + capacity.ProxyTimeWait/d.RequestsPerConnection
			changed.SecondsPerConnection = roundUp(d.SecondsPerConnection + (rest-1)*hold)
			changes = append(changes, Change{place + "secondsPerConnection", d.SecondsPerConnection, changed.SecondsPerConnection})
			why = append(why, fmt.Sprintf("connections to %s occupy %s times the ports that the rate explains: they live longer, or go to fewer addresses, than declared",
				d.Name, ratio(rest)))
		}
		if len(changes) == 0 { // as planned, and close to the ceiling all the same
			changed.ConnectionsPerSecond = roundUp(d.ConnectionsPerSecond * Headroom)
			changes = append(changes, Change{place + "connectionsPerSecond", d.ConnectionsPerSecond, changed.ConnectionsPerSecond})
			why = append(why, d.Name+" is close to its ceiling")
		}
		e.advice(Advice{Why: strings.Join(why, "; "), Changes: changes, Effect: e.effect(map[string]capacity.Destination{d.Name: changed}, 0, nil)})
	}
}

// adviseNat scales what is declared of the NAT's destinations by what the gateways carry, and sends the worst one through the
// proxies where ports ran out although they carry no more than planned.
func (e *examiner) adviseNat() {
	worst := e.worstNat()
	tight := worst.Ceiling > 0 && worst.Load*e.natFactor >= Close*float64(worst.Ceiling)
	if !e.natFails && !tight && !e.above("gateway ") {
		return
	}
	if e.natFactor > slack {
		e.adviseScaled()
	}
	if e.natFails || tight {
		e.adviseRoute(worst)
	}
}

// above reports whether a row of a subject is above the plan.
func (e *examiner) above(prefix string) bool {
	return slices.ContainsFunc(e.report.Rows, func(r Row) bool { return strings.HasPrefix(r.Subject, prefix) && r.Verdict == AbovePlan })
}

// adviseScaled declares the destinations that matter as the gateways carry them.
func (e *examiner) adviseScaled() {
	ds := e.via(capacity.ViaNat)
	slices.SortStableFunc(ds, func(a, b capacity.Destination) int {
		return -compare(e.margin(a.Name).Load, e.margin(b.Name).Load)
	})
	changed := map[string]capacity.Destination{}
	var changes []Change
	for i, d := range ds {
		if i == most || e.margin(d.Name).Load*2 < e.margin(ds[0].Name).Load {
			break
		}
		from := d.ConnectionsPerSecond
		d.ConnectionsPerSecond = roundUp(from * e.natFactor * Headroom)
		changed[d.Name] = d
		changes = append(changes, Change{fmt.Sprintf("sallyport:destinations[%d].demand.connectionsPerSecond", e.index(d.Name)), from, d.ConnectionsPerSecond})
	}
	quota := 0
	effect := e.effect(changed, 0, nil)
	if e.in.Plan.Nat.Flavor == capacity.NatGateway {
		if quota = e.quotaFor(changed); quota > e.demand.MaxIPs {
			changes = append(changes, Change{"sallyport:nat.maxIPsPerGateway", e.demand.MaxIPs, quota})
			effect = e.effect(changed, quota, nil) + fmt.Sprintf("; quota %s has to be raised to %d first", capacity.QuotaIPsPerGateway, quota)
		}
	}
	if e.demand.PortsPerVM > 0 {
		changes = append(changes, Change{"sallyport:nat.portsPerVM", e.demand.PortsPerVM, nil})
	}
	e.advice(Advice{
		Why:     fmt.Sprintf("the NAT carries %s times what is declared, or traffic that nobody declared: find its destination in the flow log and list it", ratio(e.natFactor)),
		Changes: changes, Effect: effect,
	})
}

// quotaFor is the number of IPs per gateway that a changed demand takes, 0 if no gateway holds it.
func (e *examiner) quotaFor(changed map[string]capacity.Destination) int {
	in := e.changed(changed, nil)
	in.MaxIPs = capacity.MaxIPsPerGateway
	plan, err := capacity.Compute(in)
	if err != nil {
		return 0
	}
	return plan.Nat.IPsPerZone
}

// adviseRoute sends the destination that is closest to its ceiling through the proxies, with the traffic that it really has.
func (e *examiner) adviseRoute(worst capacity.Margin) {
	i := e.index(worst.Destination)
	if i < 0 {
		return
	}
	demands := map[string]capacity.Destination{}
	why := fmt.Sprintf("%s is the destination of the NAT closest to its ceiling, and proxies take it off the NAT", worst.Destination)
	switch {
	case e.natFactor > slack:
		why = "or instead: " + why
		d := e.demand.Destinations[slices.IndexFunc(e.demand.Destinations, func(d capacity.Destination) bool { return d.Name == worst.Destination })]
		d.ConnectionsPerSecond = roundUp(d.ConnectionsPerSecond * e.natFactor * Headroom)
		demands[d.Name] = d
	case e.natFails:
		why = fmt.Sprintf("ports ran out although the NAT carries no more than planned: a destination has fewer addresses or longer connections than declared, and %s is the likeliest", worst.Destination)
	}
	e.advice(Advice{
		Why:     why,
		Changes: []Change{{fmt.Sprintf("sallyport:destinations[%d].route", i), string(e.in.Settings.Destinations[i].Route), "proxy"}},
		Effect:  e.effect(demands, 0, []string{worst.Destination}),
	})
}

// adviseUnserved asks for more IPs where VMs got none.
func (e *examiner) adviseUnserved() {
	for _, g := range e.in.Measured.Gateways {
		if g.Unserved.Value > 0 {
			nodes := e.demand.MaxNodes + e.demand.SurgeNodes
			in := e.demand
			in.MaxNodes = int(roundUp(float64(nodes) * Headroom))
			in.Gateways = slices.Clone(in.Gateways)
			for i, share := range in.Gateways { // every gateway gets its share of the larger cluster
				in.Gateways[i].VMs = int(math.Ceil(float64(share.VMs*(in.MaxNodes+in.SurgeNodes)) / float64(nodes)))
			}
			e.advice(Advice{
				Why:     fmt.Sprintf("there were more VMs behind gateway %s than the %d that the plan has ports for", g.Name, nodes),
				Changes: []Change{{"sallyport:cluster.maxNodes", e.demand.MaxNodes, in.MaxNodes}},
				Effect:  e.effectOf(in),
			})
			return
		}
	}
}

// adviseSlots gives every zone one proxy more where proxies come close to what one takes, and no destination explains it.
func (e *examiner) adviseSlots() {
	if len(e.rates)+len(e.ports) > 0 {
		return
	}
	for _, r := range e.report.Rows {
		if strings.HasPrefix(r.Subject, "slot ") && r.Figure != "minutes not ready" && (r.Verdict == CloseTo || r.Verdict == Over) {
			in := e.demand
			in.Proxies.SparePerZone++
			e.advice(Advice{
				Why:     fmt.Sprintf("%s: %s is at %s of what one proxy takes, and no destination opens more than declared: clients do not spread evenly, or a proxy was missing", r.Subject, r.Figure, percent(r.Share)),
				Changes: []Change{{"sallyport:proxies.sparePerZone", e.demand.Proxies.SparePerZone, in.Proxies.SparePerZone}},
				Effect:  e.effectOf(in),
			})
			return
		}
	}
}

// changed is the demand with some destinations changed and some sent through the proxies.
func (e *examiner) changed(demands map[string]capacity.Destination, proxied []string) capacity.Input {
	in := e.demand
	in.Destinations = slices.Clone(in.Destinations)
	for i, d := range in.Destinations {
		if other, ok := demands[d.Name]; ok {
			in.Destinations[i] = other
		}
		if slices.Contains(proxied, d.Name) {
			in.Destinations[i].Via = capacity.ViaProxy
		}
	}
	if len(demands) > 0 {
		in.PortsPerVM, in.Insufficient = 0, false
	}
	return in
}

// effect says what the plan becomes with a changed demand.
func (e *examiner) effect(demands map[string]capacity.Destination, maxIPs int, proxied []string) string {
	in := e.changed(demands, proxied)
	if maxIPs > 0 {
		in.MaxIPs = maxIPs
	}
	return e.effectOf(in)
}

func (e *examiner) effectOf(in capacity.Input) string {
	after, err := capacity.Compute(in)
	if err != nil {
		return "no plan: " + strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	before := e.in.Plan
	var parts []string
	for _, f := range []struct {
		what     string
		from, to int
	}{
		{"ports per VM", before.Nat.PortsPerVM, after.Nat.PortsPerVM},
		{"IPs per NAT gateway", before.Nat.IPsPerZone, after.Nat.IPsPerZone},
		{"public IPs of the NAT", before.Nat.IPs + before.Nat.RuleIPs, after.Nat.IPs + after.Nat.RuleIPs},
		{"proxies", before.Proxies.Total, after.Proxies.Total},
		{"public IPs of the proxies", before.Proxies.IPs, after.Proxies.IPs},
	} {
		if f.from != f.to {
			parts = append(parts, fmt.Sprintf("%s %s -> %s", f.what, thousands(f.from), thousands(f.to)))
		}
	}
	if len(parts) == 0 {
		return "the plan stays as it is: what is built carries that too"
	}
	return strings.Join(parts, ", ") + "; new IPs go to the partners before they carry traffic"
}

// roundUp rounds up to two digits, for values that people read.
func roundUp(v float64) float64 {
	if v <= 0 {
		return 0
	}
	unit := math.Pow(10, math.Floor(math.Log10(v))-1)
	rounded := math.Ceil(v/unit-1e-9) * unit
	// Powers of ten below 1 are not exact.
	if unit < 1 {
		scale := math.Round(1 / unit)
		return math.Ceil(v*scale-1e-9) / scale
	}
	return rounded
}

func compare(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
