package main

import (
	"fmt"

	"github.com/sallyport/sallyport/components/destinations"
)

// routesObjects are where a routes document may lie, and the input that holds it.
var routesObjects = map[string]string{
	"aws:s3/bucketObjectv2:BucketObjectv2": "content", "gcp:storage/bucketObject:BucketObject": "content", "lab:index:Routes": "document",
}

// destinationsCovered compares the declared list with what the proxies are told: a layer with a list of its own drifts.
var destinationsCovered = policy{
	name: "destinations-covered", level: mandatory,
	description: "Every destination that leaves through proxies is in the routes document, and nothing else is.",
	stack: func(j *judge, all stack) {
		d, err := declared(all)
		if err != nil || d == nil {
			return // nothing is declared that could be missing; the policies of capacity report an unreadable declaration
		}
		want := map[string]bool{}
		for _, destination := range d.settings.Destinations {
			for _, host := range destination.Hosts {
				if destination.Route != destinations.RouteNat {
					want[host] = true
				}
			}
		}
		found, seen := map[string]bool{}, len(want) == 0
		for _, r := range all {
			key, holds := routesObjects[r.kind]
			if !holds {
				continue
			}
			document := r.inputs.at(key)
			if document.unknown() {
				j.unknown(r.urn, fmt.Sprintf("%s: %s: is known only after the update, which judges it then", r.name, key))
				return
			}
			seen = hostsOf(document, found) || seen
		}
		compareHosts(j, d, want, found, seen)
	},
}

// hostsOf adds the hosts of a routes document; false if it is none.
func hostsOf(f field, hosts map[string]bool) bool {
	tree, err := f.document()
	document, ok := tree.(map[string]any)
	if err != nil || !ok || document["routes"] == nil {
		return false
	}
	for _, route := range list(document["routes"]) {
		object, _ := route.(map[string]any)
		for _, host := range list(object["hosts"]) {
			if text, ok := host.(string); ok {
				hosts[text] = true
			}
		}
	}
	return true
}

func compareHosts(j *judge, d *declaration, want, found map[string]bool, seen bool) {
	if !seen {
		j.report(d.resource.urn, fmt.Sprintf("%s: routes: needs a routes document for %d hosts, got none; publish one", d.resource.name, len(want)))
		return
	}
	for _, host := range sorted(want) {
		if !found[host] {
			j.report(d.resource.urn, fmt.Sprintf("%s: routes: must hold %q, which is declared to leave through proxies, got nothing; derive the document from sallyport:destinations",
				d.resource.name, host))
		}
	}
	for _, host := range sorted(found) {
		if !want[host] {
			j.report(d.resource.urn, fmt.Sprintf("%s: routes: must not hold what nobody declared, got %q; declare it or remove it", d.resource.name, host))
		}
	}
}
