package aws

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/components/elasticip"
	"github.com/sallyport/sallyport/components/natgateway"
)

// createAddresses allocates every public IP before anything uses one: also those that wait, are headroom, or are on their way out.
func (d *deployment) createAddresses() error {
	section := d.section.Addresses
	for _, kind := range kinds {
		args := &elasticip.AddressesArgs{
			Stack: d.ctx.Stack(), Kind: string(kind), Source: elasticip.Source(section.Source), Pool: section.Pool,
			Keep: *d.settings.Allowlist.Protect,
		}
		for _, life := range d.life.Addresses() {
			if life.Kind == kind {
				args.Addresses = append(args.Addresses, elasticip.Address{
					Name: life.Name, AllocationID: section.Existing[life.Name], PublicIP: d.memory.picked[life.Name],
					Released: life.Release, Tags: allowlist.Tags(d.ctx.Stack(), life),
				})
			}
		}
		if len(args.Addresses) == 0 {
			continue
		}
		made, err := elasticip.NewAddresses(d.ctx, string(kind), args, d.provider)
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

// gateway is one zone's NAT gateway, by the names of its addresses, the primary one first.
type gateway struct {
	zone      string
	addresses []string
}

// usableGateways are the gateways that may carry traffic: a zone whose IPs all wait for partners has none yet.
func (d *deployment) usableGateways() []gateway {
	var gateways []gateway
	for _, name := range d.settings.Cluster.Zones {
		var addresses []string
		for _, slot := range d.natSlots {
			if slot.Zone == name && d.life.Usable(slot.Name) {
				addresses = append(addresses, d.life.Of(slot.Name).Name)
			}
		}
		if len(addresses) > 0 {
			gateways = append(gateways, gateway{zone: name, addresses: primaryFirst(addresses, d.memory.primaries[name])})
		}
	}
	return gateways
}

// createNatGateways makes a gateway in each zone and sends the private subnets through it.
func (d *deployment) createNatGateways() error {
	if len(d.gateways) == 0 {
		return nil
	}
	args := &natgateway.Args{Stack: d.ctx.Stack(), Demand: d.settings.CapacityInput(), Margins: d.plan.Margins}
	for _, g := range d.gateways {
		place := d.network.zones[g.zone]
		z := natgateway.Zone{Name: g.zone, SubnetID: place.public}
		for _, name := range g.addresses {
			z.AllocationIDs = append(z.AllocationIDs, d.addresses[name].AllocationID)
		}
		if d.section.Nat.Routes {
			z.RouteTables = place.tables
		}
		args.Zones = append(args.Zones, z)
	}
	var err error
	if d.nat, err = natgateway.NewNatGateway(d.ctx, "natgateway", args, d.provider); err != nil {
		return err
	}
	gateways := pulumi.Map{}
	for _, g := range d.gateways {
		ips := pulumi.StringArray{}
		for _, name := range g.addresses {
			ips = append(ips, d.addresses[name].PublicIP)
		}
		id, err := d.nat.Get(g.zone)
		if err != nil {
			return fmt.Errorf("endpoints: %w", err)
		}
		gateways[g.zone] = pulumi.Map{"id": id, "primary": pulumi.String(g.addresses[0]), "publicIPs": ips}
	}
	d.endpoints["gateways"] = gateways
	return nil
}
