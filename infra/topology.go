package main

import (
	"fmt"

	"github.com/sallyport/sallyport/components/capacity"
	"github.com/sallyport/sallyport/components/destinations"
	"github.com/sallyport/sallyport/components/stack"
)

// slot is a place for a proxy: a zone and a number in it. Its name never depends on other zones, so that adding one renames
// nothing.
type slot struct {
	zone string
	name string // "proxy-<zone>-<number>"
}

// slots are the places of the fleet, zone by zone.
func slots(zones []string, perZone int) []slot {
	var out []slot
	for _, zone := range zones {
		for n := 1; n <= perZone; n++ {
			out = append(out, slot{zone: zone, name: fmt.Sprintf("proxy-%s-%d", zone, n)})
		}
	}
	return out
}

// node is a node of the lab's cluster with its pods.
type node struct {
	zone, name string
	podCIDR    string
	pods       []string
}

// maxNodesPerZone bounds the lab: a zone has 16 pod networks.
const maxNodesPerZone = 16

// nodes spreads the cluster's nodes over its zones, round-robin.
func nodes(cluster stack.Cluster, podsPerNode int) []node {
	out := make([]node, 0, cluster.Nodes)
	for i := range cluster.Nodes {
		zoneIndex, number := i%len(cluster.Zones), i/len(cluster.Zones)+1
		key := fmt.Sprintf("%s-%d", cluster.Zones[zoneIndex], number)
		n := node{
			zone:    cluster.Zones[zoneIndex],
			name:    "node-" + key,
			podCIDR: fmt.Sprintf("10.244.%d.0/24", zoneIndex*maxNodesPerZone+number-1),
		}
		for p := 1; p <= podsPerNode; p++ {
			n.pods = append(n.pods, fmt.Sprintf("pod-%s-%d", key, p))
		}
		out = append(out, n)
	}
	return out
}

// natSlot is a NAT address and the gateway it belongs to.
type natSlot struct {
	gateway string // "nat" or "nat-<zone>"
	zone    string // empty for a gateway that serves all zones
	name    string // name of the address
}

// natSlots are the NAT addresses the plan asks for: of one regional gateway (cloudnat) or of one gateway per zone (natgateway).
func natSlots(zones []string, plan capacity.NatPlan) []natSlot {
	var out []natSlot
	if plan.Flavor == capacity.CloudNat {
		for n := 1; n <= plan.IPs; n++ {
			out = append(out, natSlot{gateway: "nat", name: fmt.Sprintf("nat-%d", n)})
		}
		return out
	}
	for _, zone := range zones {
		for n := 1; n <= plan.IPsPerZone; n++ {
			out = append(out, natSlot{gateway: "nat-" + zone, zone: zone, name: fmt.Sprintf("nat-%s-%d", zone, n)})
		}
	}
	return out
}

// viaProxy says whether a destination's connections leave through the fleet.
func viaProxy(d destinations.Destination) bool { return d.Route != destinations.RouteNat }

// gatewayNames are the gateways of the NAT slots, each once, in order.
func gatewayNames(slots []natSlot) []string {
	var names []string
	for _, s := range slots {
		if len(names) == 0 || names[len(names)-1] != s.gateway {
			names = append(names, s.gateway)
		}
	}
	return names
}

// unlistedName names the lab's server for a host that nobody listed.
func unlistedName(i int) string { return fmt.Sprintf("unlisted-%d", i+1) }
