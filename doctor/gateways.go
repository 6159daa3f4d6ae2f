package doctor

import (
	"fmt"
	"math"

	"github.com/sallyport/sallyport/components/capacity"
)

// gatewayBytes is what a NAT gateway carries at most, in bytes per second: 100 Gbit/s.
// Amazon VPC user guide, "NAT gateway basics", 2023-06-15.
const gatewayBytes = 100e9 / 8

// gateways compares every gateway with the plan.
func (e *examiner) gateways() {
	if len(e.via(capacity.ViaNat)) == 0 {
		return
	}
	if len(e.in.Measured.Gateways) == 0 {
		e.add(Row{Subject: "gateways", Figure: "all", Verdict: NoData, Note: "no gateway is known: the stack's outputs name none"})
	}
	for _, g := range e.in.Measured.Gateways {
		if e.aws() {
			e.awsGateway(g)
		} else {
			e.gcpGateway(g)
		}
	}
}

// awsGateway compares a NAT gateway with what the plan gives to the busiest zone.
func (e *examiner) awsGateway(g Gateway) {
	subject := "gateway " + g.Name
	perSecond, held := e.natLoad()
	share := e.busiestZone()
	perSecond, held = perSecond*share, held*share
	e.add(
		e.planned(subject, "new connections", "/s", g.PerSecond, perSecond, perSecond*60, 0),
		e.planned(subject, "open connections", "", g.Connections, held, held, 0),
		e.planned(subject, "traffic", "B/s", g.BytesPerSecond, 0, 0, gatewayBytes),
		none(subject, "connections that found no port", g.PortErrors,
			fmt.Sprintf("a destination has used all %s ports of an IP", thousands(capacity.PortsPerGatewayIP))),
	)
	e.carried(g.PerSecond, perSecond)
	e.carried(g.Connections, held)
	e.natFails = e.natFails || g.PortErrors.Value > 0
}

// gcpGateway compares a Cloud NAT gateway with the ports that each VM has.
func (e *examiner) gcpGateway(g Gateway) {
	subject := "gateway " + g.Name
	planned := e.worstNat().Load
	e.add(
		e.planned(subject, "ports of the busiest VM", "", g.Ports, planned, planned, float64(e.in.Plan.Nat.PortsPerVM)),
		none(subject, "packets that found no port", g.Dropped, "a VM has used all its ports to a destination"),
		none(subject, "minutes with a VM without IP", g.Unserved, "there are more VMs than the IPs have ports for"),
	)
	if g.PerSecond.Known {
		perSecond, _ := e.natLoad()
		e.add(e.planned(subject, "new connections", "/s", g.PerSecond, perSecond, perSecond*60, 0))
	}
	e.carried(g.Ports, planned)
	e.natFails = e.natFails || g.Dropped.Value > 0
}

// carried remembers the highest ratio of what is carried to what was planned.
func (e *examiner) carried(p Peak, planned float64) {
	if p.Known && planned > 0 {
		e.natFactor = math.Max(e.natFactor, p.Value/planned)
	}
}

// worstNat is the destination of the NAT that comes closest to its ceiling, as planned.
func (e *examiner) worstNat() capacity.Margin {
	var worst capacity.Margin
	for _, m := range e.in.Plan.Margins {
		if m.Via == capacity.ViaNat && m.Load > worst.Load {
			worst = m
		}
	}
	return worst
}

// natDestinations estimates every destination of the NAT: its planned load, scaled by what the gateways carry.
func (e *examiner) natDestinations() {
	for _, d := range e.via(capacity.ViaNat) {
		m := e.margin(d.Name)
		p := Peak{}
		if e.natFactor > 0 {
			p = Peak{Known: true, Value: m.Load * e.natFactor}
		}
		// A scaled mean does not scatter: what is above the plan is told with the gateway.
		row := e.planned("destination "+d.Name, "ports, estimated", "", p, m.Load, math.Inf(1), float64(m.Ceiling))
		if row.Verdict == AbovePlan {
			row.Verdict = OK
		}
		row.Estimate = row.Verdict != NoData
		if !row.Estimate {
			row.Note = "no gateway tells how much it carries"
		}
		e.add(row)
	}
}
