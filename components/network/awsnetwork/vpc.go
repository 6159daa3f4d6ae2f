package awsnetwork

import (
	"fmt"
	"net/netip"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// builder is a network under way.
type builder struct {
	ctx    *pulumi.Context
	stack  string
	parent *Network

	vpc         *ec2.Vpc
	publicTable *ec2.RouteTable
	tables      map[string]*ec2.RouteTable // private route tables by zone
}

// tags name a resource.
func (b *builder) tags(role string) pulumi.StringMap {
	return pulumi.StringMap{"Name": pulumi.String(b.stack + "-" + role)}
}

// createVPC makes the VPC with its internet gateway and the route table of all public subnets, and takes all rules out of the
// default security group: whoever lands there by mistake reaches nothing.
func (b *builder) createVPC(args *NetworkArgs) error {
	var err error
	b.tables = map[string]*ec2.RouteTable{}
	b.vpc, err = ec2.NewVpc(b.ctx, "network-vpc", &ec2.VpcArgs{
		CidrBlock: pulumi.String(args.CIDR.String()), EnableDnsSupport: pulumi.Bool(true), EnableDnsHostnames: pulumi.Bool(true), Tags: b.tags("vpc"),
	}, pulumi.Parent(b.parent))
	if err != nil {
		return fmt.Errorf("vpc: %w", err)
	}
	_, err = ec2.NewDefaultSecurityGroup(b.ctx, "network-default-group", &ec2.DefaultSecurityGroupArgs{VpcId: b.vpc.ID(), Tags: b.tags("default")},
		pulumi.Parent(b.parent))
	if err != nil {
		return fmt.Errorf("default security group: %w", err)
	}
	gateway, err := ec2.NewInternetGateway(b.ctx, "network-internet-gateway", &ec2.InternetGatewayArgs{VpcId: b.vpc.ID(), Tags: b.tags("internet")},
		pulumi.Parent(b.parent))
	if err != nil {
		return fmt.Errorf("internet gateway: %w", err)
	}
	b.publicTable, err = ec2.NewRouteTable(b.ctx, "network-table-public", &ec2.RouteTableArgs{VpcId: b.vpc.ID(), Tags: b.tags("public")},
		pulumi.Parent(b.parent))
	if err != nil {
		return fmt.Errorf("public route table: %w", err)
	}
	_, err = ec2.NewRoute(b.ctx, "network-route-public", &ec2.RouteArgs{
		RouteTableId: b.publicTable.ID(), DestinationCidrBlock: pulumi.String("0.0.0.0/0"), GatewayId: gateway.ID(),
	}, pulumi.Parent(b.parent))
	if err != nil {
		return fmt.Errorf("public default route: %w", err)
	}
	return nil
}

// createZone makes the three subnets of a zone and the private route table, which gets its default route from the NAT gateway.
func (b *builder) createZone(layout Layout) (Zone, error) {
	var zone Zone
	table, err := ec2.NewRouteTable(b.ctx, "network-table-private-"+layout.Zone, &ec2.RouteTableArgs{
		VpcId: b.vpc.ID(), Tags: b.tags("private-" + layout.Zone),
	}, pulumi.Parent(b.parent))
	if err != nil {
		return zone, fmt.Errorf("private route table: %w", err)
	}
	b.tables[layout.Zone] = table
	zone.PrivateRouteTable = table.ID().ToStringOutput()
	for _, subnet := range []struct {
		role  string
		cidr  netip.Prefix
		table *ec2.RouteTable
		tag   string // where Kubernetes' cloud controllers put load balancers
		into  *pulumi.StringOutput
	}{
		{"private", layout.Private, table, "kubernetes.io/role/internal-elb", &zone.PrivateSubnet},
		{"public", layout.Public, b.publicTable, "kubernetes.io/role/elb", &zone.PublicSubnet},
		{"proxy", layout.Proxy, b.publicTable, "", &zone.ProxySubnet},
	} {
		tags := b.tags(subnet.role + "-" + layout.Zone)
		if subnet.tag != "" {
			tags[subnet.tag] = pulumi.String("1")
		}
		made, err := ec2.NewSubnet(b.ctx, "network-subnet-"+subnet.role+"-"+layout.Zone, &ec2.SubnetArgs{
			VpcId: b.vpc.ID(), AvailabilityZone: pulumi.String(layout.Zone), CidrBlock: pulumi.String(subnet.cidr.String()),
			MapPublicIpOnLaunch: pulumi.Bool(false), Tags: tags,
		}, pulumi.Parent(b.parent))
		if err != nil {
			return zone, fmt.Errorf("%s subnet: %w", subnet.role, err)
		}
		_, err = ec2.NewRouteTableAssociation(b.ctx, "network-association-"+subnet.role+"-"+layout.Zone, &ec2.RouteTableAssociationArgs{
			SubnetId: made.ID(), RouteTableId: subnet.table.ID(),
		}, pulumi.Parent(b.parent))
		if err != nil {
			return zone, fmt.Errorf("%s route table: %w", subnet.role, err)
		}
		*subnet.into = made.ID().ToStringOutput()
	}
	return zone, nil
}

// createEndpoint gives every subnet a way to S3 that leaves neither AWS's network nor money at the NAT gateway. The routes
// document and the layers of images travel there.
func (b *builder) createEndpoint(region string, layouts []Layout) error {
	endpoint, err := ec2.NewVpcEndpoint(b.ctx, "network-endpoint-s3", &ec2.VpcEndpointArgs{
		VpcId: b.vpc.ID(), ServiceName: pulumi.String("com.amazonaws." + region + ".s3"), VpcEndpointType: pulumi.String("Gateway"), Tags: b.tags("s3"),
	}, pulumi.Parent(b.parent))
	if err != nil {
		return fmt.Errorf("s3 endpoint: %w", err)
	}
	tables := map[string]*ec2.RouteTable{"public": b.publicTable}
	keys := []string{"public"}
	for _, layout := range layouts {
		tables[layout.Zone] = b.tables[layout.Zone]
		keys = append(keys, layout.Zone)
	}
	for _, key := range keys {
		_, err := ec2.NewVpcEndpointRouteTableAssociation(b.ctx, "network-endpoint-s3-"+key, &ec2.VpcEndpointRouteTableAssociationArgs{
			VpcEndpointId: endpoint.ID(), RouteTableId: tables[key].ID(),
		}, pulumi.Parent(b.parent))
		if err != nil {
			return fmt.Errorf("s3 endpoint of route table %s: %w", key, err)
		}
	}
	return nil
}
