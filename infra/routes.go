package main

import (
	"net/netip"

	"github.com/sallyport/sallyport/components/destinations"
	"github.com/sallyport/sallyport/components/stack"
	"github.com/sallyport/sallyport/proxyimage/routes"
)

// routesDocument is what the fleet serves, derived from the one list. Its serial is the publisher's business.
//
// Pooled destinations pass through untouched here: the pooling controller sits in front of the fleet, inside the cluster.
func routesDocument(settings *stack.Stack, proxies []routes.Proxy, clients []netip.Prefix) routes.Document {
	document := routes.Document{Version: routes.Version, Routes: []routes.Route{}, Proxies: proxies, Clients: clients}
	for _, d := range settings.Destinations {
		if viaProxy(d) {
			document.Routes = append(document.Routes, routes.Route{
				Name: d.Name, Hosts: d.Hosts, Port: d.Port, Mode: routes.ModePassthrough,
			})
		}
	}
	return document
}

// proxiedHosts are all hosts that leave through the fleet.
func proxiedHosts(list []destinations.Destination) []string {
	var hosts []string
	for _, d := range list {
		if viaProxy(d) {
			hosts = append(hosts, d.Hosts...)
		}
	}
	return hosts
}

// proxiedPorts are the ports the fleet listens on, each once, in the order of the list.
func proxiedPorts(list []destinations.Destination) []int {
	seen := map[int]bool{}
	var ports []int
	for _, d := range list {
		if viaProxy(d) && !seen[d.Port] {
			seen[d.Port] = true
			ports = append(ports, d.Port)
		}
	}
	return ports
}
