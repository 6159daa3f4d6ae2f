package aws

import (
	"os"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/components/stack"
	"github.com/sallyport/sallyport/internal/problem"
	"github.com/sallyport/sallyport/preflight/awspreflight"
)

// preflightEnv switches the checks off for one run, whatever the stack file says: for a preview against stand-in providers, behind
// which there is no account.
const preflightEnv = "SALLYPORT_PREFLIGHT"

// checkAccount asks the account. A variable, because tests of the graph have none.
var checkAccount = awspreflight.Check

// preflight refuses a stack that the account cannot hold before anything is created, previews included.
func (d *deployment) preflight() error {
	if d.settings.Preflight == stack.PreflightOff || os.Getenv(preflightEnv) == string(stack.PreflightOff) {
		return d.ctx.Log.Info("preflight: off, quotas and network are not checked", nil)
	}
	return checkAccount(d.ctx.Context(), d.need())
}

// need is what the stack asks of the account.
func (d *deployment) need() awspreflight.Need {
	need := awspreflight.Need{
		Stack: d.ctx.Stack(), Region: d.section.Region, Zones: d.settings.Cluster.Zones, Gateways: map[string]int{},
	}
	for _, life := range d.life.Addresses() {
		address := awspreflight.Address{Slot: life.Name, Own: d.section.Addresses.Source != stack.AddressesAmazon}
		if id := d.section.Addresses.Existing[life.Name]; id != "" {
			address.AllocationID, address.Place = id, problem.Child("sallyport:aws.addresses.existing", life.Name)
		}
		need.Addresses = append(need.Addresses, address)
	}
	for _, g := range d.gateways {
		need.Gateways[g.zone] = 1
		need.IPsPerGateway = max(need.IPsPerGateway, len(g.addresses))
	}
	if len(d.slots) > 0 {
		need.Fleet = awspreflight.Fleet{
			InstanceType: d.section.Fleet.InstanceType, Architecture: d.section.Fleet.Architecture,
			IPsPerInterface: d.settings.Proxies.IPsPerProxy, Zones: d.settings.Cluster.Zones,
		}
	}
	if !d.section.VPC.New() {
		need.VPC = d.needVPC(need)
	}
	return need
}

// needVPC is what the stack file says about an existing network.
func (d *deployment) needVPC(need awspreflight.Need) awspreflight.VPC {
	v, place := d.section.VPC, "sallyport:aws.vpc."
	vpc := awspreflight.VPC{ID: v.ID}
	for _, network := range v.CIDRs {
		vpc.CIDRs = append(vpc.CIDRs, network.String())
	}
	add := func(key, zone, id string, public bool) {
		if id != "" {
			vpc.Subnets = append(vpc.Subnets, awspreflight.Subnet{Place: problem.Child(place+key, zone), ID: id, Zone: zone, Public: public})
		}
	}
	for _, zone := range need.Zones {
		add("publicSubnets", zone, v.PublicSubnets[zone], true)
		add("proxySubnets", zone, v.ProxySubnets[zone], true)
		if l := d.section.LoadBalancer; l != nil {
			vpc.Subnets = append(vpc.Subnets, awspreflight.Subnet{
				Place: problem.Child("sallyport:aws.loadBalancer.zones", zone) + ".subnet", ID: l.Zones[zone].Subnet, Zone: zone,
			})
		}
		if !d.section.Nat.Routes || need.Gateways[zone] == 0 {
			continue
		}
		for i, id := range v.PrivateRouteTables[zone] {
			vpc.RouteTables = append(vpc.RouteTables, awspreflight.RouteTable{
				Place: problem.Index(problem.Child(place+"privateRouteTables", zone), i), ID: id,
			})
		}
	}
	return vpc
}

// kinds are the kinds of public IPs, in the order of their resources.
var kinds = []allowlist.Kind{allowlist.KindNat, allowlist.KindProxy}
