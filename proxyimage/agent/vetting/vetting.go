// Package vetting decides which addresses a proxy may connect to. It is pure: no lookups, no state.
//
// A proxy is reachable from the cluster and reaches the internet; whoever controls a partner's DNS must not be able to aim it
// at the cloud's metadata service, at machines of the network or at the fleet itself. So everything that is not a public
// unicast IPv4 address is refused, and so are the networks the caller adds.
package vetting

import (
	"net/netip"
	"slices"
)

// Reason says why an address was refused, or Allowed.
type Reason string

// The reasons.
const (
	Allowed       Reason = "allowed"
	Invalid       Reason = "invalid"        // not an address
	NotIPv4       Reason = "not-ipv4"       // the proxies' static addresses are IPv4 only
	Unspecified   Reason = "unspecified"    // 0.0.0.0/8: "this network"
	Private       Reason = "private"        // RFC 1918
	Shared        Reason = "shared"         // 100.64.0.0/10, carrier-grade NAT
	Loopback      Reason = "loopback"       // 127.0.0.0/8
	LinkLocal     Reason = "link-local"     // 169.254.0.0/16
	Metadata      Reason = "metadata"       // a cloud's metadata service
	ProtocolBlock Reason = "protocol-block" // 192.0.0.0/24 and the 6to4 relay, IANA special purpose
	Benchmark     Reason = "benchmark"      // 198.18.0.0/15
	Multicast     Reason = "multicast"      // 224.0.0.0/4
	Reserved      Reason = "reserved"       // 240.0.0.0/4 and broadcast
	Fleet         Reason = "fleet"          // a proxy's own address, private or public
	Listed        Reason = "listed"         // refused by the routes document
	OtherOwner    Reason = "other-owner"    // the record belongs to a name that was not asked for
)

// classes are refused always. The first match gives the reason. Documentation networks (192.0.2.0/24, 198.51.100.0/24,
// 203.0.113.0/24) are not among them: nobody can be reached there except in a lab.
// IANA IPv4 special-purpose registry, 2026-11-20; metadata addresses from the clouds' pages.
var classes = []struct {
	network netip.Prefix
	reason  Reason
}{
	{netip.MustParsePrefix("169.254.169.254/32"), Metadata}, // AWS, GCP, Azure
	{netip.MustParsePrefix("169.254.170.2/32"), Metadata},   // AWS task and pod credentials
	{netip.MustParsePrefix("169.254.170.23/32"), Metadata},
	{netip.MustParsePrefix("0.0.0.0/8"), Unspecified},
	{netip.MustParsePrefix("10.0.0.0/8"), Private},
	{netip.MustParsePrefix("172.16.0.0/12"), Private},
	{netip.MustParsePrefix("192.168.0.0/16"), Private},
	{netip.MustParsePrefix("100.64.0.0/10"), Shared},
	{netip.MustParsePrefix("127.0.0.0/8"), Loopback},
	{netip.MustParsePrefix("169.254.0.0/16"), LinkLocal},
	{netip.MustParsePrefix("192.0.0.0/24"), ProtocolBlock},
	{netip.MustParsePrefix("192.88.99.0/24"), ProtocolBlock},
	{netip.MustParsePrefix("198.18.0.0/15"), Benchmark},
	{netip.MustParsePrefix("224.0.0.0/4"), Multicast},
	{netip.MustParsePrefix("240.0.0.0/4"), Reserved},
}

// metadata6 is the AWS metadata service over IPv6. All IPv6 is refused; this one gets its own reason.
var metadata6 = netip.MustParseAddr("fd00:ec2::254")

// Decision is the verdict on one address.
type Decision struct {
	Address netip.Addr `json:"address"`
	Reason  Reason     `json:"reason"`
}

// Allowed reports whether a proxy may connect to the address.
func (d Decision) Allowed() bool { return d.Reason == Allowed }

// Policy holds the networks refused beyond the classes. It is immutable; the zero value refuses the classes only.
type Policy struct {
	refused []netip.Prefix
	fleet   map[netip.Addr]bool
}

// NewPolicy returns a policy that also refuses the given networks and the fleet's own addresses.
func NewPolicy(refused []netip.Prefix, fleet []netip.Addr) *Policy {
	p := &Policy{refused: slices.Clone(refused), fleet: make(map[netip.Addr]bool, len(fleet))}
	for _, ip := range fleet {
		p.fleet[ip.Unmap().WithZone("")] = true
	}
	return p
}

// Refused returns all networks that the policy adds to the classes, the fleet's addresses as networks of one, sorted.
func (p *Policy) Refused() []netip.Prefix {
	networks := slices.Clone(p.refused)
	for ip := range p.fleet {
		networks = append(networks, netip.PrefixFrom(ip, ip.BitLen()))
	}
	slices.SortFunc(networks, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
	return slices.Compact(networks)
}

// Address judges one address. An IPv4 address wrapped in IPv6 is judged as what it is.
func (p *Policy) Address(ip netip.Addr) Decision {
	ip = ip.Unmap().WithZone("")
	return Decision{Address: ip, Reason: p.reason(ip)}
}

func (p *Policy) reason(ip netip.Addr) Reason {
	switch {
	case !ip.IsValid():
		return Invalid
	case ip == metadata6:
		return Metadata
	case p.fleet[ip]:
		return Fleet
	case !ip.Is4():
		return NotIPv4
	}
	for _, class := range classes {
		if class.network.Contains(ip) {
			return class.reason
		}
	}
	for _, network := range p.refused {
		if network.Contains(ip) {
			return Listed
		}
	}
	return Allowed
}

// Addresses judges addresses and returns the allowed ones, sorted and each once, and the decisions on the others.
func (p *Policy) Addresses(all []netip.Addr) (allowed []netip.Addr, refused []Decision) {
	for _, ip := range all {
		if d := p.Address(ip); d.Allowed() {
			allowed = append(allowed, d.Address)
		} else {
			refused = append(refused, d)
		}
	}
	slices.SortFunc(allowed, netip.Addr.Compare)
	return slices.Compact(allowed), refused
}
