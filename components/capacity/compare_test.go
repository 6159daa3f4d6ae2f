package capacity

import (
	"math"
	"strings"
	"testing"
)

// hot is the story that this project began with: a hundred nodes, one hot partner.
func hot(change func(*Input)) Input {
	return base(func(in *Input) {
		in.Skew, in.Zones = 1.5, []string{"a", "b", "c"}
		in.Destinations = []Destination{
			{Name: "payments", Via: ViaProxy, ConnectionsPerSecond: 3500, SecondsPerConnection: 2, RequestsPerConnection: 1, Addresses: 1},
			{Name: "news", Via: ViaNat, ConnectionsPerSecond: 5, SecondsPerConnection: 1, RequestsPerConnection: 1, Addresses: 1},
		}
		if change != nil {
			change(in)
		}
	})
}

func TestDesignsSideBySide(t *testing.T) {
	in := hot(nil)
	lines, err := Compare(in, []Design{{64, 3}, {8192, 13}})
	if err != nil || len(lines) != 3 {
		t.Fatal(lines, err)
	}
	small, large, fleet := lines[0], lines[1], lines[2]
	// 3,500/s / 100 nodes x 1.5 x (2 s + 120 s) = 6,405 on the busiest node; 427,000 over all.
	if small.IPsToList != 3 || small.Ports != 193536 || small.Held != 6400 || small.OneNode != 64 || small.Sufficient || small.Refused < 0.98 {
		t.Errorf("%+v", small)
	}
	if small.Used > 6400 || small.Idle != 193536-small.Used || !strings.Contains(small.Remark, "drops 99 % of new connections to payments") {
		t.Errorf("%+v", small)
	}
	if large.IPsToList != 13 || large.Held != 819200 || !large.Sufficient || large.Idle != 13*64512-427000 || large.Refused > in.Blocking {
		t.Errorf("%+v", large)
	}
	plan := compute(t, in)
	if fleet.IPsToList != plan.Proxies.IPs+plan.Nat.IPs || fleet.Held != plan.Proxies.IPs*64512 || !fleet.Sufficient || fleet.OneNode != fleet.Held {
		t.Errorf("%+v", fleet)
	}
	if math.Abs(fleet.MonthlyUSD-plan.Cost[0].MonthlyUSD) > 1e-9 || fleet.Used != 3500*62 {
		t.Errorf("%+v, %+v", fleet, plan.Cost[0])
	}
}

func TestADesignLeavesVMsWithoutPorts(t *testing.T) {
	lines, err := Compare(hot(nil), []Design{{8192, 3}})
	if err != nil {
		t.Fatal(err)
	}
	// 3 x 64,512 / 8,192 are 23 VMs.
	if c := lines[0]; c.Held != 23*8192 || c.Sufficient || c.Remark != "leaves 77 VMs of 100 without ports" {
		t.Errorf("%+v", c)
	}
}

func TestAStackWithNatOnlyIsComparedToo(t *testing.T) {
	lines, err := Compare(hot(func(in *Input) { in.Destinations[0].Via = ViaNat }), nil)
	if err != nil {
		t.Fatal(err)
	}
	if c := lines[0]; c.OneNode != 8192 || c.IPsToList != 13 || c.Held != 819200 || c.Design != "a NAT with 13 IPs" || c.Remark != "payments decides" {
		t.Errorf("%+v", c)
	}
	lines, err = Compare(hot(func(in *Input) {
		in.Flavor, in.TimeWait, in.MaxIPs = NatGateway, 60, 8
		in.Destinations[0].Via = ViaNat
	}), nil)
	if err != nil {
		t.Fatal(err)
	}
	if c := lines[0]; c.Ports != c.IPsToList*55000 || c.Held != c.Ports || c.OneNode != c.Ports/3 {
		t.Errorf("%+v", c)
	}
}

func TestDesignsThatCannotBeAreRefusedTogether(t *testing.T) {
	_, err := Compare(hot(nil), []Design{{100, 3}, {64, 0}, {64, 3}, {64, 301}})
	for _, want := range []string{"design 100 ports, 3 IPs: nat.portsPerVM: must be a power of two from 64 to 65,536, got 100", "design 64 ports, 0 IPs: needs at least 1 IP", "design 64 ports, 301 IPs: nat.ips: must be between 0 and 300, got 301"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
}

func TestTheComparisonReadsAsATable(t *testing.T) {
	lines, err := Compare(hot(nil), []Design{{64, 3}, {8192, 13}})
	if err != nil {
		t.Fatal(err)
	}
	text := CompareText(lines)
	rows := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(rows) != 11 || !strings.Contains(rows[0], "64 ports, 3 IPs  ") || !strings.Contains(rows[1], "IPs to allowlist") || !strings.Contains(rows[10], "64 ports, 3 IPs: drops 99 %") {
		t.Error(text)
	}
	t.Log("\n" + text)
}
