package clouds

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/golden"
	"github.com/sallyport/sallyport/test/standin/world"
)

// life is the stack of a Cloud NAT.
type life struct {
	*cloudStack
	cuts int // that somebody acknowledged
}

// newLife makes stack gcp-dev with NAT only and protected IPs, whose nodes ask for many ports.
func newLife(t *testing.T) *life {
	t.Helper()
	l := &life{}
	l.cloudStack = newStack(t, "gcp-dev", func(config map[string]any) {
		config["sallyport:allowlist"] = map[string]any{"protect": true}
		config["sallyport:destinations"] = []any{map[string]any{"name": "registry", "hosts": []any{"registry.example.com"},
			"partner": "registry", "demand": map[string]any{"connectionsPerSecond": 10}}}
	})
	l.nodes(60)
	l.nat("portsPerVM", 2048)
	l.day(1)
	return l
}

func (l *life) nodes(most int) {
	l.config["sallyport:cluster"] = map[string]any{"zones": []any{"europe-west1-b"}, "nodes": 20, "maxNodes": most, "surgeNodes": 3, "aliasRanges": true}
}

// nat sets a key of sallyport:nat; nil removes it.
func (l *life) nat(key string, value any) {
	section, _ := l.config["sallyport:nat"].(map[string]any)
	if section == nil {
		section = map[string]any{}
		l.config["sallyport:nat"] = section
	}
	if section[key] = value; value == nil {
		delete(section, key)
	}
}

// gcpNat sets sallyport:gcp.nat.
func (l *life) gcpNat(section map[string]any) {
	l.own(l.config)["nat"] = section
}

// day sets the clock to a day of January 2026.
func (l *life) day(day int) {
	l.Env = []string{fmt.Sprintf("SALLYPORT_NOW=2026-01-%02dT00:00:00Z", day)}
}

func (l *life) configure() {
	l.t.Helper()
	if err := l.Configure(render(l.t, l.config)); err != nil {
		l.t.Fatal(err)
	}
}

// up applies the stack file and checks that a further up changes nothing.
func (l *life) up() []string {
	l.t.Helper()
	l.configure()
	first := l.Pulumi("up")
	if first.Err != nil {
		l.t.Fatalf("%v\n%s", first.Err, first.Output)
	}
	if second := l.Pulumi("up"); second.Err != nil || len(second.Touched) > 0 {
		l.t.Errorf("a second up is not clean: %v %v", second.Touched, second.Err)
	}
	return first.Touched
}

// refused applies the stack file, which must fail without touching anything.
func (l *life) refused(want string) {
	l.t.Helper()
	l.configure()
	r := l.Pulumi("up")
	if r.Err == nil || !strings.Contains(strings.Join(strings.Fields(r.Output), " "), want) {
		l.t.Errorf("was not refused with %q: %v\n%s", want, r.Err, r.Output)
	}
	if len(r.Touched) > 0 {
		l.t.Errorf("a refused up touched %v", r.Touched)
	}
}

// gateway reads the NAT, and checks that no connection was cut unseen and no public IP released so far.
func (l *life) gateway() (ips, draining int, addresses []string) {
	l.t.Helper()
	if err := l.World.Look(func(s *world.State) {
		if len(s.Cut) != l.cuts || len(s.Released) > 0 {
			l.t.Errorf("cut: %v, released: %v", s.Cut, s.Released)
		}
		for _, nat := range s.All(routerNat) {
			active, _ := nat.Props["natIps"].([]any)
			drains, _ := nat.Props["drainNatIps"].([]any)
			ips, draining = len(active), len(drains)
		}
		for _, a := range s.All(gcpAddress) {
			addresses = append(addresses, a.String("name"))
		}
	}); err != nil {
		l.t.Fatal(err)
	}
	return ips, draining, addresses
}

func (l *life) expect(what string, ips, draining, addresses int) {
	l.t.Helper()
	gotIPs, gotDraining, gotAddresses := l.gateway()
	if gotIPs != ips || gotDraining != draining || len(gotAddresses) != addresses {
		l.t.Errorf("%s: %d IPs, %d draining, addresses %v; want %d, %d and %d", what, gotIPs, gotDraining, gotAddresses, ips, draining, addresses)
	}
}

// TestTheLifeOfACloudNat: what would cut connections is refused or done in two steps.
func TestTheLifeOfACloudNat(t *testing.T) {
	t.Parallel()
	l := newLife(t)
	var record strings.Builder
	step := func(name string, touched []string) {
		fmt.Fprintf(&record, "%s\n  %s\n", name, strings.Join(touched, "\n  "))
	}
	step("the first update", l.up())
	l.expect("63 VMs of 2,048 ports", 2, 0, 2)

	l.nodes(120)
	step("more nodes", l.up())
	l.expect("123 VMs", 4, 0, 4)

	l.nat("portsPerVM", nil)
	l.refused("must not lower the ports per VM from 2048 without acknowledgement")
	l.nat("portsPerVM", 2048)
	l.gcpNat(map[string]any{"dynamicPorts": map[string]any{"min": 1024, "max": 2048}})
	l.nat("portsPerVM", nil)
	l.refused("must not switch dynamic port allocation on without acknowledgement")
	l.expect("after refusals", 4, 0, 4)

	l.gcpNat(map[string]any{"dynamicPorts": map[string]any{"min": 1024, "max": 2048}, "acknowledge": []any{"dynamic-ports"}})
	l.day(2)
	l.cuts = 2 // other ports, and another way to hand them out
	step("dynamic allocation, acknowledged: half of the IPs drain, because the plan counts with fewer ports", l.up())
	l.expect("dynamic", 2, 2, 4)

	l.day(4)
	l.config["sallyport:allowlist"] = map[string]any{"protect": true, "drain": "1d"}
	l.gcpNat(map[string]any{"dynamicPorts": map[string]any{"min": 1024, "max": 2048}})
	step("drained for longer than asked for: they leave the gateway and stay allocated", l.up())
	l.expect("drained", 2, 0, 4)

	l.nodes(20)
	l.config["sallyport:allowlist"] = map[string]any{"protect": true, "drain": "1h"}
	step("fewer nodes: the next one drains", l.up())
	l.expect("shrunk", 1, 1, 4)

	l.Env = []string{"SALLYPORT_NOW=2026-01-04T01:30:00Z"}
	l.gcpNat(map[string]any{"dynamicPorts": map[string]any{"min": 1024, "max": 2048}, "establishedIdleSeconds": 7200})
	l.refused("nat-2: must drain until 2026-01-04T02:00:00Z before it leaves")
	l.expect("too early", 1, 1, 4)

	l.nodes(120)
	step("nodes come back: so does the IP that drains", l.up())
	if ips, draining, addresses := l.gateway(); ips != 2 || draining != 0 || len(addresses) > 5 {
		t.Errorf("back: %d IPs, %d draining, %v", ips, draining, addresses)
	}
	if r := l.Pulumi("destroy"); r.Err == nil {
		t.Error("protected IPs were destroyed")
	}
	l.gateway()
	golden.Check(t, "gcp-dev/life.golden", record.String())
}
