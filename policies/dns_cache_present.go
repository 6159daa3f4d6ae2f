package main

import "strings"

// dnsCachePresent misses the node-local DNS cache in a cluster that a stack manages: the five-second timeouts come from there.
var dnsCachePresent = policy{
	name: "dns-cache-present", level: advisory,
	description: "The cluster has one DNS cache on each node.",
	stack: func(j *judge, all stack) {
		var inside stack
		caches := []string{}
		for _, r := range all {
			switch {
			case r.kind == "gcp:container/cluster:Cluster" && r.inputs.at("addonsConfig", "dnsCacheConfig", "enabled").yes():
				caches = append(caches, r.name)
			case strings.HasPrefix(r.kind, "kubernetes:"):
				inside = append(inside, r)
				if r.kind == "kubernetes:apps/v1:DaemonSet" && r.inputs.at("metadata", "labels", "k8s-app").text() == "node-local-dns" {
					caches = append(caches, r.name)
				}
			}
		}
		if d, err := declared(all); err == nil && d != nil && d.settings.GCP != nil && len(inside) > 0 && len(caches) == 0 {
			return // GKE brings its own; the stack file says so, and two caches would be one too many
		}
		switch {
		case len(inside) > 0 && len(caches) == 0:
			j.report(inside[0].urn, "node-local-dns: must be installed, got none; set kubernetes.nodeLocalDNS, or say that the cloud manages one")
		case len(caches) > 1:
			j.report("", "node-local-dns: must be installed once, got "+join(caches)+"; remove all but one")
		}
	},
}
