package stack

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"github.com/sallyport/sallyport/components/capacity"
	"github.com/sallyport/sallyport/components/destinations"
	"github.com/sallyport/sallyport/internal/problem"
)

// GCPNatSlot is a place for a public IP of Cloud NAT. Its name depends on the gateway, the rule and a number, never on other
// slots.
type GCPNatSlot struct {
	Name    string
	Gateway string
	Rule    string // empty: the gateway's own
	Number  int    // from 1
}

// GCPNatSlots are the places for the IPs of all gateways, as many as the plan demands. Empty on other clouds.
func (s *Stack) GCPNatSlots(plan capacity.Plan) []GCPNatSlot {
	if s.GCP == nil {
		return nil
	}
	var all []GCPNatSlot
	for _, g := range plan.Gateways {
		for n := 1; n <= g.IPs; n++ {
			all = append(all, GCPNatSlot{gcpNatSlotName(g.Name, "", n), g.Name, "", n})
		}
		for i, rule := range s.GCP.Nat.Rules {
			for n := 1; n <= g.RuleIPsEach[i]; n++ {
				all = append(all, GCPNatSlot{gcpNatSlotName(g.Name, rule.Name, n), g.Name, rule.Name, n})
			}
		}
	}
	return all
}

// GCPNatSlot finds the gateway and the rule that a place belongs to, also one beyond what the plan demands now. False if no
// gateway or rule of the stack has such places.
func (s *Stack) GCPNatSlot(name string) (GCPNatSlot, bool) {
	gateway, rule, number, ok := s.parseNatSlot(name)
	return GCPNatSlot{name, gateway, rule, number}, ok
}

// RulePartners are the partners of a rule's destinations. With an empty name, those of the destinations on the NAT that no rule
// has: they list the gateways' own IPs. Sorted, never nil.
func (s *Stack) RulePartners(rule string) []string {
	owner := map[string]string{}
	if s.GCP != nil {
		for _, r := range s.GCP.Nat.Rules {
			for _, name := range r.Destinations {
				owner[name] = r.Name
			}
		}
	}
	partners := []string{}
	for _, d := range destinations.ByRoute(s.Destinations, destinations.RouteNat) {
		if d.Partner != "" && owner[d.Name] == rule {
			partners = append(partners, d.Partner)
		}
	}
	slices.Sort(partners)
	return slices.Compact(partners)
}

// gcpNatSlotName is "nat-1" for the default gateway, "nat-<gateway>-1" for others, and "nat-rule-<rule>-1" and
// "nat-<gateway>-rule-<rule>-1" for the IPs of rules.
func gcpNatSlotName(gateway, rule string, number int) string {
	name := "nat"
	if gateway != GCPDefaultGateway {
		name += "-" + gateway
	}
	if rule != "" {
		name += "-rule-" + rule
	}
	return fmt.Sprintf("%s-%d", name, number)
}

// parseNatSlot finds the gateway and the rule of this stack that a slot belongs to.
func (s *Stack) parseNatSlot(name string) (gateway, rule string, number int, ok bool) {
	m := numbered.FindStringSubmatch(name)
	if m == nil {
		return "", "", 0, false
	}
	number, err := strconv.Atoi(m[2])
	if err != nil || number > capacity.MaxIPsPerCloudNat {
		return "", "", 0, false
	}
	for _, g := range s.GCPGateways() {
		if name == gcpNatSlotName(g, "", number) {
			return g, "", number, true
		}
		for _, r := range s.GCP.Nat.Rules {
			if name == gcpNatSlotName(g, r.Name, number) {
				return g, r.Name, number, true
			}
		}
	}
	return "", "", 0, false
}

var numbered = regexp.MustCompile(`^([a-z][a-z0-9-]*)-([1-9][0-9]{0,3})$`)

// GCPGateways are the names of the Cloud NAT gateways, in the order of the subnetworks.
func (s *Stack) GCPGateways() []string {
	var names []string
	for _, subnetwork := range s.GCPSubnetworks() {
		if !slices.Contains(names, subnetwork.Gateway) {
			names = append(names, subnetwork.Gateway)
		}
	}
	return names
}

// GCPSubnetworks are the subnetworks of nodes: those declared, or the one of a new network.
func (s *Stack) GCPSubnetworks() []GCPSubnetwork {
	switch network := s.GCP.Network; {
	case network.Existing != nil:
		return network.Existing.Subnetworks
	case network.New != nil:
		only := GCPSubnetwork{Name: "nodes", Primary: true, Gateway: GCPDefaultGateway, MaxNodes: s.Cluster.MaxNodes + surge(s.Cluster)}
		if network.New.Pods.IsValid() {
			only.SecondaryRanges = []string{"pods"}
		}
		return []GCPSubnetwork{only}
	default:
		return nil
	}
}

// gatewayShares says how the VMs may divide over the gateways: a gateway must hold what its subnetworks may.
func (s *Stack) gatewayShares() []capacity.GatewayShare {
	if s.GCP == nil || s.Cloud != CloudGCP {
		return nil
	}
	all := s.Cluster.MaxNodes + surge(s.Cluster)
	var shares []capacity.GatewayShare
	for _, subnetwork := range s.GCPSubnetworks() {
		i := slices.IndexFunc(shares, func(g capacity.GatewayShare) bool { return g.Name == subnetwork.Gateway })
		if i < 0 {
			i = len(shares)
			shares = append(shares, capacity.GatewayShare{Name: subnetwork.Gateway})
		}
		shares[i].VMs = min(shares[i].VMs+subnetwork.MaxNodes, all)
	}
	return shares
}

// natRules are the rules as the plan sees them.
func (s *Stack) natRules() []capacity.NatRule {
	if s.GCP == nil || s.Cloud != CloudGCP {
		return nil
	}
	var rules []capacity.NatRule
	for i, r := range s.GCP.Nat.Rules {
		rules = append(rules, capacity.NatRule{Name: r.Name, Place: problem.Index(Namespace+"gcp.nat.rules", i) + ".ips", IPs: r.IPs})
	}
	return rules
}

// GCPDesigns are the designs to compare the plan with.
func (s *Stack) GCPDesigns() []capacity.Design {
	if s.GCP == nil {
		return nil
	}
	var designs []capacity.Design
	for _, d := range s.GCP.Nat.Compare {
		designs = append(designs, capacity.Design{PortsPerVM: d.PortsPerVM, IPs: d.IPs})
	}
	return designs
}
