package stack

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/components/capacity"
)

func gcpPlan(t *testing.T, s *Stack) capacity.Plan {
	t.Helper()
	plan, err := s.Plan()
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func slotNames(slots []GCPNatSlot) string {
	var names []string
	for _, s := range slots {
		names = append(names, s.Name)
	}
	return strings.Join(names, " ")
}

func TestEachGatewayAndRuleHasSlotsOfItsOwn(t *testing.T) {
	s := read(t, "gcp")
	if got := s.GCPGateways(); !reflect.DeepEqual(got, []string{"nat", "batch"}) {
		t.Errorf("gateways %v", got)
	}
	plan := gcpPlan(t, s)
	if len(plan.Gateways) != 2 || plan.Gateways[0].VMs != 100 || plan.Gateways[1].VMs != 40 {
		t.Fatalf("%+v", plan.Gateways)
	}
	want := "nat-1 nat-2 nat-rule-bank-1 nat-rule-bank-2 nat-batch-1 nat-batch-rule-bank-1"
	if got := slotNames(s.GCPNatSlots(plan)); got != want {
		t.Errorf("slots %s, want %s", got, want)
	}
	if plan.Nat.IPs != 3 || plan.Nat.RuleIPs != 3 {
		t.Errorf("%+v", plan.Nat)
	}
}

func TestASlotLeadsBackToItsGatewayAndRule(t *testing.T) {
	s := read(t, "gcp")
	for _, slot := range s.GCPNatSlots(gcpPlan(t, s)) {
		if got, ok := s.GCPNatSlot(slot.Name); !ok || got != slot {
			t.Errorf("%s: %+v, %t, want %+v", slot.Name, got, ok, slot)
		}
	}
	for _, name := range []string{"nat-reserve-1", "nat-other-1", "nat-0", "nat-301", "nat", "proxy-europe-west1-b-1-1", "nat-rule-none-1", ""} {
		if got, ok := s.GCPNatSlot(name); ok {
			t.Errorf("%q: %+v", name, got)
		}
	}
}

// A growing plan, another gateway and another rule must leave every name as it was.
func TestSlotNamesDependOnNothingElse(t *testing.T) {
	s := read(t, "gcp")
	before := slotNames(s.GCPNatSlots(gcpPlan(t, s)))
	s.Cluster.MaxNodes = 900
	existing := s.GCP.Network.Existing
	existing.Subnetworks = append([]GCPSubnetwork{{Name: "first", Primary: true, Gateway: "first", MaxNodes: 20}}, existing.Subnetworks...)
	existing.Subnetworks[1].MaxNodes = 900
	s.GCP.Nat.Rules = append([]GCPNatRule{{Name: "news", Number: 50, Destinations: []string{"news"}}}, s.GCP.Nat.Rules...)
	after := slotNames(s.GCPNatSlots(gcpPlan(t, s))) + " "
	for name := range strings.FieldsSeq(before) {
		if !strings.Contains(after, name+" ") {
			t.Errorf("%s is not in %s", name, after)
		}
	}
}

func TestARulesPartnersListItsIPsAndNoOthers(t *testing.T) {
	s := read(t, "gcp")
	s.Destinations[0].Partner = "news"
	if got := fmt.Sprint(s.RulePartners("bank"), s.RulePartners("")); got != "[bank] [news]" {
		t.Error(got)
	}
	s.GCP.Nat.Rules = nil
	if got := fmt.Sprint(s.RulePartners("bank"), s.RulePartners("")); got != "[] [bank news]" {
		t.Error(got)
	}
}

func TestDefaultsOfTheGCPSection(t *testing.T) {
	s := read(t, "gcp-new")
	want := GCP{
		Project: "example-dev", Region: "europe-west1", Network: s.GCP.Network,
		Nat:       GCPNat{EstablishedIdleSeconds: 1200, TransitoryIdleSeconds: 30, UDPIdleSeconds: 30, ICMPIdleSeconds: 30, Log: NatLogErrors},
		Addresses: GCPAddresses{Tier: TierPremium},
		Fleet: GCPFleet{MachineType: "t2a-standard-1", Image: s.GCP.Fleet.Image, Repository: "egress",
			OS: "projects/cos-cloud/global/images/family/cos-stable"},
	}
	if !reflect.DeepEqual(*s.GCP, want) {
		t.Errorf("got  %+v\nwant %+v", *s.GCP, want)
	}
	full := read(t, "gcp").GCP
	if full.Network.Existing.Subnetworks[0].MaxNodes != 100 || !full.Network.Existing.Subnetworks[0].Primary || full.GKE.Location != "europe-west1" || !full.Alerts.Enabled {
		t.Errorf("%+v %+v", full.Network.Existing, full.GKE)
	}
}
