package topology

import (
	"slices"
	"testing"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/components/capacity"
	"github.com/sallyport/sallyport/components/destinations"
)

func TestAZoneMoreRenamesNothing(t *testing.T) {
	names := func(zones []string) (all []string) {
		for _, s := range Slots(zones, 2) {
			all = append(all, s.Name, s.IP(1))
		}
		for _, s := range NatSlots(zones, capacity.NatPlan{Flavor: capacity.NatGateway, IPsPerZone: 2}) {
			all = append(all, s.Gateway, s.Name)
		}
		return all
	}
	before, after := names([]string{"a", "c"}), names([]string{"a", "b", "c"})
	for _, name := range before {
		if !slices.Contains(after, name) {
			t.Errorf("%s is gone", name)
		}
	}
	if len(after) != len(before)/2*3 || !slices.Contains(after, "proxy-b-2-1") || !slices.Contains(after, "nat-b-2") {
		t.Errorf("got %v", after)
	}
}

func TestPartnersOfAKind(t *testing.T) {
	list := []destinations.Destination{
		{Route: destinations.RouteNat, Partner: "z"}, {Route: destinations.RouteNat, Partner: "a"}, {Route: destinations.RouteNat, Partner: "z"},
		{Route: destinations.RoutePool, Partner: "p"}, {Route: destinations.RouteProxy},
	}
	if got := Partners(list, allowlist.KindNat); !slices.Equal(got, []string{"a", "z"}) {
		t.Errorf("nat: %v", got)
	}
	if got := Partners(list, allowlist.KindProxy); !slices.Equal(got, []string{"p"}) {
		t.Errorf("proxy: %v", got)
	}
	if got := Partners(nil, allowlist.KindNat); got == nil || len(got) != 0 {
		t.Errorf("none: %#v", got)
	}
}

func TestFallbackToTheNatNeedsAPartnerWhoListsIt(t *testing.T) {
	list := []destinations.Destination{
		{Name: "both", Hosts: []string{"a.example.com"}, Route: destinations.RouteProxy, Partner: "p"},
		{Name: "nat", Hosts: []string{"b.example.com"}, Route: destinations.RouteNat, Partner: "p"},
		{Name: "proxies-only", Hosts: []string{"c.example.com"}, Route: destinations.RouteProxy, Partner: "q"},
		{Name: "nobody", Hosts: []string{"d.example.com"}, Route: destinations.RoutePool},
		{Name: "wildcard", Hosts: []string{"*.e.example.com"}, Route: destinations.RouteProxy},
	}
	if got := NatFallback(list); len(got) != 2 || !got["both"] || !got["nobody"] {
		t.Errorf("got %v", got)
	}
}
