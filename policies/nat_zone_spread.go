package main

import "fmt"

const natGatewaysType = "sallyport:natgateway:NatGateway"

// natZoneSpread wants a NAT gateway in more than one zone: each dies with its zone. Cloud NAT is regional.
var natZoneSpread = policy{
	name: "nat-zone-spread", level: mandatory,
	description: "NAT gateways stand in at least two zones (setting minZones).",
	config:      settings(map[string]map[string]any{"minZones": {"type": "integer", "minimum": 1, "default": 2}}),
	types:       []string{natGatewaysType},
	resource: func(j *judge, r resource) {
		zones := r.inputs.at("zones")
		least := int(j.number("minZones", 2))
		if j.sees(r, zones, "record the zones") && len(zones.keys()) < least {
			j.report(r.urn, fmt.Sprintf("%s: zones: must be at least %d, got %d (%s); declare more in cluster.zones, or set minZones for this stack",
				r.name, least, len(zones.keys()), join(zones.keys())))
		}
	},
}
