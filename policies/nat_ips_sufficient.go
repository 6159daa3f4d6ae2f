package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/components/capacity"
	"github.com/sallyport/sallyport/infra/topology"
)

const natGatewayType = "aws:ec2/natGateway:NatGateway"

// natIPsSufficient compares the public IPs of the NAT with what all nodes need at the autoscaler's ceiling and during an upgrade.
var natIPsSufficient = policy{
	name: "nat-ips-sufficient", level: mandatory,
	description: "The NAT has public IPs for every node that the cluster may have.",
	stack: func(j *judge, all stack) {
		routerNats, gateways := all.of(routerNatType), all.of(natGatewayType)
		d := demand(j, all, append(routerNats, gateways...))
		if d == nil {
			return
		}
		if len(gateways) > 0 && d.problem != nil {
			j.report(d.resource.urn, fmt.Sprintf("%s: no NAT gateway carries what is declared: %v", d.resource.name, d.problem))
			return
		}
		waiting := waitingIPs(all, d)
		for _, gateway := range gateways {
			judgeGatewayIPs(j, d, gateway, waiting)
		}
		if len(routerNats) > 0 {
			judgeCloudNatIPs(j, d, routerNats, waiting)
		}
	},
}

// waitingIPs are the NAT's addresses that are told to partners and may not carry traffic before these list them: an update that
// announces them must not be refused for the lack of them.
func waitingIPs(all stack, d *declaration) []allowlist.Life {
	list, err := published(all)
	if err != nil || list == nil {
		return nil // the policies of the allow list say so
	}
	plan, err := d.settings.Plan()
	if err != nil {
		return nil
	}
	life, err := topology.NewLifecycle(d.settings, plan, list.document)
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(life.Addresses()), func(l allowlist.Life) bool {
		return l.Kind != allowlist.KindNat || l.State != allowlist.StateAnnounced
	})
}

// waits says that a NAT gets what it lacks when partners list it, and reports whether that is so.
func waits(j *judge, nat resource, ips, need int, waiting []allowlist.Life) bool {
	if ips >= need || ips+len(waiting) < need {
		return false
	}
	names := []string{}
	for _, l := range waiting {
		names = append(names, l.Name)
	}
	j.unknown(nat.urn, fmt.Sprintf("%s: has %d of %d public IPs until partners list %s: what is declared is not carried before", nat.name, ips, need, join(names)))
	return true
}

func judgeGatewayIPs(j *judge, d *declaration, gateway resource, waiting []allowlist.Life) {
	secondary := gateway.inputs.at("secondaryAllocationIds")
	if secondary.unknown() {
		j.unknown(gateway.urn, gateway.name+": secondaryAllocationIds: is known only after the update, which judges it then")
		return
	}
	ips, need := 1+len(secondary.items()), d.need.Nat.IPsPerZone
	waiting = slices.DeleteFunc(slices.Clone(waiting), func(l allowlist.Life) bool { return !strings.HasSuffix(gateway.name, "-"+l.Zone) })
	if ips < need && !waits(j, gateway, ips, need, waiting) {
		j.report(gateway.urn, fmt.Sprintf("%s: allocationId and secondaryAllocationIds: must be at least %d public IPs for %s, got %d%s; add IPs, at most %d a gateway, or route %s through the proxies",
			gateway.name, need, d.need.Nat.Deciding, ips, arithmetic(d.need, "load of "+d.need.Nat.Deciding, "public IPs"), capacity.MaxIPsPerGateway, d.need.Nat.Deciding))
	}
}

// judgeCloudNatIPs adds the gateways up: each serves a part of the nodes.
func judgeCloudNatIPs(j *judge, d *declaration, nats stack, waiting []allowlist.Life) {
	cluster := d.settings.Cluster
	nodes := cluster.MaxNodes + *cluster.SurgeNodes
	ips, ports := 0, 0.0
	for _, nat := range nats {
		list, p := nat.inputs.at("natIps"), portsOfVM(nat)
		if !j.sees(nat, list, "list the public IPs") || !j.sees(nat, p, "set minPortsPerVm") {
			return
		}
		ips += len(list.items())
		ports = math.Max(ports, nat.inputs.at("minPortsPerVm").number())
	}
	need := int(math.Ceil(float64(nodes) * ports / capacity.PortsPerNatIP))
	if ips < need && !waits(j, nats[0], ips, need, waiting) {
		j.report(nats[0].urn, fmt.Sprintf("%s: natIps: must be at least %d, got %d: (%d nodes + %d surge) x %.0f ports / %d ports per IP = %.2f; add %d public IPs, or lower cluster.maxNodes",
			nats[0].name, need, ips, cluster.MaxNodes, *cluster.SurgeNodes, ports, capacity.PortsPerNatIP, float64(nodes)*ports/capacity.PortsPerNatIP, need-ips))
	}
}
