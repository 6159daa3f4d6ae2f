package main

import "fmt"

// proxySpreadOverZones wants proxies in more than one zone.
var proxySpreadOverZones = policy{
	name: "proxy-spread-over-zones", level: mandatory,
	description: "Active proxies stand in at least two zones (setting minZones).",
	config:      settings(map[string]map[string]any{"minZones": {"type": "integer", "minimum": 1, "default": 2}}),
	types:       fleetTypes,
	resource: func(j *judge, r resource) {
		slots := r.inputs.at("slots")
		if !j.sees(r, slots, "record the slots with their zones") || len(slots.elements()) == 0 {
			return
		}
		perZone, least := activeSlots(slots), int(j.number("minZones", 2))
		if len(perZone) == 0 {
			j.unknown(r.urn, r.name+": slots: no proxy runs yet, so how they are spread cannot be judged")
			return
		}
		if len(perZone) < least {
			j.report(r.urn, fmt.Sprintf("%s: slots: must have active proxies in at least %d zones, got %d; declare more in cluster.zones, or set minZones for this stack",
				r.name, least, len(perZone)))
		}
	},
}

// activeSlots counts the proxies that run, by zone.
func activeSlots(slots field) map[string]int {
	perZone := map[string]int{}
	for _, slot := range slots.elements() {
		if slot.at("mode").text() != "reserved" {
			perZone[slot.at("zone").text()]++
		}
	}
	return perZone
}
