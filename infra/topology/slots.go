// Package topology says what a stack consists of before any cloud is asked: the slots of the fleet, the addresses of the NAT,
// the routes document that the fleet serves, and the serials of published documents. Every environment is built from it, so
// that a slot has the same name everywhere.
package topology

import (
	"fmt"
	"slices"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/components/capacity"
	"github.com/sallyport/sallyport/components/destinations"
)

// Slot is a place for a proxy: a zone and a number in it. Its name never depends on other zones, so that adding one renames
// nothing.
type Slot struct {
	Zone   string
	Number int    // from 1
	Name   string // "proxy-<zone>-<number>"
}

// IP names the slot's n-th public IP, n from 1, for example "proxy-a-1-1".
func (s Slot) IP(n int) string { return fmt.Sprintf("%s-%d", s.Name, n) }

// Slots are the places of the fleet, zone by zone.
func Slots(zones []string, perZone int) []Slot {
	var out []Slot
	for _, zone := range zones {
		for n := 1; n <= perZone; n++ {
			out = append(out, Slot{Zone: zone, Number: n, Name: fmt.Sprintf("proxy-%s-%d", zone, n)})
		}
	}
	return out
}

// NatSlot is a NAT address and the gateway it belongs to.
type NatSlot struct {
	Gateway string // "nat" or "nat-<zone>"
	Zone    string // empty for a gateway that serves all zones
	Name    string // name of the address
}

// NatSlots are the NAT addresses the plan asks for: of one regional gateway (cloudnat) or of one gateway per zone (natgateway).
func NatSlots(zones []string, plan capacity.NatPlan) []NatSlot {
	var out []NatSlot
	if plan.Flavor == capacity.CloudNat {
		for n := 1; n <= plan.IPs; n++ {
			out = append(out, NatSlot{Gateway: "nat", Name: fmt.Sprintf("nat-%d", n)})
		}
		return out
	}
	for _, zone := range zones {
		for n := 1; n <= plan.IPsPerZone; n++ {
			out = append(out, NatSlot{Gateway: "nat-" + zone, Zone: zone, Name: fmt.Sprintf("nat-%s-%d", zone, n)})
		}
	}
	return out
}

// GatewayNames are the gateways of the NAT slots, each once, in order.
func GatewayNames(slots []NatSlot) []string {
	var names []string
	for _, s := range slots {
		if len(names) == 0 || names[len(names)-1] != s.Gateway {
			names = append(names, s.Gateway)
		}
	}
	return names
}

// ReserveNames name the headroom of a kind: "<kind>-reserve-<n>".
func ReserveNames(kind allowlist.Kind, count int) []string {
	var names []string
	for n := 1; n <= count; n++ {
		names = append(names, fmt.Sprintf("%s-reserve-%d", kind, n))
	}
	return names
}

// ViaProxy says whether a destination's connections leave through the fleet.
func ViaProxy(d destinations.Destination) bool { return d.Route != destinations.RouteNat }

// Partners are those whose destinations leave by a kind of IP, sorted, each once. Never nil.
func Partners(list []destinations.Destination, kind allowlist.Kind) []string {
	partners := []string{}
	for _, d := range list {
		if d.Partner != "" && ViaProxy(d) == (kind == allowlist.KindProxy) {
			partners = append(partners, d.Partner)
		}
	}
	slices.Sort(partners)
	return slices.Compact(partners)
}
