package routes

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/internal/problem"
)

// Limits of a document. They bound what a proxy holds in memory (12 map entries a host, about 5 MB at the limit) and how long
// a change takes.
const (
	MaxRoutes   = 500
	MaxHosts    = 4000 // over all routes
	MaxProxies  = 500
	MaxNetworks = 1000 // clients and refused, each
)

// Limits of a name: RFC 1035, 2.3.4. A name written with dots has at most 253 characters.
const (
	maxNameLength  = 253
	maxLabelLength = 63
)

var dnsLabel = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)

// Validate checks a document as a whole and returns every problem, or nil. Serial 0 means that the document has not been
// numbered yet.
func Validate(doc *Document) error {
	var list problem.List
	validate(doc, &list)
	return list.Err()
}

func validate(doc *Document, list *problem.List) {
	if doc.Version != Version {
		list.Addf(place+": version", doc.Version, "", "must be %d", Version)
	}
	validateRoutes(doc.Routes, list)
	validateProxies(doc.Proxies, list)
	validateNetworks(place+": clients", doc.Clients, list)
	validateNetworks(place+": refused", doc.Refused, list)
	for i, client := range doc.Clients {
		if client.IsValid() && client.Bits() == 0 {
			list.Add(at("clients", i), "must not be the whole internet", client.String(), "list the networks of the cluster")
		}
	}
}

// at names an element of a list of the document.
func at(field string, i int) string { return problem.Index(place+": "+field, i) }

func validateRoutes(all []Route, list *problem.List) {
	if len(all) > MaxRoutes {
		list.Addf(place+": routes", len(all), "", "must not have more than %d entries", MaxRoutes)
	}
	names := map[string]bool{}
	served := map[string]string{}
	listeners := map[int]Route{}
	hosts := 0
	for i, route := range all {
		where := at("routes", i)
		validateName(where+".name", route.Name, names, list)
		if route.Port < 1 || route.Port > 65535 {
			list.Add(where+".port", "must be 1 to 65535", route.Port, "")
		}
		if route.Mode != ModePassthrough && route.Mode != ModePool && route.Mode != "" {
			list.Addf(where+".mode", string(route.Mode), "", "must be %s or %s", ModePassthrough, ModePool)
		}
		if len(route.Hosts) == 0 {
			list.Add(where+".hosts", "needs at least 1 host", 0, "")
		}
		validateProtocol(where, route, list)
		validateListener(where, route, listeners, list)
		validateLimit(where, route, list)
		validatePool(where, route, list)
		hosts += len(route.Hosts)
		for j, host := range route.Hosts {
			validateHost(problem.Index(where+".hosts", j), host, route, served, list)
		}
	}
	if hosts > MaxHosts {
		list.Addf(place+": routes", hosts, "", "must not have more than %d hosts together", MaxHosts)
	}
}

// validateName checks a name that must be unique.
func validateName(where, name string, seen map[string]bool, list *problem.List) {
	switch {
	case len(name) > maxLabelLength || !dnsLabel.MatchString(name):
		list.Addf(where, name, "", "must be a DNS label: a-z, 0-9 and '-', at most %d characters", maxLabelLength)
	case seen[name]:
		list.Add(where, "must be unique", name, "")
	}
	seen[name] = true
}

// validateHost checks one host and that no other route serves it on the same port.
func validateHost(where, host string, route Route, served map[string]string, list *problem.List) {
	if rule := HostRule(host); rule != "" {
		list.Add(where, rule, host, "")
		return
	}
	key := host + "|" + strconv.Itoa(route.ListenPort())
	if other, ok := served[key]; ok {
		list.Addf(where, host, "", "must not be served twice on port %d: route %q has it", route.ListenPort(), other)
	}
	served[key] = route.Name
}

// HostRule returns the rule that a host breaks, or "" if it is an exact lower-case DNS name, or one leading "*." before at
// least two labels.
func HostRule(host string) string {
	name, wildcard := strings.CutPrefix(host, "*.")
	if len(host) > maxNameLength {
		return "must not be longer than 253 characters"
	}
	if isAddress(name) {
		return "must be a DNS name, not an IP address"
	}
	if strings.Contains(name, "*") {
		return `must have "*." only once, in front`
	}
	labels := 0
	for label := range strings.SplitSeq(name, ".") {
		labels++
		if !isLabel(label) {
			return "must be a lower-case DNS name without a trailing dot"
		}
	}
	if labels < 2 {
		if wildcard {
			return `must have at least two labels after "*."`
		}
		return "must be a full name with at least two labels"
	}
	return ""
}

// isAddress reports whether a name is an IP address, and looks closer only at what may be one: every name that a client sends
// comes here.
func isAddress(name string) bool {
	if name == "" || !strings.Contains(name, ":") && !isDigit(name[len(name)-1]) {
		return false
	}
	_, err := netip.ParseAddr(name)
	return err == nil
}

// isLabel reports whether a label is of lower-case letters, digits, underscores and hyphens, with no hyphen at either end.
func isLabel(label string) bool {
	if label == "" || len(label) > maxLabelLength || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	for i := range len(label) {
		if c := label[i]; c != '-' && c != '_' && !isDigit(c) && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func validateProxies(all []Proxy, list *problem.List) {
	if len(all) > MaxProxies {
		list.Addf(place+": proxies", len(all), "", "must not have more than %d entries", MaxProxies)
	}
	names := map[string]bool{}
	owners := map[netip.Addr]string{}
	for i, proxy := range all {
		where := at("proxies", i)
		validateName(where+".name", proxy.Name, names, list)
		validateLabel(where+".zone", proxy.Zone, list)
		validateAddress(where+".address", proxy.Address, proxy.Name, owners, list)
		for j, ip := range proxy.PublicIPs {
			validateAddress(problem.Index(where+".publicIPs", j), ip, proxy.Name, owners, list)
		}
	}
}

func validateLabel(where, label string, list *problem.List) {
	if len(label) > maxLabelLength || !dnsLabel.MatchString(label) {
		list.Addf(where, label, "", "must be a DNS label: a-z, 0-9 and '-', at most %d characters", maxLabelLength)
	}
}

// validateAddress checks an address of a proxy: usable, IPv4, and nobody else's.
func validateAddress(where string, ip netip.Addr, proxy string, owners map[netip.Addr]string, list *problem.List) {
	switch {
	case !ip.Is4() || ip.IsUnspecified() || ip.IsMulticast() || ip.IsLoopback():
		list.Add(where, "must be an IPv4 address of one host", ip.String(), "")
	case owners[ip] != "":
		list.Addf(where, ip.String(), "", "must belong to one proxy: %q has it too", owners[ip])
	}
	owners[ip] = proxy
}

func validateNetworks(where string, all []netip.Prefix, list *problem.List) {
	if len(all) > MaxNetworks {
		list.Addf(where, len(all), "", "must not have more than %d entries", MaxNetworks)
	}
	for i, network := range all {
		if !network.IsValid() {
			list.Add(problem.Index(where, i), "must be a CIDR block", nil, "")
		} else if network != network.Masked() {
			list.Add(problem.Index(where, i), "must not have host bits", network.String(), "write "+network.Masked().String())
		}
	}
}
