package nat

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

func addresses(n int) []netip.Addr {
	var list []netip.Addr
	for i := range n {
		list = append(list, netip.AddrFrom4([4]byte{198, 51, 100, byte(i + 1)}))
	}
	return list
}

func names(n int) []string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf("node-%03d", i))
	}
	return list
}

// checkBlocks verifies what every result promises.
func checkBlocks(t *testing.T, blocks []Block, vms []string, list []netip.Addr, ports int) {
	t.Helper()
	total := map[string]int{}
	type port struct {
		address netip.Addr
		number  int
	}
	used := map[port]string{}
	for _, b := range blocks {
		if b.FirstPort < FirstPort || b.LastPort > LastPort || b.Ports() < 1 {
			t.Fatalf("block out of range: %+v", b)
		}
		total[b.VM] += b.Ports()
		known := false
		for _, a := range list {
			known = known || a == b.Address
		}
		if !known {
			t.Fatalf("address %s was not given", b.Address)
		}
		for p := b.FirstPort; p <= b.LastPort; p++ {
			key := port{b.Address, p}
			if other, taken := used[key]; taken {
				t.Fatalf("port %d of %s belongs to %s and %s", p, b.Address, other, b.VM)
			}
			used[key] = b.VM
		}
	}
	if len(total) != len(vms) {
		t.Fatalf("%d VMs got ports, want %d", len(total), len(vms))
	}
	for _, vm := range vms {
		if total[vm] != ports {
			t.Fatalf("%s got %d ports, want %d", vm, total[vm], ports)
		}
	}
}

func TestBlocksFillAddressesInTurn(t *testing.T) {
	blocks, err := Blocks(names(4), addresses(2), 64, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []Block{
		{"node-000", addresses(2)[0], 1024, 1087}, {"node-001", addresses(2)[1], 1024, 1087},
		{"node-002", addresses(2)[0], 1088, 1151}, {"node-003", addresses(2)[1], 1088, 1151},
	}
	if !reflect.DeepEqual(blocks, want) {
		t.Errorf("got\n%s", Describe(blocks))
	}
}

func TestBlocksAtTheLimits(t *testing.T) {
	tests := map[string]struct {
		vms, addresses, ports int
		problem               string // part of the message; empty: it fits
	}{
		"no VM needs nothing":             {0, 1, 64, ""},
		"one port":                        {1, 1, 1, ""},
		"an address exactly full":         {1008, 1, 64, ""},
		"one VM too many":                 {1009, 1, 64, "1009 VMs x 64 ports = 64576 must fit into 1 addresses x 64512 ports = 64512; give at least 2"},
		"the design's example":            {100, 13, 8192, ""},
		"the design's example, one short": {100, 12, 8192, "give at least 13 addresses"},
		"the largest block spans two":     {1, 2, 65536, ""},
		"half an address each, three VMs": {3, 2, 32768, ""},
		"no ports":                        {1, 1, 0, "must be 1 to 65536, got 0"},
		"too many ports":                  {1, 9, 65537, "must be 1 to 65536, got 65537"},
		"no address":                      {1, 0, 64, "0 addresses"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			blocks, err := Blocks(names(tt.vms), addresses(tt.addresses), tt.ports, nil)
			if tt.problem != "" {
				if err == nil || !strings.Contains(err.Error(), tt.problem) {
					t.Fatalf("got %v, want %q", err, tt.problem)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			checkBlocks(t, blocks, names(tt.vms), addresses(tt.addresses), tt.ports)
		})
	}
	if _, err := Blocks([]string{"a", "a"}, addresses(1), 64, nil); err == nil {
		t.Error("a VM twice was accepted")
	}
	if _, err := Blocks(names(1), []netip.Addr{addresses(1)[0], addresses(1)[0]}, 64, nil); err == nil {
		t.Error("an address twice was accepted")
	}
}

func TestBlocksSpanAddressesOnlyIfTheyMust(t *testing.T) {
	blocks, err := Blocks(names(3), addresses(2), 32768, nil)
	if err != nil {
		t.Fatal(err)
	}
	pieces := map[string]int{}
	for _, b := range blocks {
		pieces[b.VM]++
	}
	if pieces["node-000"] != 1 || pieces["node-001"] != 1 || pieces["node-002"] != 2 {
		t.Errorf("got\n%s", Describe(blocks))
	}
}

func TestAVMKeepsItsBlock(t *testing.T) {
	before, err := Blocks(names(10), addresses(2), 1024, nil)
	if err != nil {
		t.Fatal(err)
	}
	vms := append([]string{"a-new-one"}, names(10)[3:]...) // first in the list, and three left
	after, err := Blocks(vms, addresses(3), 1024, before)
	if err != nil {
		t.Fatal(err)
	}
	checkBlocks(t, after, vms, addresses(3), 1024)
	if !reflect.DeepEqual(after[1:], before[3:]) {
		t.Errorf("blocks moved:\n%s\n%s", Describe(before), Describe(after))
	}
	gone := addresses(3)[1:] // the first address is taken away: only its VMs move
	moved, err := Blocks(vms, gone, 1024, after)
	if err != nil {
		t.Fatal(err)
	}
	checkBlocks(t, moved, vms, gone, 1024)
	for i, b := range after {
		if b.Address != addresses(1)[0] && moved[i] != b {
			t.Errorf("%s moved from %+v to %+v", b.VM, b, moved[i])
		}
	}
}

func TestIllegalPreviousBlocksAreReplaced(t *testing.T) {
	a := addresses(1)[0]
	tests := map[string][]Block{
		"another size":        {{"node-000", a, 1024, 1151}},
		"overlap of two VMs":  {{"node-000", a, 1024, 1087}, {"node-001", a, 1087, 1150}},
		"overlap with itself": {{"node-000", a, 1024, 1055}, {"node-000", a, 1024, 1055}},
		"below 1024":          {{"node-000", a, 960, 1023}},
		"above 65535":         {{"node-000", a, 65500, 65563}},
		"backwards":           {{"node-000", a, 1087, 1024}},
		"a foreign address":   {{"node-000", netip.MustParseAddr("192.0.2.1"), 1024, 1087}},
	}
	for name, previous := range tests {
		t.Run(name, func(t *testing.T) {
			blocks, err := Blocks(names(2), addresses(1), 64, previous)
			if err != nil {
				t.Fatal(err)
			}
			checkBlocks(t, blocks, names(2), addresses(1), 64)
		})
	}
}

func FuzzBlocks(f *testing.F) {
	f.Add(uint64(1), uint8(5), uint8(2), uint16(1024))
	f.Add(uint64(2), uint8(3), uint8(2), uint16(32768))
	f.Fuzz(func(t *testing.T, seed uint64, nVMs, nAddresses uint8, ports uint16) {
		random := rand.New(rand.NewPCG(seed, 0))
		vms, list := names(int(nVMs%12)), addresses(int(nAddresses%5))
		var previous []Block
		for range 4 {
			need, have := len(vms)*int(ports), len(list)*PortsPerAddress
			blocks, err := Blocks(vms, list, int(ports), previous)
			if ports == 0 || need > have {
				if err == nil {
					t.Fatalf("%d ports in %d were accepted", need, have)
				}
				return
			}
			if err != nil {
				t.Fatalf("%d ports in %d: %v", need, have, err)
			}
			checkBlocks(t, blocks, vms, list, int(ports))
			again, err := Blocks(vms, list, int(ports), blocks)
			if err != nil || !reflect.DeepEqual(again, blocks) {
				t.Fatalf("not stable (%v):\n%s\n%s", err, Describe(blocks), Describe(again))
			}
			previous = blocks
			if len(vms) > 0 && random.IntN(2) == 0 { // a VM leaves or another size comes
				vms = vms[random.IntN(len(vms)):]
			} else {
				ports = uint16(random.IntN(40000))
			}
		}
	})
}

func TestSharesAreInProportion(t *testing.T) {
	blocks, err := Blocks(names(1), addresses(2), 65536, nil)
	if err != nil {
		t.Fatal(err)
	}
	set, err := CloudNat([]VM{{Name: "node-000", CIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.1.10/32")}}}, blocks)
	if err != nil {
		t.Fatal(err)
	}
	slots := map[netip.Addr]int{}
	next := 0
	for _, e := range set.entries {
		if e.firstSlot != next {
			t.Fatalf("slot %d follows %d", e.firstSlot, next-1)
		}
		next = e.lastSlot + 1
		slots[e.target.Address] += e.lastSlot - e.firstSlot + 1
	}
	if next != splitSlots || slots[addresses(2)[0]] != 63 || slots[addresses(2)[1]] != 1 {
		t.Errorf("64,512 + 1,024 ports should get 63 + 1 slots, got %v up to slot %d", slots, next)
	}
	many := share([]Block{{"v", addresses(1)[0], 1024, 65535}, {"v", addresses(2)[1], 1024, 1024}, {"v", addresses(3)[2], 1024, 1024}}, splitSlots)
	if len(many) < 3 {
		t.Errorf("a small block got no slot: %+v", many)
	}
}

func TestRulesetsAreChecked(t *testing.T) {
	cidr := func(s string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(s)} }
	a := addresses(1)[0]
	tests := map[string]struct {
		vms    []VM
		blocks []Block
	}{
		"a VM without block":   {[]VM{{"v", cidr("10.0.0.1/32")}}, nil},
		"overlapping sources":  {[]VM{{"v", cidr("10.0.0.0/24")}, {"w", cidr("10.0.0.1/32")}}, []Block{{"v", a, 1024, 1087}, {"w", a, 1088, 1151}}},
		"IPv6":                 {[]VM{{"v", cidr("2001:db8::/64")}}, []Block{{"v", a, 1024, 1087}}},
		"a port below 1024":    {[]VM{{"v", cidr("10.0.0.1/32")}}, []Block{{"v", a, 1000, 1087}}},
		"an IPv6 public block": {[]VM{{"v", cidr("10.0.0.1/32")}}, []Block{{"v", netip.MustParseAddr("2001:db8::1"), 1024, 1087}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := CloudNat(tt.vms, tt.blocks); err == nil {
				t.Error("accepted")
			}
		})
	}
	for _, ports := range []int{-1, PortsPerAddress + 1} {
		if _, err := NatGateway(addresses(1), ports); err == nil {
			t.Errorf("%d ports per address were accepted", ports)
		}
	}
	if _, err := NatGateway(nil, 0); err == nil {
		t.Error("a gateway without address was accepted")
	}
	set, err := NatGateway(addresses(1), 0)
	if err != nil || set.entries[0].target.LastPort != 56023 {
		t.Errorf("55,000 ports should end at 56023, got %+v, %v", set.entries, err)
	}
}
