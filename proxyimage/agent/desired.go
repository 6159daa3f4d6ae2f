package agent

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/proxyimage/agent/hosts"
	"github.com/sallyport/sallyport/proxyimage/agent/vetting"
	"github.com/sallyport/sallyport/proxyimage/haproxycfg"
	"github.com/sallyport/sallyport/proxyimage/routes"
)

// force is a routes document with what follows from it. Immutable.
type force struct {
	doc    *routes.Document
	index  *routes.Index // routes of the agent's mode
	policy *vetting.Policy
	listen []haproxycfg.Listener // sorted by port
	exact  []string              // exact hosts, sorted, each once
	hosts  map[int][]string      // exact hosts by port
	wilds  map[int][]string      // wildcard hosts by port
	name   map[string]string     // route name by host
	limits map[hostPort]string   // of hosts whose route has a limit, see haproxycfg.Limit
}

type hostPort struct {
	host string
	port int
}

// newForce derives everything from the routes of a document that have the mode. own are this machine's addresses.
func newForce(doc *routes.Document, mode routes.Mode, own []netip.Addr) *force {
	f := &force{
		doc: doc, index: routes.NewIndex(doc, mode),
		hosts: map[int][]string{}, wilds: map[int][]string{}, name: map[string]string{}, limits: map[hostPort]string{},
	}
	for _, route := range doc.Routes {
		if route.Mode != mode {
			continue
		}
		port := route.ListenPort()
		f.addListener(route)
		for _, host := range route.Hosts {
			f.name[host] = route.Name
			if route.MaxConnections > 0 {
				f.limits[hostPort{host, port}] = haproxycfg.Limit(route.Name, route.MaxConnections)
			}
			if strings.HasPrefix(host, "*.") {
				f.wilds[port] = append(f.wilds[port], host)
				continue
			}
			f.hosts[port] = append(f.hosts[port], host)
			f.exact = append(f.exact, host)
		}
	}
	for _, hosts := range f.wilds { // the most specific first, as in routes.Index
		slices.SortStableFunc(hosts, func(a, b string) int { return len(b) - len(a) })
	}
	slices.SortFunc(f.listen, func(a, b haproxycfg.Listener) int { return a.Port - b.Port })
	slices.Sort(f.exact)
	f.exact = slices.Compact(f.exact)
	fleet := slices.Clone(own)
	for _, proxy := range doc.Proxies {
		fleet = append(append(fleet, proxy.Address), proxy.PublicIPs...)
	}
	f.policy = vetting.NewPolicy(doc.Refused, fleet)
	return f
}

// addListener adds the listening port of a route, which tls and http routes share.
func (f *force) addListener(route routes.Route) {
	l := haproxycfg.Listener{Port: route.ListenPort(), Protocol: haproxycfg.ProtocolTLS, To: route.Port}
	if route.Protocol != "" {
		l.Protocol = string(route.Protocol)
	}
	if route.Protocol == routes.ProtocolTCP {
		l.Host = route.Hosts[0]
	}
	if !slices.Contains(f.listen, l) {
		f.listen = append(f.listen, l)
	}
}

// portsOf returns the ports of listeners.
func portsOf(listeners []haproxycfg.Listener) []int {
	all := make([]int, len(listeners))
	for i, l := range listeners {
		all[i] = l.Port
	}
	return all
}

// maps returns the entries of every map file. running are ports that HAProxy still listens on: those the document does not
// have any more get empty maps, so that a removed host is refused even before the port is closed.
func (f *force) maps(dir string, running []int, states map[string]hosts.State) map[string][]haproxycfg.Entry {
	want := map[string][]haproxycfg.Entry{
		haproxycfg.ClientsMap(dir): haproxycfg.NetworkEntries(f.doc.Clients),
		haproxycfg.RefusedMap(dir): haproxycfg.NetworkEntries(f.policy.Refused()),
	}
	for _, port := range slices.Concat(portsOf(f.listen), running) {
		exact := make([]haproxycfg.Entry, 0, len(f.hosts[port]))
		for _, host := range f.hosts[port] {
			exact = append(exact, f.host(host, states[host])...)
		}
		wilds := make([]haproxycfg.Entry, 0, len(f.wilds[port]))
		for _, host := range f.wilds[port] {
			wilds = append(wilds, haproxycfg.WildcardEntry(host, f.limits[hostPort{host, port}]))
		}
		want[haproxycfg.HostsMap(dir, port)] = exact
		want[haproxycfg.LimitsMap(dir, port)] = f.limited(port)
		want[haproxycfg.WildcardsMap(dir, port)] = wilds
	}
	return want
}

// limited returns the entries of the exact hosts of a port whose connections are limited.
func (f *force) limited(port int) []haproxycfg.Entry {
	var entries []haproxycfg.Entry
	for _, host := range f.hosts[port] {
		if limit, ok := f.limits[hostPort{host, port}]; ok {
			entries = append(entries, haproxycfg.Entry{Key: host, Value: limit})
		}
	}
	return entries
}

// tried reports whether a lookup of every exact host has ended.
func (f *force) tried(states map[string]hosts.State) bool {
	for _, host := range f.exact {
		if !states[host].Tried {
			return false
		}
	}
	return true
}

// host returns the entries of one host.
func (f *force) host(host string, state hosts.State) []haproxycfg.Entry {
	allowed, refused := f.policy.Addresses(state.Addresses)
	standIn := haproxycfg.NoAddress
	if len(refused) > 0 {
		standIn = haproxycfg.RefusedAddress
	}
	return haproxycfg.HostEntries(host, allowed, standIn)
}

// ownAddresses are the addresses of this machine's interfaces and the source addresses.
func ownAddresses(sources []netip.Addr) []netip.Addr {
	own := slices.Clone(sources)
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return own
	}
	for _, address := range addresses {
		if network, ok := address.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(network.IP); ok {
				own = append(own, ip.Unmap())
			}
		}
	}
	return own
}
