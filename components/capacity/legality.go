package capacity

import (
	"fmt"
	"net/netip"

	"github.com/sallyport/sallyport/internal/problem"
)

// Limits of the settings of one Cloud NAT gateway.
const (
	// MinDynamicPortsPerVM is the smallest minimum with dynamic port allocation. pulumi-gcp v7.38.0 RouterNat.minPortsPerVm.
	MinDynamicPortsPerVM = 32
	// MaxNatRuleNumber is the largest number of a rule; the default rule has 65001.
	// pulumi-gcp v7.38.0 RouterNatRule.ruleNumber; Cloud NAT documentation, "Cloud NAT rules", 2025-09-04.
	MaxNatRuleNumber = 65000
	// MaxRangesPerCloudNat are the subnetwork ranges of a gateway. cloud.google.com/nat/quota, 2026.
	MaxRangesPerCloudNat = 50
)

// CloudNatSettings are the settings of one Cloud NAT gateway that depend on each other.
type CloudNatSettings struct {
	// Dynamic is dynamic port allocation: a VM starts with MinPorts and doubles up to MaxPorts as it needs them.
	Dynamic  bool
	MinPorts int // ports per VM; all of them when not Dynamic
	MaxPorts int // 0 when not Dynamic
	// EndpointIndependent is endpoint-independent mapping: one port per client port for all destinations.
	EndpointIndependent bool
	// AliasRanges says that a secondary range is translated.
	AliasRanges bool
	// Manual says that the IPs are given (MANUAL_ONLY) and not allocated by the gateway (AUTO_ONLY).
	Manual bool
	// ActiveIPs and DrainIPs identify the addresses that are given, each once.
	ActiveIPs, DrainIPs []string
	// Ranges is the number of subnetwork ranges; 0 for all of the network.
	Ranges int
	Rules  []CloudNatRule
}

// CloudNatRule is a NAT rule: what matches leaves by other IPs.
type CloudNatRule struct {
	Number              int // unique, 0 to MaxNatRuleNumber
	Destinations        []netip.Prefix
	ActiveIPs, DrainIPs []string
}

// Validate records, with places below place, every way in which the settings break a documented rule of Cloud NAT.
func (c CloudNatSettings) Validate(place string, list *problem.List) {
	for _, rule := range []func(CloudNatSettings, string, *problem.List){
		legalMinPorts, legalMaxPorts, legalMapping, legalIPs, legalRanges, legalRules, legalMatches, legalOwners,
	} {
		rule(c, place, list)
	}
}

func powerOfTwo(n int) bool { return n > 0 && n&(n-1) == 0 }

func legalMinPorts(c CloudNatSettings, place string, list *problem.List) {
	place = problem.Child(place, "minPortsPerVm")
	floor, why := MinPortsPerVM, ""
	if c.Dynamic {
		floor, why = MinDynamicPortsPerVM, " with dynamic port allocation"
	}
	if c.AliasRanges { // whether the floor holds with dynamic allocation too is not documented; the safe reading is that it does
		floor, why = MinPortsPerVMAliased, ", because alias ranges are translated"
	}
	if !powerOfTwo(c.MinPorts) || c.MinPorts < floor || c.MinPorts > MaxPortsPerVM {
		list.Addf(place, c.MinPorts, "leave it out to have it computed", "must be a power of two from %s to %s%s", count(floor), count(MaxPortsPerVM), why)
	}
}

func legalMaxPorts(c CloudNatSettings, place string, list *problem.List) {
	place = problem.Child(place, "maxPortsPerVm")
	switch {
	case !c.Dynamic && c.MaxPorts != 0:
		list.Add(place, "must be left out without dynamic port allocation", c.MaxPorts, "switch dynamic port allocation on or remove it")
	case c.Dynamic && (!powerOfTwo(c.MaxPorts) || c.MaxPorts > MaxPortsPerVM):
		list.Addf(place, c.MaxPorts, "write the next power of two", "must be a power of two up to %s", count(MaxPortsPerVM))
	case c.Dynamic && c.MaxPorts <= c.MinPorts:
		list.Addf(place, c.MaxPorts, "raise it, or use static allocation", "must be above minPortsPerVm, %d", c.MinPorts)
	}
}

func legalMapping(c CloudNatSettings, place string, list *problem.List) {
	if !c.EndpointIndependent {
		return
	}
	place = problem.Child(place, "enableEndpointIndependentMapping")
	if c.Dynamic {
		list.Add(place, "must be off with dynamic port allocation", true, "switch one of the two off")
	}
	if len(c.Rules) > 0 {
		list.Add(place, "must be off with NAT rules", true, "switch it off or remove the rules")
	}
}

func legalIPs(c CloudNatSettings, place string, list *problem.List) {
	total := len(c.ActiveIPs)
	for _, r := range c.Rules {
		total += len(r.ActiveIPs)
	}
	switch {
	case c.Manual && len(c.ActiveIPs) == 0:
		list.Add(problem.Child(place, "natIps"), "needs at least 1 IP with MANUAL_ONLY", 0, "keep one that is not draining")
	case !c.Manual && len(c.ActiveIPs) > 0:
		list.Add(problem.Child(place, "natIps"), "must be left out with AUTO_ONLY", len(c.ActiveIPs), "use MANUAL_ONLY")
	}
	if !c.Manual && len(c.DrainIPs) > 0 {
		list.Add(problem.Child(place, "drainNatIps"), "must be left out with AUTO_ONLY, which has no IPs of yours", len(c.DrainIPs), "use MANUAL_ONLY")
	}
	if total > MaxIPsPerCloudNat {
		list.Addf(problem.Child(place, "natIps"), total, "use several gateways", "must not be more than %d with those of the rules", MaxIPsPerCloudNat)
	}
}

func legalRanges(c CloudNatSettings, place string, list *problem.List) {
	if c.Ranges > MaxRangesPerCloudNat {
		list.Addf(problem.Child(place, "subnetworks"), c.Ranges, "give some subnetworks another gateway", "must not have more than %d ranges", MaxRangesPerCloudNat)
	}
}

func legalRules(c CloudNatSettings, place string, list *problem.List) {
	place = problem.Child(place, "rules")
	if len(c.Rules) > 0 && !c.Manual {
		list.Add(place, "must be left out with AUTO_ONLY", len(c.Rules), "use MANUAL_ONLY")
	}
	seen := map[int]bool{}
	for i, r := range c.Rules {
		at := problem.Index(place, i)
		if r.Number < 0 || r.Number > MaxNatRuleNumber {
			list.Addf(at+".ruleNumber", r.Number, "write another number", "must be between 0 and %d", MaxNatRuleNumber)
		} else if seen[r.Number] {
			list.Add(at+".ruleNumber", "must be unique", r.Number, "write another number")
		}
		seen[r.Number] = true
		if len(r.Destinations) == 0 {
			list.Add(at+".match", "needs at least 1 network", 0, "name the networks of the destination")
		}
		if len(r.ActiveIPs) == 0 {
			list.Add(at+".sourceNatActiveIps", "needs at least 1 IP", 0, "keep one that is not draining")
		}
	}
}

// legalMatches demands that at most one rule matches any packet.
func legalMatches(c CloudNatSettings, place string, list *problem.List) {
	type match struct {
		network netip.Prefix
		rule    int
	}
	var before []match
	for i, r := range c.Rules {
		at := problem.Index(problem.Child(place, "rules"), i) + ".match"
		for _, network := range r.Destinations {
			if !network.IsValid() || !network.Addr().Is4() {
				list.Add(at, "needs IPv4 networks", network.String(), "write for example 203.0.113.0/24")
				continue
			}
			if network != network.Masked() {
				list.Add(at, "must not have bits beyond the mask", network.String(), "write "+network.Masked().String())
			}
			for _, b := range before {
				if b.network.Overlaps(network) {
					list.Addf(at, network.String(), "keep each address in one rule", "must not overlap %s of %s", b.network,
						problem.Index(problem.Child(place, "rules"), b.rule))
					break
				}
			}
			before = append(before, match{network, i})
		}
	}
}

// legalOwners demands that an address has one place on a gateway.
func legalOwners(c CloudNatSettings, place string, list *problem.List) {
	owners := map[string]string{}
	claim := func(field string, ips []string) {
		for _, ip := range ips {
			if owner, taken := owners[ip]; taken {
				list.Addf(problem.Child(place, field), ip, "keep one", "must not be in two places, and %s has it", owner)
			}
			owners[ip] = field
		}
	}
	claim("natIps", c.ActiveIPs)
	claim("drainNatIps", c.DrainIPs)
	for i, r := range c.Rules {
		claim(fmt.Sprintf("rules[%d].sourceNatActiveIps", i), r.ActiveIPs)
		claim(fmt.Sprintf("rules[%d].sourceNatDrainIps", i), r.DrainIPs)
	}
}
