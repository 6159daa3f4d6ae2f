package topology

import (
	"slices"
	"strings"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/components/capacity"
	"github.com/sallyport/sallyport/components/stack"
)

// NatPlace is a NAT slot with those who list its IP.
type NatPlace struct {
	NatSlot
	Rule     string   // the NAT rule whose destinations leave here; empty: the gateway's own
	Partners []string // sorted, never nil
}

// NatPlaces are the places for the public IPs of all NATs of a stack: those of [NatSlots], and on GCP those of each Cloud NAT
// gateway and of its rules, whose partners list no others.
//
// A rule that partners do not list yet carries no traffic, and its destinations still leave by the gateway's own IPs. So those
// stay on the partners' lists until the previous document had all IPs of the rule in use.
func NatPlaces(settings *stack.Stack, plan capacity.Plan, previous *allowlist.Document) []NatPlace {
	var places []NatPlace
	if settings.Cloud != stack.CloudGCP {
		for _, s := range NatSlots(settings.Cluster.Zones, plan.Nat) {
			places = append(places, NatPlace{NatSlot: s, Partners: Partners(settings.Destinations, allowlist.KindNat)})
		}
		return places
	}
	slots := settings.GCPNatSlots(plan)
	own := settings.RulePartners("")
	for _, rule := range settings.GCP.Nat.Rules {
		if !inUse(slots, rule.Name, previous) {
			own = append(own, settings.RulePartners(rule.Name)...)
		}
	}
	slices.Sort(own)
	own = slices.Compact(own)
	for _, s := range slots {
		place := NatPlace{NatSlot: NatSlot{Gateway: s.Gateway, Name: s.Name}, Rule: s.Rule, Partners: own}
		if s.Rule != "" {
			place.Partners = settings.RulePartners(s.Rule)
		}
		places = append(places, place)
	}
	return places
}

// inUse reports whether every IP of a rule carried traffic already. Before the first document nobody has a list, and everything
// starts at once.
func inUse(slots []stack.GCPNatSlot, rule string, previous *allowlist.Document) bool {
	if previous == nil {
		return true
	}
	active := map[string]bool{}
	for _, entry := range previous.Entries {
		active[entry.Slot] = entry.State == allowlist.StateActive
	}
	return !slices.ContainsFunc(slots, func(s stack.GCPNatSlot) bool { return s.Rule == rule && !active[s.Name] })
}

// NatPlaceOf finds the gateway and the rule that an address served last by the name of that place, which the plan may have given up
// since. False if it never was a place of a Cloud NAT.
func NatPlaceOf(settings *stack.Stack, life allowlist.Life) (stack.GCPNatSlot, bool) {
	if life.Kind != allowlist.KindNat || strings.HasPrefix(life.Slot, "nat-reserve-") {
		return stack.GCPNatSlot{}, false
	}
	return settings.GCPNatSlot(life.Slot)
}
