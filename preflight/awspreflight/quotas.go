package awspreflight

import (
	"fmt"
	"regexp"

	"github.com/sallyport/sallyport/components/capacity"
	"github.com/sallyport/sallyport/internal/problem"
	"github.com/sallyport/sallyport/preflight"
	"github.com/sallyport/sallyport/preflight/awsapi"
)

// The quotas that are checked. "Amazon VPC quotas" and "Amazon EC2 endpoints and quotas", 2026-09-26.
const (
	// QuotaAddresses limits the elastic IPs of a region, by default to 5. IPs from pools of one's own do not count.
	QuotaAddresses = "L-0263D0A3"
	// QuotaIPsPerGateway limits the elastic IPs of a public NAT gateway, by default to 2; it can be raised to 8.
	QuotaIPsPerGateway = capacity.QuotaIPsPerGateway
	// QuotaGateways limits the NAT gateways of a zone, by default to 5. Those that come or go count.
	QuotaGateways = "L-FE5A380F"
	// QuotaCPUs limits the virtual CPUs of running on-demand instances of the families A, C, D, H, I, M, R, T and Z together, in a
	// new account often to 5. Other families have quotas of their own, which are not checked.
	// "Amazon EC2 on-demand instance quotas", 2026-09.
	QuotaCPUs = "L-1216C47A"
)

// quotaService is the service that a quota belongs to.
var quotaService = map[string]string{QuotaAddresses: "ec2", QuotaIPsPerGateway: "vpc", QuotaGateways: "vpc", QuotaCPUs: "ec2"}

// console is where a quota is raised.
func console(region, code string) string {
	return fmt.Sprintf("https://%s.console.aws.amazon.com/servicequotas/home/services/%s/quotas/%s", region, quotaService[code], code)
}

// quotas returns the codes of the quotas that this stack depends on.
func (n Need) quotas() []string {
	var codes []string
	if len(n.slotsToAllocate()) > 0 {
		codes = append(codes, QuotaAddresses)
	}
	if len(n.Gateways) > 0 {
		codes = append(codes, QuotaIPsPerGateway, QuotaGateways)
	}
	if n.countsCPUs() {
		codes = append(codes, QuotaCPUs)
	}
	return codes
}

// standardFamily begins the name of an instance type whose CPUs count against QuotaCPUs: c7g.large, im4gn.large, t4g.nano; neither
// inf2, trn1, hpc7g nor dl1.
var standardFamily = regexp.MustCompile(`^(a|c|d|h|i|im|is|m|r|t|z)[0-9]`)

// countsCPUs reports whether the fleet counts against the quota of virtual CPUs.
func (n Need) countsCPUs() bool {
	return n.Fleet.Machines > 0 && standardFamily.MatchString(n.Fleet.InstanceType)
}

// checkCPUQuota compares the virtual CPUs that run with the quota. Machines of this stack are there already.
func checkCPUQuota(n Need, a account, list *problem.List) {
	limit, known := a.quotas[QuotaCPUs]
	if !known || !n.countsCPUs() || a.instances == nil || a.machine == nil || a.machine.cpus == 0 {
		return
	}
	used, ours, running := 0, 0, 0
	for _, i := range a.instances {
		if !standardFamily.MatchString(i.kind) {
			continue
		}
		used += i.cpus
		if i.ours {
			ours, running = ours+i.cpus, running+1
		}
	}
	preflight.Quota{
		Place: awsapi.Place(n.Region) + ": virtual CPUs of standard instances", Code: QuotaCPUs, Limit: limit, Used: used, Ours: ours,
		Adds: (n.Fleet.Machines - running) * a.machine.cpus, Raise: console(n.Region, QuotaCPUs), Instead: "lower sallyport:aws.fleet.activePerZone",
	}.Check(list)
}

// slotsToAllocate are the slots whose address the stack allocates from what Amazon owns.
func (n Need) slotsToAllocate() map[string]bool {
	slots := map[string]bool{}
	for _, a := range n.Addresses {
		if a.AllocationID == "" && !a.Own {
			slots[a.Slot] = true
		}
	}
	return slots
}

// checkAddressQuota compares the elastic IPs of the region with the quota. An address of a slot of this stack is there already.
func checkAddressQuota(n Need, a account, list *problem.List) {
	limit, known := a.quotas[QuotaAddresses]
	if !known || a.addresses == nil {
		return
	}
	missing := n.slotsToAllocate()
	used, ours := 0, 0
	for _, ip := range a.addresses {
		if ip.own {
			continue
		}
		used++
		if ip.tags[tagStack] == n.Stack {
			ours++
			delete(missing, ip.tags[tagSlot])
		}
	}
	preflight.Quota{
		Place: awsapi.Place(n.Region) + ": elastic IPs of the region", Code: QuotaAddresses, Limit: limit,
		Used: used, Ours: ours, Adds: len(missing), Raise: console(n.Region, QuotaAddresses),
		Instead: "release IPs that nobody needs, or bring IPs of your own (sallyport:aws.addresses)",
	}.Check(list)
}

// checkGatewayQuota compares the NAT gateways of every zone with the quota.
func checkGatewayQuota(n Need, a account, list *problem.List) {
	limit, known := a.quotas[QuotaGateways]
	if !known || a.gateways == nil || a.subnets == nil {
		return
	}
	used, ours := map[string]int{}, map[string]int{}
	for _, g := range a.gateways {
		zone := a.subnets[g.subnetID].zone
		used[zone]++
		if g.tags[tagStack] == n.Stack {
			ours[zone]++
		}
	}
	for _, zone := range sortedKeys(n.Gateways) {
		preflight.Quota{
			Place: awsapi.Place(n.Region) + ": NAT gateways in " + zone, Code: QuotaGateways, Limit: limit,
			Used: used[zone], Ours: ours[zone], Adds: n.Gateways[zone] - ours[zone], Raise: console(n.Region, QuotaGateways),
			Instead: "delete gateways that nobody needs",
		}.Check(list)
	}
}

// checkIPsPerGateway compares the elastic IPs of a gateway with the quota, unless the gateways have as many already.
func checkIPsPerGateway(n Need, a account, list *problem.List) {
	limit, known := a.quotas[QuotaIPsPerGateway]
	if !known || n.IPsPerGateway <= limit || a.gatewaysComplete(n) {
		return
	}
	list.Addf(awsapi.Place(n.Region)+": elastic IPs of a NAT gateway", nil,
		fmt.Sprintf("ask for %d: quota %s at %s; or send the busiest destination through proxies (route: proxy)",
			n.IPsPerGateway, QuotaIPsPerGateway, console(n.Region, QuotaIPsPerGateway)),
		"quota %s is %d, the plan needs %d: %d short", QuotaIPsPerGateway, limit, n.IPsPerGateway, n.IPsPerGateway-limit)
}

// gatewaysComplete reports whether every zone has its gateways with their addresses: a quota below is then no obstacle.
func (a account) gatewaysComplete(n Need) bool {
	complete := map[string]int{}
	for _, g := range a.gateways {
		if g.tags[tagStack] == n.Stack && len(g.allocations) >= n.IPsPerGateway {
			complete[a.subnets[g.subnetID].zone]++
		}
	}
	for zone, want := range n.Gateways {
		if complete[zone] < want {
			return false
		}
	}
	return true
}
