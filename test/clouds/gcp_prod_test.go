package clouds

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/golden"
	"github.com/sallyport/sallyport/test/standin/gcp"
	"github.com/sallyport/sallyport/test/standin/rig"
	"github.com/sallyport/sallyport/test/standin/world"
)

// inUSCentral moves a stack into a region with a fourth zone.
func inUSCentral(config map[string]any) {
	config["sallyport:gcp"].(map[string]any)["region"] = "us-central1"
	zonesOfCluster("us-central1-a", "us-central1-b", "us-central1-c")(config)
}

func zonesOfCluster(zones ...string) func(map[string]any) {
	return func(config map[string]any) {
		config["sallyport:cluster"].(map[string]any)["zones"] = anyList(zones)
	}
}

// gcpOperations of stack gcp-prod. Each goes on from the one before.
var gcpOperations = []operation{
	{name: "up"},
	{name: "change-a-destination", edit: func(config map[string]any) {
		config["sallyport:destinations"].([]any)[1].(map[string]any)["hosts"] = []any{"api.ledger.example.net", "login.ledger.example.net"}
	}, after: func(s *cloudStack) {
		s.documentHas("gcp:storage/bucketObject:BucketObject", "login.ledger.example.net")
	}},
	{name: "change-the-image", edit: func(config map[string]any) {
		gcpCloud.image(config, "sha256:"+strings.Repeat("c0de", 16))
	}, restarts: true, after: func(s *cloudStack) { s.oneAtATime(3) }},
	{name: "replace-an-instance", restarts: true, before: func(s *cloudStack) {
		s.change(func(state *world.State) error {
			return gcp.Terminate(state, lowest(state, gcpCloud.instance, "name").ID)
		})
	}, run: func(s *cloudStack) []string { return s.must("up", "--refresh") }},
	{name: "grow-to-4-slots-a-zone", edit: setSpare(3)},
	{name: "grow-to-4-slots-a-zone-after-the-notice", days: 15},
	{name: "shrink-to-2-slots-a-zone", restarts: true, edit: setSpare(1)},
	{name: "add-a-zone", edit: zonesOfCluster("us-central1-a", "us-central1-b", "us-central1-c", "us-central1-f")},
	{name: "add-a-zone-after-the-notice", days: 15},
	{name: "remove-a-zone", restarts: true, edit: zonesOfCluster("us-central1-a", "us-central1-c", "us-central1-f")},
	{name: "refresh-after-drift", before: gcpDrift, run: func(s *cloudStack) []string { return s.must("up", "--refresh") }, after: gcpMended},
	{name: "destroy-with-protection", ends: true, run: destroyRefused},
	{name: "destroy-all-but-the-addresses", ends: true, restarts: true, run: func(s *cloudStack) []string {
		return s.must("destroy", "--exclude-protected")
	}, after: onlyAddressesLeft},
}

// gcpDrift is what somebody did by hand: an alert deleted, the proxies opened to the world, the NAT's log switched off, a label
// removed.
func gcpDrift(s *cloudStack) {
	s.change(func(state *world.State) error {
		state.Remove(lowest(state, alertKind, "displayName"))
		for _, rule := range state.All(firewallKind) {
			if strings.HasSuffix(rule.String("name"), "in-clients") {
				rule.Props["sourceRanges"] = []any{"0.0.0.0/0"}
			}
		}
		lowest(state, routerNat, "name").Props["logConfig"] = map[string]any{"enable": false, "filter": "ERRORS_ONLY"}
		address := slices.MinFunc(addresses(state), func(a, b *world.Object) int { return strings.Compare(gcpCloud.slot(a), gcpCloud.slot(b)) })
		labels := maps.Clone(address.Props["labels"].(map[string]any))
		delete(labels, "sallyport-slot")
		address.Props["labels"], address.Props["effectiveLabels"] = labels, labels
		return nil
	})
}

func gcpMended(s *cloudStack) {
	s.look(func(state *world.State) {
		for _, rule := range state.All(firewallKind) {
			if ranges := fmt.Sprint(rule.Props["sourceRanges"]); strings.HasSuffix(rule.String("name"), "in-clients") && strings.Contains(ranges, "0.0.0.0/0") {
				s.t.Error("the proxies are still open to the world")
			}
		}
		for _, nat := range state.All(routerNat) {
			if log, _ := nat.Props["logConfig"].(map[string]any); log["enable"] != true {
				s.t.Errorf("the log of %s is off", nat.ID)
			}
		}
		for _, o := range addresses(state) {
			if s.slot(o) == "" {
				s.t.Errorf("%s has lost the label of its slot", o.ID)
			}
		}
	})
}

func TestOperationsOnGCPProd(t *testing.T) {
	t.Parallel()
	inOneLife(t, newStack(t, "gcp-prod", inUSCentral), gcpOperations)
}

// TestExistingGCPAddressesAreUsedAsTheyAre starts with static addresses that partners know already: they are used as they are, and
// none is reserved in their place.
func TestExistingGCPAddressesAreUsedAsTheyAre(t *testing.T) {
	t.Parallel()
	existing := map[string]any{"nat-1": "known-to-partners-1", "proxy-europe-west1-b-1-1": "known-to-partners-2"}
	s := newStack(t, "gcp-dev", func(config map[string]any) {
		complete(config)
		config["sallyport:gcp"].(map[string]any)["addresses"] = map[string]any{"existing": existing}
	})
	seed := gcp.Existing{Project: "example-dev", Region: "europe-west1", Addresses: map[string]map[string]string{}}
	for _, name := range existing {
		seed.Addresses[fmt.Sprint(name)] = map[string]string{"owner": "network-team"}
	}
	if err := gcp.Seed(s.World, seed); err != nil {
		t.Fatal(err)
	}
	before := s.publicIPs()
	touched := s.apply(nil)
	golden.Check(t, "gcp-dev/existing-addresses.golden", lines(touched))
	if now := s.publicIPs(); !maps.Equal(now, before) {
		t.Errorf("public IPs %v, want the existing ones %v", slices.Sorted(maps.Keys(now)), slices.Sorted(maps.Keys(before)))
	}
	s.look(func(state *world.State) {
		for _, o := range addresses(state) {
			if gcp.UserOf(state, o) == nil {
				t.Errorf("%s is not used", o.ID)
			}
			if labels := o.Props["labels"].(map[string]any); len(labels) != 1 {
				t.Errorf("%s: the labels of its owner were changed: %v", o.ID, labels)
			}
		}
	})
	s.unchanged()
	s.must("destroy")
	s.kept(before)
}

// TestExistingGCPAddressesAreImported starts with static addresses that partners know already and that the stack shall own from now
// on: named and labelled as it would, and taken over before the first update, as docs/gcp.md says. One that only has the name is not.
func TestExistingGCPAddressesAreImported(t *testing.T) {
	t.Parallel()
	s := newStack(t, "gcp-dev", func(config map[string]any) {
		complete(config)
		config["sallyport:allowlist"] = map[string]any{"protect": true}
	})
	s.reachable()
	seed := gcp.Existing{Project: "example-dev", Region: "europe-west1", Addresses: map[string]map[string]string{
		"gcp-dev-nat-1":                    {"owner": "network-team"},
		"gcp-dev-proxy-europe-west1-b-1-1": {"sallyport-stack": s.Name, "sallyport-slot": "proxy-europe-west1-b-1-1"},
	}}
	if err := gcp.Seed(s.World, seed); err != nil {
		t.Fatal(err)
	}
	before := s.publicIPs()
	recovered := func() rig.Result { return s.Command(program(t, "./cmd/sallyport-recover"), s.Name) }
	if r := recovered(); r.Err != nil || strings.Contains(r.Output, "nat-1") || !strings.Contains(r.Output, "importing Address") {
		t.Fatalf("%v, want the labelled address imported and the other left alone\n%s", r.Err, r.Output)
	}
	s.change(func(state *world.State) error {
		address := state.By(gcpAddress, "name", "gcp-dev-nat-1")
		address.Props["labels"] = map[string]any{"sallyport-stack": s.Name, "sallyport-slot": "nat-1"}
		address.Props["effectiveLabels"] = address.Props["labels"]
		return nil
	})
	if r := recovered(); r.Err != nil {
		t.Fatalf("%v\n%s", r.Err, r.Output)
	}
	golden.Check(t, "gcp-dev/imported-addresses.golden", lines(s.must("up")))
	if now := s.publicIPs(); !maps.Equal(now, before) {
		t.Errorf("public IPs %v, want the imported ones %v", slices.Sorted(maps.Keys(now)), slices.Sorted(maps.Keys(before)))
	}
	s.unchanged()
	if r := s.Pulumi("destroy"); r.Err == nil {
		t.Errorf("destroy: an imported address is not protected\n%s", r.Output)
	}
	s.kept(before)
}
