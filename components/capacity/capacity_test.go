package capacity

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// base is a plausible cluster with one NAT destination; tests change what they are about.
func base(change func(*Input)) Input {
	in := Input{
		Zones: []string{"a", "b", "c"}, Nodes: 100, MaxNodes: 100, Skew: 1, Flavor: CloudNat, TimeWait: 120, Blocking: 1e-6, MaxIPs: 2,
		Proxies:      ProxyLimits{SparePerZone: 1, IPsPerProxy: 1, ConnectionsPerSecond: 2000, MaxConnections: 50000, HourlyUSD: 0.08},
		Destinations: []Destination{{Name: "cdn", Via: ViaNat, ConnectionsPerSecond: 200, SecondsPerConnection: 1, RequestsPerConnection: 1, Addresses: 1}},
	}
	if change != nil {
		change(&in)
	}
	return in
}

func compute(t *testing.T, in Input) Plan {
	t.Helper()
	plan, err := Compute(in)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// explained reports whether a step says all the given words.
func explained(plan Plan, words ...string) bool {
	for _, step := range plan.Steps {
		found := true
		for _, word := range words {
			found = found && strings.Contains(step.What+": "+step.Arithmetic, word)
		}
		if found {
			return true
		}
	}
	return false
}

func explanation(plan Plan) string {
	var text strings.Builder
	for _, step := range plan.Steps {
		fmt.Fprintf(&text, "%s: %s\n", step.What, step.Arithmetic)
	}
	return text.String()
}

func TestSixtyFourPortsLeaveNearlyEverythingIdleAndStillDrop(t *testing.T) {
	plan := compute(t, base(func(in *Input) { in.PortsPerVM, in.IPs, in.Insufficient = 64, 3, true }))
	if plan.Nat.PortsPerVM != 64 || plan.Nat.IPs != 3 || plan.Nat.RequiredPortsPerVM <= 64 {
		t.Errorf("%+v", plan.Nat)
	}
	if !explained(plan, "64 ports x 100 VMs = 6,400 of 193,536 (3 IPs)", "187,136 stand idle") || !explained(plan, "still dropping, 73.7 %") {
		t.Error(explanation(plan))
	}
	if b := plan.Margins[0].Blocking; math.Abs(b-0.737) > 0.001 {
		t.Errorf("blocking %g", b)
	}
}

func TestThousandsOfPortsForAHundredNodesNeedThirteenIPs(t *testing.T) {
	// 6,500 ports in use on the busiest node: above what 4,096 carry, below what 8,192 do.
	plan := compute(t, base(func(in *Input) { in.Destinations[0].ConnectionsPerSecond = 100 * 6500 / 121. }))
	if plan.Nat.PortsPerVM != 8192 || plan.Nat.IPs != 13 {
		t.Errorf("%+v", plan.Nat)
	}
	if !explained(plan, "(100 nodes + 0 surge) x 8,192 ports / 64,512 ports per IP = 12.7 -> 13 IPs") {
		t.Error(explanation(plan))
	}
}

func TestTwoBusyPodsOnOneNodeNeedTwentyFourThousandPorts(t *testing.T) {
	plan := compute(t, base(func(in *Input) {
		in.Nodes, in.MaxNodes = 1, 1
		in.Destinations[0].ConnectionsPerSecond, in.Destinations[0].SecondsPerConnection = 2*100, 0
	}))
	if plan.Nat.PortsPerVM != 32768 {
		t.Errorf("%+v", plan.Nat)
	}
	if !explained(plan, "200/s / 1 node x 1 skew x (0 s + 120 s) / 1 address = 24,000 ports in use on average") {
		t.Error(explanation(plan))
	}
}

// TestErlangBMatchesPublishedTable holds the largest loads of the facts' table, which were computed independently.
func TestErlangBMatchesPublishedTable(t *testing.T) {
	for _, row := range []struct {
		ports          int
		thousandth     float64
		millionth      float64
		tolerated, mil float64
	}{
		{64, 44.2, 33.6, 0.05, 0.05}, {512, 460, 418, 0.5, 0.5}, {1024, 954, 891, 0.5, 0.5}, {2048, 1955, 1861, 0.5, 0.5},
		{4096, 3974, 3834, 0.5, 0.5}, {8192, 8035, 7827, 0.5, 0.5}, {28232, 28001, 27575, 0.5, 0.5},
		{55000, 54730, 54100, 0.5, 0.5}, {64512, 64235, 63542, 0.5, 0.5},
	} {
		if got := MaxLoad(row.ports, 1e-3); math.Abs(got-row.thousandth) > row.tolerated {
			t.Errorf("%d ports at 1e-3: %.2f, want %g", row.ports, got, row.thousandth)
		}
		if got := MaxLoad(row.ports, 1e-6); math.Abs(got-row.millionth) > row.mil {
			t.Errorf("%d ports at 1e-6: %.2f, want %g", row.ports, got, row.millionth)
		}
	}
}

func TestErlangBEqualsTheRecurrence(t *testing.T) {
	for _, load := range []float64{0.01, 1, 33.6, 80, 1000, 24000, 63542, 1e6} {
		inverse := 1.0
		for k := 1; k <= 66000; k++ {
			inverse = 1 + float64(k)/load*inverse
			if k%977 > 1 && k > 70 {
				continue
			}
			want, got := 1/inverse, ErlangB(k, load)
			if math.Abs(got-want) > 1e-9*want+1e-300 {
				t.Fatalf("B(%d, %g) = %g, the recurrence gives %g", k, load, got, want)
			}
		}
	}
}

func TestErlangBPortsIsTheSmallestNumberThatSuffices(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		load, target := math.Exp(random.Float64()*16-3), math.Pow(10, -1-8*random.Float64())
		ports := ErlangBPorts(load, target)
		if ErlangB(ports, load) > target || ports > 1 && ErlangB(ports-1, load) <= target {
			t.Errorf("load %g, target %g: %d ports block %g, one less %g", load, target, ports, ErlangB(ports, load), ErlangB(ports-1, load))
		}
	}
	if ErlangBPorts(0, 1e-6) != 0 {
		t.Error("no load needs ports")
	}
}
