package stack

import (
	"maps"
	"slices"

	"github.com/sallyport/sallyport/components/destinations"
	"github.com/sallyport/sallyport/internal/problem"
)

// validateLabSection demands the section exactly where it means something.
func validateLabSection(s *Stack, given bool, list *problem.List) {
	place := Namespace + "lab"
	switch {
	case s.Cloud == CloudLocal && !given:
		list.Add(place, "is required with cloud local", nil, "write {} for the defaults")
	case given && (s.Cloud == CloudAWS || s.Cloud == CloudGCP):
		list.Addf(place, nil, "remove it", "must be left out with cloud %s, because only stack local has a lab", s.Cloud)
	}
}

func validateLabNodes(s *Stack, list *problem.List) {
	if s.Cloud != CloudLocal {
		return
	}
	c := s.Cluster
	if c.Nodes >= 1 && c.Nodes < len(c.Zones) {
		list.Addf(Namespace+"cluster.nodes", c.Nodes, "give each zone a node, or drop a zone", "must be at least the number of zones, %d, with cloud local", len(c.Zones))
	}
	if c.Nodes > labNodes && c.Nodes <= maxNodes {
		list.Addf(Namespace+"cluster.nodes", c.Nodes, "put the real number into maxNodes, which is planned with and not built",
			"must not be above %d with cloud local, where every node is made on this machine", labNodes)
	}
}

func validatePods(s *Stack, list *problem.List) {
	if s.Cloud == CloudLocal {
		between(list, Namespace+"lab.podsPerNode", s.Lab.PodsPerNode, 1, maxPods, "leave it out for 1")
	}
}

// validateUnlistedHosts demands real names that no destination lists: that is their purpose.
func validateUnlistedHosts(s *Stack, list *problem.List) {
	place := Namespace + "lab.unlistedHosts"
	listed := destinations.Hosts(s.Destinations)
	for i, host := range s.Lab.UnlistedHosts {
		at := problem.Index(place, i)
		rule, remedy := destinations.HostProblem(host)
		covering := slices.IndexFunc(listed, func(l string) bool { return destinations.Covers(l, host) })
		switch {
		case destinations.IsWildcard(host):
			list.Add(at, "must be one name, not a wildcard", host, "write a name below it")
		case rule != "":
			list.Add(at, rule, host, remedy)
		case slices.Index(s.Lab.UnlistedHosts, host) < i:
			list.Add(at, "must be unique", host, "remove one of the two")
		case covering >= 0:
			list.Addf(at, host, "remove it here or there", "must not be listed, and sallyport:destinations lists %q", listed[covering])
		}
	}
}

// validateStalePartners demands partners that some destination names: others have no server in the lab.
func validateStalePartners(s *Stack, list *problem.List) {
	partners := destinations.Partners(s.Destinations)
	for i, partner := range s.Lab.StalePartners {
		at := problem.Index(Namespace+"lab.stalePartners", i)
		if !slices.Contains(partners, partner) {
			list.Add(at, "must be the partner of a destination", partner, partnerRemedy(partner, partners))
		} else if slices.Index(s.Lab.StalePartners, partner) < i {
			list.Add(at, "must be unique", partner, "remove one of the two")
		}
	}
}

// validatePartnerLists demands partners that some destination names.
func validatePartnerLists(s *Stack, list *problem.List) {
	partners := destinations.Partners(s.Destinations)
	for _, partner := range slices.Sorted(maps.Keys(s.Lab.PartnerLists)) {
		if !slices.Contains(partners, partner) {
			list.Add(problem.Child(Namespace+"lab.partnerLists", partner), "must be the partner of a destination", partner, partnerRemedy(partner, partners))
		}
	}
}

func partnerRemedy(partner string, known []string) string {
	if len(known) == 0 {
		return "name a partner in one of the destinations"
	}
	return problem.Suggestion(partner, known)
}
