package stack

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/components/capacity"
	"github.com/sallyport/sallyport/components/destinations"
	"github.com/sallyport/sallyport/internal/problem"
)

// Bounds of what a stack may ask for. Where no vendor's limit is named they mark a slip.
const (
	maxZones      = 16
	maxNodes      = 65000 // GKE's largest cluster, 2026; other clouds allow less
	maxSkew       = 100
	maxTimeWait   = 1200
	maxReserve    = 64
	maxSpare      = 16
	maxIPsOfProxy = 50   // IPv4 addresses of one interface of the largest EC2 instance types
	maxDrain      = 3600 // a proxy that drains longer blocks its replacement
	maxPods       = 8
)

// What one lab can hold, by its address plan and by what a workstation bears.
const (
	labNodes    = 32
	labNatIPs   = 127 // 198.51.100.1 to .127
	labProxyIPs = 126 // 198.51.100.129 to .254
)

// validate runs every rule; each looks at one thing.
func validate(s *Stack, list *problem.List) {
	for _, rule := range []func(*Stack, *problem.List){
		validateCloud, validatePreflight, validateZones, validateNodes, validateSkew, validateAliasRanges,
		validateFlavor, validateTimeWait, validateBlocking, validatePortsPerVM, validateInsufficient, validateMaxIPs,
		validateAWS, validateGCP, validateKubernetes,
		validateProxies, validateIPsPerProxy, validateReserve, validateNotice, validateIPRecords, validatePublish,
		validateLabNodes, validatePods, validateUnlistedHosts, validateStalePartners, validatePartnerLists,
	} {
		rule(s, list)
	}
}

func validateCloud(s *Stack, list *problem.List) {
	oneOf(list, Namespace+"cloud", string(s.Cloud), string(CloudLocal), string(CloudAWS), string(CloudGCP))
}

func validatePreflight(s *Stack, list *problem.List) {
	oneOf(list, Namespace+"preflight", string(s.Preflight), string(PreflightOn), string(PreflightOff))
}

func validateZones(s *Stack, list *problem.List) {
	place := Namespace + "cluster.zones"
	if len(s.Cluster.Zones) == 0 {
		list.Add(place, "needs at least 1 zone", 0, `list the zones with nodes, for example ["a", "b"]`)
	}
	if len(s.Cluster.Zones) > maxZones {
		list.Addf(place, len(s.Cluster.Zones), "use more stacks", "must not have more than %d zones", maxZones)
	}
	for i, zone := range s.Cluster.Zones {
		at := problem.Index(place, i)
		if !destinations.IsLabel(zone) {
			list.Add(at, destinations.LabelRule, zone, "write the zone as the cloud does")
		} else if first := slices.Index(s.Cluster.Zones, zone); first < i {
			list.Addf(at, zone, "remove one of the two", "must be unique and %s is the same", problem.Index(place, first))
		}
	}
}

func validateNodes(s *Stack, list *problem.List) {
	c, place := s.Cluster, Namespace+"cluster."
	between(list, place+"nodes", c.Nodes, 1, maxNodes, "declare the nodes that run now")
	between(list, place+"surgeNodes", *c.SurgeNodes, 0, maxNodes, "leave it out for 1")
	if c.MaxNodes < c.Nodes && c.Nodes <= maxNodes {
		list.Addf(place+"maxNodes", c.MaxNodes, "leave it out if the cluster does not grow", "must be at least the number of nodes, %d", c.Nodes)
	} else if c.MaxNodes > maxNodes && c.Nodes <= maxNodes {
		list.Addf(place+"maxNodes", c.MaxNodes, "use more stacks", "must not be above %d", maxNodes)
	}
}

func validateSkew(s *Stack, list *problem.List) {
	if skew := s.Cluster.Skew; !(skew >= 1 && skew <= maxSkew) {
		list.Addf(Namespace+"cluster.skew", skew, "it is the load of the busiest node over the mean", "must be between 1 and %d", maxSkew)
	}
}

func validateAliasRanges(s *Stack, list *problem.List) {
	if s.Cluster.AliasRanges && s.Nat.Flavor == FlavorNatGateway {
		list.Add(Namespace+"cluster.aliasRanges", "must be false with nat flavor natgateway, which knows no alias ranges", true, "remove it")
	}
}

func validateFlavor(s *Stack, list *problem.List) {
	place, flavor := Namespace+"nat.flavor", s.Nat.Flavor
	if flavor == "" { // the cloud is unknown and has its problem
		return
	}
	if !oneOf(list, place, string(flavor), string(FlavorCloudNat), string(FlavorNatGateway)) {
		return
	}
	if want := flavors[s.Cloud]; s.Cloud != CloudLocal && want != "" && flavor != want {
		list.Addf(place, flavor, "remove it", "must be %s with cloud %s", want, s.Cloud)
	}
}

func validateTimeWait(s *Stack, list *problem.List) {
	between(list, Namespace+"nat.timeWaitSeconds", s.Nat.TimeWaitSeconds, 1, maxTimeWait, "leave it out for what the cloud does by default")
}

func validateBlocking(s *Stack, list *problem.List) {
	if b := s.Nat.BlockingTarget; !(b >= 1e-12 && b <= 0.5) {
		list.Add(Namespace+"nat.blockingTarget", "must be between 1e-12 and 0.5", b, "it is the share of new connections that may find no port at peak")
	}
}

func validatePortsPerVM(s *Stack, list *problem.List) {
	place, ports := Namespace+"nat.portsPerVM", s.Nat.PortsPerVM
	if ports == 0 {
		return
	}
	if s.Nat.Flavor == FlavorNatGateway {
		list.Add(place, "must be left out with flavor natgateway, whose ports are shared and not given to VMs", ports, "remove it")
		return
	}
	if legal := capacity.LegalPorts(s.Cluster.AliasRanges); !slices.Contains(legal, ports) {
		why := ""
		if s.Cluster.AliasRanges {
			why = ", because cluster.aliasRanges is set,"
		}
		list.Addf(place, ports, "leave it out to have it computed", "must be a power of two from %d%s to %d", legal[0], why, legal[len(legal)-1])
	}
}

func validateInsufficient(s *Stack, list *problem.List) {
	if s.Nat.AllowInsufficient && s.Nat.PortsPerVM == 0 {
		list.Add(Namespace+"nat.allowInsufficient", "has a meaning only together with portsPerVM", true, "remove it, or set portsPerVM")
	}
}

func validateMaxIPs(s *Stack, list *problem.List) {
	between(list, Namespace+"nat.maxIPsPerGateway", s.Nat.MaxIPsPerGateway, 1, capacity.MaxIPsPerGateway, "leave it out for the account's default, 2")
}

func validateProxies(s *Stack, list *problem.List) {
	p, place := s.Proxies, Namespace+"proxies."
	between(list, place+"sparePerZone", *p.SparePerZone, 0, maxSpare, "leave it out for 1")
	between(list, place+"connectionsPerSecond", p.ConnectionsPerSecond, 1, 1e6, "leave it out for 2000")
	between(list, place+"maxConnections", p.MaxConnections, 1, 1000000, "leave it out for 50000")
	between(list, place+"drainSeconds", p.DrainSeconds, 1, maxDrain, "leave it out for 30")
	between(list, place+"hourlyUSD", p.HourlyUSD, 0, 1000, "write the price of one machine for one hour")
}

func validateIPsPerProxy(s *Stack, list *problem.List) {
	place, ips := Namespace+"proxies.ipsPerProxy", s.Proxies.IPsPerProxy
	between(list, place, ips, 1, maxIPsOfProxy, "leave it out for 1")
	if s.Cloud == CloudGCP && ips > 1 && ips <= maxIPsOfProxy {
		list.Add(place, "must be 1 with cloud gcp, where one interface has one external IP", ips, "more proxies are made instead")
	}
}

// number is what a bound applies to.
type number interface{ int | float64 }

func between[N number](list *problem.List, place string, value, low, high N, remedy string) {
	if value >= low && value <= high { // which NaN is not
		return
	}
	list.Add(place, fmt.Sprintf("must be between %v and %.0f", low, float64(high)), value, remedy)
}

func oneOf(list *problem.List, place, value string, known ...string) bool {
	if slices.Contains(known, value) {
		return true
	}
	list.Add(place, "must be "+alternatives(known), value, problem.Suggestion(value, known))
	return false
}

func alternatives(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
