package main

import "fmt"

const routerNatType = "gcp:compute/routerNat:RouterNat"

// natPortsSufficient compares the ports that each VM gets with what the declared demand needs. AWS has no ports per VM: there the
// number of IPs decides, which is nat-ips-sufficient.
var natPortsSufficient = policy{
	name: "nat-ports-sufficient", level: mandatory,
	description: "Each VM behind a Cloud NAT has as many source ports as the busiest destination needs.",
	stack: func(j *judge, all stack) {
		nats := all.of(routerNatType)
		d := demand(j, all, nats)
		if d == nil {
			return
		}
		if d.problem != nil {
			j.report(d.resource.urn, fmt.Sprintf("%s: no Cloud NAT carries what is declared: %v", d.resource.name, d.problem))
			return
		}
		for _, nat := range nats {
			ports := portsOfVM(nat)
			if !j.sees(nat, ports, "set minPortsPerVm") || d.need.Nat.Deciding == "" {
				continue
			}
			if need := d.need.Nat.RequiredPortsPerVM; int(ports.number()) < need {
				j.violates(nat, ports, fmt.Sprintf("must be at least %d for %s, with %d nodes now and up to %d%s",
					need, d.need.Nat.Deciding, d.settings.Cluster.Nodes, d.settings.Cluster.MaxNodes, arithmetic(d.need, "load of "+d.need.Nat.Deciding, "ports per VM")),
					fmt.Sprintf("set it to %d, or remove nat.portsPerVM from the stack file to get it computed", need))
			}
		}
	},
}

// portsOfVM is what a VM can get in the end.
func portsOfVM(nat resource) field {
	if nat.inputs.at("enableDynamicPortAllocation").yes() {
		return nat.inputs.at("maxPortsPerVm")
	}
	return nat.inputs.at("minPortsPerVm")
}
