// Package natgateway puts one NAT gateway into each zone of an AWS VPC and sends the zone's private subnets through it.
//
// A gateway holds 55,000 connections per public IP to one destination (address, port, protocol), and at most eight public IPs:
// one primary, which it keeps for life, and seven secondary ones, which come and go without a replacement. New connections are
// spread over all of them, so a partner has to list every one. Each zone has a gateway of its own: a zone that fails takes no
// other with it, and traffic between zones is not paid for.
//
// Everything is keyed by zone. Adding or removing one touches nothing of another.
package natgateway

import (
	"fmt"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/capacity"
)

// typeToken identifies the component in every state file.
const typeToken = "sallyport:natgateway:NatGateway"

// Zone is one zone's way out.
type Zone struct {
	// Name is the zone, for example "eu-west-1a". Unique.
	Name string
	// SubnetID is a public subnet of the zone: its default route leads to an internet gateway. A gateway in another subnet is
	// another gateway, so a change cuts the zone's connections.
	SubnetID pulumi.StringInput
	// AllocationIDs are the public IPs, the primary one first: 1 to 8. The primary one must stay the first, because a gateway
	// cannot change it; the order of the others has no meaning.
	AllocationIDs []pulumi.StringInput
	// RouteTables are those of the zone's private subnets. Empty: nothing is routed yet.
	RouteTables []RouteTable
}

// RouteTable is one private route table that gets a default route to the zone's gateway.
type RouteTable struct {
	// Key is part of the route's resource name: the table's id, or any other name that stays. Unique in the zone.
	Key string
	// ID is the table's id.
	ID pulumi.StringInput
}

// Args are the arguments of NewNatGateway.
type Args struct {
	// Stack is the name that the tags carry.
	Stack string
	// Zones are the zones with private subnets. At least one.
	Zones []Zone
	// Demand is what the gateways have to carry. Recorded, so that a policy can check the number of IPs against it.
	Demand capacity.Input
	// Margins say how close each destination comes to its ceiling, by the plan. Recorded.
	Margins []capacity.Margin
}

// NatGateway is one gateway per zone.
type NatGateway struct {
	pulumi.ResourceState

	// IDs are the gateways by zone, for alarms and doctor.
	IDs pulumi.StringMapOutput `pulumi:"ids"`

	byZone map[string]pulumi.StringOutput
}

// Get returns the id of one zone's gateway. Who uses it depends on that gateway only.
func (g *NatGateway) Get(zone string) (pulumi.StringOutput, error) {
	id, ok := g.byZone[zone]
	if !ok {
		return id, fmt.Errorf("nat gateway: zone %s: is not declared", zone)
	}
	return id, nil
}

// NewNatGateway makes the gateways and their routes.
func NewNatGateway(ctx *pulumi.Context, name string, args *Args, opts ...pulumi.ResourceOption) (*NatGateway, error) {
	if err := args.validate(name); err != nil {
		return nil, err
	}
	g := &NatGateway{byZone: map[string]pulumi.StringOutput{}}
	if err := ctx.RegisterComponentResourceV2(typeToken, name, args.inputs(), g, opts...); err != nil {
		return nil, err
	}
	ids := pulumi.StringMap{}
	for _, zone := range args.Zones {
		gateway, err := args.createGateway(ctx, g, zone)
		if err != nil {
			return nil, fmt.Errorf("nat gateway %q: %s: %w", name, zone.Name, err)
		}
		if err := createRoutes(ctx, g, zone, gateway); err != nil {
			return nil, fmt.Errorf("nat gateway %q: %s: %w", name, zone.Name, err)
		}
		g.byZone[zone.Name] = gateway.ID().ToStringOutput()
		ids[zone.Name] = g.byZone[zone.Name]
	}
	g.IDs = ids.ToStringMapOutput()
	return g, ctx.RegisterResourceOutputs(g, pulumi.Map{"ids": g.IDs})
}

// createGateway makes the gateway of one zone. Should it have to be replaced, the old one goes first: an address serves one
// gateway only.
func (args *Args) createGateway(ctx *pulumi.Context, parent *NatGateway, zone Zone) (*ec2.NatGateway, error) {
	in := &ec2.NatGatewayArgs{
		ConnectivityType: pulumi.String("public"),
		SubnetId:         zone.SubnetID,
		AllocationId:     zone.AllocationIDs[0].ToStringOutput().ToStringPtrOutput(),
		// Also when there are none: an input that is left out would leave the last one attached.
		SecondaryAllocationIds: pulumi.StringArray(zone.AllocationIDs[1:]),
		Tags:                   pulumi.StringMap{"Name": pulumi.String(args.Stack + "-nat-" + zone.Name)},
	}
	return ec2.NewNatGateway(ctx, "natgateway-gateway-"+zone.Name, in, pulumi.Parent(parent), pulumi.DeleteBeforeReplace(true))
}
