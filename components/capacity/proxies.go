package capacity

import (
	"fmt"
	"math"
)

const proxySource = "Linux ip-sysctl, ip_local_port_range"

// need is a number of proxies and the reason for it.
type need struct {
	proxies  int
	deciding string
}

func (n *need) atLeast(proxies int, deciding string) {
	if proxies > n.proxies {
		n.proxies, n.deciding = proxies, deciding
	}
}

// proxies sizes the fleet. Clients spread over all healthy proxies of all zones, so the load counts for the whole fleet; the
// spares come on top and are not counted on. Three limits bind: source ports per destination, new connections per second, and
// connections held.
func (s *sizer) proxies(ds []Destination) ProxyPlan {
	if len(ds) == 0 {
		return ProxyPlan{}
	}
	limits, perIP := s.in.Proxies, MaxLoad(PortsPerProxyIP, s.in.Blocking)
	s.step("load that one proxy IP carries", math.Floor(perIP), proxySource, fmt.Sprintf("%s ports per source IP and destination address block %s at %s ports in use",
		count(PortsPerProxyIP), percent(s.in.Blocking), number(math.Floor(perIP))))
	needed := need{proxies: 1, deciding: ds[0].Name}
	for _, d := range ds {
		l := d.offered(1, "", ProxyTimeWait)
		ips := groups(l.ports, perIP)
		n := ceilDiv(ips, limits.IPsPerProxy)
		s.step("proxies for the ports of "+d.Name, float64(n), proxySource, fmt.Sprintf("%s / %s per IP -> %s / %d per proxy -> %s",
			l.arithmetic, number(math.Floor(perIP)), plural(ips, "IP"), limits.IPsPerProxy, plural(n, "proxy")))
		needed.atLeast(n, d.Name)
	}
	rate, held := s.fleetLoad(ds)
	needed.atLeast(rate, "all")
	needed.atLeast(held, "all")
	plan := s.spread(needed)
	s.checkFleet(plan)
	for _, d := range ds {
		l := d.offered(1, "", ProxyTimeWait).ports / float64(needed.proxies*limits.IPsPerProxy)
		s.margins = append(s.margins, Margin{d.Name, ViaProxy, l, PortsPerProxyIP, ErlangB(PortsPerProxyIP, l)})
	}
	return plan
}

// fleetLoad returns the proxies that all destinations together need for their new connections and for those held.
func (s *sizer) fleetLoad(ds []Destination) (byRate, byHeld int) {
	var rate, held float64
	for _, d := range ds {
		rate += d.upstreamRate() // what a pool opens, not what it takes in
		held += d.held()
	}
	limits := s.in.Proxies
	byRate = groups(rate, limits.ConnectionsPerSecond)
	s.step("proxies for new connections", float64(byRate), "proxies.connectionsPerSecond", fmt.Sprintf("%s/s over all destinations / %s/s per proxy -> %s",
		number(rate), number(limits.ConnectionsPerSecond), plural(byRate, "proxy")))
	carried := MaxLoad(limits.MaxConnections, s.in.Blocking)
	byHeld = groups(held, carried)
	s.step("proxies for held connections", float64(byHeld), "proxies.maxConnections", fmt.Sprintf("%s held on average over all destinations / %s (so that a proxy reaches its %s in %s of cases) -> %s",
		number(held), number(math.Floor(carried)), count(limits.MaxConnections), percent(s.in.Blocking), plural(byHeld, "proxy")))
	return byRate, byHeld
}

// spread puts the proxies into the zones: the same number in each, at least one, and the spares on top.
func (s *sizer) spread(needed need) ProxyPlan {
	zones, spare := len(s.in.Zones), s.in.Proxies.SparePerZone
	working := ceilDiv(needed.proxies, zones)
	plan := ProxyPlan{PerZone: working + spare, Deciding: needed.deciding, ReserveIPs: s.in.Reserve}
	plan.Total = plan.PerZone * zones
	plan.IPs = plan.Total * s.in.Proxies.IPsPerProxy
	s.step("proxies per zone", float64(plan.PerZone), "", fmt.Sprintf("%d / %s -> %d + %d spare = %d", needed.proxies, plural(zones, "zone"), working, spare, plan.PerZone))
	s.step("proxies", float64(plan.Total), "", fmt.Sprintf("%s x %d = %d", plural(zones, "zone"), plan.PerZone, plan.Total))
	s.step("public IPs of the proxies", float64(plan.IPs), "", fmt.Sprintf("%s x %s = %s", plural(plan.Total, "proxy"), plural(s.in.Proxies.IPsPerProxy, "IP"), plural(plan.IPs, "IP")))
	if left := plan.Total - plan.PerZone; zones > 1 && left < needed.proxies {
		s.step("proxies with a zone gone", float64(left), "", fmt.Sprintf("%d x %d = %d, and the peak needs %d: raise proxies.sparePerZone to %d to outlast the loss of a zone at peak",
			zones-1, plan.PerZone, left, needed.proxies, ceilDiv(needed.proxies, zones-1)-working))
	}
	return plan
}

// maxProxies bounds a fleet: beyond it an input has a slip rather than a demand.
const maxProxies = 1000

func (s *sizer) checkFleet(plan ProxyPlan) {
	if plan.Total > maxProxies {
		s.list.Addf(s.in.Namespace+"proxies", plan.Total, "check the demand of "+plan.Deciding+", or give each proxy more IPs (proxies.ipsPerProxy)",
			"must not need more than %s proxies", count(maxProxies))
	}
}
