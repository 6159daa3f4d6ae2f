package capacity

import (
	"math"
	"math/rand/v2"
	"sync"
	"testing"
)

// anyCluster draws a cluster of 1 to 100,000 VMs with a demand that one VM can carry, evenly over the orders of magnitude.
func anyCluster(random *rand.Rand) Input {
	logUniform := func(low, high float64) float64 {
		return math.Exp(math.Log(low) + random.Float64()*(math.Log(high)-math.Log(low)))
	}
	vms := int(math.Round(logUniform(1, 100000)))
	surge := random.IntN(vms/10 + 1)
	in := base(func(in *Input) {
		in.MaxNodes, in.SurgeNodes = vms-surge, surge
		if in.MaxNodes == 0 {
			in.MaxNodes, in.SurgeNodes = 1, 0
		}
		in.Nodes = 1 + random.IntN(in.MaxNodes)
		in.Skew = 1 + 3*random.Float64()
		in.AliasRanges = random.IntN(2) == 0
		in.TimeWait = float64(1 + random.IntN(240))
		in.Blocking = math.Pow(10, -2-7*random.Float64())
	})
	in.Destinations = nil
	for i := range 1 + random.IntN(4) {
		d := Destination{Name: string(rune('a' + i)), Via: ViaNat, RequestsPerConnection: 1, Addresses: 1 + random.IntN(8)}
		d.SecondsPerConnection = logUniform(0.01, 600)
		perNode := logUniform(0.01, 30000) // ports in use on the busiest node
		d.ConnectionsPerSecond = perNode * float64(d.Addresses) / (d.SecondsPerConnection + in.TimeWait) / in.Skew * float64(in.Nodes)
		in.Destinations = append(in.Destinations, d)
	}
	for i := range random.IntN(3) {
		in.Rules = append(in.Rules, NatRule{Name: string(rune('p' + i))})
	}
	return in
}

// heaviest is the largest number of ports that one destination occupies on the busiest node, computed apart from the plan.
func heaviest(in Input) float64 {
	worst := 0.0
	for _, d := range in.Destinations {
		perSecond := d.ConnectionsPerSecond / float64(in.Nodes) * math.Min(in.Skew, float64(in.Nodes))
		worst = math.Max(worst, perSecond*(d.SecondsPerConnection+in.TimeWait)/float64(d.Addresses))
	}
	return worst
}

func floorOf(in Input) int { return LegalPorts(in.AliasRanges)[0] }

// drawn are clusters with their plans, computed once for all properties; a cluster beyond what a network holds has an error.
var drawn = sync.OnceValue(func() (all []struct {
	in   Input
	plan Plan
	err  error
}) {
	random := rand.New(rand.NewPCG(5, 64512))
	all = make([]struct {
		in   Input
		plan Plan
		err  error
	}, 1200)
	for i := range all {
		all[i].in = anyCluster(random)
		all[i].plan, all[i].err = Compute(all[i].in)
	}
	return all
})

// plans checks the plans of the first count clusters.
func plans(t *testing.T, count int, check func(in Input, plan Plan)) {
	t.Helper()
	refused := 0
	for _, c := range drawn()[:count] {
		if c.err == nil {
			check(c.in, c.plan)
			continue
		}
		refused++
		in := c.in
		sets := 1 + len(in.Rules)
		if vms := in.MaxNodes + in.SurgeNodes; vms*ErlangBPorts(heaviest(in), in.Blocking)*sets < MaxCloudNats*MaxIPsPerCloudNat*PortsPerNatIP/4 {
			t.Errorf("%+v: %v", in, c.err)
		}
	}
	if refused > count/10 {
		t.Errorf("%d of %d clusters were refused: the properties say little", refused, count)
	}
}

func TestAPlanNeverHasFewerPortsThanDemanded(t *testing.T) {
	plans(t, 1200, func(in Input, plan Plan) {
		if blocking := ErlangB(plan.Nat.PortsPerVM, heaviest(in)); blocking > in.Blocking*(1+1e-9) {
			t.Errorf("%+v: %d ports block %g", in, plan.Nat.PortsPerVM, blocking)
		}
		vms := 0
		for i, g := range plan.Gateways {
			vms += g.VMs
			if g.IPs*PortsPerNatIP < g.VMs*plan.Nat.PortsPerVM {
				t.Errorf("%+v: gateway %d: %d IPs for %d VMs of %d ports", in, i, g.IPs, g.VMs, plan.Nat.PortsPerVM)
			}
			for _, ips := range g.RuleIPsEach {
				if ips < g.IPs {
					t.Errorf("%+v: a rule has %d IPs on a gateway of %d", in, ips, g.IPs)
				}
			}
		}
		if vms < in.MaxNodes+in.SurgeNodes {
			t.Errorf("%+v: gateways for %d VMs", in, vms)
		}
	})
}

func TestAPlanNeverHasMoreIPsThanOneStepAboveNeed(t *testing.T) {
	plans(t, 1200, func(in Input, plan Plan) {
		vms, exact := in.MaxNodes+in.SurgeNodes, ErlangBPorts(heaviest(in), in.Blocking)
		// A step doubles the ports of a VM; below the smallest block there is none. Each gateway rounds up once.
		step := max(2*exact, floorOf(in))
		if most := ceilDiv(vms*step, PortsPerNatIP) + len(plan.Gateways) - 1; plan.Nat.IPs > most {
			t.Errorf("%+v: %d IPs, and %d are one step above the %d ports needed", in, plan.Nat.IPs, most, exact)
		}
		if least := ceilDiv(vms*exact, PortsPerNatIP); plan.Nat.IPs < least {
			t.Errorf("%+v: %d IPs are below the need of %d", in, plan.Nat.IPs, least)
		}
		if ports := plan.Nat.PortsPerVM; ports > floorOf(in) && ErlangB(ports/2, heaviest(in)) <= in.Blocking*(1-1e-9) {
			t.Errorf("%+v: %d ports, and half would do", in, ports)
		}
	})
}

func TestAPlanKeepsTheLimitsOfEveryGateway(t *testing.T) {
	several := 0
	plans(t, 1200, func(in Input, plan Plan) {
		ips, ruleIPs := 0, 0
		for _, g := range plan.Gateways {
			if g.IPs+g.RuleIPs > MaxIPsPerCloudNat {
				t.Errorf("%+v: gateway %s has %d + %d IPs", in, g.Name, g.IPs, g.RuleIPs)
			}
			ips, ruleIPs = ips+g.IPs, ruleIPs+g.RuleIPs
		}
		if ips != plan.Nat.IPs || ruleIPs != plan.Nat.RuleIPs {
			t.Errorf("%+v: the gateways have %d + %d IPs and the plan %+v", in, ips, ruleIPs, plan.Nat)
		}
		if len(plan.Gateways) > MaxCloudNats || len(plan.Gateways) == 0 {
			t.Errorf("%+v: %d gateways", in, len(plan.Gateways))
		}
		if len(plan.Gateways) > 1 {
			several++
			// One gateway less would not hold the cluster.
			if most := vmsPerGateway(plan.Nat.PortsPerVM, 1+len(in.Rules)); (len(plan.Gateways)-1)*most >= in.MaxNodes+in.SurgeNodes {
				t.Errorf("%+v: %d gateways, and one less would do", in, len(plan.Gateways))
			}
		}
		if p := plan.Nat.PortsPerVM; p&(p-1) != 0 || p < floorOf(in) || p > MaxPortsPerVM {
			t.Errorf("%+v: %d ports are not legal", in, p)
		}
	})
	if several < 60 {
		t.Errorf("only %d clusters needed several gateways", several)
	}
}

func TestAPlanIsMonotoneInDemand(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	plans(t, 500, func(in Input, plan Plan) {
		more := in
		more.Destinations = append([]Destination(nil), in.Destinations...)
		grown := &more.Destinations[random.IntN(len(more.Destinations))]
		switch factor := 1 + random.Float64(); random.IntN(4) {
		case 0:
			grown.ConnectionsPerSecond *= factor
		case 1:
			grown.SecondsPerConnection *= factor
		case 2:
			more.TimeWait *= factor
		case 3:
			more.Destinations = append(more.Destinations, Destination{Name: "new", Via: ViaNat, ConnectionsPerSecond: grown.ConnectionsPerSecond * factor,
				SecondsPerConnection: 1, RequestsPerConnection: 1, Addresses: 1})
		}
		larger, err := Compute(more)
		if err != nil {
			return // beyond what a VM or a network holds, which is monotone too
		}
		if larger.Nat.PortsPerVM < plan.Nat.PortsPerVM || larger.Nat.IPs < plan.Nat.IPs || len(larger.Gateways) < len(plan.Gateways) {
			t.Errorf("%+v\nwith %+v; more demand:\n%+v", in, plan.Nat, larger.Nat)
		}
	})
}

func TestAPlanIsMonotoneInVMs(t *testing.T) {
	plans(t, 300, func(in Input, plan Plan) {
		for _, added := range []int{1, 7, in.MaxNodes} {
			more := in
			more.MaxNodes += added
			larger, err := Compute(more)
			if err != nil {
				continue
			}
			// Each gateway rounds up once, so a share that divides better may save that much.
			if larger.Nat.PortsPerVM != plan.Nat.PortsPerVM || larger.Nat.IPs+len(plan.Gateways)-1 < plan.Nat.IPs || len(larger.Gateways) < len(plan.Gateways) {
				t.Errorf("%+v\nwith %+v; %d VMs more:\n%+v", in, plan.Nat, added, larger.Nat)
			}
		}
	})
}

func TestEveryNumberOfVMsUpToAHundredThousandHasAPlan(t *testing.T) {
	in, previous := base(func(in *Input) { in.Destinations[0].ConnectionsPerSecond, in.AliasRanges, in.Nodes = 1, true, 1 }), 0
	for vms := 1; vms <= 100000; vms += 1 + vms/50 {
		in.MaxNodes = vms
		plan := compute(t, in)
		if got, least := plan.Nat.IPs, ceilDiv(vms*1024, PortsPerNatIP); got < least || got > least+len(plan.Gateways)-1 || got < previous {
			t.Fatalf("%d VMs: %d IPs, need %d, before %d", vms, got, least, previous)
		}
		previous = plan.Nat.IPs
	}
}
