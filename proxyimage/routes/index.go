package routes

import "strings"

// Index finds the route of a host. It is immutable.
type Index struct {
	exact    map[hostPort]*Route
	wildcard map[hostPort]*Route // key: the name below "*."
	ports    map[string][]int    // by host as written, in the order of the document
}

type hostPort struct {
	host string
	port int
}

// NewIndex indexes the routes of a valid document that have the given mode, by the port that ListenPort returns.
func NewIndex(doc *Document, mode Mode) *Index {
	x := &Index{exact: map[hostPort]*Route{}, wildcard: map[hostPort]*Route{}, ports: map[string][]int{}}
	for i := range doc.Routes {
		route := &doc.Routes[i]
		if route.Mode != mode {
			continue
		}
		port := route.ListenPort()
		for _, host := range route.Hosts {
			x.ports[host] = append(x.ports[host], port)
			if suffix, ok := strings.CutPrefix(host, "*."); ok {
				x.wildcard[hostPort{suffix, port}] = route
			} else {
				x.exact[hostPort{host, port}] = route
			}
		}
	}
	return x
}

// Lookup returns the route of a lower-case name on a port, or nil. An exact host comes first, then the wildcard with the
// longest suffix. "*.x" covers every name that has at least one label more than x, and not x itself.
func (x *Index) Lookup(name string, port int) *Route {
	if route := x.exact[hostPort{name, port}]; route != nil {
		return route
	}
	for suffix, ok := parent(name); ok; suffix, ok = parent(suffix) {
		if route := x.wildcard[hostPort{suffix, port}]; route != nil {
			return route
		}
	}
	return nil
}

// Covers reports whether any route serves the lower-case name, on whatever port.
func (x *Index) Covers(name string) bool { return len(x.ports[name]) > 0 || x.CoversByWildcard(name) }

// CoversByWildcard reports whether a wildcard host serves the lower-case name, on whatever port.
func (x *Index) CoversByWildcard(name string) bool {
	for suffix, ok := parent(name); ok; suffix, ok = parent(suffix) {
		if len(x.ports["*."+suffix]) > 0 {
			return true
		}
	}
	return false
}

// parent cuts the first label off, if it is not empty.
func parent(name string) (string, bool) {
	label, rest, ok := strings.Cut(name, ".")
	return rest, ok && label != ""
}
