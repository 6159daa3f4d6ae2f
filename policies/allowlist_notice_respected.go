package main

import (
	"fmt"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/infra/topology"
)

// attachments are the inputs that attach public IPs to traffic, by type.
var attachments = map[string][]string{
	natGatewayType: {"allocationId", "secondaryAllocationIds"}, "aws:ec2/eipAssociation:EipAssociation": {"allocationId"},
	routerNatType: {"natIps"}, "gcp:compute/perInstanceConfig:PerInstanceConfig": {"preservedState"},
}

// allowlistNoticeRespected refuses traffic from an IP that a partner has not been told in time.
var allowlistNoticeRespected = policy{
	name: "allowlist-notice-respected", level: mandatory,
	description: "A public IP carries traffic only after every partner confirmed it or the notice ran out.",
	stack: func(j *judge, all stack) {
		d, err := declared(all)
		if err != nil || d == nil || d.problem != nil {
			return // the policies of capacity say so
		}
		document, err := published(all)
		if err != nil {
			j.report("", fmt.Sprintf("allowlist: %v; restore the stack's outputs", err))
			return
		}
		plan, err := d.settings.Plan()
		if err != nil {
			return // the policies of capacity say so
		}
		life, err := topology.NewLifecycle(d.settings, plan, document)
		if err != nil {
			j.report(d.resource.urn, fmt.Sprintf("allowlist: %v", err))
			return
		}
		used := attached(all)
		for _, address := range life.Addresses() {
			if by := used[address.Name]; by != "" && !address.Usable() && address.State != allowlist.StateDraining {
				j.report("", fmt.Sprintf("%s: must not carry traffic in state %s, got attached to %s; wait until every partner confirmed or the notice ran out: `sallyport allowlist confirm`",
					address.Name, address.State, by))
			}
		}
	},
}

// attached maps the names of addresses to what uses them.
func attached(all stack) map[string]string {
	names := map[string]string{}
	for _, r := range all.of(eipType, gcpAddressType) {
		names[r.urn] = addressName(r)
	}
	used := map[string]string{}
	for _, r := range all {
		for _, input := range attachments[r.kind] {
			for _, urn := range r.uses[input] {
				if name := names[urn]; name != "" {
					used[name] = r.name
				}
			}
		}
	}
	return used
}
