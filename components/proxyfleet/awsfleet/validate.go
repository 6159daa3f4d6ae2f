package awsfleet

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"

	"github.com/sallyport/sallyport/components/proxyfleet/awshost"
	"github.com/sallyport/sallyport/internal/problem"
)

var (
	slotRule  = regexp.MustCompile(`^proxy-([a-z0-9][a-z0-9-]*)-([1-9][0-9]*)$`)
	stackRule = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$`)
	amiRule   = regexp.MustCompile(`^ami-[0-9a-f]{8,17}$`)
	typeRule  = regexp.MustCompile(`^[a-z0-9-]+\.[a-z0-9-]+$`)
	armRule   = regexp.MustCompile(`^(a1|[a-z]+[0-9]+[a-z]*g[a-z]*)\.`)
)

// retentions are the numbers of days that CloudWatch keeps logs for. CloudWatch Logs API, PutRetentionPolicy, 2026.
var retentions = []int{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}

// withDefaults returns a copy that is complete and shares nothing with args.
func (args *InterfacesArgs) withDefaults() InterfacesArgs {
	out := *args
	out.Zones, out.Slots = slices.Clone(args.Zones), slices.Clone(args.Slots)
	out.Access.ClientSecurityGroups, out.Tags = maps.Clone(args.Access.ClientSecurityGroups), maps.Clone(args.Tags)
	return out
}

// validate reports every problem at once.
func (args *InterfacesArgs) validate(name string) error {
	var problems problem.List
	place := func(field string) string { return fmt.Sprintf("interfaces %q: %s", name, field) }
	if !stackRule.MatchString(args.Stack) {
		problems.Add(place("stack"), "must be letters, digits and . _ -, at most 100", args.Stack, "")
	}
	if args.VPCID == nil {
		problems.Add(place("vpcId"), "must be given", nil, "")
	}
	zones := map[string]bool{}
	for _, z := range args.Zones {
		if z.Name == "" || zones[z.Name] || z.SubnetID == nil {
			problems.Add(place("zones"), "must have unique names and a subnet each", z.Name, "")
		}
		zones[z.Name] = true
	}
	seen := map[string]bool{}
	for _, s := range args.Slots {
		s.validate(place("slots: "+s.Slot), zones, seen, &problems)
		seen[s.Slot] = true
	}
	args.Access.validate(place, &problems)
	return problems.Err()
}

func (s SlotInterface) validate(place string, zones, seen map[string]bool, problems *problem.List) {
	if parts := slotRule.FindStringSubmatch(s.Slot); parts == nil || parts[1] != s.Zone || seen[s.Slot] {
		problems.Add(place, "must be proxy-<zone>-<number> of its zone, and unique", s.Slot, "")
	}
	if !zones[s.Zone] {
		problems.Add(place+": zone", "must be one of the zones", s.Zone, "")
	}
	if n := len(s.AllocationIDs); n < 1 || n > MaxIPsPerSlot || slices.Contains(s.AllocationIDs, nil) {
		problems.Add(place+": allocationIds", fmt.Sprintf("must be 1 to %d", MaxIPsPerSlot), n, "")
	}
	if n := len(s.PrivateIPs); n > 0 && n != len(s.AllocationIDs) {
		problems.Add(place+": privateIps", fmt.Sprintf("must be as many as public IPs, %d", len(s.AllocationIDs)), n, "")
	}
	for _, ip := range s.PrivateIPs {
		if parsed, err := netip.ParseAddr(ip); err != nil || !parsed.Is4() {
			problems.Add(place+": privateIps", "must be IPv4 addresses", ip, "")
		}
	}
}

func (a Access) validate(place func(string) string, problems *problem.List) {
	a.validateClients(place, problems)
	if len(a.ListenPorts) == 0 || len(a.DestinationPorts) == 0 {
		problems.Add(place("ports"), "needs ports to listen on and ports of destinations", nil, "")
	}
	for _, port := range slices.Concat(a.ListenPorts, a.DestinationPorts) {
		if port < 1 || port > 65535 {
			problems.Add(place("ports"), "must be 1 to 65535", port, "")
		}
	}
	for direction, rules := range map[string][]rule{"ingress": a.ingress(), "egress": a.egress()} {
		if len(rules) > maxRules {
			problems.Add(place("access: "+direction), fmt.Sprintf("must not need more than %d rules", maxRules), len(rules),
				"name fewer, wider client networks, or one security group")
		}
	}
	for _, server := range a.DNSServers {
		if ip, err := netip.ParseAddr(server); err != nil || !ip.Is4() {
			problems.Add(place("dnsServers"), "must be IPv4 addresses", server, "")
		}
	}
}

// validateClients checks who may use the proxies. A proxy that the world may use is an open relay: whoever finds it leaves by our
// addresses.
func (a Access) validateClients(place func(string) string, problems *problem.List) {
	if len(a.ClientCIDRs)+len(a.ClientSecurityGroups) == 0 {
		problems.Add(place("clients"), "needs the cluster's networks or security groups", nil, "")
	}
	for _, cidr := range a.ClientCIDRs {
		if p, err := netip.ParsePrefix(cidr); err != nil || !p.Addr().Is4() || p != p.Masked() || p.Bits() < 8 {
			problems.Add(place("clients"), "must be IPv4 networks of at most a /8", cidr, "name the cluster's own networks")
		}
	}
}

// withDefaults returns a copy that is complete.
func (args *FleetArgs) withDefaults() FleetArgs {
	out := *args
	out.Slots, out.Tags = slices.Clone(args.Slots), maps.Clone(args.Tags)
	if out.Rollout == "" {
		out.Rollout = RolloutOneByOne
	}
	if out.LogRetentionDays == 0 {
		out.LogRetentionDays = 30
	}
	m, p := &out.Machine, &out.Proxy
	if m.Architecture == "" {
		m.Architecture = ArchitectureX86
		if armRule.MatchString(m.InstanceType) {
			m.Architecture = ArchitectureARM64
		}
	}
	if m.VolumeGiB == 0 {
		m.VolumeGiB = minVolumeGiB
	}
	if p.ReadySeconds == 0 {
		p.ReadySeconds = 180
	}
	if p.Threads == 0 {
		p.Threads = 1
	}
	if len(p.DNSServers) == 0 {
		p.DNSServers = []string{awshost.ResolverAddress}
	}
	if args.Autoscaling != nil {
		scaling := args.Autoscaling.withDefaults()
		out.Autoscaling = &scaling
	}
	return out
}

// validate reports every problem at once.
func (args *FleetArgs) validate(name string) error {
	var problems problem.List
	place := func(field string) string { return fmt.Sprintf("fleet %q: %s", name, field) }
	need := func(ok bool, field, rule string, value any) {
		if !ok {
			problems.Add(place(field), rule, value, "")
		}
	}
	need(stackRule.MatchString(args.Stack), "stack", "must be letters, digits and . _ -, at most 100", args.Stack)
	need(args.Region != "", "region", "must be given", args.Region)
	need(args.Interfaces != nil, "interfaces", "must be given", nil)
	need(slices.Contains(retentions, args.LogRetentionDays), "logRetentionDays", "must be one of CloudWatch's values", args.LogRetentionDays)
	need(args.Rollout == RolloutOneByOne || args.Rollout == RolloutTogether, "rollout", "must be one-by-one or together", string(args.Rollout))
	need(args.Permissions.BucketARN != nil && args.Permissions.ObjectKey != "", "permissions", "must name the routes document", args.Permissions.ObjectKey)
	m, p := args.Machine, args.Proxy
	need(typeRule.MatchString(m.InstanceType), "instanceType", "must be <family>.<size>", m.InstanceType)
	need(m.Architecture == ArchitectureARM64 || m.Architecture == ArchitectureX86, "architecture", "must be arm64 or x86_64", string(m.Architecture))
	need(m.AMI == "" || amiRule.MatchString(m.AMI), "ami", "must be ami-...", m.AMI)
	need(m.VolumeGiB >= minVolumeGiB && m.VolumeGiB <= 16384, "volumeGiB", fmt.Sprintf("must be %d to 16384", minVolumeGiB), m.VolumeGiB)
	need(p.Image != nil && p.RoutesURL != nil, "proxy", "needs an image and the routes document's URL", nil)
	need(p.DrainSeconds >= 1 && p.DrainSeconds <= 3600, "drainSeconds", "must be 1 to 3,600", p.DrainSeconds)
	need(p.ReadySeconds >= awshost.MinReadySeconds && p.ReadySeconds <= awshost.MaxReadySeconds, "readySeconds",
		fmt.Sprintf("must be %d to %d", awshost.MinReadySeconds, awshost.MaxReadySeconds), p.ReadySeconds)
	args.validateSlots(place, &problems)
	if args.Autoscaling != nil {
		args.Autoscaling.validate(place, &problems)
	}
	return problems.Err()
}

func (args *FleetArgs) validateSlots(place func(string) string, problems *problem.List) {
	seen, elastic := map[string]bool{}, false
	for _, s := range args.Slots {
		parts := slotRule.FindStringSubmatch(s.Name)
		if parts == nil || parts[1] != s.Zone || parts[2] != fmt.Sprint(s.Number) || seen[s.Name] {
			problems.Add(place("slots"), "must be proxy-<zone>-<number> of its zone and number, and unique", s.Name, "")
		}
		seen[s.Name] = true
		switch s.Mode {
		case ModeActive, ModeReserved:
		case ModeElastic:
			elastic = true
			if s.Number < 2 {
				problems.Add(place("slots: "+s.Name), "must not be elastic: a zone's first proxy is what the load is measured on", s.Number, "")
			}
		default:
			problems.Add(place("slots: "+s.Name+": mode"), "must be active, elastic or reserved", string(s.Mode), "")
		}
	}
	if elastic != (args.Autoscaling != nil) {
		problems.Add(place("autoscaling"), "must be given if and only if a slot is elastic", nil, "")
	}
}
