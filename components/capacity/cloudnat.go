package capacity

import (
	"fmt"
	"math"
)

const (
	cloudNatPage = "Cloud NAT documentation, addresses and ports, 2026-07"
	erlangSource = "Erlang B"
)

// cloudNat sizes Cloud NAT: every VM owns a block of ports, the same number on all, which all destinations use side by side.
// So the busiest VM and the destination with the highest load decide, and the cluster's size sets the number of IPs.
func (s *sizer) cloudNat(ds []Destination) NatPlan {
	plan := NatPlan{Flavor: CloudNat}
	var worst load
	for _, d := range ds {
		l := s.busiestNode(d)
		ports, ok := s.legalPorts(d, l)
		if !ok {
			continue
		}
		if l.ports > worst.ports || plan.Deciding == "" {
			plan.Deciding, worst = d.Name, l
		}
		plan.RequiredPortsPerVM = max(plan.RequiredPortsPerVM, ports)
	}
	if s.list.Len() > 0 {
		return plan
	}
	plan.PortsPerVM = plan.RequiredPortsPerVM
	if len(ds) > 1 {
		s.step("ports per VM", float64(plan.RequiredPortsPerVM), cloudNatPage,
			fmt.Sprintf("the largest of these, because ports are counted per destination and not added up: %s, for %s",
				count(plan.RequiredPortsPerVM), plan.Deciding))
	}
	if s.in.PortsPerVM > 0 {
		plan.PortsPerVM = s.in.PortsPerVM
		s.forcedPorts(plan, worst)
	}
	s.gateways = s.cloudNatGateways(plan.PortsPerVM)
	for _, g := range s.gateways {
		plan.IPs += g.IPs
		plan.RuleIPs += g.RuleIPs
	}
	s.idlePorts(plan)
	for _, d := range ds {
		l := s.busiestNode(d)
		s.margins = append(s.margins, Margin{d.Name, ViaNat, l.ports, plan.PortsPerVM, ErlangB(plan.PortsPerVM, l.ports)})
	}
	return plan
}

// busiestNode is the load of one destination on the node with most of it.
func (s *sizer) busiestNode(d Destination) load {
	skew := math.Min(s.in.Skew, float64(s.in.Nodes)) // one node cannot have more than everything
	text := fmt.Sprintf(" / %s x %s skew", plural(s.in.Nodes, "node"), number(skew))
	return d.offered(skew/float64(s.in.Nodes), text, s.in.TimeWait)
}

// legalPorts returns the smallest legal number of ports per VM that carries the load, and explains it.
func (s *sizer) legalPorts(d Destination, l load) (int, bool) {
	s.step("load of "+d.Name, l.ports, "Little's law", l.arithmetic)
	smaller := 0
	for _, ports := range LegalPorts(s.in.AliasRanges) {
		blocking := ErlangB(ports, l.ports)
		if blocking > s.in.Blocking {
			smaller = ports
			continue
		}
		text := fmt.Sprintf("%s ports block %s of new connections, within %s", count(ports), percent(blocking), percent(s.in.Blocking))
		if smaller > 0 {
			text = fmt.Sprintf("%s ports would block %s; ", count(smaller), percent(ErlangB(smaller, l.ports))) + text
		}
		s.step("ports per VM for "+d.Name, float64(ports), erlangSource, text)
		return ports, true
	}
	s.list.Addf(d.place(), nil, "send it through the proxies (route: proxy), or shorten nat.timeWaitSeconds, or spread its pods over more nodes",
		"needs more than the %s source ports that Cloud NAT gives one VM: %s, of which %s would find no port",
		count(MaxPortsPerVM), l.arithmetic, percent(ErlangB(MaxPortsPerVM, l.ports)))
	return 0, false
}

// forcedPorts explains a given number of ports per VM, and refuses one that is too small unless that is wanted.
func (s *sizer) forcedPorts(plan NatPlan, worst load) {
	given, blocking := plan.PortsPerVM, ErlangB(plan.PortsPerVM, worst.ports)
	if given >= plan.RequiredPortsPerVM {
		s.step("ports per VM, given", float64(given), "", fmt.Sprintf("%s given, at least the %s needed", count(given), count(plan.RequiredPortsPerVM)))
		return
	}
	if !s.in.Insufficient {
		s.list.Addf(s.in.Namespace+"nat.portsPerVM", given, "leave it out to have it computed, or set nat.allowInsufficient to true for an experiment",
			"must be at least %s for %s: %s, and %s ports would block %s of its new connections from the busiest node",
			count(plan.RequiredPortsPerVM), plan.Deciding, worst.arithmetic, count(given), percent(blocking))
		return
	}
	s.step("ports per VM, given", float64(given), erlangSource,
		fmt.Sprintf("%s given, %s needed: still dropping, %s of new connections to %s from the busiest node find no port",
			count(given), count(plan.RequiredPortsPerVM), percent(blocking), plan.Deciding))
}

// idlePorts shows what the fixed blocks leave unused: ports that no busy VM can borrow.
func (s *sizer) idlePorts(plan NatPlan) {
	vms := s.in.MaxNodes + s.in.SurgeNodes
	owned := plan.IPs * PortsPerNatIP
	used := min(vms*plan.PortsPerVM, owned)
	s.step("ports handed out", float64(used), cloudNatPage, fmt.Sprintf("%s ports x %s = %s of %s (%s); the other %s stand idle and no VM can borrow them",
		count(plan.PortsPerVM), plural(vms, "VM"), count(used), count(owned), plural(plan.IPs, "IP"), count(owned-used)))
}
