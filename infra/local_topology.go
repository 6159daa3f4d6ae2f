package main

import (
	"fmt"

	"github.com/sallyport/sallyport/components/stack"
)

// node is a node of the lab's cluster with its pods.
type node struct {
	zone, name string
	pods       []string
}

// maxNodes bounds the lab: each node has a network for its pods, and there are so many.
const maxNodes = 256

// nodes spreads the cluster's nodes over its zones, round-robin.
func nodes(cluster stack.Cluster, podsPerNode int) []node {
	out := make([]node, 0, cluster.Nodes)
	for i := range cluster.Nodes {
		zone, number := cluster.Zones[i%len(cluster.Zones)], i/len(cluster.Zones)+1
		key := fmt.Sprintf("%s-%d", zone, number)
		n := node{zone: zone, name: "node-" + key}
		for p := 1; p <= podsPerNode; p++ {
			n.pods = append(n.pods, fmt.Sprintf("pod-%s-%d", key, p))
		}
		out = append(out, n)
	}
	return out
}

// unlistedName names the lab's server for a host that nobody listed.
func unlistedName(i int) string { return fmt.Sprintf("unlisted-%d", i+1) }
