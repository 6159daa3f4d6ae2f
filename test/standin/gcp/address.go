package gcp

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/test/standin/engine"
	"github.com/sallyport/sallyport/test/standin/world"
)

// addressKinds are static IPs. Nothing of them but the labels can change.
func addressKinds() []kind {
	everywhere := []string{"name", "address", "addressType", "description", "ipVersion", "network", "prefixLength", "project", "purpose"}
	settled := append(slices.Clone(everywhere), "region", "networkTier", "subnetwork", "ipv6EndpointType")
	return []kind{
		{
			Token: addressKind, Autoname: "name", NameLimit: 63, Tagged: true, ID: regional("addresses"), Replace: settled,
			Defaults: props{"addressType": "EXTERNAL", "networkTier": "PREMIUM"},
			Refs:     []ref{{Path: "subnetwork", Kinds: []string{subnetworkKind}}},
			Rules:    []func(*tx, *object, *object) error{addressQuota, internalAddress},
			Outputs: func(tx *tx, o, old *object) {
				withRegion(tx, o, old)
				if o.String("address") == "" {
					o.Props["address"] = tx.NextPublicIP()
				}
				if o.String("addressType") == "INTERNAL" {
					delete(o.Props, "networkTier")
				}
			},
			Delete: func(tx *tx, o *object) error {
				if user := holder(tx.State, o); user != nil {
					return tx.Package.InUse(o, user)
				}
				return nil
			},
		},
		{
			Token: globalAddressKind, Autoname: "name", NameLimit: 63, Tagged: true, ID: global("addresses"), Replace: everywhere,
			Defaults: props{"addressType": "EXTERNAL"},
			Outputs: func(tx *tx, o, _ *object) {
				if o.String("address") == "" {
					o.Props["address"] = tx.NextPublicIP()
				}
			},
		},
	}
}

func addressQuota(tx *tx, o, old *object) error {
	if old != nil || o.String("addressType") == "INTERNAL" {
		return nil
	}
	limit, have := tx.Settings.Addresses, 0
	if limit == 0 {
		limit = 8
	}
	for _, other := range tx.All(addressKind) {
		if world.PublicIP(other) != "" && other.String("region") == region(tx, o.Props) {
			have++
		}
	}
	if have >= limit {
		return fmt.Errorf("googleapi: Error 403: Quota 'STATIC_ADDRESSES' exceeded. Limit: %d in region %s, quotaExceeded", limit, region(tx, o.Props))
	}
	return nil
}

// internalAddress places an internal address in its subnetwork.
func internalAddress(tx *tx, o, old *object) error {
	if old != nil || o.String("addressType") != "INTERNAL" {
		return nil
	}
	subnetwork := tx.Target("", o.String("subnetwork"), subnetworkKind)
	block, err := netip.ParsePrefix(subnetwork.String("ipCidrRange"))
	if err != nil {
		return nil //nolint:nilerr // a subnetwork taken at its word has no range
	}
	taken := map[string]string{}
	for _, other := range tx.All(addressKind) {
		if other.String("addressType") == "INTERNAL" && subnetwork == tx.Target("", other.String("subnetwork"), subnetworkKind) {
			taken[other.String("address")] = other.ID
		}
	}
	if wanted := o.String("address"); wanted != "" {
		ip, err := netip.ParseAddr(wanted)
		switch {
		case err != nil || !block.Contains(ip) || reserved(block, ip):
			return fmt.Errorf("googleapi: Error 400: Invalid value for field 'resource.address': '%s'. IP is not usable in the subnetwork %s, invalid", wanted, block)
		case taken[wanted] != "":
			return fmt.Errorf("googleapi: Error 400: Specified IP address is in-use and would result in a conflict: %s has %s, invalid", taken[wanted], wanted)
		}
		return nil
	}
	for ip := block.Masked().Addr(); block.Contains(ip); ip = ip.Next() {
		if taken[ip.String()] == "" && !reserved(block, ip) {
			o.Props["address"] = ip.String()
			return nil
		}
	}
	return fmt.Errorf("googleapi: Error 400: IP space of '%s' is exhausted", subnetwork.ID)
}

// reserved are the first two and the last two addresses of a range. VPC, "Unusable addresses in IPv4 subnet ranges", 2024-08.
func reserved(block netip.Prefix, ip netip.Addr) bool {
	first := block.Masked().Addr()
	return ip == first || ip == first.Next() || !block.Contains(ip.Next()) || !block.Contains(ip.Next().Next())
}

// networkKinds are VPC networks and what filters in them.
func networkKinds() []kind {
	return []kind{
		{Token: networkKind, Autoname: "name", NameLimit: 63, ID: global("networks"), Replace: []string{"name", "project", "autoCreateSubnetworks", "description", "enableUlaInternalIpv6"}},
		{
			Token: subnetworkKind, Autoname: "name", NameLimit: 63, ID: regional("subnetworks"),
			Replace: []string{"name", "project", "region", "network", "purpose", "description"},
			Refs:    []ref{{Path: "network", Kinds: []string{networkKind}}}, Rules: []func(*tx, *object, *object) error{subnetworkRule}, Outputs: withRegion,
		},
		{
			Token: firewallKind, Autoname: "name", NameLimit: 63, ID: global("firewalls"), Defaults: props{"direction": "INGRESS", "priority": 1000.0},
			Sets:    []string{"sourceRanges", "destinationRanges", "targetTags", "targetServiceAccounts", "sourceTags", "sourceServiceAccounts", "allows", "denies"},
			Replace: []string{"name", "network", "project", "direction"}, Refs: []ref{{Path: "network", Kinds: []string{networkKind}}},
			Legal: func(in props) []string {
				if len(engine.Blocks(in, "allows")) > 0 == (len(engine.Blocks(in, "denies")) > 0) {
					return []string{"allows: exactly one of allows and denies must be given"}
				}
				return nil
			},
		},
		{
			Token: routerKind, Autoname: "name", NameLimit: 63, ID: regional("routers"), Replace: []string{"name", "network", "project", "region", "encryptedInterconnectRouter"},
			Refs: []ref{{Path: "network", Kinds: []string{networkKind}}}, Outputs: withRegion,
		},
		{Token: "gcp:compute/route:Route", Autoname: "name", NameLimit: 63, ID: global("routes"), Replace: []string{"*"}, Refs: []ref{{Path: "network", Kinds: []string{networkKind}}}},
	}
}

func subnetworkRule(tx *tx, o, _ *object) error {
	ranges := append(engine.Values(o.Props, "ipCidrRange"), engine.Values(o.Props, "secondaryIpRanges[*].ipCidrRange")...)
	for _, text := range ranges {
		block, err := netip.ParsePrefix(text)
		if err != nil {
			return fmt.Errorf("googleapi: Error 400: Invalid value for field 'resource.ipCidrRange': '%s', invalid", text)
		}
		for _, other := range tx.All(subnetworkKind) {
			if other.ID == o.ID || !strings.EqualFold(other.String("network"), o.String("network")) {
				continue
			}
			for _, used := range append(engine.Values(other.Props, "ipCidrRange"), engine.Values(other.Props, "secondaryIpRanges[*].ipCidrRange")...) {
				if taken, err := netip.ParsePrefix(used); err == nil && taken.Overlaps(block) {
					return fmt.Errorf("googleapi: Error 400: Invalid IPCidrRange: %s conflicts with existing subnetwork '%s', invalidArgument", text, other.ID)
				}
			}
		}
	}
	return nil
}
