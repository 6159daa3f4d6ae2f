package routes

import (
	"regexp"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/problem"
)

// Limits of a Pool.
const (
	maxConnectTimeoutSeconds = 60
	maxServerTimeoutSeconds  = 3600
	maxPoolConnections       = 100_000
	maxRouteConnections      = 1_000_000
	maxPathLength            = 1024
)

// plainPath are paths that need no quoting anywhere.
var plainPath = regexp.MustCompile(`^(/[A-Za-z0-9_+-][A-Za-z0-9._+-]*)+$`)

// protocol is Protocol with its default.
func (r Route) protocol() Protocol {
	if r.Protocol == "" {
		return ProtocolTLS
	}
	return r.Protocol
}

// validateProtocol checks what clients speak and where a tcp route listens.
func validateProtocol(where string, route Route, list *problem.List) {
	known := []Protocol{ProtocolTLS, ProtocolHTTP, ProtocolTCP}
	protocol := route.protocol()
	switch {
	case !slices.Contains(known, protocol):
		list.Addf(where+".protocol", string(route.Protocol), "", "must be %s, %s or %s", ProtocolTLS, ProtocolHTTP, ProtocolTCP)
	case route.Mode == ModePool && route.Protocol != "" && protocol != ProtocolTLS:
		list.Addf(where+".protocol", string(route.Protocol), "leave it out", "must be %s in mode %s: a pooled destination is reached by TLS", ProtocolTLS, ModePool)
	}
	if route.Listen < 0 || route.Listen > 65535 {
		list.Add(where+".listen", "must be 1 to 65535, or 0 for the port of the destination", route.Listen, "")
	}
	if route.Listen != 0 && (protocol != ProtocolTCP || route.Mode == ModePool) {
		list.Addf(where+".listen", route.Listen, "leave it out", "must not be given unless protocol is %s", ProtocolTCP)
	}
	if protocol != ProtocolTCP || route.Mode == ModePool {
		return
	}
	if len(route.Hosts) > 1 {
		list.Add(where+".hosts", "must be one: nothing in plain TCP tells hosts apart", len(route.Hosts), "make a route for each, with a listening port of its own")
	}
	for j, host := range route.Hosts {
		if strings.HasPrefix(host, "*.") {
			list.Add(problem.Index(where+".hosts", j), "must be an exact name: nothing in plain TCP says which one is meant", host, "")
		}
	}
}

// validateLimit checks the limit on a route's connections.
func validateLimit(where string, route Route, list *problem.List) {
	if route.MaxConnections < 0 || route.MaxConnections > maxRouteConnections {
		list.Addf(where+".maxConnections", route.MaxConnections, "", "must be 1 to %d, or 0 for no limit", maxRouteConnections)
	} else if route.MaxConnections > 0 && route.Mode == ModePool {
		list.Addf(where+".maxConnections", route.MaxConnections, "use pool.maxConnections", "must not be given in mode %s", ModePool)
	}
}

// validateListener checks that a port has one protocol, and a tcp route a port of its own.
func validateListener(where string, route Route, listeners map[int]Route, list *problem.List) {
	if route.Mode == ModePool {
		return
	}
	port := route.ListenPort()
	other, taken := listeners[port]
	switch {
	case !taken:
		listeners[port] = route
	case route.protocol() == ProtocolTCP || other.protocol() == ProtocolTCP:
		list.Addf(where+".listen", port, "give the tcp route another listening port", "must be for one tcp route alone: route %q listens there too", other.Name)
	case route.protocol() != other.protocol():
		list.Addf(where+".protocol", string(route.protocol()), "", "must be %s on port %d, as in route %q", other.protocol(), port, other.Name)
	}
}

// validatePool checks the options of a pool route.
func validatePool(where string, route Route, list *problem.List) {
	p := route.Pool
	if p == nil {
		return
	}
	where += ".pool"
	if route.Mode != ModePool {
		list.Addf(where, string(route.Mode), "", "must not be given unless mode is %s", ModePool)
	}
	files := []struct{ key, path string }{{".caFile", p.CAFile}, {".certFile", p.CertFile}}
	for _, file := range files {
		if file.path != "" && (len(file.path) > maxPathLength || !plainPath.MatchString(file.path)) {
			list.Add(where+file.key, "must be an absolute path of letters, digits and . _ + -", file.path, "")
		}
	}
	numbers := []struct {
		key      string
		value    int
		limit    int
		absentAs string
	}{
		{".connectTimeoutSeconds", p.ConnectTimeoutSeconds, maxConnectTimeoutSeconds, "the default"},
		{".serverTimeoutSeconds", p.ServerTimeoutSeconds, maxServerTimeoutSeconds, "the default"},
		{".maxConnections", p.MaxConnections, maxPoolConnections, "no limit"},
	}
	for _, n := range numbers {
		if n.value < 0 || n.value > n.limit {
			list.Addf(where+n.key, n.value, "", "must be 1 to %d, or 0 for %s", n.limit, n.absentAs)
		}
	}
	for i, name := range p.ALPN {
		at := problem.Index(where+".alpn", i)
		if name != ALPNHTTP2 && name != ALPNHTTP11 {
			list.Addf(at, string(name), "", "must be %s or %s", ALPNHTTP2, ALPNHTTP11)
		} else if slices.Contains(p.ALPN[:i], name) {
			list.Add(at, "must be listed once", string(name), "")
		}
	}
}
