package awspreflight

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

func (r *reader) readSubnets(ctx context.Context) error {
	pages := ec2.NewDescribeSubnetsPaginator(r.ec2, &ec2.DescribeSubnetsInput{})
	found := map[string]subnet{}
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, s := range out.Subnets {
			id := aws.ToString(s.SubnetId)
			found[id] = subnet{id: id, vpcID: aws.ToString(s.VpcId), zone: aws.ToString(s.AvailabilityZone)}
		}
	}
	r.account.subnets = found
	return nil
}

func (r *reader) readVPC(ctx context.Context) error {
	// A filter, because an ID that does not exist is then an empty answer and no error.
	out, err := r.ec2.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{Filters: []types.Filter{{Name: aws.String("vpc-id"), Values: []string{r.need.VPC.ID}}}})
	if err != nil {
		return err
	}
	r.account.vpcs = map[string]vpc{}
	for _, v := range out.Vpcs {
		found := vpc{id: aws.ToString(v.VpcId)}
		for _, c := range v.CidrBlockAssociationSet {
			found.cidrs = append(found.cidrs, aws.ToString(c.CidrBlock))
		}
		r.account.vpcs[found.id] = found
	}
	return nil
}

func (r *reader) readTables(ctx context.Context) error {
	pages := ec2.NewDescribeRouteTablesPaginator(r.ec2, &ec2.DescribeRouteTablesInput{
		Filters: []types.Filter{{Name: aws.String("vpc-id"), Values: []string{r.need.VPC.ID}}}})
	found := map[string]table{}
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, t := range out.RouteTables {
			read := tableOf(t)
			found[read.id] = read
		}
	}
	r.account.tables = found
	return nil
}

func tableOf(t types.RouteTable) table {
	read := table{id: aws.ToString(t.RouteTableId)}
	for _, a := range t.Associations {
		read.main = read.main || aws.ToBool(a.Main)
		if id := aws.ToString(a.SubnetId); id != "" {
			read.subnets = append(read.subnets, id)
		}
	}
	for _, route := range t.Routes {
		if aws.ToString(route.DestinationCidrBlock) == "0.0.0.0/0" {
			read.out = defaultRoute{target: targetOf(route), broken: route.State == types.RouteStateBlackhole}
		}
	}
	return read
}

// targetOf returns where a route leads: exactly one of the fields is set, but for a NAT instance, which has an interface too.
func targetOf(r types.Route) string {
	for _, id := range []*string{r.NatGatewayId, r.GatewayId, r.TransitGatewayId, r.VpcPeeringConnectionId, r.InstanceId, r.NetworkInterfaceId,
		r.EgressOnlyInternetGatewayId, r.LocalGatewayId, r.CarrierGatewayId, r.CoreNetworkArn, r.OdbNetworkArn, r.IpAddress} {
		if aws.ToString(id) != "" {
			return *id
		}
	}
	return "an unknown target"
}
