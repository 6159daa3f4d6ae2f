package stack

import (
	"strings"

	"github.com/sallyport/sallyport/components/capacity"
	"github.com/sallyport/sallyport/components/destinations"
	"github.com/sallyport/sallyport/internal/problem"
)

// Plan sizes the stack. A stack that was decoded always has one.
func (s *Stack) Plan() (capacity.Plan, error) { return capacity.Compute(s.CapacityInput()) }

// CapacityInput says what capacity depends on. Destinations on route pool leave through the proxies, and only they share
// connections: for the others the declared rate already is that of connections.
func (s *Stack) CapacityInput() capacity.Input {
	in := capacity.Input{
		Zones: s.Cluster.Zones, Nodes: s.Cluster.Nodes, MaxNodes: s.Cluster.MaxNodes, SurgeNodes: *s.Cluster.SurgeNodes,
		Skew: s.Cluster.Skew, AliasRanges: s.Cluster.AliasRanges,
		Flavor: capacity.Flavor(s.Nat.Flavor), TimeWait: float64(s.Nat.TimeWaitSeconds), Blocking: s.Nat.BlockingTarget,
		PortsPerVM: s.Nat.PortsPerVM, Insufficient: s.Nat.AllowInsufficient, MaxIPs: s.Nat.MaxIPsPerGateway,
		Proxies: capacity.ProxyLimits{
			SparePerZone: *s.Proxies.SparePerZone, IPsPerProxy: s.Proxies.IPsPerProxy, ConnectionsPerSecond: s.Proxies.ConnectionsPerSecond,
			MaxConnections: s.Proxies.MaxConnections, HourlyUSD: s.Proxies.HourlyUSD,
		},
		Reserve: s.Allowlist.Reserve, Namespace: Namespace,
		Gateways: s.gatewayShares(), Rules: s.natRules(),
	}
	for i, d := range s.Destinations {
		demand := capacity.Destination{
			Name: d.Name, Place: destinationPlace(i) + ".demand", Via: capacity.ViaNat,
			ConnectionsPerSecond: d.Demand.ConnectionsPerSecond, SecondsPerConnection: d.Demand.SecondsPerConnection,
			RequestsPerConnection: 1, Addresses: d.Demand.Addresses,
		}
		if d.Route != destinations.RouteNat {
			demand.Via = capacity.ViaProxy
		}
		if d.Route == destinations.RoutePool {
			demand.RequestsPerConnection = d.Demand.RequestsPerConnection
		}
		in.Destinations = append(in.Destinations, demand)
	}
	return in
}

func destinationPlace(i int) string { return problem.Index(Namespace+"destinations", i) }

// checkPlan records a demand that no legal plan carries. It looks at the destinations that are in order even if others are
// not, so that a user learns of everything at once, but only if all that the arithmetic rests on is in order.
func (s *Stack) checkPlan(list *problem.List) {
	var found []string
	for _, p := range list.All() {
		found = append(found, p.Place)
	}
	wrong := func(place string) bool {
		for _, f := range found {
			if rest, below := strings.CutPrefix(f, place); below && (rest == "" || strings.ContainsRune(".[:", rune(rest[0]))) {
				return true
			}
		}
		return false
	}
	for _, key := range []string{"cloud", "cluster", "nat", "proxies", "allowlist", "gcp.network", "gcp.nat"} {
		if wrong(Namespace + key) {
			return
		}
	}
	in := s.CapacityInput()
	all := in.Destinations
	in.Destinations = nil
	for i, d := range all {
		if !wrong(destinationPlace(i)) {
			in.Destinations = append(in.Destinations, d)
		}
	}
	plan, err := capacity.Compute(in)
	if err != nil {
		list.AddError(Namespace+"capacity", err)
		return
	}
	switch {
	case s.Cloud == CloudLocal:
		validateLabPlan(plan, list)
	case s.Cloud == CloudGCP && s.GCP != nil:
		validateGCPPlan(s, plan, list)
	}
}

// validateLabPlan compares the plan with the lab's address plan.
func validateLabPlan(plan capacity.Plan, list *problem.List) {
	if ips := plan.Nat.IPs + plan.Nat.ReserveIPs; ips > labNatIPs {
		list.Addf(Namespace+"nat", ips, "lower cluster.maxNodes or the demand, or send hot destinations through the proxies",
			"must not need more than the %d public IPs that the lab has for NAT", labNatIPs)
	}
	if ips := plan.Proxies.IPs + plan.Proxies.ReserveIPs; ips > labProxyIPs {
		list.Addf(Namespace+"proxies", ips, "lower the demand, or raise proxies.connectionsPerSecond",
			"must not need more than the %d public IPs that the lab has for proxies", labProxyIPs)
	}
}
