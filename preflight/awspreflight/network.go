package awspreflight

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/problem"
	"github.com/sallyport/sallyport/preflight/awsapi"
)

// checkZones demands zones that exist and that the account may use.
func checkZones(n Need, a account, list *problem.List) {
	if a.zones == nil {
		return
	}
	for _, zone := range n.Zones {
		usable, exists := a.zones[zone]
		switch {
		case !exists:
			list.Add("sallyport:cluster.zones", "must exist in region "+n.Region, zone, problem.Suggestion(zone, sortedKeys(a.zones)))
		case !usable:
			list.Add("sallyport:cluster.zones", "must be available to the account", zone, "opt in to the zone, or leave it out")
		}
	}
}

// checkVPC demands a VPC that exists and has the ranges that the stack file says.
func checkVPC(n Need, a account, list *problem.List) {
	if n.VPC.ID == "" || a.vpcs == nil {
		return
	}
	found, exists := a.vpcs[n.VPC.ID]
	if !exists {
		list.Reject("sallyport:aws.vpc.id", "must exist in region "+n.Region, n.VPC.ID, "check the ID, the region and the account")
		return
	}
	for _, cidr := range n.VPC.CIDRs {
		if !covered(cidr, found.cidrs) {
			list.Add("sallyport:aws.vpc.cidrs", "must lie within the VPC's ranges "+strings.Join(found.cidrs, ", "), cidr, "")
		}
	}
}

// vpcMissing reports whether the VPC is known not to exist: what should be in it is then not looked at.
func (a account) vpcMissing(n Need) bool {
	_, exists := a.vpcs[n.VPC.ID]
	return a.vpcs != nil && !exists
}

// covered reports whether one of the ranges holds all of a range.
func covered(cidr string, ranges []string) bool {
	inner, err := netip.ParsePrefix(cidr)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(ranges, func(r string) bool {
		outer, err := netip.ParsePrefix(r)
		return err == nil && outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
	})
}

// checkSubnets demands subnets that exist, belong to the VPC and lie in their zone; public ones must reach the internet.
func checkSubnets(n Need, a account, list *problem.List) {
	if a.subnets == nil || a.vpcMissing(n) {
		return
	}
	for _, want := range n.VPC.Subnets {
		found, exists := a.subnets[want.ID]
		switch {
		case !exists:
			list.Add(want.Place, "must exist in region "+n.Region, want.ID, "check the ID, the region and the account")
		case found.vpcID != n.VPC.ID:
			list.Addf(want.Place, want.ID, "name a subnet of the VPC", "must belong to %s and belongs to %s", n.VPC.ID, found.vpcID)
		case found.zone != want.Zone:
			list.Addf(want.Place, want.ID, "name a subnet in "+want.Zone, "must be in zone %s and is in %s", want.Zone, found.zone)
		case want.Public:
			checkPublic(n, want, a, list)
		}
	}
}

// checkPublic demands a default route to an internet gateway, not one of the route tables that get a route to a NAT gateway.
func checkPublic(n Need, want Subnet, a account, list *problem.List) {
	t, exists := a.tableOf(want.ID)
	if !exists {
		return // the route tables could not be read
	}
	if slices.ContainsFunc(n.VPC.RouteTables, func(r RouteTable) bool { return r.ID == t.id }) {
		list.Addf(want.Place, want.ID, "give the public subnet a route table of its own",
			"must not use route table %s, which is listed as one of the private subnets and gets their route to the NAT gateway", t.id)
		return
	}
	if !strings.HasPrefix(t.out.target, "igw-") || t.out.broken {
		list.Addf(want.Place, want.ID, "add the route, or name a public subnet",
			"must have a default route to an internet gateway, and its route table %s has %s", t.id, t.out)
	}
}

// tableOf returns the route table that a subnet uses: its own, else the VPC's main one.
func (a account) tableOf(subnetID string) (table, bool) {
	var main table
	found := false
	for _, t := range a.tables {
		if slices.Contains(t.subnets, subnetID) {
			return t, true
		}
		if t.main {
			main, found = t, true
		}
	}
	return main, found
}

// String names a default route in messages.
func (r defaultRoute) String() string {
	switch {
	case r.target == "":
		return "none"
	case r.broken:
		return "one to " + r.target + ", which is gone"
	default:
		return "one to " + r.target
	}
}

// checkRouteTables demands route tables of the VPC without anybody else's default route.
func checkRouteTables(n Need, a account, list *problem.List) {
	if a.tables == nil || a.vpcMissing(n) {
		return
	}
	for _, want := range n.VPC.RouteTables {
		t, exists := a.tables[want.ID]
		if !exists {
			list.Add(want.Place, "must exist in "+n.VPC.ID, want.ID, "check the ID")
			continue
		}
		if t.out.target != "" && a.gateways != nil && !a.isOurGateway(n, t.out.target) {
			list.Addf(want.Place, want.ID, "delete the route when the cluster may lose its old way out for a moment, or leave the route table out",
				"must have no default route of anybody else, and has %s", t.out)
		}
	}
}

func (a account) isOurGateway(n Need, id string) bool {
	return slices.ContainsFunc(a.gateways, func(g gateway) bool { return g.id == id && g.tags[tagStack] == n.Stack })
}

// checkBrought demands elastic IPs that exist and that nobody else uses.
func checkBrought(n Need, a account, list *problem.List) {
	if a.addresses == nil {
		return
	}
	byID := map[string]elasticIP{}
	for _, ip := range a.addresses {
		byID[ip.allocationID] = ip
	}
	for _, want := range n.Addresses {
		if want.AllocationID == "" {
			continue
		}
		found, exists := byID[want.AllocationID]
		owner := found.tags[tagStack]
		switch {
		case !exists:
			list.Add(want.Place, "must exist in region "+n.Region, want.AllocationID, "check the ID, the region and the account")
		case owner != "" && owner != n.Stack:
			list.Addf(want.Place, want.AllocationID, "remove it from that stack first, or bring another", "must be free, and %s belongs to stack %s", found.publicIP, owner)
		case found.attached && !a.attachedToUs(n, found):
			list.Addf(want.Place, want.AllocationID, "detach it first, or bring another", "must be free, and %s is attached to %s", found.publicIP, found.interfaceID)
		}
	}
}

// attachedToUs reports whether an elastic IP serves one of this stack's gateways or proxies. What could not be read is not held
// against it.
func (a account) attachedToUs(n Need, ip elasticIP) bool {
	if a.gateways == nil || a.ours == nil || a.ours[ip.interfaceID] {
		return true
	}
	return slices.ContainsFunc(a.gateways, func(g gateway) bool {
		return g.tags[tagStack] == n.Stack && g.allocations[ip.allocationID]
	})
}

// checkMachine demands an instance type that fits the image and the private IPs, in every zone with proxies.
func checkMachine(n Need, a account, list *problem.List) {
	const place = "sallyport:aws.fleet.instanceType"
	kind := n.Fleet.InstanceType
	if kind == "" {
		return
	}
	if a.machine != nil {
		switch m := *a.machine; {
		case m.ipsPerInterface == 0:
			list.Reject(place, "must exist in region "+n.Region, kind, "choose an instance type of the region")
			return
		case m.ipsPerInterface < n.Fleet.IPsPerInterface:
			list.Addf(place, kind, "lower sallyport:proxies.ipsPerProxy or choose a larger type",
				"must have room for %d private IPs on an interface and has room for %d", n.Fleet.IPsPerInterface, m.ipsPerInterface)
		}
		if want := n.Fleet.Architecture; want != "" && !slices.Contains(a.machine.architectures, want) {
			list.Addf(place, kind, "choose a type of that architecture", "must run %s and runs %s", want, strings.Join(a.machine.architectures, ", "))
		}
	}
	if a.offered == nil {
		return
	}
	for _, zone := range n.fleetZones() {
		if !a.offered[zone] {
			list.Addf(place, kind, "choose a type that all zones have", "must be offered in %s, and %s offers it in %s only",
				zone, awsapi.Place(n.Region), strings.Join(sortedKeys(a.offered), ", "))
		}
	}
}

func (n Need) fleetZones() []string {
	if len(n.Fleet.Zones) > 0 {
		return n.Fleet.Zones
	}
	return n.Zones
}
