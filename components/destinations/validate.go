package destinations

import (
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/problem"
)

const (
	// MaxDestinations is the number of entries a list may have.
	MaxDestinations = 2000
	// MaxHosts is the number of hosts one entry may have.
	MaxHosts = 64
	// AgentPort is where proxies answer health checks and metrics; no proxied destination may use it.
	AgentPort = 8404
)

// The upper bounds of a demand. None is a limit of a cloud; beyond them a figure is a slip.
const (
	MaxConnectionsPerSecond  = 1e6
	MaxSecondsPerConnection  = 86400
	MaxRequestsPerConnection = 1e6
	MaxAddresses             = 4096
)

// clearPorts are ports whose protocols speak first or without TLS, so that a proxy never sees a server name on them.
var clearPorts = map[int]string{21: "FTP", 22: "SSH", 25: "SMTP", 53: "DNS", 80: "HTTP"}

// Validate checks a normalised list as a whole and records every problem, with places that start with place.
func Validate(place string, ds []Destination, list *problem.List) {
	if len(ds) == 0 {
		list.Add(place, "needs at least 1 entry", 0, "declare where the cluster connects to")
	}
	if len(ds) > MaxDestinations {
		list.Addf(place, len(ds), "use wildcards, or split the stack", "must not have more than %d entries", MaxDestinations)
		return
	}
	for i, d := range ds {
		at := problem.Index(place, i)
		validateName(at, d, list)
		validateHosts(at, d, list)
		validatePort(at, d, list)
		validateRoute(at, d, list)
		validatePartner(at, d, list)
		validateDemand(at, d, list)
		validatePooling(at, d, list)
	}
	validateUniqueNames(place, ds, list)
	validateOverlaps(place, ds, list)
}

func validateName(at string, d Destination, list *problem.List) {
	if d.Name == "" {
		list.Add(at+".name", "needs a name", d.Name, "it identifies the destination in plans, metrics and alarms")
		return
	}
	if !IsLabel(d.Name) {
		list.Add(at+".name", LabelRule, d.Name, "rename it")
	}
}

func validateHosts(at string, d Destination, list *problem.List) {
	at += ".hosts"
	if len(d.Hosts) == 0 {
		list.Add(at, "needs at least 1 host", 0, `list the DNS names, for example ["api.example.com"]`)
	}
	if len(d.Hosts) > MaxHosts {
		list.Addf(at, len(d.Hosts), "split the entry, or use a wildcard", "must not have more than %d hosts", MaxHosts)
		return
	}
	for i, host := range d.Hosts {
		if rule, remedy := HostProblem(host); rule != "" {
			list.Add(problem.Index(at, i), rule, host, remedy)
		}
	}
}

func validatePort(at string, d Destination, list *problem.List) {
	at += ".port"
	if d.Port < 1 || d.Port > 65535 {
		list.Add(at, "must be between 1 and 65535", d.Port, "leave it out for 443")
		return
	}
	if d.Route != RouteProxy && d.Route != RoutePool {
		return
	}
	if d.Port == AgentPort {
		list.Add(at, "must not be the port on which the proxies answer health checks", d.Port, "send it through the NAT (route: nat)")
	}
	if protocol, readable := clearPorts[d.Port]; readable {
		list.Add(at, "must be a port that speaks TLS from the first byte, because proxies go by its server name, and this is "+protocol,
			d.Port, "send it through the NAT (route: nat)")
	}
}

// routes are the known routes.
var routes = []string{string(RouteNat), string(RouteProxy), string(RoutePool)}

func validateRoute(at string, d Destination, list *problem.List) {
	if !slices.Contains(routes, string(d.Route)) {
		list.Add(at+".route", "must be a known route", d.Route, problem.Suggestion(string(d.Route), routes))
	}
}

func validatePartner(at string, d Destination, list *problem.List) {
	if d.Partner != "" && !IsLabel(d.Partner) {
		list.Add(at+".partner", LabelRule, d.Partner, "rename it")
	}
}

func validateDemand(at string, d Destination, list *problem.List) {
	at += ".demand"
	positive(list, at+".connectionsPerSecond", d.Demand.ConnectionsPerSecond, MaxConnectionsPerSecond,
		"declare the peak rate of new connections of the whole cluster")
	positive(list, at+".secondsPerConnection", d.Demand.SecondsPerConnection, MaxSecondsPerConnection,
		"declare the mean life of a connection, in seconds, or leave it out for 1")
	if r := d.Demand.RequestsPerConnection; !(r >= 1 && r <= MaxRequestsPerConnection) {
		list.Addf(at+".requestsPerConnection", r, "leave it out for 1", "must be between 1 and %.0f", float64(MaxRequestsPerConnection))
	}
	if a := d.Demand.Addresses; a < 1 || a > MaxAddresses {
		list.Addf(at+".addresses", a, "leave it out for 1", "must be between 1 and %d", MaxAddresses)
	}
}

// positive records a number that is not above 0, beyond what makes sense, or NaN.
func positive(list *problem.List, at string, value, limit float64, remedy string) {
	if !(value > 0) {
		list.Add(at, "must be above 0", value, remedy)
	} else if value > limit {
		list.Addf(at, value, remedy, "must not be above %.0f", limit)
	}
}

func validatePooling(at string, d Destination, list *problem.List) {
	if r := d.Demand.RequestsPerConnection; d.Route == RoutePool && r >= 1 && r < 2 {
		list.Add(at+".demand.requestsPerConnection", "must be at least 2 for route pool, which is there to share connections", r,
			"declare how many requests share a connection, or use route proxy")
	}
}

func validateUniqueNames(place string, ds []Destination, list *problem.List) {
	first := map[string]int{}
	for i, d := range ds {
		if d.Name == "" {
			continue
		}
		if j, taken := first[d.Name]; taken {
			list.Addf(problem.Index(place, i)+".name", d.Name, "rename one", "must be unique and %s has the same", problem.Index(place, j))
			continue
		}
		first[d.Name] = i
	}
}

// LabelRule says what [IsLabel] demands, for messages.
const LabelRule = "must be a DNS label: 1 to 63 of a-z, 0-9 and -, starting and ending with a letter or digit"

// IsLabel reports whether a text is a lower-case DNS label.
func IsLabel(text string) bool {
	if text == "" || len(text) > 63 || strings.HasPrefix(text, "-") || strings.HasSuffix(text, "-") {
		return false
	}
	for _, r := range text {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' {
			return false
		}
	}
	return true
}
