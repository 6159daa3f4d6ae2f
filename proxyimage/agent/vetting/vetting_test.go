package vetting

import (
	"net/netip"
	"testing"
)

func TestAddressIsRefusedForItsClass(t *testing.T) {
	policy := NewPolicy(
		[]netip.Prefix{netip.MustParsePrefix("198.51.100.64/26"), netip.MustParsePrefix("2001:db8::/32")},
		[]netip.Addr{netip.MustParseAddr("198.51.100.129"), netip.MustParseAddr("::ffff:198.51.100.130")},
	)
	tests := map[string]Reason{
		"8.8.8.8": Allowed, "203.0.113.10": Allowed, "192.0.2.1": Allowed, "198.51.100.1": Allowed,
		"198.51.100.63": Allowed, "198.51.100.64": Listed, "198.51.100.127": Listed, "198.51.100.128": Allowed,
		"198.51.100.129": Fleet, "198.51.100.130": Fleet, "::ffff:198.51.100.129": Fleet,
		"0.0.0.0": Unspecified, "0.255.255.255": Unspecified, "1.0.0.0": Allowed,
		"9.255.255.255": Allowed, "10.0.0.0": Private, "10.255.255.255": Private, "11.0.0.0": Allowed,
		"100.63.255.255": Allowed, "100.64.0.0": Shared, "100.127.255.255": Shared, "100.128.0.0": Allowed,
		"126.255.255.255": Allowed, "127.0.0.1": Loopback, "127.255.255.255": Loopback, "128.0.0.0": Allowed,
		"169.253.255.255": Allowed, "169.254.0.0": LinkLocal, "169.254.169.253": LinkLocal, "169.254.169.254": Metadata,
		"169.254.170.2": Metadata, "169.254.255.255": LinkLocal, "169.255.0.0": Allowed,
		"172.15.255.255": Allowed, "172.16.0.0": Private, "172.31.255.255": Private, "172.32.0.0": Allowed,
		"192.0.0.1": ProtocolBlock, "192.88.99.1": ProtocolBlock,
		"192.167.255.255": Allowed, "192.168.0.0": Private, "192.168.255.255": Private, "192.169.0.0": Allowed,
		"198.17.255.255": Allowed, "198.18.0.0": Benchmark, "198.19.255.255": Benchmark, "198.20.0.0": Allowed,
		"223.255.255.255": Allowed, "224.0.0.1": Multicast, "239.255.255.255": Multicast, "240.0.0.1": Reserved, "255.255.255.255": Reserved,
		"::": NotIPv4, "::1": NotIPv4, "2001:db8::1": NotIPv4, "2606:4700::1": NotIPv4, "fe80::1%eth0": NotIPv4, "64:ff9b::a00:1": NotIPv4,
		"fd00:ec2::254": Metadata, "fd00:ec2::254%eth0": Metadata,
		"::ffff:10.0.0.1": Private, "::ffff:169.254.169.254": Metadata, "::ffff:127.0.0.1": Loopback, "::ffff:203.0.113.10": Allowed,
	}
	for text, want := range tests {
		d := policy.Address(netip.MustParseAddr(text))
		if d.Reason != want || d.Allowed() != (want == Allowed) {
			t.Errorf("%s: %s, want %s", text, d.Reason, want)
		}
		if d.Allowed() && !d.Address.Is4() {
			t.Errorf("%s: allowed as %s, which is not IPv4", text, d.Address)
		}
	}
	if d := policy.Address(netip.Addr{}); d.Reason != Invalid {
		t.Errorf("no address: %s, want %s", d.Reason, Invalid)
	}
}

func TestZeroPolicyRefusesTheClasses(t *testing.T) {
	var policy Policy
	if d := policy.Address(netip.MustParseAddr("169.254.169.254")); d.Allowed() {
		t.Error("the zero policy lets the metadata address through")
	}
}

func TestAddressesAreSortedAndEachOnce(t *testing.T) {
	var policy Policy
	var all []netip.Addr
	for _, text := range []string{"203.0.113.9", "10.0.0.1", "203.0.113.1", "::ffff:203.0.113.9", "203.0.113.9"} {
		all = append(all, netip.MustParseAddr(text))
	}
	allowed, refused := policy.Addresses(all)
	if len(allowed) != 2 || allowed[0].String() != "203.0.113.1" || allowed[1].String() != "203.0.113.9" {
		t.Errorf("allowed %v", allowed)
	}
	if len(refused) != 1 || refused[0].Reason != Private {
		t.Errorf("refused %v", refused)
	}
}

func TestRefusedNetworksOfThePolicy(t *testing.T) {
	policy := NewPolicy([]netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}, []netip.Addr{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("::ffff:198.51.100.1")})
	var got []string
	for _, network := range policy.Refused() {
		got = append(got, network.String())
	}
	if len(got) != 2 || got[0] != "198.51.100.1/32" || got[1] != "203.0.113.0/24" {
		t.Errorf("got %v", got)
	}
}
