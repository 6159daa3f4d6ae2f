package gcp

import (
	"fmt"
	"slices"

	"github.com/sallyport/sallyport/test/standin/engine"
)

// natKinds is Cloud NAT with the rules that the service enforces.
func natKinds() []kind {
	return []kind{{
		Token: natKind, Autoname: "name", NameLimit: 63,
		ID: func(tx *tx, in props) string {
			return fmt.Sprintf("%s/%s/%v/%v", project(tx, in), region(tx, in), in["router"], in["name"])
		},
		Defaults: props{"enableDynamicPortAllocation": false, "icmpIdleTimeoutSec": 30.0, "tcpEstablishedIdleTimeoutSec": 1200.0,
			"tcpTransitoryIdleTimeoutSec": 30.0, "tcpTimeWaitTimeoutSec": 120.0, "udpIdleTimeoutSec": 30.0},
		Replace: []string{"name", "router", "region", "project", "endpointTypes"},
		Sets:    []string{"natIps", "drainNatIps", "subnetworks", "rules"},
		Refs: []ref{
			{Path: "router", Kinds: []string{routerKind}}, {Path: "natIps[*]", Kinds: []string{addressKind}}, {Path: "drainNatIps[*]", Kinds: []string{addressKind}},
			{Path: "rules[*].action.sourceNatActiveIps[*]", Kinds: []string{addressKind}}, {Path: "rules[*].action.sourceNatDrainIps[*]", Kinds: []string{addressKind}},
			{Path: "subnetworks[*].name", Kinds: []string{subnetworkKind}},
		},
		Legal: natLegal, Rules: []func(*tx, *object, *object) error{natAddresses, natSubnetworks, natDrain},
		Outputs: func(tx *tx, o, old *object) {
			withRegion(tx, o, old)
			if old != nil {
				tx.Cut = append(tx.Cut, natCuts(o, old)...)
			}
		},
	}}
}

// natLegal are the combinations that the API refuses. compute.RouterNat documentation of pulumi-gcp v7.38.0; Cloud NAT, "Ports",
// 2026-04-08.
func natLegal(in props) []string {
	return slices.Concat(portsLegal(in), addressesLegal(in), rulesLegal(in), subnetworksLegal(in))
}

func portsLegal(in props) []string {
	var problems []string
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	dynamic := engine.Flag(in, "enableDynamicPortAllocation")
	smallest, largest := engine.Number(in, "minPortsPerVm", 0), engine.Number(in, "maxPortsPerVm", 0)
	if dynamic && engine.Flag(in, "enableEndpointIndependentMapping") {
		add("enableDynamicPortAllocation: is mutually exclusive with enableEndpointIndependentMapping")
	}
	if !dynamic {
		if _, set := in["maxPortsPerVm"]; set {
			add("maxPortsPerVm: can only be set with enableDynamicPortAllocation")
		}
		if smallest != 0 && (smallest < 2 || smallest > 65536) {
			add("minPortsPerVm: must be 2 to 65536, got %v", smallest)
		}
		return problems
	}
	if smallest != 0 && (!power(smallest) || smallest < 32) {
		add("minPortsPerVm: must be a power of two, at least 32, with dynamic port allocation, got %v", smallest)
	}
	if largest != 0 && (!power(largest) || largest > 65536 || largest <= smallest) {
		add("maxPortsPerVm: must be a power of two above minPortsPerVm and at most 65536, got %v", largest)
	}
	return problems
}

func addressesLegal(in props) []string {
	var problems []string
	for _, property := range []string{"natIps", "drainNatIps"} {
		if engine.Text(in, "natIpAllocateOption") != "MANUAL_ONLY" && len(engine.Values(in, property+"[*]")) > 0 {
			problems = append(problems, property+": can only be given with natIpAllocateOption MANUAL_ONLY")
		}
	}
	return problems
}

func rulesLegal(in props) []string {
	var problems []string
	rules := engine.Blocks(in, "rules")
	if len(rules) > 0 && engine.Flag(in, "enableEndpointIndependentMapping") {
		problems = append(problems, "rules: cannot be used with enableEndpointIndependentMapping")
	}
	numbers := map[float64]bool{}
	for _, rule := range rules {
		number := engine.Number(rule, "ruleNumber", -1)
		if number < 0 || number > 65000 || numbers[number] {
			problems = append(problems, fmt.Sprintf("rules: ruleNumber must be unique and 0 to 65000, got %v", number))
		}
		numbers[number] = true
	}
	return problems
}

func subnetworksLegal(in props) []string {
	count := len(engine.Blocks(in, "subnetworks"))
	if (engine.Text(in, "sourceSubnetworkIpRangesToNat") == "LIST_OF_SUBNETWORKS") != (count > 0) {
		return []string{"subnetworks: must be given if and only if sourceSubnetworkIpRangesToNat is LIST_OF_SUBNETWORKS"}
	}
	if count > 50 {
		return []string{fmt.Sprintf("subnetworks: at most 50, got %d", count)}
	}
	return nil
}

func power(n float64) bool {
	whole := int(n)
	return float64(whole) == n && whole > 0 && whole&(whole-1) == 0
}

// maxNatIPs per gateway. Cloud NAT quotas page, 2026-07.
const maxNatIPs = 300

// natAddresses checks that every address serves this gateway only.
func natAddresses(tx *tx, o, _ *object) error {
	var ids []string
	for _, path := range []string{"natIps[*]", "drainNatIps[*]", "rules[*].action.sourceNatActiveIps[*]", "rules[*].action.sourceNatDrainIps[*]"} {
		ids = append(ids, engine.Values(o.Props, path)...)
	}
	if len(ids) > maxNatIPs {
		return fmt.Errorf("googleapi: Error 400: at most %d NAT IPs, got %d, invalid", maxNatIPs, len(ids))
	}
	seen := map[string]bool{}
	for _, value := range ids {
		address := tx.Target("", value, addressKind)
		if address == nil {
			continue
		}
		if seen[address.ID] {
			return fmt.Errorf("googleapi: Error 400: NAT IP '%s' is given twice, invalid", address.ID)
		}
		seen[address.ID] = true
		if address.String("addressType") == "INTERNAL" {
			return fmt.Errorf("googleapi: Error 400: NAT IP '%s' must be external, invalid", address.ID)
		}
		if user := holder(tx.State, address); user != nil && user.ID != o.ID {
			return tx.Package.InUse(address, user)
		}
	}
	if o.String("natIpAllocateOption") == "MANUAL_ONLY" && len(engine.Values(o.Props, "natIps[*]")) == 0 {
		return fmt.Errorf("googleapi: Error 400: Invalid value for field 'natIps': at least one is needed with MANUAL_ONLY, invalid")
	}
	return nil
}

// natSubnetworks refuses a range that another gateway translates already.
func natSubnetworks(tx *tx, o, _ *object) error {
	covered := func(nat *object) (all bool, names []string) {
		return nat.String("sourceSubnetworkIpRangesToNat") != "LIST_OF_SUBNETWORKS", engine.Values(nat.Props, "subnetworks[*].name")
	}
	router := tx.Target("", o.String("router"), routerKind)
	all, names := covered(o)
	for _, other := range tx.All(natKind) {
		home := tx.Target("", other.String("router"), routerKind)
		if other.ID == o.ID || home.String("network") != router.String("network") || other.String("region") != region(tx, o.Props) {
			continue
		}
		otherAll, otherNames := covered(other)
		shared := slices.ContainsFunc(names, func(name string) bool {
			mine := tx.Target("", name, subnetworkKind)
			return slices.ContainsFunc(otherNames, func(theirs string) bool { return mine != nil && same(mine, "", theirs) })
		})
		if all || otherAll || shared {
			return fmt.Errorf("googleapi: Error 400: subnetwork ranges of '%s' are already translated by '%s', invalid", o.ID, other.ID)
		}
	}
	return nil
}

// natDrain: only an address that the gateway has can be drained.
func natDrain(tx *tx, o, old *object) error {
	for _, value := range engine.Values(o.Props, "drainNatIps[*]") {
		address := tx.Target("", value, addressKind)
		if address == nil {
			continue
		}
		if old == nil || !owns(old, address) {
			return fmt.Errorf("googleapi: Error 400: drainNatIps: '%s' is not a NAT IP of this gateway, invalid", address.ID)
		}
	}
	return nil
}

// natCuts says which connections an update cuts: those over an address that leaves without having been drained, and all when
// ports are taken away or their allocation changes. Cloud NAT troubleshooting page, 2026-04-08.
func natCuts(o, old *object) []string {
	var cuts []string
	now := append(engine.Values(o.Props, "natIps[*]"), engine.Values(o.Props, "drainNatIps[*]")...)
	for _, value := range engine.Values(old.Props, "natIps[*]") {
		if !slices.Contains(now, value) {
			cuts = append(cuts, fmt.Sprintf("%s: connections over %s, which was not drained", o.ID, value))
		}
	}
	if before, after := engine.Number(old.Props, "minPortsPerVm", 64), engine.Number(o.Props, "minPortsPerVm", 64); after < before {
		cuts = append(cuts, fmt.Sprintf("%s: minPortsPerVm lowered from %v to %v", o.ID, before, after))
	}
	if engine.Flag(o.Props, "enableDynamicPortAllocation") != engine.Flag(old.Props, "enableDynamicPortAllocation") {
		cuts = append(cuts, o.ID+": dynamic port allocation toggled")
	}
	return cuts
}
