package gcppreflight

import (
	"cmp"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/problem"
)

// checkHost demands that the project may use the Shared VPC that the stack file names.
func checkHost(n Need, p project, list *problem.List) {
	if n.Host == "" || p.host == nil || *p.host == n.Host {
		return
	}
	list.Addf("sallyport:gcp.network.existing.project", n.Host, "attach the project to that host project, or name the one it is attached to",
		"must be the host project of %s, which is attached to %s", n.Project, cmp.Or(*p.host, "none"))
}

// checkNetwork demands a network and subnetworks that exist, with the ranges that the stack file names.
func checkNetwork(n Need, p project, list *problem.List) {
	if n.Network == "" {
		return
	}
	if p.network != nil && p.network.missing {
		list.Reject("sallyport:gcp.network.existing.name", "must exist in project "+n.networkProject(), n.Network, "check the name and the project")
		return
	}
	if p.subnetworks == nil {
		return
	}
	for _, want := range n.Subnetworks {
		i := slices.IndexFunc(p.subnetworks, func(s subnetwork) bool { return s.Name == last(want.Name) })
		if i < 0 {
			list.Add(want.Place, "must exist in region "+n.Region, want.Name, "check the name and the region")
			continue
		}
		found := p.subnetworks[i]
		if last(found.Network) != last(n.Network) {
			list.Addf(want.Place, want.Name, "name a subnetwork of the network", "must belong to network %s and belongs to %s", last(n.Network), last(found.Network))
			continue
		}
		ranges := []string{}
		for _, r := range found.Secondary {
			ranges = append(ranges, r.Name)
		}
		for _, name := range want.Secondary {
			if !slices.Contains(ranges, name) {
				list.Add(want.Place, "must name a secondary range of the subnetwork", name, suggestRange(name, ranges))
			}
		}
	}
}

func suggestRange(name string, ranges []string) string {
	if len(ranges) == 0 {
		return "the subnetwork has none"
	}
	return problem.Suggestion(name, ranges)
}

// How a gateway says what it translates. Compute Engine API, routers, 2026-07.
const (
	allRanges  = "ALL_SUBNETWORKS_ALL_IP_RANGES"
	allPrimary = "ALL_SUBNETWORKS_ALL_PRIMARY_IP_RANGES"
)

// checkForeignNats demands that nobody else's Cloud NAT translates a range of this stack: a range can have one public gateway,
// and a gateway for all ranges of a network admits no other.
func checkForeignNats(n Need, p project, list *problem.List) {
	if n.Network == "" || len(n.Gateways) == 0 {
		return
	}
	ours := map[string]bool{}
	for _, g := range n.Gateways {
		ours[g.Router+"/"+g.Name] = true
	}
	for _, r := range p.routers {
		if last(r.Network) != last(n.Network) {
			continue
		}
		for _, g := range r.Nats {
			if g.Type == "PRIVATE" || ours[r.Name+"/"+g.Name] {
				continue
			}
			for _, want := range n.Subnetworks {
				if shared := g.overlap(want); shared != "" {
					list.Addf(want.Place, want.Name, "take the subnetwork off that gateway when the cluster may lose its old way out for a moment, or leave it out here",
						"%s must have no other Cloud NAT, and gateway %s on router %s has it", shared, g.Name, r.Name)
				}
			}
		}
	}
}

// overlap names the ranges of a subnetwork that a gateway translates, empty if none of those wanted.
func (g nat) overlap(want Subnetwork) string {
	secondary := len(want.Secondary) > 0 || want.AllSecondary
	switch g.Source {
	case allRanges:
		return "every range"
	case allPrimary:
		if want.Primary {
			return "the primary range"
		}
		return ""
	}
	var shared []string
	for _, s := range g.Subnetworks {
		if last(s.Name) != last(want.Name) {
			continue
		}
		everything := slices.Contains(s.Ranges, "ALL_IP_RANGES")
		if want.Primary && (everything || slices.Contains(s.Ranges, "PRIMARY_IP_RANGE")) {
			shared = append(shared, "the primary range")
		}
		if !secondary {
			continue
		}
		if everything {
			shared = append(shared, "every secondary range")
			continue
		}
		for _, name := range s.Secondary {
			if want.AllSecondary || slices.Contains(want.Secondary, name) {
				shared = append(shared, "secondary range "+name)
			}
		}
	}
	return strings.Join(shared, " and ")
}
