// Package awsfound lists what exists in an AWS account under a stack's tag, for package recovery.
//
// It takes ec2:DescribeAddresses, ec2:DescribeNatGateways, ec2:DescribeTags and autoscaling:DescribeAutoScalingGroups, and no
// other permission; none of them has a resource-level form.
package awsfound

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	groups "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/sallyport/sallyport/preflight/awsapi"
	"github.com/sallyport/sallyport/recovery"
)

// tagStack is on every resource of a stack that can have tags.
const tagStack = "sallyport:stack"

// List returns what exists in a region with the tag of a stack.
func List(ctx context.Context, region, stack string) ([]recovery.Thing, error) {
	config, err := awsapi.Config(ctx, region)
	if err != nil {
		return nil, err
	}
	l := lister{region: region, stack: stack, ec2: ec2.NewFromConfig(config), groups: autoscaling.NewFromConfig(config)}
	for _, step := range []func(context.Context) error{l.addresses, l.gateways, l.tagged, l.scalingGroups} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(l.things, func(a, b recovery.Thing) int {
		return strings.Compare(a.Type+a.ID, b.Type+b.ID)
	})
	return l.things, nil
}

type lister struct {
	region, stack string
	ec2           *ec2.Client
	groups        *autoscaling.Client
	things        []recovery.Thing
}

func (l *lister) filter() types.Filter {
	return types.Filter{Name: aws.String("tag:" + tagStack), Values: []string{l.stack}}
}

func tagMap(tags []types.Tag) map[string]string {
	out := map[string]string{}
	for _, tag := range tags {
		out[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
	}
	return out
}

func (l *lister) addresses(ctx context.Context) error {
	out, err := l.ec2.DescribeAddresses(ctx, &ec2.DescribeAddressesInput{Filters: []types.Filter{l.filter()}})
	if err != nil {
		return awsapi.Wrap(l.region, "ec2:DescribeAddresses", err)
	}
	for _, a := range out.Addresses {
		l.things = append(l.things, recovery.Thing{
			Type: "aws:ec2/eip:Eip", ID: aws.ToString(a.AllocationId), About: aws.ToString(a.PublicIp), Tags: tagMap(a.Tags),
		})
	}
	return nil
}

// gateways leaves out deleted ones, which AWS shows for about an hour.
func (l *lister) gateways(ctx context.Context) error {
	living := types.Filter{Name: aws.String("state"), Values: []string{"pending", "available"}}
	pages := ec2.NewDescribeNatGatewaysPaginator(l.ec2, &ec2.DescribeNatGatewaysInput{Filter: []types.Filter{l.filter(), living}})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return awsapi.Wrap(l.region, "ec2:DescribeNatGateways", err)
		}
		for _, g := range page.NatGateways {
			l.things = append(l.things, recovery.Thing{Type: "aws:ec2/natGateway:NatGateway", ID: aws.ToString(g.NatGatewayId), Tags: tagMap(g.Tags)})
		}
	}
	return nil
}

// tokens are the other resources of EC2 that stacks make, by the type that DescribeTags calls them.
var tokens = map[types.ResourceType]string{
	types.ResourceTypeNetworkInterface: "aws:ec2/networkInterface:NetworkInterface",
	types.ResourceTypeSecurityGroup:    "aws:ec2/securityGroup:SecurityGroup",
	types.ResourceTypeLaunchTemplate:   "aws:ec2/launchTemplate:LaunchTemplate",
	types.ResourceTypeVpc:              "aws:ec2/vpc:Vpc",
	types.ResourceTypeSubnet:           "aws:ec2/subnet:Subnet",
	types.ResourceTypeRouteTable:       "aws:ec2/routeTable:RouteTable",
	types.ResourceTypeInternetGateway:  "aws:ec2/internetGateway:InternetGateway",
	types.ResourceTypeVpcEndpoint:      "aws:ec2/vpcEndpoint:VpcEndpoint",
}

// maxIDs is how many values one filter takes. EC2 API reference, "Filter", 2023-06-15.
const maxIDs = 200

func (l *lister) tagged(ctx context.Context) error {
	owned, err := l.tags(ctx, types.Filter{Name: aws.String("tag:" + tagStack), Values: []string{l.stack}})
	if err != nil {
		return err
	}
	var ids []string
	for _, tag := range owned {
		if id := aws.ToString(tag.ResourceId); tokens[tag.ResourceType] != "" && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	at := map[string]int{}
	for chunk := range slices.Chunk(ids, maxIDs) {
		tags, err := l.tags(ctx, types.Filter{Name: aws.String("resource-id"), Values: chunk})
		if err != nil {
			return err
		}
		for _, tag := range tags {
			id := aws.ToString(tag.ResourceId)
			if _, seen := at[id]; !seen {
				at[id] = len(l.things)
				l.things = append(l.things, recovery.Thing{Type: tokens[tag.ResourceType], ID: id, Tags: map[string]string{}})
			}
			l.things[at[id]].Tags[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
		}
	}
	return nil
}

func (l *lister) tags(ctx context.Context, filter types.Filter) ([]types.TagDescription, error) {
	var all []types.TagDescription
	pages := ec2.NewDescribeTagsPaginator(l.ec2, &ec2.DescribeTagsInput{Filters: []types.Filter{filter}})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, awsapi.Wrap(l.region, "ec2:DescribeTags", err)
		}
		all = append(all, page.Tags...)
	}
	return all, nil
}

func (l *lister) scalingGroups(ctx context.Context) error {
	pages := autoscaling.NewDescribeAutoScalingGroupsPaginator(l.groups, &autoscaling.DescribeAutoScalingGroupsInput{
		Filters: []groups.Filter{{Name: aws.String("tag:" + tagStack), Values: []string{l.stack}}},
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return awsapi.Wrap(l.region, "autoscaling:DescribeAutoScalingGroups", err)
		}
		for _, g := range page.AutoScalingGroups {
			tags := map[string]string{}
			for _, tag := range g.Tags {
				tags[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
			}
			name := aws.ToString(g.AutoScalingGroupName)
			l.things = append(l.things, recovery.Thing{Type: "aws:autoscaling/group:Group", ID: name, Name: name, Tags: tags})
		}
	}
	return nil
}
