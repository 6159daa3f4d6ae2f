package destinations

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/problem"
)

// Overlaps matter because two layers decide by name alone: DNS answers know no ports, and one name has one way out. So a name
// may occur once per port, and all that a name matches, on whatever port and by whatever wildcard, must have the same route.

// listed is one host of one entry.
type listed struct {
	host  string
	entry int // index of the entry
	item  int // index of the host in it
	port  int
	route Route
}

func validateOverlaps(place string, ds []Destination, list *problem.List) {
	all := eligible(ds)
	byName := map[string][]listed{} // in the order listed
	for _, l := range all {
		validateSameName(place, ds, l, byName[l.host], list)
		byName[l.host] = append(byName[l.host], l)
	}
	for _, l := range all {
		validateCovered(place, ds, l, byName, list)
	}
}

// eligible returns the hosts that are in order themselves: what is wrong with the others is reported already, and their
// overlaps would change with the correction.
func eligible(ds []Destination) []listed {
	var all []listed
	for i, d := range ds {
		if len(d.Hosts) > MaxHosts || !slices.Contains(routes, string(d.Route)) {
			continue
		}
		for j, host := range d.Hosts {
			if rule, _ := HostProblem(host); rule == "" {
				all = append(all, listed{host, i, j, d.Port, d.Route})
			}
		}
	}
	return all
}

// validateSameName compares a host with the earlier ones of the same name.
func validateSameName(place string, ds []Destination, l listed, earlier []listed, list *problem.List) {
	for _, e := range earlier {
		switch {
		case e.port == l.port && e.route == l.route:
			list.Addf(at(place, l), l.host, "remove one of the two", "must be listed once for port %d, and %s lists it too", l.port, other(place, ds, e))
			return
		case e.port == l.port:
			list.Addf(at(place, l), l.host, "remove one of the two", "must have one route on port %d, and is %s here and %s in %s",
				l.port, l.route, e.route, other(place, ds, e))
			return
		case e.route != l.route:
			list.Addf(at(place, l), l.host, "give both entries the same route", "must have the same route on all ports, because DNS answers know no ports, and is %s here and %s in %s",
				l.route, e.route, other(place, ds, e))
			return
		}
	}
}

// validateCovered compares a host with the wildcards above it.
func validateCovered(place string, ds []Destination, l listed, hosts map[string][]listed, list *problem.List) {
	name := strings.TrimPrefix(l.host, "*.")
	for {
		_, parent, found := strings.Cut(name, ".")
		if !found {
			return
		}
		for _, wildcard := range hosts["*."+parent] {
			if wildcard.route != l.route {
				list.Addf(at(place, l), l.host, "give both entries the same route, or narrow the wildcard",
					"must have the same route as the wildcard that covers it, and is %s here and %s by %q in %s",
					l.route, wildcard.route, wildcard.host, other(place, ds, wildcard))
				return
			}
		}
		name = parent
	}
}

func at(place string, l listed) string {
	return problem.Index(problem.Index(place, l.entry)+".hosts", l.item)
}

// other names an entry by its place and its name.
func other(place string, ds []Destination, l listed) string {
	return fmt.Sprintf("%s (%.63q)", at(place, l), ds[l.entry].Name)
}
