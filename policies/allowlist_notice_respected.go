package main

import (
	"fmt"
	"slices"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/infra/topology"
)

// allowlistNoticeRespected refuses traffic from an IP that a partner has not been told in time.
var allowlistNoticeRespected = policy{
	name: "allowlist-notice-respected", level: mandatory,
	description: "A public IP carries traffic only after every partner confirmed it or the notice ran out.",
	stack: func(j *judge, all stack) {
		used := attached(all)
		d, err := declared(all)
		if err != nil || d != nil && d.problem != nil {
			return // the policies of capacity say so
		}
		list, err := published(all)
		if err != nil {
			j.report("", fmt.Sprintf("allowlist: %v", err))
			return
		}
		if d == nil || list == nil {
			for _, name := range sortedKeys(used) {
				j.unknown("", fmt.Sprintf("%s: what partners were told and when is not recorded, so its traffic cannot be judged; %s", name, unpublished))
			}
			return
		}
		plan, err := d.settings.Plan()
		if err != nil {
			return // the policies of capacity say so
		}
		life, err := topology.NewLifecycle(d.settings, plan, list.document)
		if err != nil {
			j.report(d.resource.urn, fmt.Sprintf("allowlist: %v", err))
			return
		}
		for _, address := range life.Addresses() {
			if by := used[address.Name]; by != "" && !address.Usable() && address.State != allowlist.StateDraining {
				j.report("", fmt.Sprintf("%s: must not carry traffic in state %s, got attached to %s; wait until every partner confirmed or the notice ran out: `sallyport allowlist confirm`",
					address.Name, address.State, by))
			}
		}
	},
}

// attachments are the inputs that attach public IPs to traffic, by type.
var attachments = map[string][]string{
	natGatewayType: {"allocationId", "secondaryAllocationIds"},
	routerNatType:  {"natIps", "rules"}, "gcp:compute/perInstanceConfig:PerInstanceConfig": {"preservedState"},
	"gcp:compute/instance:Instance": {"networkInterfaces"},
}

// Types that attach an Elastic IP by way of a network interface.
const (
	eipAssociationType   = "aws:ec2/eipAssociation:EipAssociation"
	scalingGroupType     = "aws:autoscaling/group:Group"
	interfaceAttachments = "aws:ec2/networkInterfaceAttachment:NetworkInterfaceAttachment"
)

// attached maps the names of addresses to what uses them.
func attached(all stack) map[string]string {
	names := map[string]string{}
	for _, r := range all.of(eipType, gcpAddressType) {
		if !internalAddress(r) {
			names[r.urn] = addressName(r)
		}
	}
	used := map[string]string{}
	use := func(urns []string, by string) {
		for _, urn := range urns {
			if name := names[urn]; name != "" {
				used[name] = by
			}
		}
	}
	machines := machinesOf(all)
	for _, r := range all {
		for _, input := range attachments[r.kind] {
			use(r.uses[input], r.name)
		}
		if r.kind != eipAssociationType {
			continue
		}
		if r.inputs.at("instanceId").found || len(r.uses["instanceId"]) > 0 {
			use(r.uses["allocationId"], r.name)
		}
		for _, urn := range r.uses["networkInterfaceId"] {
			if machine := machines[urn]; machine != "" {
				use(r.uses["allocationId"], machine)
			}
		}
	}
	return used
}

// machinesOf maps network interfaces to what has them and may run now. An interface alone, or in the template of a group that holds no
// instance, waits: its IPs carry nothing.
func machinesOf(all stack) map[string]string {
	running := map[string]string{} // templates and instances
	for _, r := range all {
		switch {
		case r.kind == instanceType:
			running[r.urn] = r.name
		case r.kind == scalingGroupType && (r.inputs.at("maxSize").unknown() || r.inputs.at("maxSize").number() > 0):
			for _, input := range []string{"launchTemplate", "mixedInstancesPolicy"} {
				for _, urn := range r.uses[input] {
					running[urn] = r.name
				}
			}
		}
	}
	machines := map[string]string{}
	for _, r := range all.of(launchTemplateType, instanceType, interfaceAttachments) {
		by := running[r.urn]
		if r.kind == interfaceAttachments {
			by = r.name
		}
		if by == "" {
			continue
		}
		for _, urn := range slices.Concat(r.uses["networkInterfaces"], r.uses["networkInterfaceId"]) {
			machines[urn] = by
		}
	}
	return machines
}
