package main

import (
	"fmt"

	"github.com/sallyport/sallyport/components/stack"
)

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

// unlistedName names the lab's server for a host that nobody listed.
func unlistedName(i int) string { return fmt.Sprintf("unlisted-%d", i+1) }
