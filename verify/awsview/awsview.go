// Package awsview reads which Elastic IPs belong to a stack, by their tags.
package awsview

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/preflight/awsapi"
	"github.com/sallyport/sallyport/verify"
)

// actions are the permissions that it takes.
const (
	actionAddresses = "ec2:DescribeAddresses"
	actionGateways  = "ec2:DescribeNatGateways"
)

// View is the addresses of one region.
type View struct {
	region string
	client *ec2.Client
}

// New looks for credentials. Endpoint and profile come from the environment, as the AWS SDK has it.
func New(ctx context.Context, region string) (*View, error) {
	config, err := awsapi.Config(ctx, region)
	if err != nil {
		return nil, err
	}
	return &View{region: region, client: ec2.NewFromConfig(config)}, nil
}

// Addresses implements verify.View. An address carries traffic if a NAT gateway has it, or an interface that an instance has: an
// interface alone waits.
func (v *View) Addresses(ctx context.Context, stack string) ([]verify.Address, error) {
	gateways, err := v.ofGateways(ctx)
	if err != nil {
		return nil, err
	}
	// One answer has all addresses: DescribeAddresses has no pages.
	out, err := v.client.DescribeAddresses(ctx, &ec2.DescribeAddressesInput{Filters: []types.Filter{
		{Name: aws.String("tag:" + allowlist.TagStack), Values: []string{stack}},
	}})
	if err != nil {
		return nil, awsapi.Wrap(v.region, actionAddresses, err)
	}
	var found []verify.Address
	for _, a := range out.Addresses {
		tags := map[string]string{}
		for _, tag := range a.Tags {
			tags[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
		}
		if tags[allowlist.TagStack] != stack {
			continue
		}
		ip, err := netip.ParseAddr(aws.ToString(a.PublicIp))
		if err != nil {
			return nil, fmt.Errorf("%s: %s: public IP: %w", awsapi.Place(v.region), aws.ToString(a.AllocationId), err)
		}
		found = append(found, verify.Address{
			IP: ip, ID: aws.ToString(a.AllocationId), Name: tags[allowlist.TagSlot],
			Carries: gateways[aws.ToString(a.AllocationId)] || aws.ToString(a.InstanceId) != "",
		})
	}
	return found, nil
}

// ofGateways are the allocations that NAT gateways have.
func (v *View) ofGateways(ctx context.Context) (map[string]bool, error) {
	held := map[string]bool{}
	pages := ec2.NewDescribeNatGatewaysPaginator(v.client, &ec2.DescribeNatGatewaysInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, awsapi.Wrap(v.region, actionGateways, err)
		}
		for _, gateway := range page.NatGateways {
			if gateway.State == types.NatGatewayStateDeleted || gateway.State == types.NatGatewayStateFailed {
				continue
			}
			for _, address := range gateway.NatGatewayAddresses {
				held[aws.ToString(address.AllocationId)] = true
			}
		}
	}
	return held, nil
}
