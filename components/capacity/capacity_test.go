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

func TestPortsAreTheLargestRequirementAndNotTheSum(t *testing.T) {
	one := compute(t, base(nil)).Nat
	many := compute(t, base(func(in *Input) {
		for range 9 {
			in.Destinations = append(in.Destinations, in.Destinations[0])
		}
	})).Nat
	if one != many {
		t.Errorf("one destination %+v, ten equal ones %+v", one, many)
	}
}

func TestAliasRangesRaiseTheSmallestBlock(t *testing.T) {
	small := func(in *Input) { in.Destinations[0].ConnectionsPerSecond = 1 }
	if got := compute(t, base(small)).Nat.PortsPerVM; got != 64 {
		t.Errorf("%d ports without alias ranges", got)
	}
	if got := compute(t, base(func(in *Input) { small(in); in.AliasRanges = true })).Nat.PortsPerVM; got != 1024 {
		t.Errorf("%d ports with alias ranges", got)
	}
	// GKE's default: 1,024 ports for each of 256 nodes are 5 IPs (cluster-toolkit PR 4366).
	plan := compute(t, base(func(in *Input) { small(in); in.AliasRanges, in.MaxNodes = true, 256 }))
	if plan.Nat.IPs != 5 {
		t.Errorf("256 nodes with 1,024 ports: %d IPs", plan.Nat.IPs)
	}
}

func TestNatGatewayBoundsByPortsAndByRate(t *testing.T) {
	tests := map[string]struct {
		change func(*Input)
		ips    int // per zone; 0: refused
		refuse string
	}{
		"one IP holds 54,100 ports at the target": {func(in *Input) { in.Destinations[0].ConnectionsPerSecond = 54100. / 61 }, 1, ""},
		"a few ports more take a second IP":       {func(in *Input) { in.Destinations[0].ConnectionsPerSecond = 54150. / 61 }, 2, ""},
		"the rate binds when connections are brief": {func(in *Input) {
			in.Destinations[0].ConnectionsPerSecond, in.Destinations[0].SecondsPerConnection, in.TimeWait = 901, 0.01, 1
		}, 2, ""},
		"900 a second are within": {func(in *Input) {
			in.Destinations[0].ConnectionsPerSecond, in.Destinations[0].SecondsPerConnection, in.TimeWait = 900, 0.01, 1
		}, 1, ""},
		"addresses multiply what a gateway holds": {func(in *Input) {
			in.Destinations[0].ConnectionsPerSecond, in.Destinations[0].Addresses = 8*800, 8
		}, 1, ""},
		"a third IP needs the quota": {func(in *Input) { in.Destinations[0].ConnectionsPerSecond = 2000 }, 0, "quota L-5F53652F raised to 3"},
		"a raised quota helps":       {func(in *Input) { in.Destinations[0].ConnectionsPerSecond, in.MaxIPs = 2000, 8 }, 3, ""},
		"eight IPs are the end": {func(in *Input) { in.Destinations[0].ConnectionsPerSecond, in.MaxIPs = 8000, 8 }, 0,
			"needs 10 public IPs in one zone and a NAT gateway takes at most 8"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			plan, err := Compute(base(func(in *Input) {
				in.Flavor, in.Zones, in.TimeWait = NatGateway, []string{"a"}, 60
				test.change(in)
			}))
			if test.ips == 0 {
				if err == nil || !strings.Contains(err.Error(), test.refuse) || !strings.Contains(err.Error(), "through the proxies") {
					t.Errorf("got %v, want %q and the way out", err, test.refuse)
				}
				return
			}
			if err != nil || plan.Nat.IPsPerZone != test.ips || plan.Nat.IPs != test.ips {
				t.Errorf("%+v, %v, want %d IPs", plan.Nat, err, test.ips)
			}
		})
	}
}

func TestNatGatewayLoadOfTheBusiestZone(t *testing.T) {
	for name, test := range map[string]struct {
		zones, nodes int
		skew, want   float64
	}{
		"all of it with one zone":                         {1, 10, 2, 1},
		"an even third":                                   {3, 9, 1, 1. / 3},
		"one node more than the others":                   {3, 10, 1, 0.4},
		"the busiest node is among them":                  {3, 10, 1.5, 0.45},
		"never more than all, however skewed":             {2, 2, 50, 1},
		"a single node in a single zone of several zones": {3, 1, 1, 1},
	} {
		in := base(func(in *Input) { in.Zones, in.Nodes, in.Skew = make([]string, test.zones), test.nodes, test.skew })
		if got, _ := newSizer(in, nil).busiestZone(); math.Abs(got-test.want) > 1e-12 {
			t.Errorf("%s: %g, want %g", name, got, test.want)
		}
	}
}

func TestProxiesBoundByPortsRateAndHeldConnections(t *testing.T) {
	proxied := func(rate, hold float64) func(*Input) {
		return func(in *Input) {
			d := &in.Destinations[0]
			d.Via, d.ConnectionsPerSecond, d.SecondsPerConnection = ViaProxy, rate, hold
			in.Proxies.ConnectionsPerSecond, in.Proxies.MaxConnections = 1e6, 1e6
		}
	}
	tests := map[string]struct {
		change   func(*Input)
		perZone  int
		deciding string
	}{
		"a trickle still gets one per zone and its spare": {proxied(1, 1), 2, "cdn"},
		"without spares, one per zone":                    {func(in *Input) { proxied(1, 1)(in); in.Proxies.SparePerZone = 0 }, 1, "cdn"},
		"ports: 4 x 63,542 need a fourth proxy":           {proxied(4*63500/61., 1), 2 + 1, "cdn"},
		"two IPs a proxy halve the proxies":               {func(in *Input) { proxied(12*63500/61., 1)(in); in.Proxies.IPsPerProxy = 2 }, 2 + 1, "cdn"},
		"rate: 6,001 new connections/s at 2,000 each":     {func(in *Input) { proxied(6001, 0.1)(in); in.Proxies.ConnectionsPerSecond = 2000 }, 2 + 1, "cdn"},
		"rate, when ports are no matter": {func(in *Input) {
			proxied(6001, 0.1)(in)
			in.Proxies.ConnectionsPerSecond, in.Destinations[0].Addresses = 1000, 64
		}, 3 + 1, "all"},
		"held: 400,000 at 50,000 each": {func(in *Input) {
			proxied(100, 4000)(in)
			in.Proxies.MaxConnections, in.Destinations[0].Addresses = 50000, 64
		}, 3 + 1, "all"},
		"pooling divides new connections": {func(in *Input) {
			proxied(60000, 0.001)(in)
			in.Proxies.ConnectionsPerSecond, in.Destinations[0].RequestsPerConnection = 2000, 10
		}, 2 + 1, "cdn"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			in := base(test.change)
			plan := compute(t, in)
			p := plan.Proxies
			if p.PerZone != test.perZone || p.Total != 3*test.perZone || p.IPs != p.Total*in.Proxies.IPsPerProxy || p.Deciding != test.deciding {
				t.Errorf("%+v, want %d per zone because of %s\n%s", p, test.perZone, test.deciding, explanation(plan))
			}
			if plan.Nat.IPs != 0 {
				t.Errorf("a NAT nobody uses has %d IPs", plan.Nat.IPs)
			}
		})
	}
}

func TestImpossibleOrWrongInputIsRefusedWithPlaceRuleAndRemedy(t *testing.T) {
	tests := map[string]struct {
		change func(*Input)
		want   []string
	}{
		"more ports than a VM can have": {func(in *Input) { in.Destinations[0].ConnectionsPerSecond = 1e5 },
			[]string{"cdn: needs more than the 65,536 source ports", "100,000/s / 100 nodes x 1 skew x (1 s + 120 s) / 1 address = 121,000", "route: proxy"}},
		"forced ports too few": {func(in *Input) { in.PortsPerVM = 64 },
			[]string{"nat.portsPerVM: must be at least 512 for cdn", "= 242 ports in use", "73.7 %", "got 64", "allowInsufficient"}},
		"forced ports not legal":          {func(in *Input) { in.PortsPerVM = 100 }, []string{"nat.portsPerVM: must be a power of two from 64 to 65,536, got 100"}},
		"forced ports under alias ranges": {func(in *Input) { in.PortsPerVM, in.AliasRanges = 512, true }, []string{"power of two from 1,024, because alias ranges"}},
		"given IPs too few":               {func(in *Input) { in.PortsPerVM, in.IPs = 8192, 3 }, []string{"nat.ips: must be at least 13", "got 3"}},
		"more IPs than a Cloud NAT takes": {func(in *Input) {
			in.Destinations[0].ConnectionsPerSecond, in.MaxNodes, in.Gateways = 40000, 1000, []GatewayShare{{"nat", 1000}}
		}, []string{"nat: gateway nat needs 1,016 public IPs, more than the 300 of one Cloud NAT", "spread its subnetworks over gateways with at most 295 VMs each"}},
		"more gateways than a network takes": {func(in *Input) { in.Destinations[0].ConnectionsPerSecond, in.MaxNodes = 40000, 1e6 },
			[]string{"nat: needs 3,390 Cloud NAT gateways, more than the 250"}},
		"gateways that do not hold the cluster": {func(in *Input) { in.Gateways = []GatewayShare{{"nat", 60}, {"nat2", 39}} },
			[]string{"nat gateways: must hold all 100 VMs of cluster.maxNodes and surgeNodes together, got 99"}},
		"two gateways of one name":       {func(in *Input) { in.Gateways = []GatewayShare{{"nat", 60}, {"nat", 60}} }, []string{`nat gateways: must have unique names, got "nat"`}},
		"given IPs for several gateways": {func(in *Input) { in.Gateways, in.IPs = []GatewayShare{{"nat", 60}, {"b", 60}}, 5 }, []string{"nat.ips: must be left out with several gateways"}},
		"a rule with too few IPs": {func(in *Input) { in.PortsPerVM, in.Rules = 8192, []NatRule{{Name: "bank", IPs: 12}} },
			[]string{"nat rule bank: must have at least 13 IPs, because every VM gets its ports on them too", "got 12"}},
		"rules of a NAT gateway": {func(in *Input) {
			in.Flavor, in.Rules, in.Gateways = NatGateway, []NatRule{{Name: "bank"}}, []GatewayShare{{"a", 1}}
		},
			[]string{"nat rules: must be left out with flavor natgateway", "nat gateways: must be left out"}},
		"no zones":                          {func(in *Input) { in.Zones = nil }, []string{"cluster.zones: needs at least 1 zone"}},
		"no nodes":                          {func(in *Input) { in.Nodes = 0 }, []string{"cluster.nodes: must be between 1 and"}},
		"fewer nodes at most than now":      {func(in *Input) { in.MaxNodes = 99 }, []string{"cluster.maxNodes: must be between the number of nodes, 100"}},
		"a skew below the mean":             {func(in *Input) { in.Skew = 0.5 }, []string{"cluster.skew: must be between 1 and"}},
		"a skew that is no number":          {func(in *Input) { in.Skew = math.NaN() }, []string{"cluster.skew: ", "finite, got NaN"}},
		"a target of nothing":               {func(in *Input) { in.Blocking = 0 }, []string{"nat.blockingTarget: must be above 0 and below 1, got 0"}},
		"a target of everything":            {func(in *Input) { in.Blocking = 1 }, []string{"nat.blockingTarget: "}},
		"an unknown flavour":                {func(in *Input) { in.Flavor = "x" }, []string{`nat.flavor: must be cloudnat or natgateway, got "x"`}},
		"a negative rate":                   {func(in *Input) { in.Destinations[0].ConnectionsPerSecond = -1 }, []string{"cdn.connectionsPerSecond: must be above 0, got -1"}},
		"an infinite hold":                  {func(in *Input) { in.Destinations[0].SecondsPerConnection = math.Inf(1) }, []string{"cdn.secondsPerConnection: ", "finite, got +Inf"}},
		"half a request per connection":     {func(in *Input) { in.Destinations[0].RequestsPerConnection = 0.5 }, []string{"cdn.requestsPerConnection: "}},
		"no address":                        {func(in *Input) { in.Destinations[0].Addresses = 0 }, []string{"cdn.addresses: must be between 1 and"}},
		"an unknown way":                    {func(in *Input) { in.Destinations[0].Via = "sea" }, []string{`cdn.via: must be nat or proxy, got "sea"`}},
		"a fleet beyond measure":            {func(in *Input) { in.Destinations[0].Via, in.Destinations[0].ConnectionsPerSecond = ViaProxy, 1e8 }, []string{"proxies: must not need more than 1,000 proxies"}},
		"everything wrong at the same time": {func(in *Input) { in.Nodes, in.Skew, in.Blocking = -1, 0, 2 }, []string{"cluster.nodes", "cluster.skew", "nat.blockingTarget"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Compute(base(test.change))
			for _, want := range test.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v\nwant %s", err, want)
				}
			}
		})
	}
}

func TestPlaceAndNamespaceLeadToWhatTheUserWrote(t *testing.T) {
	_, err := Compute(base(func(in *Input) {
		in.Namespace, in.Destinations[0].Place = "sallyport:", "sallyport:destinations[3].demand"
		in.Destinations[0].ConnectionsPerSecond = 1e6
	}))
	if err == nil || !strings.HasPrefix(err.Error(), "sallyport:destinations[3].demand: needs more") {
		t.Error(err)
	}
}

func TestGivenIPsThatAreTooFewAreExplained(t *testing.T) {
	plan := compute(t, base(func(in *Input) { in.PortsPerVM, in.IPs, in.Insufficient = 8192, 3, true }))
	if plan.Nat.IPs != 3 || !explained(plan, "3 IPs given, 13 needed: only 23 VMs get ports") {
		t.Error(explanation(plan))
	}
	if !strings.Contains(plan.Cost[0].Impossible, "leaves 77 VMs of 100 without ports") {
		t.Errorf("%+v", plan.Cost[0])
	}
}

func TestCostComparesTheDesignsAndRecommendsFewestIPs(t *testing.T) {
	plan := compute(t, base(func(in *Input) { in.Destinations[0].ConnectionsPerSecond = 5300 }))
	nat, proxies := plan.Cost[0], plan.Cost[1]
	// 13 IPs x 0.005 + 0.044 for Cloud NAT, and (9 proxies x 0.08 + 9 x 0.005), each x 730 hours.
	if nat.MonthlyUSD != 79.57 || nat.IPsToList != 13 || !nat.Chosen || nat.Recommended {
		t.Errorf("%+v", nat)
	}
	if proxies.MonthlyUSD != math.Round((9*0.08+9*0.005)*730*100)/100 || proxies.IPsToList != 9 || !proxies.Recommended {
		t.Errorf("%+v", proxies)
	}
	dropping := compute(t, base(func(in *Input) { in.PortsPerVM, in.Insufficient = 64, true }))
	if c := dropping.Cost[0]; c.Recommended || !strings.Contains(c.Impossible, "drops 73.7 %") || !dropping.Cost[1].Recommended {
		t.Errorf("%+v", dropping.Cost)
	}
	small := compute(t, base(func(in *Input) { in.Nodes, in.MaxNodes, in.Reserve = 3, 3, 2 }))
	if c := small.Cost[0]; c.MonthlyUSD != math.Round((3*0.0014+float64(c.IPsToList)*0.005)*730*100)/100 || c.IPsToList != small.Nat.IPs+2 {
		t.Errorf("%+v", c)
	}
	gateways := compute(t, base(func(in *Input) { in.Flavor, in.TimeWait = NatGateway, 60 }))
	if c := gateways.Cost[0]; c.MonthlyUSD != math.Round((3*0.045+3*0.005)*730*100)/100 {
		t.Errorf("%+v", c)
	}
	impossible := compute(t, base(func(in *Input) { in.Destinations[0].Via, in.Destinations[0].ConnectionsPerSecond = ViaProxy, 1e5 }))
	if c := impossible.Cost[1]; c.Design != designNat || c.Impossible == "" || c.MonthlyUSD != 0 || c.Recommended {
		t.Errorf("%+v", c)
	}
}

// random makes inputs of all kinds that are in order, though not always possible.
func random(r *rand.Rand) Input {
	in := base(func(in *Input) {
		in.Zones = make([]string, 1+r.IntN(4))
		in.Nodes = 1 + r.IntN(300)
		in.MaxNodes = in.Nodes + r.IntN(100)
		in.SurgeNodes, in.Skew, in.TimeWait = r.IntN(5), 1+3*r.Float64(), float64(1+r.IntN(240))
		in.Blocking = math.Pow(10, -1-8*r.Float64())
		in.AliasRanges = r.IntN(2) == 0
		in.MaxIPs = 8
		if r.IntN(2) == 0 {
			in.Flavor = NatGateway
		}
	})
	in.Destinations = nil
	for i := range 1 + r.IntN(4) {
		via := ViaNat
		if r.IntN(3) == 0 {
			via = ViaProxy
		}
		in.Destinations = append(in.Destinations, Destination{Name: fmt.Sprint("d", i), Via: via, ConnectionsPerSecond: math.Exp(r.Float64() * 8),
			SecondsPerConnection: math.Exp(r.Float64()*6 - 3), RequestsPerConnection: 1 + r.Float64()*9, Addresses: 1 + r.IntN(4)})
	}
	return in
}

func TestAPlanAlwaysCarriesItsDemand(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	planned := 0
	for range 1000 {
		in := random(r)
		plan, err := Compute(in)
		if err != nil {
			continue
		}
		planned++
		if len(plan.Margins) != len(in.Destinations) {
			t.Fatalf("%d margins for %d destinations", len(plan.Margins), len(in.Destinations))
		}
		for _, m := range plan.Margins {
			if m.Blocking > in.Blocking*1.001 || m.Load > float64(m.Ceiling) {
				t.Fatalf("%+v: blocking beyond %g\n%s", m, in.Blocking, explanation(plan))
			}
		}
		if n := plan.Nat; n.Flavor == CloudNat && n.IPs*PortsPerNatIP < (in.MaxNodes+in.SurgeNodes)*n.PortsPerVM {
			t.Fatalf("%+v has fewer ports than its VMs", n)
		}
		if n := plan.Nat; n.Flavor == NatGateway && (n.IPs != n.IPsPerZone*len(in.Zones) || n.IPsPerZone > MaxIPsPerGateway) {
			t.Fatalf("%+v", n)
		}
		if p := plan.Proxies; p.Total != p.PerZone*len(in.Zones) || p.Total > 0 && p.PerZone < 1+in.Proxies.SparePerZone {
			t.Fatalf("%+v", p)
		}
	}
	if planned < 500 {
		t.Errorf("only %d of 1000 inputs had a plan", planned)
	}
}

func TestMoreDemandNeverNeedsLess(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 500 {
		in := random(r)
		less, err := Compute(in)
		if err != nil {
			continue
		}
		changed := []func(){
			func() { in.Destinations[0].ConnectionsPerSecond *= 1.7 },
			func() { in.Destinations[0].SecondsPerConnection += 20 },
			func() { in.TimeWait *= 1.5 },
			func() { in.Skew *= 1.3 },
			func() { in.Blocking /= 100 },
			func() { in.MaxNodes += 50 },
		}
		which := r.IntN(len(changed))
		changed[which]()
		more, err := Compute(in)
		if err != nil {
			continue // more than possible is more
		}
		if more.Nat.PortsPerVM < less.Nat.PortsPerVM || more.Nat.IPs < less.Nat.IPs || more.Proxies.Total < less.Proxies.Total {
			t.Fatalf("change %d: %+v %+v became %+v %+v", which, less.Nat, less.Proxies, more.Nat, more.Proxies)
		}
	}
}

func TestErlangBIsMonotone(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 500 {
		ports, load := 1+r.IntN(70000), math.Exp(r.Float64()*12)
		b := ErlangB(ports, load)
		if b < 0 || b > 1 || ErlangB(ports+1, load) > b || ErlangB(ports, load*1.01) < b {
			t.Errorf("B(%d, %g) = %g, with a port more %g, with more load %g", ports, load, b, ErlangB(ports+1, load), ErlangB(ports, load*1.01))
		}
	}
}

func TestErlangBHoldsAtTheEdges(t *testing.T) {
	for _, test := range []struct {
		ports      int
		load, want float64
	}{{0, 5, 1}, {5, 0, 0}, {0, 0, 0}, {1, 1, 0.5}, {2, 1, 0.2}, {64512, 1, 0}, {1, 1e15, 1}} {
		if got := ErlangB(test.ports, test.load); math.Abs(got-test.want) > 1e-12 {
			t.Errorf("B(%d, %g) = %g, want %g", test.ports, test.load, got, test.want)
		}
	}
	if got := MaxLoad(0, 1e-6); got != 0 {
		t.Errorf("no ports carry %g", got)
	}
	// A load of a hundred billion ports needs a little more than itself: 4.75 times its root.
	load := 1e11
	if got := float64(ErlangBPorts(load, 1e-6)); got < load || got > load+5*math.Sqrt(load) {
		t.Errorf("%g ports for a load of %g", got, load)
	}
}

func TestFiguresAreWrittenAsPeopleDo(t *testing.T) {
	for want, f := range map[string]float64{"193,536": 193536, "24,000": 24000, "12.7": 12.698, "1.016": 1.0159, "0.048": 0.0476, "453.8": 453.75,
		"0": 0, "1": 1, "1,234,567": 1234567.4, "1e-06": 1e-6, "2.5": 2.5} {
		if got := number(f); got != want {
			t.Errorf("%v is written %s, want %s", f, got, want)
		}
	}
	for want, got := range map[string]string{"1 proxy": plural(1, "proxy"), "2 proxies": plural(2, "proxy"), "1,000 nodes": plural(1000, "node"), "0 IPs": plural(0, "IP")} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestTextShowsResultArithmeticMarginsAndCost(t *testing.T) {
	text := compute(t, base(func(in *Input) {
		in.Reserve = 1
		in.Destinations = append(in.Destinations, Destination{Name: "hot", Via: ViaProxy, ConnectionsPerSecond: 500, SecondsPerConnection: 2, RequestsPerConnection: 1, Addresses: 1})
	})).Text()
	for _, want := range []string{"NAT (cloudnat)  512 ports per VM, 1 public IP; cdn decides", "proxies         6, 2 per zone, 6 public IPs; hot decides",
		"reserve         2 public IPs", "load of cdn", "[Little's law]", "hot          proxy  31,000", "everything through the NAT"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}
