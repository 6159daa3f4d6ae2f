package awsfleet

import (
	"fmt"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/proxyfleet/awsrole"
)

// zoneRole is what the instances of one zone are allowed.
type zoneRole struct {
	role    *iam.Role
	policy  *iam.RolePolicy
	profile *iam.InstanceProfile
}

// createRoles makes one role for each zone: a policy names the log streams of its zone's slots, so a new zone touches no other
// zone's role.
func (args *FleetArgs) createRoles(ctx *pulumi.Context, f *Fleet, log *cloudwatch.LogGroup) (map[string]zoneRole, error) {
	roles := map[string]zoneRole{}
	for _, zone := range args.zones() {
		made, err := args.createRole(ctx, f, log, zone)
		if err != nil {
			return nil, fmt.Errorf("role of zone %s: %w", zone, err)
		}
		roles[zone] = made
	}
	return roles, nil
}

func (args *FleetArgs) createRole(ctx *pulumi.Context, f *Fleet, log *cloudwatch.LogGroup, zone string) (zoneRole, error) {
	role, err := iam.NewRole(ctx, "proxyfleet-role-"+zone, &iam.RoleArgs{
		Description:      pulumi.Sprintf("Egress proxies of stack %s in %s", args.Stack, zone),
		AssumeRolePolicy: pulumi.String(awsrole.TrustPolicy()), Tags: tags(args.Tags, args.Stack, ""),
	}, pulumi.Parent(f))
	if err != nil {
		return zoneRole{}, err
	}
	needs := awsrole.Needs{Region: args.Region}
	for _, s := range args.Slots {
		if s.Zone == zone {
			needs.LogStreams = append(needs.LogStreams, s.Name)
		}
	}
	var repository pulumi.StringInput = pulumi.String("")
	if args.Permissions.RepositoryARN != nil {
		repository = args.Permissions.RepositoryARN
	}
	document := pulumi.All(args.Permissions.BucketARN, repository, log.Arn).ApplyT(func(values []any) (string, error) {
		n := needs
		bucket, _ := values[0].(string)
		n.ObjectARN = bucket + "/" + args.Permissions.ObjectKey
		n.RepositoryARN, _ = values[1].(string)
		n.LogGroupARN, _ = values[2].(string)
		return n.Policy()
	}).(pulumi.StringOutput)
	policy, err := iam.NewRolePolicy(ctx, "proxyfleet-policy-"+zone, &iam.RolePolicyArgs{Role: role.ID(), Policy: document}, pulumi.Parent(f))
	if err != nil {
		return zoneRole{}, err
	}
	profile, err := iam.NewInstanceProfile(ctx, "proxyfleet-profile-"+zone, &iam.InstanceProfileArgs{
		Role: role.Name, Tags: tags(args.Tags, args.Stack, ""),
	}, pulumi.Parent(f))
	return zoneRole{role, policy, profile}, err
}
