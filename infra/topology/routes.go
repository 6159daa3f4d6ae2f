package topology

import (
	"net/netip"

	"github.com/sallyport/sallyport/components/destinations"
	"github.com/sallyport/sallyport/components/stack"
	"github.com/sallyport/sallyport/proxyimage/routes"
)

// RoutesDocument is what the fleet serves, derived from the one list. Its serial is the publisher's business.
//
// Pooled destinations pass through untouched here: the pooling controller sits in front of the fleet, inside the cluster.
func RoutesDocument(settings *stack.Stack, proxies []routes.Proxy, clients []netip.Prefix) routes.Document {
	document := routes.Document{Version: routes.Version, Routes: []routes.Route{}, Proxies: proxies, Clients: clients}
	for _, d := range settings.Destinations {
		if ViaProxy(d) {
			document.Routes = append(document.Routes, routes.Route{
				Name: d.Name, Hosts: d.Hosts, Port: d.Port, Mode: routes.ModePassthrough,
			})
		}
	}
	return document
}

// ProxiedHosts are all hosts that leave through the fleet.
func ProxiedHosts(list []destinations.Destination) []string {
	var hosts []string
	for _, d := range list {
		if ViaProxy(d) {
			hosts = append(hosts, d.Hosts...)
		}
	}
	return hosts
}

// ProxiedPorts are the ports the fleet listens on, each once, in the order of the list.
func ProxiedPorts(list []destinations.Destination) []int {
	seen := map[int]bool{}
	var ports []int
	for _, d := range list {
		if ViaProxy(d) && !seen[d.Port] {
			seen[d.Port] = true
			ports = append(ports, d.Port)
		}
	}
	return ports
}
