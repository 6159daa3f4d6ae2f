package main

import "fmt"

// proxyCapacityWithOneZoneDown asks whether what remains carries the demand when the largest zone fails.
var proxyCapacityWithOneZoneDown = policy{
	name: "proxy-capacity-with-one-zone-down", level: advisory,
	description: "The proxies of the remaining zones carry the declared demand when one zone is down.",
	stack: func(j *judge, all stack) {
		fleets := all.of(fleetTypes...)
		d := demand(j, all, fleets)
		if d == nil || d.problem != nil {
			return
		}
		need := neededProxies(d)
		for _, fleet := range fleets {
			total, largest := 0, 0
			for _, count := range activeSlots(fleet.inputs.at("slots")) {
				total, largest = total+count, max(largest, count)
			}
			if total > 0 && total-largest < need {
				j.report(fleet.urn, fmt.Sprintf("%s: slots: must be at least %d without the largest zone, got %d of %d%s; raise proxies.sparePerZone",
					fleet.name, need, total-largest, total, arithmetic(d.need, "proxies for")))
			}
		}
	},
}

// neededProxies is what the demand needs without any spare: the largest of the plan's requirements.
func neededProxies(d *declaration) int {
	need := 0
	for _, step := range d.need.Steps {
		if len(step.What) > len("proxies for") && step.What[:len("proxies for")] == "proxies for" {
			need = max(need, int(step.Result))
		}
	}
	return need
}
