package stack

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/sallyport/sallyport/internal/problem"
)

func validateAWSVPC(place string, s *Stack, list *problem.List) {
	v, at := s.AWS.VPC, place+".vpc"
	switch {
	case v.ID == "" && !v.CIDR.IsValid():
		list.Reject(at, "needs the id of an existing VPC, or the cidr of a new one", nil, "write id: vpc-..., or cidr: 10.64.0.0/16")
	case v.ID != "" && v.CIDR.IsValid():
		list.Reject(at, "must not have both the id of an existing VPC and the cidr of a new one", nil, "remove one of the two")
	case v.ID != "":
		awsID(list, at+".id", "vpc", v.ID, "a VPC")
		if len(v.CIDRs) == 0 {
			list.Add(at+".cidrs", "is required with id", nil, "list the VPC's networks, for example [10.0.0.0/16]")
		}
		for i, network := range v.CIDRs {
			awsNetwork(list, problem.Index(at+".cidrs", i), network)
		}
	default:
		if c := v.CIDR; !c.Addr().Is4() || c != c.Masked() || c.Bits() < awsVPCBits || c.Bits() > awsVPCBitsMax {
			list.Addf(at+".cidr", c.String(), "for example 10.64.0.0/16", "must be an IPv4 network of /%d to /%d without host bits", awsVPCBits, awsVPCBitsMax)
		}
		for _, key := range awsOfExisting(v) {
			list.Add(at+"."+key, "must be left out with cidr: a new VPC brings its own", nil, "remove it")
		}
		validateAWSZoneLetters(s, list)
	}
}

// awsOfExisting are the keys given that only an existing VPC has.
func awsOfExisting(v AWSVPC) []string {
	var given []string
	for _, key := range []struct {
		name  string
		given bool
	}{
		{"cidrs", len(v.CIDRs) > 0}, {"publicSubnets", len(v.PublicSubnets) > 0}, {"privateRouteTables", len(v.PrivateRouteTables) > 0},
		{"proxySubnets", len(v.ProxySubnets) > 0}, {"s3Endpoint", v.S3Endpoint}, {"proxyRouteTables", len(v.ProxyRouteTables) > 0},
	} {
		if key.given {
			given = append(given, key.name)
		}
	}
	return given
}

// validateAWSZoneLetters demands zones whose last letter tells their place in a new VPC: a to h, each once. So a zone's networks do
// not depend on which other zones there are.
func validateAWSZoneLetters(s *Stack, list *problem.List) {
	seen := map[byte]bool{}
	for i, zone := range s.Cluster.Zones {
		if zone == "" {
			continue
		}
		letter := zone[len(zone)-1]
		if letter < 'a' || letter > 'h' || seen[letter] {
			list.Add(problem.Index(Namespace+"cluster.zones", i), "must end with a letter from a to h that no other zone has, because a new VPC is divided by it",
				zone, "bring a VPC of your own for other zones")
		}
		seen[letter] = true
	}
}

func validateAWSSubnets(place string, s *Stack, list *problem.List) {
	v, at := s.AWS.VPC, place+".vpc."
	if v.New() {
		return
	}
	for _, subnets := range []struct {
		key      string
		given    map[string]string
		required bool
	}{
		{"publicSubnets", v.PublicSubnets, s.usesNat() || len(v.ProxySubnets) == 0},
		{"proxySubnets", v.ProxySubnets, len(v.ProxySubnets) > 0 && s.usesProxies()},
	} {
		awsZones(list, at+subnets.key, s.Cluster.Zones, slices.Sorted(maps.Keys(subnets.given)), subnets.required)
		taken := map[string]bool{}
		for _, zone := range slices.Sorted(maps.Keys(subnets.given)) {
			here, id := problem.Child(at+subnets.key, zone), subnets.given[zone]
			if awsID(list, here, "subnet", id, "a subnet") && taken[id] {
				list.Add(here, "must be unique, because a subnet is in one zone", id, "give each zone its own")
			}
			taken[id] = true
		}
	}
}

// awsZones demands that exactly the cluster's zones are given.
func awsZones(list *problem.List, place string, zones, given []string, required bool) {
	for _, zone := range given {
		if !slices.Contains(zones, zone) {
			list.Add(problem.Child(place, zone), "must be one of cluster.zones", zone, problem.Suggestion(zone, zones))
		}
	}
	for _, zone := range zones {
		if required && !slices.Contains(given, zone) {
			list.Addf(place, nil, "add the zone", "needs an entry for zone %s", zone)
		}
	}
}

func validateAWSRouteTables(place string, s *Stack, list *problem.List) {
	v, at := s.AWS.VPC, place+".vpc.privateRouteTables"
	if v.New() {
		return
	}
	zones := slices.Sorted(maps.Keys(v.PrivateRouteTables))
	awsZones(list, at, s.Cluster.Zones, zones, s.usesNat() && s.AWS.Nat.Routes)
	taken := map[string]bool{}
	for _, zone := range zones {
		tables := v.PrivateRouteTables[zone]
		if len(tables) == 0 {
			list.Add(problem.Child(at, zone), "needs at least 1 route table", 0, "list those of the zone's private subnets")
		}
		for i, id := range tables {
			here := problem.Index(problem.Child(at, zone), i)
			if awsID(list, here, "rtb", id, "a route table") && taken[id] {
				list.Add(here, "must be unique: a table has one default route, so one zone", id, "give each zone tables of its own")
			}
			taken[id] = true
		}
	}
}

func validateAWSEndpoint(place string, s *Stack, list *problem.List) {
	v, at := s.AWS.VPC, place+".vpc."
	if v.New() {
		return
	}
	for i, id := range v.ProxyRouteTables {
		awsID(list, problem.Index(at+"proxyRouteTables", i), "rtb", id, "a route table")
	}
	if v.S3Endpoint && len(v.ProxyRouteTables) == 0 {
		list.Add(at+"proxyRouteTables", "is required with s3Endpoint", nil, "list the route tables of the proxies' subnets")
	}
	if !v.S3Endpoint && len(v.ProxyRouteTables) > 0 {
		list.Add(at+"proxyRouteTables", "has a meaning only with s3Endpoint", nil, "remove it, or set s3Endpoint: true")
	}
}

func validateAWSLoadBalancer(place string, s *Stack, list *problem.List) {
	l, at := s.AWS.LoadBalancer, place+".loadBalancer"
	if l == nil {
		return
	}
	if !s.usesProxies() {
		list.Add(at, "has a meaning only if a destination uses the proxies", nil, "remove it")
	}
	between(list, at+".idleSeconds", l.IdleSeconds, awsMinIdle, awsMaxIdle, "leave it out for 350")
	zones := slices.Sorted(maps.Keys(l.Zones))
	if s.AWS.VPC.New() {
		if len(zones) > 0 {
			list.Add(at+".zones", "must be left out with a new VPC, which has private subnets of its own", nil, "remove it")
		}
		return
	}
	awsZones(list, at+".zones", s.Cluster.Zones, zones, true)
	for _, zone := range zones {
		here, end := problem.Child(at+".zones", zone), l.Zones[zone]
		awsID(list, here+".subnet", "subnet", end.Subnet, "a subnet")
		if !inside(s.AWS.VPC.CIDRs, end.Address) {
			list.Add(here+".address", "must be an IPv4 address of the VPC", end.Address, "pick a free one of the subnet")
		}
	}
}

// inside says whether any of the networks holds an address.
func inside(networks []netip.Prefix, address netip.Addr) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(address) })
}
