package aws

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/natgateway"
	"github.com/sallyport/sallyport/components/network/awsnetwork"
	"github.com/sallyport/sallyport/components/proxyfleet/awsfleet"
)

// network is where everything goes, whether it was brought or made.
type network struct {
	vpc   pulumi.StringInput
	zones map[string]zone
}

// zone is the part of the network in one zone.
type zone struct {
	public, proxy pulumi.StringInput
	tables        []natgateway.RouteTable
	balancer      *awsfleet.LoadBalancerZone // nil without a load balancer
}

// createNetwork takes the VPC of the stack file, or makes one.
func (d *deployment) createNetwork() error {
	if d.section.VPC.New() {
		return d.createVPC()
	}
	v := d.section.VPC
	d.network = network{vpc: pulumi.String(v.ID), zones: map[string]zone{}}
	for _, name := range d.settings.Cluster.Zones {
		z := zone{public: pulumi.String(v.PublicSubnets[name]), proxy: pulumi.String(v.ProxySubnet(name))}
		for _, id := range v.PrivateRouteTables[name] {
			z.tables = append(z.tables, natgateway.RouteTable{Key: id, ID: pulumi.String(id)})
		}
		if l := d.section.LoadBalancer; l != nil {
			end := l.Zones[name]
			z.balancer = &awsfleet.LoadBalancerZone{Name: name, SubnetID: pulumi.String(end.Subnet), Address: end.Address.String()}
		}
		d.network.zones[name] = z
	}
	return nil
}

// createVPC makes a network for those who bring none.
func (d *deployment) createVPC() error {
	cidr, names := d.section.VPC.CIDR, d.settings.Cluster.Zones
	layouts, err := awsnetwork.Divide(cidr, names)
	if err != nil {
		return fmt.Errorf("sallyport:aws.vpc: %w", err)
	}
	made, err := awsnetwork.NewNetwork(d.ctx, "network", &awsnetwork.NetworkArgs{
		Stack: d.ctx.Stack(), Region: d.section.Region, CIDR: cidr, Zones: names,
	}, d.provider)
	if err != nil {
		return err
	}
	d.network = network{vpc: made.VPCID, zones: map[string]zone{}}
	for _, layout := range layouts {
		part, err := made.Zone(layout.Zone)
		if err != nil {
			return err
		}
		z := zone{
			public: part.PublicSubnet, proxy: part.ProxySubnet,
			tables: []natgateway.RouteTable{{Key: "private", ID: part.PrivateRouteTable}},
		}
		if d.section.LoadBalancer != nil {
			z.balancer = &awsfleet.LoadBalancerZone{Name: layout.Zone, SubnetID: part.PrivateSubnet, Address: layout.LoadBalancer().String()}
		}
		d.network.zones[layout.Zone] = z
	}
	d.endpoints["network"] = pulumi.Map{
		"vpcId": made.VPCID, "privateSubnets": made.PrivateSubnets, "publicSubnets": made.PublicSubnets, "proxySubnets": made.ProxySubnets,
	}
	return nil
}
