package nat_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/sallyport/sallyport/lab/labid"
	"github.com/sallyport/sallyport/lab/labtest"
	"github.com/sallyport/sallyport/lab/namespace"
	"github.com/sallyport/sallyport/lab/nat"
)

const (
	noRetry = 700 * time.Millisecond // a SYN is not sent twice
	partner = "203.0.113.10:443"
)

// site is a lab with a NAT gateway, two VMs, and a partner with two addresses and ports.
type site struct {
	gateway, vm1, vm2 string
	vms               []nat.VM
	sink              *labtest.Sink
}

func newSite(t *testing.T, publicIPs ...string) *site {
	lab := labtest.New(t)
	s := &site{
		gateway: lab.Host(t, "nat-a", append([]string{"10.0.0.10"}, publicIPs...)...),
		// VM 1 has a node address and two pods; that the pods have no namespace of their own makes no difference to the NAT.
		vm1: lab.Host(t, "node-1", "10.0.1.10", "10.244.1.2", "10.244.1.3"),
		vm2: lab.Host(t, "node-2", "10.0.1.11"),
		vms: []nat.VM{
			{Name: "node-1", CIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.1.10/32"), netip.MustParsePrefix("10.244.1.0/24")}},
			{Name: "node-2", CIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.1.11/32")}},
		},
	}
	labtest.Via(t, s.vm1, "0.0.0.0/0", "10.0.0.10")
	labtest.Via(t, s.vm2, "0.0.0.0/0", "10.0.0.10")
	labtest.Via(t, s.gateway, "10.244.1.0/24", "10.0.1.10")
	host := lab.Host(t, "partner-p", "203.0.113.10", "203.0.113.11")
	s.sink = labtest.Serve(t, host, partner)
	labtest.Serve(t, host, "203.0.113.10:444")
	labtest.Serve(t, host, "203.0.113.11:443")
	return s
}

func (s *site) cloudNat(t *testing.T, ports int, addresses ...string) nat.Ruleset {
	t.Helper()
	var list []netip.Addr
	for _, a := range addresses {
		list = append(list, netip.MustParseAddr(a))
	}
	blocks, err := nat.Blocks([]string{"node-1", "node-2"}, list, ports, nil)
	labtest.Must(t, err)
	rules, err := nat.CloudNat(s.vms, blocks)
	labtest.Must(t, err)
	return rules
}

func (s *site) apply(t *testing.T, rules nat.Ruleset) {
	t.Helper()
	labtest.Must(t, nat.Apply(s.gateway, rules), nat.Prepare(s.gateway, 120*time.Second), nat.Verify(s.gateway, rules))
}

func expect(t *testing.T, what string, got, want int) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %d, want %d", what, got, want)
	}
}

func TestCloudNatGivesEachVMItsPortsPerDestination(t *testing.T) {
	s := newSite(t, "198.51.100.1")
	s.apply(t, s.cloudNat(t, 64, "198.51.100.1"))

	first, refused, unanswered := labtest.Connect(t, s.vm1, "10.244.1.2", partner, 94, noRetry)
	expect(t, "a pod's connections to one destination", first.Len(), 64)
	expect(t, "refused", refused, 0)
	expect(t, "dropped", unanswered, 30)

	secondPod, _, _ := labtest.Connect(t, s.vm1, "10.244.1.3", partner, 5, noRetry)
	expect(t, "another pod behind the exhausted VM", secondPod.Len(), 0)
	for _, target := range []string{"203.0.113.10:444", "203.0.113.11:443"} {
		other, _, _ := labtest.Connect(t, s.vm1, "", target, 94, noRetry)
		expect(t, "another destination: "+target, other.Len(), 64)
	}
	neighbour, _, _ := labtest.Connect(t, s.vm2, "", partner, 64, noRetry)
	expect(t, "another VM", neighbour.Len(), 64)
	if sources := s.sink.WaitFor(128); sources["198.51.100.1"] != 128 || len(sources) != 1 {
		t.Errorf("the partner saw %v", sources)
	}
	counters, err := nat.Read(s.gateway)
	labtest.Must(t, err)
	if counters.NoPort < 35 || counters.Translated < 35+64*4 || counters.Tracked < 64*4 {
		t.Errorf("counters: %+v", counters)
	}
}

func TestALiveChangeOfBlocksCutsNothing(t *testing.T) {
	s := newSite(t, "198.51.100.1", "198.51.100.2")
	s.apply(t, s.cloudNat(t, 64, "198.51.100.1"))
	held, _, _ := labtest.Connect(t, s.vm1, "", partner, 64, noRetry)
	neighbour, _, _ := labtest.Connect(t, s.vm2, "", partner, 64, noRetry)
	s.apply(t, s.cloudNat(t, 128, "198.51.100.1", "198.51.100.2"))
	more, _, _ := labtest.Connect(t, s.vm2, "", partner, 140, noRetry)
	expect(t, "new connections in a block of 128 on another address", more.Len(), 128)
	expect(t, "VM 1's held connections", held.Alive(), 64)
	expect(t, "VM 2's held connections", neighbour.Alive(), 64)
	s.apply(t, s.cloudNat(t, 128, "198.51.100.1", "198.51.100.2")) // again: no change
	expect(t, "held after an unchanged apply", held.Alive()+neighbour.Alive()+more.Alive(), 64+64+128)
}

func TestABlockMaySpanAddresses(t *testing.T) {
	s := newSite(t, "198.51.100.1", "198.51.100.2")
	a, b := netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("198.51.100.2")
	rules, err := nat.CloudNat(s.vms, []nat.Block{
		{VM: "node-1", Address: a, FirstPort: 2000, LastPort: 2031}, {VM: "node-1", Address: b, FirstPort: 3000, LastPort: 3031},
		{VM: "node-2", Address: b, FirstPort: 4000, LastPort: 4063},
	})
	labtest.Must(t, err)
	s.apply(t, rules)
	both, _, _ := labtest.Connect(t, s.vm1, "", partner, 64, noRetry)
	expect(t, "connections over two blocks of 32", both.Len(), 64)
	one, _, _ := labtest.Connect(t, s.vm2, "", partner, 80, noRetry)
	expect(t, "connections over one block", one.Len(), 64)
	if sources := s.sink.WaitFor(128); sources["198.51.100.1"] != 32 || sources["198.51.100.2"] != 96 {
		t.Errorf("the partner saw %v", sources)
	}
}

func TestNatGatewaySharesPortsPerAddress(t *testing.T) {
	s := newSite(t, "198.51.100.1", "198.51.100.2")
	list := []netip.Addr{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("198.51.100.2")}
	one, err := nat.NatGateway(list[:1], 64)
	labtest.Must(t, err)
	s.apply(t, one)
	held, _, _ := labtest.Connect(t, s.vm1, "", partner, 80, noRetry)
	expect(t, "one address", held.Len(), 64)
	other, _, _ := labtest.Connect(t, s.vm2, "", partner, 10, noRetry)
	expect(t, "another client shares the exhausted address", other.Len(), 0)

	two, err := nat.NatGateway(list, 64)
	labtest.Must(t, err)
	s.apply(t, two)
	// The first address is full already, and connections take the addresses in turn: half of the new ones get through.
	more, _, _ := labtest.Connect(t, s.vm2, "", partner, 128, noRetry)
	expect(t, "a second address", more.Len(), 64)
	expect(t, "held connections", held.Alive(), 64)
	fresh, _, _ := labtest.Connect(t, s.vm1, "", "203.0.113.11:443", 140, noRetry)
	expect(t, "two addresses, fresh destination", fresh.Len(), 128)
}

func TestOnlyWhatBelongsThroughPasses(t *testing.T) {
	s := newSite(t, "198.51.100.1")
	s.apply(t, s.cloudNat(t, 64, "198.51.100.1"))
	lab := s.gateway[:len(s.gateway)-len("-nat-a")]
	l := &labtest.Lab{ID: lab}
	stranger := l.Host(t, "node-3", "10.0.1.12") // no VM of this NAT
	labtest.Via(t, stranger, "0.0.0.0/0", "10.0.0.10")
	got, _, _ := labtest.Connect(t, stranger, "", partner, 3, noRetry)
	expect(t, "a VM without block", got.Len(), 0)
	outside := l.Host(t, "partner-q", "203.0.113.20")
	labtest.Must(t, routeInside(outside))
	labtest.Serve(t, s.vm1, "10.0.1.10:80")
	got, _, _ = labtest.Connect(t, outside, "", "10.0.1.10:80", 3, noRetry)
	expect(t, "a connection from the internet to a node", got.Len(), 0)
	counters, err := nat.Read(s.gateway)
	labtest.Must(t, err)
	if counters.NoBlock != 3 || counters.Refused != 3 {
		t.Errorf("counters: %+v", counters)
	}
}

func TestVerifyNoticesDrift(t *testing.T) {
	s := newSite(t, "198.51.100.1")
	rules := s.cloudNat(t, 64, "198.51.100.1")
	if nat.Verify(s.gateway, rules) == nil {
		t.Error("a namespace without ruleset passes")
	}
	s.apply(t, rules)
	if nat.Verify(s.gateway, s.cloudNat(t, 128, "198.51.100.1")) == nil {
		t.Error("other blocks pass")
	}
	if nat.Verify("no-such-namespace", rules) == nil {
		t.Error("a missing namespace passes")
	}
	if nat.Prepare(s.gateway, 0) == nil || nat.Apply(s.gateway, nat.Ruleset{}) == nil {
		t.Error("nonsense was accepted")
	}
}

func TestAThousandVMs(t *testing.T) {
	s := newSite(t, "198.51.100.1")
	var vms []nat.VM
	var names []string
	for i := range 1000 {
		name := netip.AddrFrom4([4]byte{10, 0, byte(4 + i/250), byte(i % 250)}).String()
		names = append(names, name)
		vms = append(vms, nat.VM{Name: name, CIDRs: []netip.Prefix{netip.MustParsePrefix(name + "/32")}})
	}
	blocks, err := nat.Blocks(names, []netip.Addr{netip.MustParseAddr("198.51.100.1")}, 64, nil)
	labtest.Must(t, err)
	rules, err := nat.CloudNat(vms, blocks)
	labtest.Must(t, err)
	start := time.Now()
	s.apply(t, rules)
	t.Logf("1,000 VMs: %s", time.Since(start))
	start = time.Now()
	blocks[500].FirstPort, blocks[500].LastPort = 65100, 65163
	changed, err := nat.CloudNat(vms, blocks)
	labtest.Must(t, err)
	s.apply(t, changed)
	t.Logf("one block changed: %s", time.Since(start))
}

// routeInside lets a host on the internet try to reach the private range through the NAT's public address.
func routeInside(name string) error {
	return namespace.EnsureRoutes(name, namespace.Route{To: netip.MustParsePrefix("10.0.0.0/16"),
		Via: netip.MustParseAddr("198.51.100.1"), Interface: labid.InternetInterface})
}
