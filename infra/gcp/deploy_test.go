package gcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/components/cloudnat"
	"github.com/sallyport/sallyport/components/externaladdress"
	"github.com/sallyport/sallyport/components/pulumitest"
	"github.com/sallyport/sallyport/components/stack"
	"github.com/sallyport/sallyport/infra/topology"
	"github.com/sallyport/sallyport/internal/golden"
	"github.com/sallyport/sallyport/preflight/gcppreflight"
	"github.com/sallyport/sallyport/verify"
	"github.com/sallyport/sallyport/verify/gcpview"
)

const (
	address = "gcp:compute/address:Address"
	natType = "gcp:compute/routerNat:RouterNat"
)

// world gives what Google would add to a resource, by names only, and what the last update exported.
type world struct{ previous map[string]any }

func (w world) outputs(token, name string, inputs resource.PropertyMap) map[string]any {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(name))
	host := hash.Sum32() % 60000
	out := map[string]any{"selfLink": "https://example.com/" + name}
	switch token {
	case "pulumi:pulumi:StackReference":
		return map[string]any{"outputs": w.previous, "secretOutputNames": []any{}}
	case address:
		network := "198.18"
		if inputs["addressType"].IsString() && inputs["addressType"].StringValue() == "INTERNAL" {
			network = "10.0"
		}
		out["address"] = fmt.Sprintf("%s.%d.%d", network, host/250, host%250)
	case "gcp:storage/bucket:Bucket", "gcp:pubsub/topic:Topic":
		out["name"] = name
	case "gcp:storage/getProjectServiceAccount:getProjectServiceAccount":
		out["emailAddress"] = "agent@example.com"
	}
	return out
}

func settings(t *testing.T, name string, change func(*stack.Stack)) *stack.Stack {
	t.Helper()
	s, err := stack.ReadFile(filepath.Join("..", "..", "stacks", "Pulumi."+name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(s)
	}
	return s
}

// result is what one update asked for and exported.
type result struct {
	*pulumitest.Recorder
	mu       *sync.Mutex
	exported map[string]any // as the next update finds it
}

// deploy runs one update against the recorder, after one that exported previous.
func deploy(t *testing.T, name string, s *stack.Stack, previous map[string]any) (result, error) {
	t.Helper()
	plan, err := s.Plan()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("SALLYPORT_NOW", cmpOr(previous["now"], "2026-11-20T12:00:00Z"))
	defer func(check func(context.Context, gcppreflight.Need) error) { checkProject = check }(checkProject)
	checkProject = func(context.Context, gcppreflight.Need) error { return nil }
	r := result{Recorder: pulumitest.New(world{previous: previous}.outputs), mu: &sync.Mutex{}, exported: map[string]any{}}
	defer func(open func(context.Context, gcpview.Place) (verify.View, error)) { openView = open }(openView)
	openView = func(_ context.Context, place gcpview.Place) (verify.View, error) {
		return project{r.Recorder, place}, nil
	}
	var pending sync.WaitGroup
	err = r.Run("sallyport", name, t.TempDir(), nil, func(ctx *pulumi.Context) error {
		previous, err := topology.ReadPrevious(ctx)
		if err != nil {
			return err
		}
		d := &deployment{
			ctx: ctx, settings: s, section: s.GCP, plan: plan, previous: previous,
			addresses: map[string]externaladdress.Allocated{}, endpoints: pulumi.Map{}, exported: pulumi.Map{},
		}
		err = d.build()
		for name, value := range d.exported {
			pending.Add(1)
			pulumi.ToOutput(value).ApplyT(func(value any) any {
				defer pending.Done()
				r.mu.Lock()
				defer r.mu.Unlock()
				r.exported[name] = tree(t, value)
				return nil
			})
		}
		return err
	})
	pending.Wait() // a program that fails does not wait for its outputs
	return r, err
}

func cmpOr(value any, otherwise string) string {
	if text, ok := value.(string); ok {
		return text
	}
	return otherwise
}

func mustDeploy(t *testing.T, name string, change func(*stack.Stack), previous map[string]any) result {
	t.Helper()
	r, err := deploy(t, name, settings(t, name, change), previous)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// names lists the resources without their inputs, which the components' own golden files have.
func names(t *testing.T, r result) string {
	t.Helper()
	graph, err := r.Graph()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(graph) {
		if !strings.HasPrefix(line, " ") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

func TestTheShippedStacksAskForTheirResources(t *testing.T) {
	for _, name := range []string{"gcp-prod", "gcp-dev", "rapido"} {
		t.Run(name, func(t *testing.T) {
			golden.Check(t, name+".golden", names(t, mustDeploy(t, name, nil, nil)))
		})
	}
}

func TestEveryPublicIPIsProtectedAndSaysWhoseItIs(t *testing.T) {
	r := mustDeploy(t, "gcp-prod", nil, nil)
	graph, public := names(t, r), 0
	for _, name := range r.Names(address) {
		in := r.Inputs(address, name)
		if in["addressType"] != "EXTERNAL" {
			continue
		}
		public++
		labels, _ := in["labels"].(map[string]any)
		for _, key := range []string{"sallyport-stack", "sallyport-kind", "sallyport-slot", "sallyport-partners", "sallyport-since"} {
			if _, ok := labels[key]; !ok {
				t.Errorf("%s: label %s is missing: %v", name, key, labels)
			}
		}
		if !strings.Contains(graph, address+" "+name+" (protected)") {
			t.Errorf("%s is not protected", name)
		}
	}
	if public != 12 { // 2 of the gateway, 2 of the rule, 6 of proxies, 2 of headroom
		t.Errorf("%d public IPs", public)
	}
	for line := range strings.Lines(names(t, mustDeploy(t, "gcp-dev", nil, nil))) {
		if strings.Contains(line, "(protected)") {
			t.Errorf("a trial is protected: %s", line)
		}
	}
}

func TestTheNatUsesItsIPsOnlyAndTheRuleItsOwn(t *testing.T) {
	r := mustDeploy(t, "gcp-prod", nil, nil)
	in := r.Inputs(natType, "cloudnat-gateway-nat")
	if got := fmt.Sprint(in["natIps"]); got != "[https://example.com/externaladdress-address-nat-1 https://example.com/externaladdress-address-nat-2]" {
		t.Errorf("natIps %s", got)
	}
	rules, _ := json.Marshal(in["rules"])
	if !strings.Contains(string(rules), "externaladdress-address-nat-rule-registry-1") || strings.Contains(string(rules), "nat-reserve") {
		t.Errorf("rules %s", rules)
	}
	if in["tcpTimeWaitTimeoutSec"] != 120. || in["minPortsPerVm"] != 1024. {
		t.Errorf("%v", in)
	}
}

// before is what an update of the stack exported, with the addresses of the gateway in the given states.
func before(t *testing.T, s *stack.Stack, ports int, states map[string]allowlist.State) map[string]any {
	t.Helper()
	gateway := cloudnat.GatewayMemory{MinPorts: ports, Ranges: []string{"default"}, Active: map[string]string{}}
	host := byte(1)
	var entries []allowlist.Entry
	for name, state := range states {
		kind := allowlist.KindNat
		if strings.HasPrefix(name, "proxy-") {
			kind = allowlist.KindProxy
		} else if state == allowlist.StateActive && !strings.Contains(name, "reserve") {
			gateway.Active[name] = cloudnat.Own
		}
		entries = append(entries, allowlist.Entry{IP: netip.AddrFrom4([4]byte{203, 0, 113, host}), Cloud: "gcp", Region: s.GCP.Region, Kind: kind,
			Slot: name, State: state, Partners: []string{}})
		host++
	}
	document, err := allowlist.Build("before", 1, entries)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]any{"allowlist": tree(t, document), "nat": tree(t, cloudnat.Memory{Gateways: map[string]cloudnat.GatewayMemory{"nat": gateway}})}
}

func tree(t *testing.T, value any) any {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestLoweringPortsIsRefusedBeforeAnythingIsAsked(t *testing.T) {
	s := settings(t, "rapido", nil)
	previous := before(t, s, 8192, map[string]allowlist.State{"nat-1": allowlist.StateActive})
	r, err := deploy(t, "rapido", s, previous)
	if err == nil || !strings.Contains(err.Error(), "must not lower the ports per VM from 8192 without acknowledgement") {
		t.Errorf("%v", err)
	}
	for line := range strings.Lines(names(t, r)) {
		if !strings.HasPrefix(line, "pulumi:pulumi:StackReference") {
			t.Errorf("registered: %s", line)
		}
	}
	s.GCP.Nat.Acknowledge = []stack.Acknowledgement{stack.AcknowledgeLowerPorts}
	if _, err := deploy(t, "rapido", s, previous); err != nil {
		t.Errorf("with acknowledgement: %v", err)
	}
	s.GCP.Nat.Acknowledge = nil
	s.Nat.PortsPerVM = 8192
	if _, err := deploy(t, "rapido", s, previous); err != nil {
		t.Errorf("with the old ports: %v", err)
	}
}

func TestSwitchingDynamicAllocationIsRefused(t *testing.T) {
	s := settings(t, "rapido", func(s *stack.Stack) { s.GCP.Nat.DynamicPorts = &stack.GCPDynamicPorts{Min: 128, Max: 4096} })
	previous := before(t, s, 128, map[string]allowlist.State{"nat-1": allowlist.StateActive})
	if _, err := deploy(t, "rapido", s, previous); err == nil || !strings.Contains(err.Error(), "must not switch dynamic port allocation on") {
		t.Errorf("%v", err)
	}
	s.GCP.Nat.Acknowledge = []stack.Acknowledgement{stack.AcknowledgeDynamicPorts}
	r, err := deploy(t, "rapido", s, previous)
	if err != nil {
		t.Fatal(err)
	}
	if in := r.Inputs(natType, "cloudnat-gateway-nat"); in["enableDynamicPortAllocation"] != true || in["minPortsPerVm"] != 128. || in["maxPortsPerVm"] != 4096. {
		t.Errorf("%v", in)
	}
}

// A plan that needs fewer IPs drains the others first; they leave when they are retired, and stay allocated.
func TestAnIPThatIsNotNeededAnyMoreDrainsAndThenLeaves(t *testing.T) {
	s := settings(t, "rapido", nil)
	previous := before(t, s, 128, map[string]allowlist.State{"nat-1": allowlist.StateActive, "nat-2": allowlist.StateActive})
	first := mustDeploy(t, "rapido", nil, previous)
	in := first.Inputs(natType, "cloudnat-gateway-nat")
	if got := fmt.Sprint(in["natIps"], in["drainNatIps"]); got != "[https://example.com/externaladdress-address-nat-1] [https://example.com/externaladdress-address-nat-2]" {
		t.Fatalf("%s", got)
	}
	if !strings.Contains(names(t, first), "externaladdress-address-nat-2 (protected)") {
		t.Error("the draining address is not protected any more")
	}
	// A week later it is retired.
	gone := first.exported
	gone["now"] = "2026-11-28T12:00:00Z"
	second := mustDeploy(t, "rapido", nil, gone)
	in = second.Inputs(natType, "cloudnat-gateway-nat")
	if got := fmt.Sprint(in["natIps"], in["drainNatIps"]); got != "[https://example.com/externaladdress-address-nat-1] <nil>" {
		t.Errorf("%s", got)
	}
	if !strings.Contains(names(t, second), "externaladdress-address-nat-2 (protected)") {
		t.Error("the retired address is gone")
	}
}

func TestAnIPThatWouldLeaveWithoutADrainIsRefused(t *testing.T) {
	s := settings(t, "rapido", func(s *stack.Stack) { s.Allowlist.Drain = "1h"; s.GCP.Nat.EstablishedIdleSeconds = 7200 })
	first, err := deploy(t, "rapido", s, before(t, s, 128, map[string]allowlist.State{"nat-1": allowlist.StateActive, "nat-2": allowlist.StateActive}))
	if err != nil {
		t.Fatal(err)
	}
	// The list lets it go after an hour, and connections may be idle for two.
	next := first.exported
	next["now"] = "2026-11-20T13:30:00Z"
	_, err = deploy(t, "rapido", s, next)
	if err == nil || !strings.Contains(err.Error(), "nat-2: must drain until 2026-11-20T14:00:00Z before it leaves") {
		t.Errorf("%v", err)
	}
	// The refused run must not forget: the next one is refused as well.
	again, err := deploy(t, "rapido", s, next)
	if err == nil {
		t.Fatal("was accepted")
	}
	if kept := again.exported; !reflect.DeepEqual(kept["nat"], next["nat"]) || kept["allowlist"] == nil {
		t.Errorf("the refused run left %v", kept)
	}
}

func TestASecondUpdateAsksForTheSame(t *testing.T) {
	for _, name := range []string{"gcp-prod", "gcp-dev", "rapido"} {
		first := mustDeploy(t, name, nil, nil)
		previous := first.exported
		previous["now"] = "2026-12-24T12:00:00Z"
		second := mustDeploy(t, name, nil, previous)
		was, _ := first.Graph()
		is, _ := second.Graph()
		if was != is {
			t.Errorf("%s: a second update differs", name)
		}
	}
}

func TestAPrefixGivesTheLowestFreeIPsAndKeepsThem(t *testing.T) {
	section := stack.GCPAddresses{Prefix: netip.MustParsePrefix("203.0.113.8/29"), Fixed: map[string]netip.Addr{"nat-2": netip.MustParseAddr("203.0.113.15")},
		Existing: map[string]string{"nat-3": "egress"}}
	lives := []allowlist.Life{{Name: "nat-1"}, {Name: "nat-2"}, {Name: "nat-3"}, {Name: "nat-4"}, {Name: "nat-reserve-1"}}
	previous := &allowlist.Document{Entries: []allowlist.Entry{
		{IP: netip.MustParseAddr("203.0.113.9"), Slot: "nat-4"}, {IP: netip.MustParseAddr("203.0.113.8"), Slot: "nat-9", Address: "nat-reserve-1"},
	}}
	got, err := pick(section, lives, previous)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]netip.Addr{}
	for name, ip := range map[string]string{"nat-1": "203.0.113.10", "nat-2": "203.0.113.15", "nat-4": "203.0.113.9", "nat-reserve-1": "203.0.113.8"} {
		want[name] = netip.MustParseAddr(ip)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	section.Prefix = netip.MustParsePrefix("203.0.113.8/31")
	section.Fixed = nil
	if _, err := pick(section, lives, previous); err == nil || !strings.Contains(err.Error(), "has no room for 2 of the 5 addresses") {
		t.Errorf("%v", err)
	}
	if got, err := pick(stack.GCPAddresses{}, lives, previous); got != nil || err != nil {
		t.Errorf("without a prefix: %v, %v", got, err)
	}
}

func TestAStackThatTheProjectCannotHoldCreatesNothing(t *testing.T) {
	s := settings(t, "gcp-prod", nil)
	plan, err := s.Plan()
	if err != nil {
		t.Fatal(err)
	}
	defer func(check func(context.Context, gcppreflight.Need) error) { checkProject = check }(checkProject)
	var asked gcppreflight.Need
	checkProject = func(_ context.Context, need gcppreflight.Need) error {
		asked = need
		return errors.New("quota STATIC_ADDRESSES is 8")
	}
	recorder := pulumitest.New(world{}.outputs)
	err = recorder.Run("sallyport", "gcp-prod", t.TempDir(), nil, func(ctx *pulumi.Context) error { return Deploy(ctx, s, plan, &topology.Previous{}) })
	if err == nil || !strings.Contains(err.Error(), "quota STATIC_ADDRESSES is 8") {
		t.Errorf("error %v", err)
	}
	for line := range strings.Lines(names(t, result{Recorder: recorder})) {
		if !strings.HasPrefix(line, "pulumi:pulumi:StackReference") {
			t.Errorf("registered: %s", line)
		}
	}
	text, err := json.MarshalIndent(asked, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "gcp-prod-need.golden", string(text)+"\n")
}

// With a Shared VPC the NAT's part is asked of the host project and the fleet's of the stack's own.
func TestEachProjectOfASharedVPCIsAskedForItsPart(t *testing.T) {
	s := settings(t, "gcp-prod", func(s *stack.Stack) { s.GCP.Network.Existing.Project = "example-host" })
	plan, err := s.Plan()
	if err != nil {
		t.Fatal(err)
	}
	defer func(check func(context.Context, gcppreflight.Need) error) { checkProject = check }(checkProject)
	asked := map[string]gcppreflight.Need{}
	checkProject = func(_ context.Context, need gcppreflight.Need) error {
		asked[need.Project] = need
		return errors.New("refused by " + need.Project)
	}
	recorder := pulumitest.New(world{}.outputs)
	err = recorder.Run("sallyport", "gcp-prod", t.TempDir(), nil, func(ctx *pulumi.Context) error { return Deploy(ctx, s, plan, &topology.Previous{}) })
	if err == nil || !strings.Contains(err.Error(), "refused by example-prod") || !strings.Contains(err.Error(), "refused by example-host") {
		t.Errorf("error %v, want what both projects lack", err)
	}
	own, host := asked["example-prod"], asked["example-host"]
	if own.Host != "example-host" || own.Fleet.MachineType == "" || len(own.Gateways) > 0 || own.Network != "" || host.Network != "prod" || len(host.Gateways) != 1 || host.Fleet.MachineType != "" {
		t.Errorf("own %+v\nhost %+v", own, host)
	}
	for _, need := range asked {
		for _, a := range need.Addresses {
			if proxy := strings.HasPrefix(a.Slot, "proxy-"); proxy != (need.Project == "example-prod") {
				t.Errorf("%s is asked of %s", a.Slot, need.Project)
			}
		}
	}
	if len(own.Addresses) == 0 || len(host.Addresses) == 0 {
		t.Errorf("%d and %d addresses", len(own.Addresses), len(host.Addresses))
	}
}

func TestNamesThatThePlanDoesNotHaveAreRefusedAllAtOnce(t *testing.T) {
	_, err := deploy(t, "gcp-prod", settings(t, "gcp-prod", func(s *stack.Stack) {
		s.GCP.Addresses.Existing = map[string]string{"nat-9": "egress"}
		s.GCP.Addresses.Prefix = netip.MustParsePrefix("203.0.113.0/30")
		s.GCP.Addresses.Fixed = map[string]netip.Addr{"nat-8": netip.MustParseAddr("203.0.113.1")}
	}), nil)
	for _, want := range []string{"addresses.existing.nat-9: must be an address of the plan", "addresses.fixed.nat-8: must be an address of the plan",
		"addresses.prefix: has no room for 9 of the 12 addresses"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %s", err, want)
		}
	}
}

func TestASharedVPCHasItsNatInTheHostProject(t *testing.T) {
	r := mustDeploy(t, "gcp-prod", func(s *stack.Stack) { s.GCP.Network.Existing.Project = "example-host" }, nil)
	for name, want := range map[string]string{"externaladdress-address-nat-1": "example-host", "externaladdress-address-proxy-europe-west1-b-1-1": "example-prod"} {
		if got := r.Inputs(address, name)["project"]; got != want {
			t.Errorf("%s is in %v, want %s", name, got, want)
		}
	}
	if in := r.Inputs(natType, "cloudnat-gateway-nat"); in["project"] != "example-host" || !strings.Contains(fmt.Sprint(in["subnetworks"]), "projects/example-host/regions/europe-west1/subnetworks/nodes") {
		t.Errorf("%v", in)
	}
}
