package gcpfleet

import (
	"fmt"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/artifactregistry"
	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/projects"
	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/serviceaccount"
	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/storage"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/proxyfleet/gcphost"
	"github.com/sallyport/sallyport/internal/gcpname"
)

// maxAccountID is the longest name of a service account. Google Cloud, "Create service accounts", 2026.
const maxAccountID = 30

// Grant is one role of the machines' service account: on what, and what for.
type Grant struct{ Role, On, Why string }

// The grants. Those on the project cannot be given on anything narrower: logs and metrics belong to the project.
var (
	grantRoutes  = Grant{"roles/storage.objectViewer", "the bucket of the routes document, that one object of it", "the agent reads what it serves"}
	grantImage   = Grant{"roles/artifactregistry.reader", "the repository of the image", "Docker pulls the proxy image"}
	grantLogs    = Grant{"roles/logging.logWriter", "the project", "Docker sends the proxy's log"}
	grantMetrics = Grant{"roles/monitoring.metricWriter", "the project", "the machine's monitor sends memory, disk and process figures"}
)

// Grants are all roles of the service account of a fleet with this image.
func Grants(image string) []Grant {
	grants := []Grant{grantRoutes}
	if _, ok := gcphost.RegistryOf(image); ok {
		grants = append(grants, grantImage)
	}
	return append(grants, grantLogs, grantMetrics)
}

// identity is who the machines are.
type identity struct {
	account *serviceaccount.Account
	grants  []pulumi.Resource // without these a machine cannot start its proxy
}

// createIdentity makes the service account and its grants.
func (args *FleetArgs) createIdentity(ctx *pulumi.Context, f *Fleet) (identity, error) {
	account, err := serviceaccount.NewAccount(ctx, "proxyfleet-account", &serviceaccount.AccountArgs{
		AccountId: pulumi.String(gcpname.Short(maxAccountID, args.Stack, "proxy")), Project: pulumi.String(args.Project),
		DisplayName: pulumi.Sprintf("Egress proxies of stack %s", args.Stack),
	}, pulumi.Parent(f))
	if err != nil {
		return identity{}, fmt.Errorf("service account: %w", err)
	}
	who := identity{account: account}
	for _, grant := range Grants(args.Proxy.Image) {
		made, err := args.grant(ctx, f, grant, account.Member)
		if err != nil {
			return identity{}, fmt.Errorf("%s: %w", grant.Role, err)
		}
		who.grants = append(who.grants, made)
	}
	return who, nil
}

// grant gives one role on what it is for.
func (args *FleetArgs) grant(ctx *pulumi.Context, f *Fleet, grant Grant, member pulumi.StringOutput) (pulumi.Resource, error) {
	role, parent := pulumi.String(grant.Role), pulumi.Parent(f)
	switch grant {
	case grantRoutes:
		return storage.NewBucketIAMMember(ctx, "proxyfleet-grant-routes", &storage.BucketIAMMemberArgs{
			Bucket: args.Permissions.Bucket, Role: role, Member: member,
			Condition: &storage.BucketIAMMemberConditionArgs{
				Title:      pulumi.String("routes document only"),
				Expression: pulumi.Sprintf("resource.name == \"projects/_/buckets/%s/objects/%s\"", args.Permissions.Bucket, args.Permissions.Object),
			},
		}, parent)
	case grantImage:
		registry, _ := gcphost.RegistryOf(args.Proxy.Image)
		return artifactregistry.NewRepositoryIamMember(ctx, "proxyfleet-grant-image", &artifactregistry.RepositoryIamMemberArgs{
			Project: pulumi.String(registry.Project), Location: pulumi.String(registry.Location), Repository: pulumi.String(registry.Repository), Role: role, Member: member,
		}, parent)
	default:
		key := map[Grant]string{grantLogs: "logs", grantMetrics: "metrics"}[grant]
		return projects.NewIAMMember(ctx, "proxyfleet-grant-"+key, &projects.IAMMemberArgs{Project: pulumi.String(args.Project), Role: role, Member: member}, parent)
	}
}
