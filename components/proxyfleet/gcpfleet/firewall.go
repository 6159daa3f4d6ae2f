package gcpfleet

import (
	"slices"
	"strconv"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/compute"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/proxyfleet"
	"github.com/sallyport/sallyport/internal/gcpname"
)

// healthRanges are where Google's health checks come from, for repair and for the internal passthrough load balancer.
// Cloud Load Balancing, "Health checks overview", probe IP ranges, 2026.
var healthRanges = []string{"35.191.0.0/16", "130.211.0.0/22"}

// private are the networks that no proxy opens a connection to, behind the agent, HAProxy and the machine's own guard. What answers a
// client is let through: the firewall keeps state.
var private = []string{"10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16"}

// anywhere is the internet.
const anywhere = "0.0.0.0/0"

// The order in which rules are asked, lower first. A network's own rules, such as the default network's for SSH, have 65534 or, as a
// rule of thumb, 1000; what we refuse, we refuse before these unless ours let it pass.
const (
	priorityDNS, priorityPrivate, priorityAllow, priorityDeny = 800, 850, 900, 950
)

// rule is one rule of the firewall for the machines.
type rule struct {
	key, why string
	out      bool
	ranges   []string
	priority int
	tcp, udp []int // what is let through; nothing: everything is refused
	log      bool
}

// rules are all that concern the machines.
func (args *FleetArgs) rules() []rule {
	var clients, servers []string
	for _, client := range args.Access.Clients {
		clients = append(clients, client.String())
	}
	dns := map[int][]string{}
	for _, server := range args.Proxy.DNSServers {
		if at, err := resolverOf(server); err == nil { // validate has looked
			dns[int(at.Port())] = append(dns[int(at.Port())], at.Addr().String()+"/32")
		}
	}
	health := []int{proxyfleet.HealthPort}
	rules := []rule{
		{key: "in-clients", why: "clients, who also ask whether a proxy is ready", ranges: clients, priority: priorityAllow, tcp: ports(args.Access.ListenPorts, health)},
		{key: "in-health", why: "Google's health checks", ranges: healthRanges, priority: priorityAllow, tcp: health},
		{key: "in-deny", why: "nobody else, and no SSH, whatever other rules say", ranges: []string{anywhere}, priority: priorityDeny},
		{key: "out-private", why: "no proxy connects into private networks", out: true, ranges: private, priority: priorityPrivate, log: true},
		{key: "out-destinations", why: "destinations; 443 also for Google: routes document, image, log", out: true, ranges: []string{anywhere}, priority: priorityAllow,
			tcp: ports(args.Access.DestinationPorts, []int{443})},
		{key: "out-deny", why: "nothing else leaves", out: true, ranges: []string{anywhere}, priority: priorityDeny, log: true},
	}
	for port, ranges := range dns {
		servers = slices.Sorted(slices.Values(ranges))
		rules = append(rules, rule{key: "out-dns-" + strconv.Itoa(port), why: "DNS servers", out: true, ranges: servers, priority: priorityDNS, tcp: []int{port}, udp: []int{port}})
	}
	return rules
}

// createFirewall makes the rules. They are for whoever has the machines' service account: a label or tag could be put on others.
func (args *FleetArgs) createFirewall(ctx *pulumi.Context, f *Fleet, who identity) error {
	for _, r := range args.rules() {
		in := &compute.FirewallArgs{
			Name: pulumi.String(gcpname.Of(args.Stack, "proxy", r.key)), Project: pulumi.String(args.Network.Project), Network: args.Network.SelfLink,
			Description: pulumi.String("Egress proxies of stack " + args.Stack + ": " + r.why), Priority: pulumi.Int(r.priority),
			TargetServiceAccounts: pulumi.StringArray{who.account.Email},
		}
		in.Direction, in.SourceRanges = pulumi.String("INGRESS"), pulumi.ToStringArray(r.ranges)
		if r.out {
			in.Direction, in.SourceRanges, in.DestinationRanges = pulumi.String("EGRESS"), nil, pulumi.ToStringArray(r.ranges)
		}
		if len(r.tcp)+len(r.udp) == 0 {
			in.Denies = compute.FirewallDenyArray{&compute.FirewallDenyArgs{Protocol: pulumi.String("all")}}
		} else {
			in.Allows = allows(r)
		}
		if r.log {
			in.LogConfig = &compute.FirewallLogConfigArgs{Metadata: pulumi.String("EXCLUDE_ALL_METADATA")}
		}
		if _, err := compute.NewFirewall(ctx, "proxyfleet-firewall-"+r.key, in, pulumi.Parent(f)); err != nil {
			return err
		}
	}
	return nil
}

func allows(r rule) compute.FirewallAllowArray {
	var all compute.FirewallAllowArray
	for _, p := range []struct {
		protocol string
		ports    []int
	}{{"tcp", r.tcp}, {"udp", r.udp}} {
		if len(p.ports) > 0 {
			all = append(all, &compute.FirewallAllowArgs{Protocol: pulumi.String(p.protocol), Ports: texts(p.ports)})
		}
	}
	return all
}

// ports joins, sorts and removes what is there twice.
func ports(lists ...[]int) []int {
	all := slices.Concat(lists...)
	slices.Sort(all)
	return slices.Compact(all)
}

func texts(ports []int) pulumi.StringArray {
	var out pulumi.StringArray
	for _, port := range ports {
		out = append(out, pulumi.String(strconv.Itoa(port)))
	}
	return out
}
