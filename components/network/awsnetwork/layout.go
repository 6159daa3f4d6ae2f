package awsnetwork

import (
	"encoding/binary"
	"net/netip"

	"github.com/sallyport/sallyport/internal/problem"
)

// The sizes of a VPC that is divided: EC2 takes no larger one than /16 (Amazon VPC user guide, "VPC CIDR blocks", 2023-06-15),
// and below /22 a quarter of an eighth has fewer addresses than EC2's smallest subnet, /28, leaves room for.
const (
	minBits = 16
	maxBits = 22
)

// Layout is one zone's networks.
type Layout struct {
	Zone                   string
	Private, Public, Proxy netip.Prefix
}

// LoadBalancer is the fixed address of an internal load balancer in the private subnet: its tenth. EC2 keeps the first four
// and the last of a subnet to itself.
func (l Layout) LoadBalancer() netip.Addr { return offset(l.Private.Addr(), 10) }

// Divide gives each zone its eighth of a VPC by the last letter of its name. The error joins every problem.
func Divide(vpc netip.Prefix, zones []string) ([]Layout, error) {
	var list problem.List
	if !vpc.IsValid() || !vpc.Addr().Is4() || vpc != vpc.Masked() || vpc.Bits() < minBits || vpc.Bits() > maxBits {
		list.Addf("cidr", vpc.String(), "for example 10.64.0.0/16", "must be an IPv4 network of /%d to /%d without host bits", minBits, maxBits)
	}
	if len(zones) == 0 {
		list.Add("zones", "needs at least 1 zone", 0, "list the zones with nodes")
	}
	seen := map[byte]bool{}
	for i, zone := range zones {
		if zone == "" || zone[len(zone)-1] < 'a' || zone[len(zone)-1] > 'h' || seen[zone[len(zone)-1]] {
			list.Add(problem.Index("zones", i), "must end with a letter from a to h that no other zone has", zone, "bring a VPC for other zones")
			continue
		}
		seen[zone[len(zone)-1]] = true
	}
	if err := list.Err(); err != nil {
		return nil, err
	}
	layouts := make([]Layout, 0, len(zones))
	eighth := uint32(1) << (32 - vpc.Bits() - 3)
	for _, zone := range zones {
		start := offset(vpc.Addr(), uint32(zone[len(zone)-1]-'a')*eighth)
		layouts = append(layouts, Layout{
			Zone:    zone,
			Private: netip.PrefixFrom(start, vpc.Bits()+4),
			Public:  netip.PrefixFrom(offset(start, eighth/2), vpc.Bits()+5),
			Proxy:   netip.PrefixFrom(offset(start, eighth/4*3), vpc.Bits()+5),
		})
	}
	return layouts, nil
}

// offset adds to an IPv4 address.
func offset(address netip.Addr, by uint32) netip.Addr {
	bytes := address.As4()
	binary.BigEndian.PutUint32(bytes[:], binary.BigEndian.Uint32(bytes[:])+by)
	return netip.AddrFrom4(bytes)
}
