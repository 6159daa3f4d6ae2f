package cloudnat

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/capacity"
	"github.com/sallyport/sallyport/internal/problem"
)

// validate reports all problems at once: what is missing, and every documented rule of Cloud NAT that the settings break.
func (args *Args) validate(component string) error {
	var list problem.List
	place := "cloud nat " + component + ": "
	for _, field := range []struct{ name, value string }{{"stack", args.Stack}, {"project", args.Project}, {"region", args.Region}} {
		if field.value == "" {
			list.Add(place+field.name, "is required", nil, "")
		}
	}
	if args.Network == nil {
		list.Add(place+"network", "is required", nil, "give the network's self link")
	}
	if args.Log != logErrors && args.Log != logTranslations && args.Log != logAll {
		list.Add(place+"log", "must be ERRORS_ONLY, TRANSLATIONS_ONLY or ALL", args.Log, "leave it out for ERRORS_ONLY")
	}
	args.validateTimeouts(place, &list)
	if n := len(args.Gateways); n == 0 || n > MaxGateways {
		list.Addf(place+"gateways", n, "use more stacks or regions", "must be 1 to %d on one router", MaxGateways)
	}
	seen, ranges := map[string]bool{}, map[string]string{}
	for _, g := range args.Gateways {
		at := place + "gateway " + g.Name
		if g.Name == "" || seen[g.Name] {
			list.Add(at, "must have a unique name", g.Name, "rename it")
		}
		seen[g.Name] = true
		if len(g.Subnetworks) == 0 {
			list.Add(at+".subnetworks", "needs at least 1", 0, "a gateway serves the subnetworks that it lists")
		}
		for _, r := range g.ranges() {
			if owner := ranges[r]; owner != "" {
				list.Addf(at+".subnetworks", r, "keep it on one", "must not be on two gateways, and %s has it", owner)
			}
			ranges[r] = g.Name
		}
		args.settings(g).Validate(at, &list)
	}
	return list.Err()
}

func (args *Args) validateTimeouts(place string, list *problem.List) {
	for _, t := range []struct {
		name  string
		value int
	}{
		{"tcpEstablished", args.Timeouts.TCPEstablished}, {"tcpTransitory", args.Timeouts.TCPTransitory}, {"tcpTimeWait", args.Timeouts.TCPTimeWait},
		{"udp", args.Timeouts.UDP}, {"icmp", args.Timeouts.ICMP},
	} {
		if t.value < 1 {
			list.Add(place+"timeouts."+t.name, "must be at least 1 s", t.value, "write it out")
		}
	}
}

// settings are what the documented rules look at.
func (args *Args) settings(g Gateway) capacity.CloudNatSettings {
	s := capacity.CloudNatSettings{
		Dynamic: args.Ports.Dynamic, MinPorts: args.Ports.PerVM, MaxPorts: args.Ports.Max, Manual: true,
		ActiveIPs: ipNames(g.IPs), DrainIPs: ipNames(g.Draining), Ranges: len(g.ranges()),
	}
	for _, subnetwork := range g.Subnetworks {
		s.AliasRanges = s.AliasRanges || len(subnetwork.Ranges) > 0
	}
	for _, r := range g.Rules {
		s.Rules = append(s.Rules, capacity.CloudNatRule{
			Number: r.Number, Destinations: r.Destinations, ActiveIPs: ipNames(r.IPs), DrainIPs: ipNames(r.Draining),
		})
	}
	return s
}

func ipNames(ips []IP) []string {
	names := make([]string, len(ips))
	for i, ip := range ips {
		names[i] = ip.Name
	}
	return names
}

// ranges names what the gateway translates: "nodes" for a primary range, "nodes/pods" for a secondary one.
func (g Gateway) ranges() []string {
	var all []string
	for _, s := range g.Subnetworks {
		if s.Primary {
			all = append(all, s.Name)
		}
		for _, r := range s.Ranges {
			all = append(all, s.Name+"/"+r)
		}
	}
	return all
}

// inputs is what the component records for policies.
func (args *Args) inputs() pulumi.Map {
	gateways := pulumi.Array{}
	for _, g := range args.Gateways {
		ruleIPs := 0
		for _, r := range g.Rules {
			ruleIPs += len(r.IPs)
		}
		gateways = append(gateways, pulumi.Map{
			"name": pulumi.String(g.Name), "ips": pulumi.Int(len(g.IPs)), "draining": pulumi.Int(len(g.Draining)),
			"rules": pulumi.Int(len(g.Rules)), "ruleIps": pulumi.Int(ruleIPs), "ranges": pulumi.ToStringArray(g.ranges()),
		})
	}
	loads := pulumi.Float64Map{}
	for name, load := range args.Demand.Destinations {
		loads[name] = pulumi.Float64(load)
	}
	return pulumi.Map{
		"portsPerVm": pulumi.Int(args.Ports.PerVM), "dynamic": pulumi.Bool(args.Ports.Dynamic), "maxPortsPerVm": pulumi.Int(args.Ports.Max),
		"timeWaitSeconds": pulumi.Int(args.Timeouts.TCPTimeWait), "log": pulumi.String(args.Log), "gateways": gateways,
		"demand": pulumi.Map{
			"maxVms": pulumi.Int(args.Demand.MaxVMs), "requiredPortsPerVm": pulumi.Int(args.Demand.RequiredPortsPerVM),
			"deciding": pulumi.String(args.Demand.Deciding), "loads": loads,
		},
	}
}
