package main

import (
	"fmt"
	"math/bits"
	"slices"
)

// natLegalPorts refuses settings that Cloud NAT refuses or that surprise: what it accepts is documented in pulumi-gcp v7.38.0 RouterNat
// and on the Cloud NAT page "Addresses and ports", 2026-07.
var natLegalPorts = policy{
	name: "nat-legal-ports", level: mandatory,
	description: "Ports per VM are legal: powers of two within the limits, and settings that go together.",
	types:       []string{routerNatType},
	resource: func(j *judge, nat resource) {
		dynamic := nat.inputs.at("enableDynamicPortAllocation").yes()
		least, most := nat.inputs.at("minPortsPerVm"), nat.inputs.at("maxPortsPerVm")
		floor := 64
		if dynamic {
			floor = 32
		}
		if translatesAliases(nat) && !dynamic {
			floor = 1024 // Cloud NAT troubleshooting page, 2026-04-08
		}
		if j.sees(nat, least, fmt.Sprintf("set it, at least %d", floor)) {
			judgePorts(j, nat, least, floor)
		}
		switch {
		case dynamic && j.sees(nat, most, "set it above minPortsPerVm"):
			judgePorts(j, nat, most, floor)
			if most.number() <= least.number() {
				j.violates(nat, most, fmt.Sprintf("must be above minPortsPerVm, %.0f", least.number()), "raise it")
			}
		case !dynamic && most.found && most.number() != 0:
			j.violates(nat, most, "needs dynamic port allocation", "set enableDynamicPortAllocation, or remove it")
		}
		if mapping := nat.inputs.at("enableEndpointIndependentMapping"); mapping.yes() && (dynamic || len(nat.inputs.at("rules").items()) > 0) {
			j.violates(nat, mapping, "must be off with dynamic port allocation and with rules", "set it to false")
		}
	},
}

func judgePorts(j *judge, nat resource, ports field, floor int) {
	n := int(ports.number())
	if n < floor || n > 65536 || bits.OnesCount(uint(max(n, 0))) != 1 {
		j.violates(nat, ports, fmt.Sprintf("must be a power of two from %d to 65536", floor), "choose the next power of two")
	}
}

// translatesAliases says whether secondary ranges are translated, which raises the floor.
func translatesAliases(nat resource) bool {
	switch nat.inputs.at("sourceSubnetworkIpRangesToNat").text() {
	case "ALL_SUBNETWORKS_ALL_IP_RANGES":
		return true
	case "LIST_OF_SUBNETWORKS":
		for _, subnetwork := range nat.inputs.at("subnetworks").items() {
			ranges, _ := subnetwork.at("sourceIpRangesToNats").texts()
			if slices.Contains(ranges, "ALL_IP_RANGES") || slices.Contains(ranges, "LIST_OF_SECONDARY_IP_RANGES") {
				return true
			}
		}
	}
	return false
}
