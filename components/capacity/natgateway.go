package capacity

import (
	"fmt"
	"math"
)

const gatewayPage = "Amazon VPC user guide, NAT gateway basics, 2023-06-15"

// natGateway sizes AWS NAT gateways: one per zone, used by the nodes of its zone, whose IPs share the load. How a gateway
// chooses among its IPs is not documented, so each IP must hold its share by itself.
func (s *sizer) natGateway(ds []Destination) NatPlan {
	plan := NatPlan{Flavor: NatGateway}
	share, text := s.busiestZone()
	perIP := MaxLoad(PortsPerGatewayIP, s.in.Blocking)
	s.step("load that one IP carries", math.Floor(perIP), gatewayPage,
		fmt.Sprintf("%s ports per IP and destination block %s at %s ports in use", count(PortsPerGatewayIP), percent(s.in.Blocking), number(math.Floor(perIP))))
	for _, d := range ds {
		l := d.offered(share, text, s.in.TimeWait)
		rate := d.upstreamRate() * share / float64(d.Addresses)
		byPorts, byRate := groups(l.ports, perIP), groups(rate, RatePerGatewayIP)
		ips := max(byPorts, byRate)
		arithmetic := fmt.Sprintf("%s / %s per IP -> %d; %s new connections/s / %d per IP -> %d", l.arithmetic,
			number(math.Floor(perIP)), byPorts, number(rate), RatePerGatewayIP, byRate)
		s.step("IPs per zone for "+d.Name, float64(ips), gatewayPage, arithmetic)
		s.checkGateway(d, ips, arithmetic)
		if ips > plan.IPsPerZone {
			plan.IPsPerZone, plan.Deciding = ips, d.Name
		}
	}
	if s.list.Len() > 0 {
		return plan
	}
	zones := len(s.in.Zones)
	plan.IPs = plan.IPsPerZone * zones
	s.step("public IPs of the NAT", float64(plan.IPs), gatewayPage, fmt.Sprintf("%s, a gateway each x %d (the most that a destination needs, %s) = %s",
		plural(zones, "zone"), plan.IPsPerZone, plan.Deciding, plural(plan.IPs, "IP")))
	for _, d := range ds {
		l := d.offered(share, text, s.in.TimeWait).ports / float64(plan.IPsPerZone)
		s.margins = append(s.margins, Margin{d.Name, ViaNat, l, PortsPerGatewayIP, ErlangB(PortsPerGatewayIP, l)})
	}
	return plan
}

// busiestZone returns the share of the whole load that leaves through the zone with most of it: the nodes are spread evenly,
// the first zone has one more if they do not divide, and the busiest node is among them.
func (s *sizer) busiestZone() (share float64, text string) {
	zones := len(s.in.Zones)
	nodes := ceilDiv(s.in.Nodes, zones)
	share = math.Min((float64(nodes)-1+s.in.Skew)/float64(s.in.Nodes), 1)
	if share == 1 {
		return share, ""
	}
	text = fmt.Sprintf(" x (%d + %s) / %s", nodes-1, number(s.in.Skew), plural(s.in.Nodes, "node"))
	s.step("share of the busiest zone", share, "", fmt.Sprintf("%s over %s: at most %d in one, one of them with %s times the mean: (%d + %s) / %d = %s",
		plural(s.in.Nodes, "node"), plural(zones, "zone"), nodes, number(s.in.Skew), nodes-1, number(s.in.Skew), s.in.Nodes, percent(share)))
	return share, text
}

// checkGateway refuses what one gateway cannot hold, or the account's quota does not allow.
func (s *sizer) checkGateway(d Destination, ips int, arithmetic string) {
	switch {
	case ips > MaxIPsPerGateway:
		s.list.Addf(d.place(), nil, "send it through the proxies (route: proxy), or use more zones",
			"needs %s in one zone and a NAT gateway takes at most %d: %s", plural(ips, "public IP"), MaxIPsPerGateway, arithmetic)
	case ips > s.in.MaxIPs:
		s.list.Addf(d.place(), nil, fmt.Sprintf("have quota %s raised to %d and set nat.maxIPsPerGateway, or send it through the proxies (route: proxy)", QuotaIPsPerGateway, ips),
			"needs %s in one zone and nat.maxIPsPerGateway allows %d: %s", plural(ips, "public IP"), s.in.MaxIPs, arithmetic)
	}
}
