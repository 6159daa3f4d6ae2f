package topology

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/components/stack"
)

// ruled is a GCP stack with a rule for one partner.
func ruled(t *testing.T) *stack.Stack {
	t.Helper()
	s, err := stack.ParseFile("f", []byte(`
config:
  sallyport:cloud: gcp
  sallyport:cluster: {zones: [europe-west1-b], nodes: 20}
  sallyport:destinations:
    - {name: news, hosts: [news.example.org], partner: news, demand: {connectionsPerSecond: 50}}
    - {name: bank, hosts: [api.bank.example.com], partner: bank, demand: {connectionsPerSecond: 5}}
  sallyport:gcp:
    project: example-prod
    region: europe-west1
    network: {existing: {name: prod, subnetworks: [{name: nodes}, {name: batch, gateway: batch}]}}
    nat: {rules: [{name: bank, number: 100, destinations: [bank], cidrs: [203.0.113.0/24]}]}
`))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func listed(t *testing.T, s *stack.Stack, previous *allowlist.Document) string {
	t.Helper()
	plan, err := s.Plan()
	if err != nil {
		t.Fatal(err)
	}
	var text []string
	for _, p := range NatPlaces(s, plan, previous) {
		text = append(text, fmt.Sprintf("%s %s %s", p.Gateway, p.Name, strings.Join(p.Partners, "+")))
	}
	return strings.Join(text, ", ")
}

func TestPartnersOfARuleListItsIPsOnly(t *testing.T) {
	want := "nat nat-1 news, nat nat-rule-bank-1 bank, batch nat-batch-1 news, batch nat-batch-rule-bank-1 bank"
	if got := listed(t, ruled(t), nil); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Until the rule's IPs carry traffic, its destinations leave by the gateway's own, so their partner must not strike those.
func TestARuleThatWaitsLeavesItsPartnerOnTheOldIPs(t *testing.T) {
	entry := func(slot string, state allowlist.State, host byte) allowlist.Entry {
		return allowlist.Entry{IP: netip.AddrFrom4([4]byte{198, 51, 100, host}), Kind: allowlist.KindNat, Slot: slot, State: state}
	}
	before := &allowlist.Document{Entries: []allowlist.Entry{
		entry("nat-1", allowlist.StateActive, 1), entry("nat-rule-bank-1", allowlist.StateActive, 2), entry("nat-batch-rule-bank-1", allowlist.StateAnnounced, 3),
	}}
	if got := listed(t, ruled(t), before); !strings.Contains(got, "nat nat-1 bank+news,") || !strings.Contains(got, "batch nat-batch-1 bank+news,") {
		t.Error(got)
	}
	before.Entries[2].State = allowlist.StateActive
	if got := listed(t, ruled(t), before); !strings.Contains(got, "nat nat-1 news,") {
		t.Error(got)
	}
}

func TestAnAddressLeadsBackToItsGatewayWhereThePlanGaveItUp(t *testing.T) {
	s := ruled(t)
	life := allowlist.Life{Kind: allowlist.KindNat, Name: "nat-reserve-1", Slot: "nat-batch-rule-bank-7"}
	if got, ok := NatPlaceOf(s, life); !ok || got.Gateway != "batch" || got.Rule != "bank" {
		t.Errorf("%+v, %t", got, ok)
	}
	for _, life := range []allowlist.Life{
		{Kind: allowlist.KindNat, Slot: "nat-reserve-1"}, {Kind: allowlist.KindProxy, Slot: "proxy-europe-west1-b-1-1"}, {Kind: allowlist.KindNat, Slot: "nat-gone-1"},
	} {
		if got, ok := NatPlaceOf(s, life); ok {
			t.Errorf("%+v: %+v", life, got)
		}
	}
}
