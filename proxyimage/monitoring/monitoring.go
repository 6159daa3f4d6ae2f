// Package monitoring renders what watches a fleet: Prometheus alert rules and a Grafana dashboard, with the thresholds that
// follow from the plan. It is pure: values in, text out. The metrics are those of the agent in every proxy and on every node.
//
// The limit that matters is ports: each source address of a proxy has so many for each address of a destination, and what runs
// out there fails although every other figure looks well. So each destination has alerts of its own.
package monitoring

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Values is what the alerts and the dashboard depend on.
type Values struct {
	// Stack names the environment; it becomes part of titles and names. Letters, digits and . _ -, at most 100.
	Stack string
	// Proxies is the number of proxies, spares included. At least 1.
	Proxies int
	// Needed is how many of them the planned peak takes. 1 to Proxies.
	Needed int
	// ConnectionsPerSecond is how many new connections a proxy takes, and MaxConnections how many it holds, as planned.
	ConnectionsPerSecond float64
	MaxConnections       int
	// Share of a ceiling at which to warn. Default 0.8.
	Share float64
	// Destinations leave through the proxies. Names are unique DNS labels.
	Destinations []Destination
}

// Destination is one destination as the plan sees it.
type Destination struct {
	Name string
	// Ceiling is the number of ports that a source address has for one address of the destination. At least 1.
	Ceiling int
	// Planned is how many of them the planned peak takes.
	Planned float64
}

var (
	stackRule = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,100}$`)
	nameRule  = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
)

// prepare fills in the defaults and checks the values, all problems at once.
func (v Values) prepare() (Values, error) {
	if v.Share == 0 {
		v.Share = 0.8
	}
	var errs []error
	need := func(ok bool, field, rule string, value any) {
		if !ok {
			errs = append(errs, fmt.Errorf("monitoring: %s: %s, got %v", field, rule, value))
		}
	}
	need(stackRule.MatchString(v.Stack), "Stack", "must be letters, digits and . _ -, at most 100", fmt.Sprintf("%q", v.Stack))
	need(v.Proxies >= 1, "Proxies", "must be at least 1", v.Proxies)
	need(v.Needed >= 1 && v.Needed <= v.Proxies, "Needed", "must be 1 to the number of proxies", v.Needed)
	need(v.ConnectionsPerSecond > 0, "ConnectionsPerSecond", "must be above 0", v.ConnectionsPerSecond)
	need(v.MaxConnections >= 1, "MaxConnections", "must be at least 1", v.MaxConnections)
	need(v.Share > 0 && v.Share <= 1, "Share", "must be above 0 and at most 1", v.Share)
	seen := map[string]bool{}
	for _, d := range v.Destinations {
		need(nameRule.MatchString(d.Name) && !seen[d.Name], "Destinations", "must have unique DNS labels as names", fmt.Sprintf("%q", d.Name))
		need(d.Ceiling >= 1, "Destinations: "+d.Name+": Ceiling", "must be at least 1", d.Ceiling)
		need(d.Planned >= 0, "Destinations: "+d.Name+": Planned", "must be at least 0", d.Planned)
		seen[d.Name] = true
	}
	v.Destinations = slices.Clone(v.Destinations)
	slices.SortFunc(v.Destinations, func(a, b Destination) int { return strings.Compare(a.Name, b.Name) })
	return v, errors.Join(errs...)
}

// warnAt is the number of ports at which to warn of a destination.
func (v Values) warnAt(d Destination) int { return int(v.Share * float64(d.Ceiling)) }

// selector selects the series of a destination. Destinations that share an address are counted together, with both names.
func selector(d Destination) string { return fmt.Sprintf(`{destination=~"(.+,)?%s(,.+)?"}`, d.Name) }
