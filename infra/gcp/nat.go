package gcp

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/components/capacity"
	"github.com/sallyport/sallyport/components/cloudnat"
	"github.com/sallyport/sallyport/components/externaladdress"
	"github.com/sallyport/sallyport/components/stack"
	"github.com/sallyport/sallyport/infra/topology"
	"github.com/sallyport/sallyport/internal/clock"
	"github.com/sallyport/sallyport/internal/problem"
)

// natPlace is where the settings of the NAT are written.
const natPlace = "sallyport:gcp.nat"

// checkNames looks at what the stack file says about addresses by name: only the plan knows which there are. The error joins
// every problem.
func (d *deployment) checkNames() error {
	var list problem.List
	var names []string
	for _, a := range d.life.Addresses() {
		names = append(names, a.Name)
	}
	for key, given := range map[string][]string{
		"existing": slices.Sorted(maps.Keys(d.section.Addresses.Existing)), "fixed": slices.Sorted(maps.Keys(d.section.Addresses.Fixed)),
	} {
		for _, name := range given {
			if !slices.Contains(names, name) {
				list.Add(problem.Child("sallyport:gcp.addresses."+key, name), "must be an address of the plan", name, problem.Suggestion(name, names))
			}
		}
	}
	return list.Err()
}

// createAddresses allocates every public IP before anything uses one: also those that wait, are headroom, or are on their way out.
func (d *deployment) createAddresses() error {
	section := d.section.Addresses
	tiers := map[stack.NetworkTier]externaladdress.Tier{stack.TierPremium: externaladdress.TierPremium, stack.TierStandard: externaladdress.TierStandard}
	for _, kind := range []allowlist.Kind{allowlist.KindNat, allowlist.KindProxy} {
		args := &externaladdress.AddressesArgs{
			Stack: d.ctx.Stack(), Project: d.projectOf(kind), Region: d.section.Region, Kind: string(kind), Tier: tiers[section.Tier],
			Keep: *d.settings.Allowlist.Protect,
		}
		for _, life := range d.life.Addresses() {
			if life.Kind == kind {
				args.Addresses = append(args.Addresses, externaladdress.Address{
					Name: life.Name, Existing: section.Existing[life.Name], IP: d.memory.picked[life.Name],
					Released: life.Release, Labels: allowlist.Labels(d.ctx.Stack(), life),
				})
			}
		}
		if len(args.Addresses) == 0 {
			continue
		}
		made, err := externaladdress.NewAddresses(d.ctx, string(kind), args, d.provider)
		if err != nil {
			return err
		}
		for _, address := range args.Addresses {
			if d.addresses[address.Name], err = made.Get(address.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// projectOf is where the public IPs of a kind are: a router and its IPs belong to the network's project, which is the host project
// of a Shared VPC; machines and theirs to the stack's.
func (d *deployment) projectOf(kind allowlist.Kind) string {
	if kind == allowlist.KindNat {
		return d.networkProject()
	}
	return d.section.Project
}

// wanted are the gateways as the stack file, the plan and the lives of the IPs have them, without links to addresses: what can be
// decided before anything exists.
func (d *deployment) wanted() []cloudnat.Gateway {
	var gateways []cloudnat.Gateway
	for _, planned := range d.plan.Gateways {
		g := cloudnat.Gateway{Name: planned.Name, Subnetworks: d.behind(planned.Name)}
		g.IPs, g.Draining = d.ipsOf(planned.Name, "")
		for _, r := range d.section.Nat.Rules {
			rule := cloudnat.Rule{Name: r.Name, Number: r.Number, Destinations: r.CIDRs}
			rule.IPs, rule.Draining = d.ipsOf(planned.Name, r.Name)
			if len(rule.IPs) > 0 { // one whose IPs wait for its partner is not there yet
				g.Rules = append(g.Rules, rule)
			}
		}
		if len(g.IPs) > 0 {
			gateways = append(gateways, g)
		}
	}
	return gateways
}

// behind are the subnetworks that leave through a gateway.
func (d *deployment) behind(gateway string) []cloudnat.Subnetwork {
	var all []cloudnat.Subnetwork
	for _, s := range d.settings.GCPSubnetworks() {
		if s.Gateway == gateway {
			all = append(all, cloudnat.Subnetwork{Name: s.Name, Primary: s.Primary, Ranges: s.SecondaryRanges})
		}
	}
	return all
}

// ipsOf are the addresses that serve a gateway or one of its rules, and those that drain.
func (d *deployment) ipsOf(gateway, rule string) (active, draining []cloudnat.IP) {
	for _, place := range d.natPlaces {
		if place.Gateway == gateway && place.Rule == rule && d.life.Usable(place.Name) {
			active = append(active, cloudnat.IP{Name: d.life.Of(place.Name).Name})
		}
	}
	for _, life := range d.life.Draining(allowlist.KindNat) {
		if place, ok := topology.NatPlaceOf(d.settings, life); ok && place.Gateway == gateway && place.Rule == rule {
			draining = append(draining, cloudnat.IP{Name: life.Name})
		}
	}
	return active, draining
}

// natArgs are the arguments of the NAT without links.
func (d *deployment) natArgs() *cloudnat.Args {
	n := d.section.Nat
	args := &cloudnat.Args{
		Stack: d.ctx.Stack(), Project: d.networkProject(), Region: d.section.Region, Ports: cloudnat.Ports{PerVM: d.plan.Nat.PortsPerVM},
		Timeouts: cloudnat.Timeouts{
			TCPEstablished: n.EstablishedIdleSeconds, TCPTransitory: n.TransitoryIdleSeconds, TCPTimeWait: d.settings.Nat.TimeWaitSeconds,
			UDP: n.UDPIdleSeconds, ICMP: n.ICMPIdleSeconds,
		},
		Log: map[stack.NatLog]string{
			stack.NatLogErrors: "ERRORS_ONLY", stack.NatLogTranslations: "TRANSLATIONS_ONLY", stack.NatLogAll: "ALL",
		}[n.Log],
		Gateways: d.wanted(),
		Demand: cloudnat.Demand{
			MaxVMs: d.settings.Cluster.MaxNodes + *d.settings.Cluster.SurgeNodes, RequiredPortsPerVM: d.plan.Nat.RequiredPortsPerVM,
			Deciding: d.plan.Nat.Deciding, Destinations: map[string]float64{},
		},
	}
	if p := n.DynamicPorts; p != nil {
		args.Ports = cloudnat.Ports{PerVM: p.Min, Dynamic: true, Max: p.Max}
	}
	for _, m := range d.plan.Margins {
		if m.Via == capacity.ViaNat {
			args.Demand.Destinations[m.Destination] = m.Load
		}
	}
	return args
}

// decideNat compares the gateways with what they were, and refuses what would cut connections, before anything is asked of the
// cloud. What it decides is exported for the next update.
func (d *deployment) decideNat() error {
	args := d.natArgs()
	now, err := clock.Now()
	if err != nil {
		return err
	}
	change := cloudnat.Change{
		Previous: d.memory.nat, Next: args.Remember(), Now: now, Place: natPlace,
		MinDrain: time.Duration(d.section.Nat.EstablishedIdleSeconds) * time.Second,
	}
	for _, a := range d.section.Nat.Acknowledge {
		change.Acknowledged = append(change.Acknowledged, cloudnat.Acknowledgement(a))
	}
	next, err := change.Check()
	if err != nil {
		return err
	}
	for _, a := range change.Needless() {
		if err := d.ctx.Log.Warn(fmt.Sprintf("%s.acknowledge: %s is not needed by this update: remove it, so that it does not hide the next one", natPlace, a), nil); err != nil {
			return err
		}
	}
	d.memory.next = next
	return nil
}

// createNat makes the gateways.
func (d *deployment) createNat() error {
	args := d.natArgs()
	args.Gateways = d.memory.next.Drop(args.Gateways)
	if len(args.Gateways) == 0 {
		return d.exportPlain("nat", d.memory.next)
	}
	args.Network = d.network.selfLink
	for i := range args.Gateways {
		g := &args.Gateways[i]
		d.link(g.IPs, g.Draining)
		for _, r := range g.Rules {
			d.link(r.IPs, r.Draining)
		}
		for s := range g.Subnetworks {
			g.Subnetworks[s].SelfLink = d.network.subnetworks[g.Subnetworks[s].Name]
		}
	}
	var err error
	if d.nat, err = cloudnat.NewCloudNat(d.ctx, "nat", args, d.provider); err != nil {
		return err
	}
	d.endpoints["router"], d.endpoints["gateways"] = d.nat.Router, d.nat.Gateways
	return d.exportPlain("nat", d.memory.next)
}

// link fills in the self links of addresses.
func (d *deployment) link(lists ...[]cloudnat.IP) {
	for _, ips := range lists {
		for i := range ips {
			ips[i].SelfLink = d.addresses[ips[i].Name].SelfLink
		}
	}
}
