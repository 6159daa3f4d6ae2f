package natgateway

import (
	"fmt"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// createRoutes gives every private route table of a zone a default route to the zone's gateway. A table with another default
// route is refused by EC2 (RouteAlreadyExists), and before that by the preflight: taking over is the user's decision, see the
// README, "An existing EKS cluster".
func createRoutes(ctx *pulumi.Context, parent *NatGateway, zone Zone, gateway *ec2.NatGateway) error {
	for _, table := range zone.RouteTables {
		_, err := ec2.NewRoute(ctx, RouteName(zone.Name, table.Key), &ec2.RouteArgs{
			RouteTableId:         table.ID,
			DestinationCidrBlock: pulumi.String("0.0.0.0/0"),
			NatGatewayId:         gateway.ID(),
		}, pulumi.Parent(parent))
		if err != nil {
			return fmt.Errorf("route table %s: %w", table.Key, err)
		}
	}
	return nil
}

// RouteName is the resource name of the default route in a zone's route table: what `pulumi import` needs to take over an
// existing route.
func RouteName(zone, key string) string { return fmt.Sprintf("natgateway-route-%s-%s", zone, key) }
