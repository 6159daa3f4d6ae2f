package destinations

import (
	"slices"
	"strings"
)

// ByRoute returns the destinations with one of the routes, in the order listed.
func ByRoute(ds []Destination, routes ...Route) []Destination {
	var found []Destination
	for _, d := range ds {
		if slices.Contains(routes, d.Route) {
			found = append(found, d)
		}
	}
	return found
}

// Partners returns the names of the partners that any of the destinations concerns, sorted, each once.
func Partners(ds []Destination) []string {
	partners := []string{}
	for _, d := range ds {
		if d.Partner != "" {
			partners = append(partners, d.Partner)
		}
	}
	slices.Sort(partners)
	return slices.Compact(partners)
}

// Hosts returns all hosts of the destinations, sorted, each once.
func Hosts(ds []Destination) []string {
	var hosts []string
	for _, d := range ds {
		hosts = append(hosts, d.Hosts...)
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// Ports returns the ports of the destinations, ascending, each once.
func Ports(ds []Destination) []int {
	var ports []int
	for _, d := range ds {
		ports = append(ports, d.Port)
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

// IsWildcard reports whether a host stands for all names below it.
func IsWildcard(host string) bool { return strings.HasPrefix(host, "*.") }

// Covers reports whether a listed host stands for a name: the name itself, or any name below a wildcard. The name may be
// upper case and end in a dot.
func Covers(host, name string) bool {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if suffix, wildcard := strings.CutPrefix(host, "*"); wildcard {
		return strings.HasSuffix(name, suffix) && len(name) > len(suffix)
	}
	return host == name
}
