package capacity

import (
	"fmt"
	"math"

	"github.com/sallyport/sallyport/internal/problem"
)

// validate checks the input by small rules of their own; every rule sees the whole input.
func validate(in Input, list *problem.List) {
	for _, rule := range []func(Input, *problem.List){
		validateCluster, validateNat, validatePortsPerVM, validateGateways, validateRules, validateProxies, validateDestinations,
	} {
		rule(in, list)
	}
}

func validateCluster(in Input, list *problem.List) {
	if len(in.Zones) == 0 {
		list.Add(in.Namespace+"cluster.zones", "needs at least 1 zone", nil, "")
	}
	between(list, in.Namespace+"cluster.nodes", float64(in.Nodes), 1, 1e6)
	between(list, in.Namespace+"cluster.surgeNodes", float64(in.SurgeNodes), 0, 1e6)
	between(list, in.Namespace+"cluster.skew", in.Skew, 1, 1e6)
	if in.MaxNodes < in.Nodes || in.MaxNodes > 1e6 {
		list.Addf(in.Namespace+"cluster.maxNodes", in.MaxNodes, "", "must be between the number of nodes, %d, and 1,000,000", in.Nodes)
	}
}

func validateNat(in Input, list *problem.List) {
	if in.Flavor != CloudNat && in.Flavor != NatGateway {
		list.Add(in.Namespace+"nat.flavor", "must be cloudnat or natgateway", in.Flavor, "")
	}
	between(list, in.Namespace+"nat.timeWaitSeconds", in.TimeWait, 0, 86400)
	if !(in.Blocking > 0 && in.Blocking < 1) {
		list.Add(in.Namespace+"nat.blockingTarget", "must be above 0 and below 1", in.Blocking, "")
	}
	if in.Flavor == NatGateway {
		between(list, in.Namespace+"nat.maxIPsPerGateway", float64(in.MaxIPs), 1, MaxIPsPerGateway)
	}
	between(list, in.Namespace+"nat.ips", float64(in.IPs), 0, MaxIPsPerCloudNat)
	between(list, in.Namespace+"allowlist.reserve", float64(in.Reserve), 0, 1e6)
}

func validatePortsPerVM(in Input, list *problem.List) {
	if in.PortsPerVM == 0 || in.Flavor != CloudNat {
		return
	}
	for _, legal := range LegalPorts(in.AliasRanges) {
		if in.PortsPerVM == legal {
			return
		}
	}
	floor, why := MinPortsPerVM, ""
	if in.AliasRanges {
		floor, why = MinPortsPerVMAliased, ", because alias ranges are translated"
	}
	list.Addf(in.Namespace+"nat.portsPerVM", in.PortsPerVM, "leave it out to have it computed",
		"must be a power of two from %s%s to %s", count(floor), why, count(MaxPortsPerVM))
}

func validateProxies(in Input, list *problem.List) {
	p, place := in.Proxies, in.Namespace+"proxies."
	between(list, place+"sparePerZone", float64(p.SparePerZone), 0, 1e6)
	between(list, place+"ipsPerProxy", float64(p.IPsPerProxy), 1, 1e6)
	between(list, place+"connectionsPerSecond", p.ConnectionsPerSecond, 1, 1e9)
	between(list, place+"maxConnections", float64(p.MaxConnections), 1, 1e9)
	between(list, place+"hourlyUSD", p.HourlyUSD, 0, 1e6)
}

func validateDestinations(in Input, list *problem.List) {
	for _, d := range in.Destinations {
		place := d.place()
		if d.Via != ViaNat && d.Via != ViaProxy {
			list.Add(place+".via", "must be nat or proxy", d.Via, "")
		}
		if !(d.ConnectionsPerSecond > 0) {
			list.Add(place+".connectionsPerSecond", "must be above 0", d.ConnectionsPerSecond, "")
		}
		between(list, place+".connectionsPerSecond", d.ConnectionsPerSecond, 0, 1e9)
		between(list, place+".secondsPerConnection", d.SecondsPerConnection, 0, 1e9)
		between(list, place+".requestsPerConnection", d.RequestsPerConnection, 1, 1e9)
		between(list, place+".addresses", float64(d.Addresses), 1, 1e9)
	}
}

func (d Destination) place() string {
	if d.Place != "" {
		return d.Place
	}
	return d.Name
}

// between records a value outside [low, high]; NaN is outside of everything.
func between(list *problem.List, place string, value, low, high float64) {
	if value >= low && value <= high {
		return
	}
	limits := fmt.Sprintf("must be between %s and %s", number(low), number(high))
	if math.IsNaN(value) || math.IsInf(value, 0) {
		limits += " and finite"
	}
	list.Add(place, limits, value, "")
}
