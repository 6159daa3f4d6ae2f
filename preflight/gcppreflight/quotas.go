package gcppreflight

import (
	"slices"
	"strings"

	"github.com/sallyport/sallyport/components/capacity"
	"github.com/sallyport/sallyport/internal/problem"
	"github.com/sallyport/sallyport/preflight"
)

// The quotas that are checked, as regions.get and projects.get call them. Compute Engine documentation, "Allocation quotas", 2026-07.
const (
	// QuotaStatic limits the reserved regional external IPs of a region, used or not.
	QuotaStatic = "STATIC_ADDRESSES"
	// QuotaInUse limits the external IPs of a region that something uses.
	QuotaInUse = "IN_USE_ADDRESSES"
	// QuotaCPUs limits the virtual CPUs of a region that machines of the series E2 and N1 have together. Other series have quotas of
	// their own, which are not checked.
	QuotaCPUs = "CPUS"
	// QuotaRouters limits the Cloud Routers of a project.
	QuotaRouters = "ROUTERS"
)

// Limits of Cloud Routers and Cloud NAT that no request raises. cloud.google.com/nat/quota and cloud.google.com/network-connectivity/
// docs/router/quotas, 2026.
const (
	maxRouters  = 5  // per region and network
	maxGateways = 50 // per router
	maxRanges   = 50 // subnetwork ranges per gateway
)

// place is where problems of the project are.
func (n Need) place() string { return "gcp " + n.Project + " " + n.Region }

func (n Need) console() string {
	return "https://console.cloud.google.com/iam-admin/quotas?project=" + n.Project
}

// byMetric finds a quota; the API leaves out those that a project does not have.
func byMetric(quotas []quota, metric string) (quota, bool) {
	i := slices.IndexFunc(quotas, func(q quota) bool { return q.Metric == metric })
	if i < 0 {
		return quota{}, false
	}
	return quotas[i], true
}

// slots returns the addresses of this stack by slot, and those brought by name.
func (p project) slots(n Need) (ours, byName map[string]address) {
	ours, byName = map[string]address{}, map[string]address{}
	for _, a := range p.addresses {
		byName[a.Name] = a
		if a.Labels[labelStack] == n.Stack && a.Labels[labelSlot] != "" {
			ours[a.Labels[labelSlot]] = a
		}
	}
	return ours, byName
}

// addressCount says how many addresses of this stack there are, and how many it still has to make or to put to use.
type addressCount struct{ existing, inUse, toMake, toUse int }

// count goes through the addresses that the stack needs. Those from a prefix of one's own do not add to any quota.
func (p project) count(n Need) addressCount {
	ours, byName := p.slots(n)
	var c addressCount
	for _, want := range n.Addresses {
		found, exists := ours[want.Slot]
		if want.Name != "" {
			found, exists = byName[last(want.Name)]
		}
		used := exists && found.Status == "IN_USE"
		if exists {
			c.existing++
		}
		if used {
			c.inUse++
		}
		if !want.Own && !exists && want.Name == "" {
			c.toMake++
		}
		if !want.Own && !used && !want.Reserve {
			c.toUse++
		}
	}
	return c
}

// checkAddressQuotas compares the addresses of the region with the quotas: reserved ones, and those in use.
func checkAddressQuotas(n Need, p project, list *problem.List) {
	if p.region == nil || p.addresses == nil || len(p.region.Zones) == 0 {
		return
	}
	c := p.count(n)
	for _, q := range []struct {
		metric, what string
		adds, ours   int
	}{{QuotaStatic, "static external IPs", c.toMake, c.existing}, {QuotaInUse, "external IPs in use", c.toUse, c.inUse}} {
		found, known := byMetric(p.region.Quotas, q.metric)
		if !known && q.adds > 0 {
			list.Add(n.place()+": "+q.what, "the API tells no quota "+q.metric, nil, "try again, or "+preflight.Off)
			continue
		}
		preflight.Quota{
			Place: n.place() + ": " + q.what, Code: q.metric, Limit: int(found.Limit), Used: int(found.Usage), Ours: min(q.ours, int(found.Usage)),
			Adds: q.adds, Raise: n.console(), Instead: "release IPs that nobody needs, or bring IPs of your own (sallyport:gcp.addresses)",
		}.Check(list)
	}
}

// checkCPUQuota compares the virtual CPUs of the region with the quota. A proxy whose address is in use is there already.
func checkCPUQuota(n Need, p project, list *problem.List) {
	kind := n.Fleet.MachineType
	if n.Fleet.Machines == 0 || p.region == nil || p.addresses == nil || !strings.HasPrefix(kind, "e2-") && !strings.HasPrefix(kind, "n1-") {
		return
	}
	found, known := byMetric(p.region.Quotas, QuotaCPUs)
	cpus := 0
	for _, m := range p.machines {
		cpus = max(cpus, m.CPUs)
	}
	if !known || cpus == 0 {
		return
	}
	running := 0
	ours, byName := p.slots(n)
	for _, want := range n.Addresses {
		a := ours[want.Slot]
		if want.Name != "" {
			a = byName[last(want.Name)]
		}
		if strings.HasPrefix(want.Slot, "proxy-") && a.Status == "IN_USE" {
			running++
		}
	}
	preflight.Quota{
		Place: n.place() + ": virtual CPUs", Code: QuotaCPUs, Limit: int(found.Limit), Used: int(found.Usage), Ours: min(running*cpus, int(found.Usage)),
		Adds: (n.Fleet.Machines - running) * cpus, Raise: n.console(), Instead: "lower sallyport:gcp.fleet.activePerZone",
	}.Check(list)
}

// checkRouterQuotas compares the routers with the project's quota and with what a network takes in a region.
func checkRouterQuotas(n Need, p project, list *problem.List) {
	if p.routers == nil {
		return
	}
	missing := n.routerNames()
	onNetwork, ours := 0, 0
	for _, r := range p.routers {
		if n.Network != "" && last(r.Network) == last(n.Network) {
			onNetwork++
		}
		if missing[r.Name] {
			ours++
			delete(missing, r.Name)
		}
	}
	if found, known := byMetric(p.quotas, QuotaRouters); known {
		preflight.Quota{
			Place: n.place() + ": Cloud Routers of the project", Code: QuotaRouters, Limit: int(found.Limit), Used: int(found.Usage), Ours: ours,
			Adds: len(missing), Raise: n.console(), Instead: "delete routers that nobody needs",
		}.Check(list)
	}
	if len(missing) > 0 && onNetwork+len(missing) > maxRouters {
		list.Addf(n.place()+": Cloud Routers of network "+last(n.Network), nil, "delete routers that nobody needs: no request raises this limit",
			"at most %d in a region, in use %d (%d of this stack), needed %d more", maxRouters, onNetwork, ours, len(missing))
	}
}

// checkGateways compares what the plan asks of each gateway with what a gateway can be.
func checkGateways(n Need, p project, list *problem.List) {
	perRouter := map[string]map[string]bool{}
	for _, r := range p.routers {
		perRouter[r.Name] = map[string]bool{}
		for _, g := range r.Nats {
			perRouter[r.Name][g.Name] = true
		}
	}
	for _, g := range n.Gateways {
		if perRouter[g.Router] == nil {
			perRouter[g.Router] = map[string]bool{}
		}
		perRouter[g.Router][g.Name] = true
		place := n.place() + ": Cloud NAT " + g.Name
		if g.IPs > capacity.MaxIPsPerCloudNat {
			list.Addf(place, nil, "send the busiest destination through proxies (route: proxy)", "takes at most %d public IPs, the plan needs %d, those of %d rules included", capacity.MaxIPsPerCloudNat, g.IPs, g.Rules)
		}
		if g.Ranges > maxRanges {
			list.Addf(place, nil, "list fewer subnetworks and ranges", "translates at most %d ranges, and %d are listed", maxRanges, g.Ranges)
		}
	}
	for _, name := range sortedNames(perRouter) {
		if gateways := perRouter[name]; len(gateways) > maxGateways {
			list.Addf(n.place()+": Cloud Router "+name, nil, "delete gateways that nobody needs", "takes at most %d gateways, and would have %d", maxGateways, len(gateways))
		}
	}
}

// checkZones demands zones of the region; a region without any does not exist.
func checkZones(n Need, p project, list *problem.List) {
	if p.region == nil {
		return
	}
	if len(p.region.Zones) == 0 {
		list.Add("sallyport:gcp.region", "must exist and be open to project "+n.Project, n.Region, "check the name and the project")
		return
	}
	var names []string
	for _, link := range p.region.Zones {
		names = append(names, last(link))
	}
	slices.Sort(names)
	for _, zone := range n.Zones {
		if !slices.Contains(names, zone) {
			list.Add("sallyport:cluster.zones", "must be in region "+n.Region, zone, problem.Suggestion(zone, names))
		}
	}
}

// checkMachine demands a machine type that every zone with proxies has.
func checkMachine(n Need, p project, list *problem.List) {
	var without []string
	for _, zone := range n.fleetZones() {
		if p.machines[zone].missing {
			without = append(without, zone)
		}
	}
	if len(without) > 0 {
		list.Add("sallyport:gcp.fleet.machineType", "must exist in "+strings.Join(without, ", "), n.Fleet.MachineType, "choose a type that all zones have")
	}
}

// checkBrought demands addresses that exist and that nobody else uses.
func checkBrought(n Need, p project, list *problem.List) {
	if p.addresses == nil {
		return
	}
	_, byName := p.slots(n)
	for _, want := range n.Addresses {
		if want.Name == "" {
			continue
		}
		found, exists := byName[last(want.Name)]
		switch {
		case !exists:
			list.Add(want.Place, "must exist in region "+n.Region, want.Name, "check the name, the region and the project")
			continue
		case found.AddressType == "INTERNAL":
			list.Add(want.Place, "must be an external address", want.Name, "bring an external one")
			continue
		}
		if owner := found.Labels[labelStack]; owner != "" && owner != n.Stack {
			list.Addf(want.Place, want.Name, "remove it from that stack first, or bring another", "must be free, and %s belongs to stack %s", found.Address, owner)
			continue
		}
		for _, user := range found.Users {
			if !n.uses(user) {
				list.Addf(want.Place, want.Name, "detach it first, or bring another", "must be free, and %s is used by %s", found.Address, readable(user))
			}
		}
	}
}

// uses reports whether the user of an address is part of this stack: one of its routers, or an instance of its fleet.
func (n Need) uses(user string) bool {
	if name := after(user, "routers"); name != "" {
		return n.routerNames()[name]
	}
	if name := after(user, "instances"); name != "" {
		return n.Fleet.MachineType != "" && strings.HasPrefix(name, n.Fleet.NamePrefix)
	}
	return false
}

// readable is a self link without its server and project.
func readable(link string) string {
	parts := strings.Split(link, "/")
	return strings.Join(parts[max(0, len(parts)-2):], "/")
}

func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
