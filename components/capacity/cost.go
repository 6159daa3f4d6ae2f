package capacity

import (
	"fmt"
	"math"

	"github.com/sallyport/sallyport/internal/problem"
)

// The designs that are compared.
const (
	designDeclared = "as declared"
	designNat      = "everything through the NAT"
	designProxies  = "everything through the proxies"
)

// costs compares the declared design with the two pure ones. What decides is the number of IPs that every partner has to
// list, because each of them is a change request at somebody else's firewall; the price decides between equals. Traffic is
// not declared, so the charge per GB is named and not added: it falls due for what goes through a NAT and not for what goes
// through proxies.
func costs(in Input, plan Plan) []CostLine {
	declared := price(in, plan)
	declared.Design, declared.Chosen, declared.Impossible = designDeclared, true, shortfall(in, plan)
	lines := []CostLine{declared}
	for _, alternative := range []struct {
		design string
		via    Via
	}{{designNat, ViaNat}, {designProxies, ViaProxy}} {
		if all(in.Destinations, alternative.via) && declared.Impossible == "" {
			continue // that is the declared one
		}
		line := alternativeCost(in, alternative.via)
		line.Design = alternative.design
		lines = append(lines, line)
	}
	recommend(lines)
	return lines
}

// recommend marks the best of the lines that carry the demand, if any does.
func recommend(lines []CostLine) {
	var best *CostLine
	for i := range lines {
		line := &lines[i]
		if line.Impossible == "" && (best == nil || line.IPsToList < best.IPsToList ||
			line.IPsToList == best.IPsToList && line.MonthlyUSD < best.MonthlyUSD) {
			best = line
		}
	}
	if best != nil {
		best.Recommended = true
	}
}

// shortfall says how ports or IPs that were given, not computed, fail the demand; empty if they do not.
func shortfall(in Input, plan Plan) string {
	if plan.Nat.PortsPerVM < plan.Nat.RequiredPortsPerVM {
		for _, m := range plan.Margins {
			if m.Destination == plan.Nat.Deciding {
				return fmt.Sprintf("drops %s of new connections to %s from the busiest node", percent(m.Blocking), m.Destination)
			}
		}
	}
	if vms := in.MaxNodes + in.SurgeNodes; plan.Nat.Flavor == CloudNat && plan.Nat.IPs*PortsPerNatIP < vms*plan.Nat.PortsPerVM {
		return fmt.Sprintf("leaves %s of %s without ports", plural(vms-plan.Nat.IPs*PortsPerNatIP/plan.Nat.PortsPerVM, "VM"), count(vms))
	}
	return ""
}

func all(ds []Destination, via Via) bool {
	for _, d := range ds {
		if d.Via != via {
			return false
		}
	}
	return true
}

// alternativeCost sizes the design in which every destination goes one way, with computed ports and the quota raised.
func alternativeCost(in Input, via Via) CostLine {
	in.PortsPerVM, in.IPs, in.Insufficient, in.MaxIPs, in.Gateways = 0, 0, false, MaxIPsPerGateway, nil
	ds := make([]Destination, len(in.Destinations))
	for i, d := range in.Destinations {
		ds[i] = d
		ds[i].Via = via
		if via == ViaNat { // nothing pools connections on the way to a NAT
			ds[i].RequestsPerConnection = 1
		}
	}
	in.Destinations = ds
	s := newSizer(in, &problem.List{})
	plan := Plan{Nat: s.nat(s.via(ViaNat)), Proxies: s.proxies(s.via(ViaProxy))}
	plan.Gateways = s.gateways
	if problems := s.list.All(); len(problems) > 0 {
		return CostLine{Impossible: problems[0].Place + " " + problems[0].Rule}
	}
	return price(in, plan)
}

// price adds up the hourly list prices of a plan.
func price(in Input, plan Plan) CostLine {
	ips := plan.Nat.IPs + plan.Nat.RuleIPs + plan.Nat.ReserveIPs + plan.Proxies.IPs + plan.Proxies.ReserveIPs
	nat, natText, perGB := 0.0, "no NAT", 0.0
	switch {
	case plan.Nat.IPs == 0:
	case plan.Nat.Flavor == NatGateway:
		zones := len(in.Zones)
		nat, perGB = float64(zones)*gatewayHour, gatewayGB
		natText = fmt.Sprintf("%s x $%g/h", plural(zones, "NAT gateway"), gatewayHour)
	default:
		perGB = cloudNatGB
		nat, natText = cloudNatPrice(in.Nodes, plan.Gateways)
	}
	hourly := nat + float64(plan.Proxies.Total)*in.Proxies.HourlyUSD + float64(ips)*ipHour
	proxiesText := "no proxies"
	if plan.Proxies.Total > 0 {
		proxiesText = fmt.Sprintf("%s x $%g/h", plural(plan.Proxies.Total, "proxy"), in.Proxies.HourlyUSD)
	}
	text := fmt.Sprintf("(%s + %s + %s x $%g/h) x %d h", natText, proxiesText, plural(ips, "IP"), ipHour, HoursPerMonth)
	if perGB > 0 {
		text += fmt.Sprintf(", plus $%g for each GB through the NAT", perGB)
	}
	return CostLine{MonthlyUSD: math.Round(hourly*HoursPerMonth*100) / 100, IPsToList: ips, Arithmetic: text}
}
