package gcpfleet

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"

	"github.com/sallyport/sallyport/components/proxyfleet"
	"github.com/sallyport/sallyport/components/proxyfleet/gcphost"
	"github.com/sallyport/sallyport/internal/problem"
)

// Bounds of what one may say.
const (
	minReadySeconds, maxReadySeconds = 120, 3600 // pulumi-gcp v7.38.0, autoHealingPolicies.initialDelaySec: at most 3,600
	defaultDiskGiB, minDiskGiB       = 20, 10    // Container-Optimized OS has 10
)

// slotRule is a slot's name: its zone and its number.
var slotRule = regexp.MustCompile(`^proxy-([a-z][a-z0-9-]*)-([1-9][0-9]*)$`)

// withDefaults returns a copy that is complete.
func (args *FleetArgs) withDefaults() FleetArgs {
	out := *args
	out.Slots, out.Labels = slices.Clone(args.Slots), maps.Clone(args.Labels)
	if out.Rollout == "" {
		out.Rollout = RolloutOneByOne
	}
	if out.Network.Tier == "" {
		out.Network.Tier = "PREMIUM"
	}
	if out.Network.Project == "" {
		out.Network.Project = out.Project
	}
	if out.Machine.DiskGiB == 0 {
		out.Machine.DiskGiB = defaultDiskGiB
	}
	p := &out.Proxy
	if p.ReadySeconds == 0 {
		p.ReadySeconds = 300
	}
	if p.Threads == 0 {
		p.Threads = 1
	}
	if len(p.DNSServers) == 0 {
		p.DNSServers = slices.Clone(gcphost.PublicResolvers)
	}
	return out
}

// validate reports every problem at once.
func (args *FleetArgs) validate(name string) error {
	var list problem.List
	place := func(field string) string { return fmt.Sprintf("fleet %q: %s", name, field) }
	need := func(ok bool, field, rule string, value any) {
		if !ok {
			list.Add(place(field), rule, value, "")
		}
	}
	need(args.Stack != "" && args.Project != "" && args.Region != "", "stack, project, region", "must be given", args.Stack+" "+args.Project+" "+args.Region)
	n, m, p := args.Network, args.Machine, args.Proxy
	need(n.SelfLink != nil && n.Subnetwork != nil, "network", "must be given with its subnetwork", nil)
	need(n.Tier == "PREMIUM" || n.Tier == "STANDARD", "network: tier", "must be PREMIUM or STANDARD", n.Tier)
	need(machineRule.MatchString(m.Type), "machine: type", "must be a machine type", m.Type)
	need(m.DiskGiB >= minDiskGiB, "machine: diskGiB", fmt.Sprintf("must be at least %d", minDiskGiB), m.DiskGiB)
	need(proxyfleet.ValidImage(p.Image), "proxy: image", "must be <repository>@sha256:<64 hex digits>", p.Image)
	need(p.RoutesURL != nil, "proxy: routesURL", "must be given", nil)
	need(p.DrainSeconds >= 1 && p.DrainSeconds <= gcphost.MaxDrainSeconds, "proxy: drainSeconds", fmt.Sprintf("must be 1 to %d", gcphost.MaxDrainSeconds), p.DrainSeconds)
	need(p.ReadySeconds >= minReadySeconds && p.ReadySeconds <= maxReadySeconds, "proxy: readySeconds", fmt.Sprintf("must be %d to %d", minReadySeconds, maxReadySeconds), p.ReadySeconds)
	need(args.Permissions.Bucket != nil && args.Permissions.Object != "", "permissions", "must name the routes document", args.Permissions.Object)
	need(args.Rollout == RolloutOneByOne || args.Rollout == RolloutByHand, "rollout", "must be one-by-one or by-hand", string(args.Rollout))
	for _, server := range p.DNSServers {
		at, err := resolverOf(server)
		need(err == nil, "proxy: dnsServers", "must be IPv4 addresses, with a port or without", server)
		if err == nil && at.Addr().String() == gcphost.Metadata {
			list.Add(place("proxy: dnsServers"), "must not be the VPC's own resolver, which may answer with the proxies themselves", server, "name public resolvers")
		}
	}
	args.validateAccess(place, &list)
	args.validateSlots(place, &list)
	return list.Err()
}

// validateAccess checks who may use the proxies. A proxy that the world may use is an open relay: whoever finds it leaves by our
// addresses.
func (args *FleetArgs) validateAccess(place func(string) string, list *problem.List) {
	a := args.Access
	if len(a.Clients) == 0 {
		list.Add(place("access: clients"), "needs the cluster's networks", nil, "")
	}
	for _, client := range a.Clients {
		if !client.IsValid() || !client.Addr().Is4() || client != client.Masked() || client.Bits() < 8 {
			list.Add(place("access: clients"), "must be IPv4 networks of at most a /8", client.String(), "name the cluster's own networks")
		}
	}
	if len(a.ListenPorts) == 0 || len(a.DestinationPorts) == 0 {
		list.Add(place("access: ports"), "needs ports to listen on and ports of destinations", nil, "")
	}
	for _, port := range slices.Concat(a.ListenPorts, a.DestinationPorts) {
		if port < 1 || port > 65535 || port == proxyfleet.HealthPort {
			list.Addf(place("access: ports"), port, "", "must be 1 to 65535 and not %d", proxyfleet.HealthPort)
		}
	}
}

func (args *FleetArgs) validateSlots(place func(string) string, list *problem.List) {
	seen := map[string]bool{}
	for _, s := range args.Slots {
		if parts := slotRule.FindStringSubmatch(s.Name); parts == nil || parts[1] != s.Zone || seen[s.Name] {
			list.Add(place("slots"), "must be proxy-<zone>-<number> of its zone, and unique", s.Name, "")
		}
		seen[s.Name] = true
		if s.Mode != ModeActive && s.Mode != ModeReserved {
			list.Add(place("slots: "+s.Name+": mode"), "must be active or reserved", string(s.Mode), "")
		}
		if s.Mode == ModeActive && s.PublicIP == nil {
			list.Add(place("slots: "+s.Name+": publicIP"), "must be given for a slot with a machine", nil, "")
		}
	}
}

// resolverOf reads ip or ip:port, port 53 by default. IPv4 only.
func resolverOf(text string) (netip.AddrPort, error) {
	ip, err := netip.ParseAddr(text)
	at := netip.AddrPortFrom(ip, 53)
	if err != nil {
		at, err = netip.ParseAddrPort(text)
	}
	if err == nil && (!at.Addr().Is4() || at.Port() == 0) {
		err = fmt.Errorf("%q is not IPv4", text)
	}
	return at, err
}
