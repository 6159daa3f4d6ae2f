package capacity

import (
	"fmt"

	"github.com/sallyport/sallyport/internal/problem"
)

// GatewayShare is a Cloud NAT gateway and the most VMs that may ever be behind it, surge included. A subnetwork range belongs
// to one gateway, so VMs divide over gateways by their subnetworks.
type GatewayShare struct {
	Name string
	VMs  int
}

// NatRule gives some destinations source IPs of their own on every gateway. Each VM gets its full block of ports on them
// too, so they take as many IPs as the gateway itself.
type NatRule struct {
	Name  string
	Place string // where the user declared it, for messages; empty: the name
	IPs   int    // per gateway, given; 0: as many as the gateway needs
}

// GatewayPlan sizes one Cloud NAT gateway.
type GatewayPlan struct {
	Name string `json:"name"`
	VMs  int    `json:"vms"` // the most VMs behind it
	IPs  int    `json:"ips"` // of the gateway itself
	// RuleIPs are those of all NAT rules together. RuleIPsEach is one rule's share, in the order of Input.Rules.
	RuleIPs     int   `json:"ruleIPs,omitempty"`
	RuleIPsEach []int `json:"ruleIPsEach,omitempty"`
}

// Limits of the gateways of one network and region.
const (
	// MaxCloudNats are 50 gateways on each of 5 Cloud Routers. cloud.google.com/nat/quota, 2026.
	MaxCloudNats = 250
	// DefaultGateway is the name of a gateway that needs none.
	DefaultGateway = "nat"
)

// cloudNatGateways returns the gateways with the public IPs for the blocks of all VMs there may ever be behind them. A block
// may span IPs, so the ports are counted over all IPs of a gateway together.
func (s *sizer) cloudNatGateways(ports int) []GatewayPlan {
	shares := s.in.Gateways
	if len(shares) == 0 {
		shares = s.evenShares(ports)
	}
	plans := make([]GatewayPlan, len(shares))
	total := 0
	for i, share := range shares {
		plans[i] = s.cloudNatGateway(share, ports, len(shares) > 1)
		total += plans[i].IPs
	}
	if len(shares) > 1 {
		s.step("public IPs of all gateways", float64(total), "", fmt.Sprintf("the IPs of %s together: %s",
			plural(len(shares), "gateway"), count(total)))
	}
	return plans
}

// cloudNatGateway sizes one gateway, and refuses what its limit does not hold.
func (s *sizer) cloudNatGateway(share GatewayShare, ports int, several bool) GatewayPlan {
	needed := ceilDiv(share.VMs*ports, PortsPerNatIP)
	what, vms := "public IPs of the NAT", fmt.Sprintf("(%s + %d surge)", plural(s.in.MaxNodes, "node"), s.in.SurgeNodes)
	if several {
		what, vms = "public IPs of gateway "+share.Name, plural(share.VMs, "VM")
	}
	arithmetic := fmt.Sprintf("%s x %s ports / %s ports per IP = %s -> %s", vms,
		count(ports), count(PortsPerNatIP), number(float64(share.VMs*ports)/PortsPerNatIP), plural(needed, "IP"))
	s.step(what, float64(needed), cloudNatPage, arithmetic)
	plan := GatewayPlan{Name: share.Name, VMs: share.VMs, IPs: s.givenIPs(needed, ports, arithmetic)}
	for _, rule := range s.in.Rules {
		plan.RuleIPsEach = append(plan.RuleIPsEach, s.ruleIPs(rule, needed, arithmetic))
		plan.RuleIPs += plan.RuleIPsEach[len(plan.RuleIPsEach)-1]
	}
	if all := plan.IPs + plan.RuleIPs; needed > MaxIPsPerCloudNat || all > MaxIPsPerCloudNat {
		s.tooManyIPs(share, max(all, needed), ports, arithmetic)
	}
	return plan
}

func (s *sizer) tooManyIPs(share GatewayShare, ips, ports int, arithmetic string) {
	if len(s.in.Rules) > 0 {
		arithmetic += fmt.Sprintf(", and as many for each of %s", plural(len(s.in.Rules), "rule"))
	}
	rule, remedy := fmt.Sprintf("needs more than the %d public IPs of one Cloud NAT", MaxIPsPerCloudNat),
		"send the hottest destinations through the proxies, or lower cluster.maxNodes"
	if len(s.in.Gateways) > 0 {
		at := vmsPerGateway(ports, 1+len(s.in.Rules))
		rule = fmt.Sprintf("gateway %s needs %s, more than the %d of one Cloud NAT", share.Name, plural(ips, "public IP"), MaxIPsPerCloudNat)
		remedy = fmt.Sprintf("spread its subnetworks over gateways with at most %s each, or send the hottest destinations through the proxies", plural(at, "VM"))
	}
	s.list.Addf(s.in.Namespace+"nat", nil, remedy, "%s: %s", rule, arithmetic)
}

// vmsPerGateway is how many VMs the IPs of one gateway hold, when so many equal sets of IPs share its limit.
func vmsPerGateway(ports, sets int) int { return MaxIPsPerCloudNat / sets * PortsPerNatIP / ports }

// evenShares divides the VMs over the fewest gateways that hold them.
func (s *sizer) evenShares(ports int) []GatewayShare {
	vms, gateways := s.in.MaxNodes+s.in.SurgeNodes, 1
	if most := vmsPerGateway(ports, 1+len(s.in.Rules)); s.in.IPs == 0 && most > 0 {
		gateways = max(ceilDiv(vms, most), 1)
	}
	if gateways > MaxCloudNats {
		s.list.Addf(s.in.Namespace+"nat", nil, "send the hottest destinations through the proxies, or use more regions or networks",
			"needs %s, more than the %d of one network and region: %s x %s ports", plural(gateways, "Cloud NAT gateway"), MaxCloudNats,
			plural(vms, "VM"), count(ports))
		gateways = MaxCloudNats
	}
	if gateways > 1 {
		s.step("gateways", float64(gateways), cloudNatPage, fmt.Sprintf("%s / %s that the %d IPs of one gateway hold -> %s",
			plural(vms, "VM"), count(vmsPerGateway(ports, 1+len(s.in.Rules))), MaxIPsPerCloudNat, plural(gateways, "gateway")))
	}
	shares := make([]GatewayShare, gateways)
	for i := range shares {
		shares[i] = GatewayShare{Name: DefaultGateway, VMs: vms / gateways}
		if i < vms%gateways {
			shares[i].VMs++
		}
		if i > 0 {
			shares[i].Name = fmt.Sprintf("%s%d", DefaultGateway, i+1)
		}
	}
	return shares
}

// givenIPs compares IPs that are there already with what is needed, and returns what carries traffic.
func (s *sizer) givenIPs(needed, ports int, arithmetic string) int {
	switch {
	case s.in.IPs == 0:
		return needed
	case s.in.IPs < needed && !s.in.Insufficient:
		s.list.Addf(s.in.Namespace+"nat.ips", s.in.IPs, "leave it out to have it computed",
			"must be at least %d: %s; with fewer, new nodes get no NAT", needed, arithmetic)
	case s.in.IPs < needed:
		s.step("public IPs, given", float64(s.in.IPs), cloudNatPage, fmt.Sprintf("%s given, %d needed: only %s get ports at all, %s x %s / %s",
			plural(s.in.IPs, "IP"), needed, plural(s.in.IPs*PortsPerNatIP/ports, "VM"), count(s.in.IPs), count(PortsPerNatIP), count(ports)))
	default:
		s.step("public IPs, given", float64(s.in.IPs), "", fmt.Sprintf("%s given, at least the %d needed", plural(s.in.IPs, "IP"), needed))
	}
	return s.in.IPs
}

// ruleIPs returns the IPs of one rule on one gateway.
func (s *sizer) ruleIPs(rule NatRule, needed int, arithmetic string) int {
	if rule.IPs > 0 && rule.IPs < needed && !s.in.Insufficient {
		s.list.Addf(rule.place(s.in.Namespace), rule.IPs, "leave ips out to have it computed",
			"must have at least %d IPs, because every VM gets its ports on them too: %s", needed, arithmetic)
	}
	ips := needed
	if rule.IPs > 0 {
		ips = rule.IPs
	}
	s.step("public IPs of rule "+rule.Name, float64(ips), cloudNatPage, fmt.Sprintf("every VM gets its ports on them too: %s", plural(ips, "IP")))
	return ips
}

func (r NatRule) place(namespace string) string {
	if r.Place != "" {
		return r.Place
	}
	return namespace + "nat rule " + r.Name
}

// validateGateways demands shares that hold the whole cluster.
func validateGateways(in Input, list *problem.List) {
	if len(in.Gateways) == 0 {
		return
	}
	place, vms, sum, seen := in.Namespace+"nat gateways", in.MaxNodes+in.SurgeNodes, 0, map[string]bool{}
	if in.Flavor != CloudNat {
		list.Add(place, "must be left out with flavor "+string(in.Flavor), nil, "remove them")
		return
	}
	for _, g := range in.Gateways {
		if g.Name == "" || seen[g.Name] {
			list.Add(place, "must have unique names", g.Name, "rename one")
		}
		seen[g.Name] = true
		between(list, place+" "+g.Name, float64(g.VMs), 1, 2e6)
		sum += g.VMs
	}
	if sum < vms {
		list.Addf(place, sum, "raise the share of a gateway", "must hold all %s of cluster.maxNodes and surgeNodes together", plural(vms, "VM"))
	}
	if len(in.Gateways) > MaxCloudNats {
		list.Addf(place, len(in.Gateways), "use more regions or networks", "must not be more than %d in one network and region", MaxCloudNats)
	}
	if len(in.Gateways) > 1 && in.IPs > 0 {
		list.Add(in.Namespace+"nat.ips", "must be left out with several gateways", in.IPs, "leave it out to have it computed")
	}
}

func validateRules(in Input, list *problem.List) {
	for _, r := range in.Rules {
		between(list, r.place(in.Namespace), float64(r.IPs), 0, MaxIPsPerCloudNat)
	}
	if len(in.Rules) > 0 && in.Flavor != CloudNat {
		list.Add(in.Namespace+"nat rules", "must be left out with flavor "+string(in.Flavor), nil, "remove them")
	}
}

// cloudNatPrice is what the gateways cost per hour: each by its VMs up to where the price per VM ends.
func cloudNatPrice(nodes int, gateways []GatewayPlan) (perHour float64, text string) {
	capacity := 0
	for _, g := range gateways {
		capacity += g.VMs
	}
	full := 0
	for _, g := range gateways {
		if vms := ceilDiv(nodes*g.VMs, max(capacity, 1)); vms <= cloudNatVMs {
			perHour += float64(vms) * cloudNatVMHour
			text += fmt.Sprintf(" + %s x $%g/h", plural(vms, "VM"), cloudNatVMHour)
		} else {
			full++
		}
	}
	if full > 0 {
		perHour += float64(full) * cloudNatHour
		each := ""
		if full > 1 {
			each = fmt.Sprintf("%d x ", full)
		}
		text += fmt.Sprintf(" + %sCloud NAT for more than %d VMs $%g/h", each, cloudNatVMs, cloudNatHour)
	}
	return perHour, text[len(" + "):]
}
