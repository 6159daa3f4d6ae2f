package stack

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"

	"github.com/sallyport/sallyport/components/capacity"
	"github.com/sallyport/sallyport/components/destinations"
	"github.com/sallyport/sallyport/internal/problem"
)

func validateGCPNat(s *Stack, place string, list *problem.List) {
	n := s.GCP.Nat
	place += "nat."
	for _, timeout := range []struct {
		name  string
		value int
	}{
		{"establishedIdleSeconds", n.EstablishedIdleSeconds}, {"transitoryIdleSeconds", n.TransitoryIdleSeconds},
		{"udpIdleSeconds", n.UDPIdleSeconds}, {"icmpIdleSeconds", n.ICMPIdleSeconds},
	} {
		between(list, place+timeout.name, timeout.value, 1, maxGCPTimeout, "leave it out for what the cloud does by default")
	}
	oneOf(list, place+"log", string(n.Log), string(NatLogErrors), string(NatLogTranslations), string(NatLogAll))
	for i, a := range n.Acknowledge {
		oneOf(list, problem.Index(place+"acknowledge", i), string(a), string(AcknowledgeLowerPorts), string(AcknowledgeDynamicPorts), string(AcknowledgeRemoveRanges))
	}
	if n.DynamicPorts != nil {
		validateDynamicPorts(s, place+"dynamicPorts.", list)
	}
	if len(n.Compare) > maxCompare {
		list.Addf(place+"compare", len(n.Compare), "remove some", "must not be more than %d designs", maxCompare)
	}
	for i, d := range n.Compare {
		at := problem.Index(place+"compare", i)
		if !slices.Contains(capacity.LegalPorts(s.Cluster.AliasRanges), d.PortsPerVM) {
			list.Addf(at+".portsPerVM", d.PortsPerVM, "write the number that the gateway has", "must be a power of two from %d to %d",
				capacity.LegalPorts(s.Cluster.AliasRanges)[0], capacity.MaxPortsPerVM)
		}
		between(list, at+".ips", d.IPs, 1, capacity.MaxIPsPerCloudNat, "write how many IPs the gateway has")
	}
}

// validateDynamicPorts applies the gateway's own rules, with the places of the stack file.
func validateDynamicPorts(s *Stack, place string, list *problem.List) {
	d := s.GCP.Nat.DynamicPorts
	settings := capacity.CloudNatSettings{Dynamic: true, MinPorts: d.Min, MaxPorts: d.Max, AliasRanges: s.Cluster.AliasRanges, Manual: true, ActiveIPs: []string{"any"}}
	var found problem.List
	settings.Validate("", &found)
	for _, p := range found.All() {
		p.Place = place + map[string]string{"minPortsPerVm": "min", "maxPortsPerVm": "max"}[p.Place]
		if p.Remedy == "leave it out to have it computed" {
			p.Remedy = "write the ports that an idle VM keeps"
		}
		list.AddProblem(p)
	}
	if s.Nat.PortsPerVM != 0 && s.Nat.PortsPerVM != d.Max {
		list.Add(Namespace+"nat.portsPerVM", "must be left out with gcp.nat.dynamicPorts, whose bounds say the same", s.Nat.PortsPerVM, "remove one of the two")
	}
}

func validateGCPRules(s *Stack, place string, list *problem.List) {
	place += "nat.rules"
	settings := capacity.CloudNatSettings{MinPorts: capacity.MinPortsPerVMAliased, Manual: true, ActiveIPs: []string{"any"}}
	for i, r := range s.GCP.Nat.Rules {
		at := problem.Index(place, i)
		if !destinations.IsLabel(r.Name) || len(r.Name) > 20 {
			list.Add(at+".name", destinations.LabelRule+", at most 20", r.Name, "name it after the partner")
		} else if slices.ContainsFunc(s.GCP.Nat.Rules[:i], func(other GCPNatRule) bool { return other.Name == r.Name }) {
			list.Add(at+".name", "must be unique", r.Name, "rename one of the two")
		}
		if r.Number == 0 {
			list.Add(at+".number", "is required", nil, "write a number that stays, for example 100")
		}
		between(list, at+".ips", r.IPs, 0, capacity.MaxIPsPerCloudNat, "leave it out to have it computed")
		validateRuleDestinations(s, i, at+".destinations", list)
		settings.Rules = append(settings.Rules, capacity.CloudNatRule{Number: r.Number, Destinations: r.CIDRs, ActiveIPs: []string{fmt.Sprint("any-", i)}})
	}
	var found problem.List
	settings.Validate("", &found)
	for _, p := range found.All() {
		p.Place = ruleField.ReplaceAllStringFunc(p.Place, func(field string) string {
			return map[string]string{"ruleNumber": "number", "match": "cidrs"}[field]
		})
		list.AddProblem(problem.Problem{Place: Namespace + "gcp.nat." + p.Place, Rule: p.Rule, Value: p.Value, Remedy: p.Remedy})
	}
}

var ruleField = regexp.MustCompile(`ruleNumber|match`)

func validateRuleDestinations(s *Stack, i int, place string, list *problem.List) {
	if len(s.GCP.Nat.Rules[i].Destinations) == 0 {
		list.Add(place, "needs at least 1 destination", 0, "name those whose partner lists the rule's IPs")
	}
	var names []string
	for _, d := range s.Destinations {
		if d.Route == destinations.RouteNat {
			names = append(names, d.Name)
		}
	}
	for j, name := range s.GCP.Nat.Rules[i].Destinations {
		at := problem.Index(place, j)
		other := slices.IndexFunc(s.GCP.Nat.Rules[:i], func(r GCPNatRule) bool { return slices.Contains(r.Destinations, name) })
		switch {
		case !slices.Contains(names, name):
			list.Add(at, "must be a destination on route nat", name, problem.Suggestion(name, names))
		case slices.Index(s.GCP.Nat.Rules[i].Destinations, name) < j:
			list.Add(at, "must be unique", name, "remove one of the two")
		case other >= 0:
			list.Addf(at, name, "keep it in one", "must be in one rule, and %q has it", s.GCP.Nat.Rules[other].Name)
		}
	}
}

func (s *Stack) exampleSlot() string {
	gateway := GCPDefaultGateway
	if all := s.GCPGateways(); len(all) > 0 {
		gateway = all[0]
	}
	return gcpNatSlotName(gateway, "", 1)
}

// gcpSlot reports whether a name is one that an address of this stack can have: of a gateway, a rule, a proxy or the reserve.
func (s *Stack) gcpSlot(name string) bool {
	if _, _, _, ok := s.parseNatSlot(name); ok {
		return true
	}
	m := numbered.FindStringSubmatch(name)
	if m == nil {
		return false
	}
	number, _ := strconv.Atoi(m[2])
	if m[1] == "nat-reserve" || m[1] == "proxy-reserve" {
		return number <= maxReserve
	}
	// proxy-<zone>-<slot>-<ip>: an interface has one external IP on GCP.
	slot := numbered.FindStringSubmatch(m[1])
	return slot != nil && number == 1 && slices.ContainsFunc(s.Cluster.Zones, func(zone string) bool { return slot[1] == "proxy-"+zone })
}

func validateGCPAddresses(s *Stack, place string, list *problem.List) {
	a := s.GCP.Addresses
	place += "addresses."
	oneOf(list, place+"tier", string(a.Tier), string(TierPremium), string(TierStandard))
	remedy := "write it as the allowlist does: " + s.exampleSlot() + ", nat-reserve-1, proxy-ZONE-1-1"
	for _, slot := range sorted(a.Existing) {
		at := problem.Child(place+"existing", slot)
		if !s.gcpSlot(slot) {
			list.Add(at, "must be a slot of this stack", slot, remedy)
		}
		matches(list, at, a.Existing[slot], gcpName, gcpNameRule, "write the address's name")
		for _, other := range sorted(a.Existing) {
			if other < slot && a.Existing[other] == a.Existing[slot] {
				list.Addf(at, a.Existing[slot], "bring one for each", "must be an address of its own, and %s has it", other)
			}
		}
	}
	validateFixed(s, place, remedy, list)
}

func validateFixed(s *Stack, place, remedy string, list *problem.List) {
	a := s.GCP.Addresses
	switch {
	case len(a.Fixed) > 0 && !a.Prefix.IsValid():
		list.Add(place+"prefix", "is required with fixed", nil, "write your delegated prefix")
	case a.Prefix.IsValid() && (!a.Prefix.Addr().Is4() || a.Prefix != a.Prefix.Masked()):
		list.Add(place+"prefix", "must be an IPv4 network without bits beyond the mask", a.Prefix.String(), "write your delegated prefix")
	}
	taken := map[netip.Addr]string{}
	for _, slot := range sorted(a.Fixed) {
		at, ip := problem.Child(place+"fixed", slot), a.Fixed[slot]
		_, brought := a.Existing[slot]
		switch {
		case !ip.IsValid(): // has its problem
		case !s.gcpSlot(slot):
			list.Add(at, "must be a slot of this stack", slot, remedy)
		case a.Prefix.IsValid() && !a.Prefix.Contains(ip):
			list.Addf(at, ip.String(), "write an IP of the prefix", "must be in %s", a.Prefix)
		case taken[ip] != "":
			list.Addf(at, ip.String(), "write another", "must be unique, and %s has it", taken[ip])
		case brought:
			list.Add(at, "must not be an existing address too", slot, "remove one of the two")
		}
		taken[ip] = slot
	}
}
