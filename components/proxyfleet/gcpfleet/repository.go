package gcpfleet

import (
	"fmt"
	"regexp"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/artifactregistry"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/internal/problem"
)

// repositoryToken identifies the component in every state file.
const repositoryToken = "sallyport:proxyfleet:GCPRepository"

// RepositoryArgs are the arguments of NewRepository.
type RepositoryArgs struct {
	// Project and Region are where it is.
	Project, Region string
	// RepositoryName is its name in Artifact Registry.
	RepositoryName string
	// Labels are put on it. May be nil.
	Labels map[string]string
}

// Repository is an Artifact Registry repository for the proxy image, with immutable tags.
type Repository struct {
	pulumi.ResourceState

	// URL is <region>-docker.pkg.dev/<project>/<name>: what to push below.
	URL pulumi.StringOutput `pulumi:"url"`
}

// repositoryRule is what Artifact Registry takes as a name. Artifact Registry, "Create standard repositories", 2026.
var repositoryRule = regexp.MustCompile(`^[a-z][a-z0-9-]{0,61}[a-z0-9]$`)

// NewRepository makes the repository.
func NewRepository(ctx *pulumi.Context, name string, args *RepositoryArgs, opts ...pulumi.ResourceOption) (*Repository, error) {
	if !repositoryRule.MatchString(args.RepositoryName) || args.Project == "" || args.Region == "" {
		return nil, problem.Problem{Place: fmt.Sprintf("repository %q: name", name), Rule: "must be 2 to 63 of a-z, 0-9 and -, with project and region",
			Value: fmt.Sprintf("%q", args.RepositoryName)}
	}
	r := &Repository{}
	inputs := pulumi.Map{"repositoryName": pulumi.String(args.RepositoryName), "region": pulumi.String(args.Region)}
	if err := ctx.RegisterComponentResourceV2(repositoryToken, name, inputs, r, opts...); err != nil {
		return nil, err
	}
	made, err := artifactregistry.NewRepository(ctx, "proxyfleet-repository", &artifactregistry.RepositoryArgs{
		RepositoryId: pulumi.String(args.RepositoryName), Project: pulumi.String(args.Project), Location: pulumi.String(args.Region), Format: pulumi.String("DOCKER"),
		Description:  pulumi.String("Egress proxy image"),
		DockerConfig: &artifactregistry.RepositoryDockerConfigArgs{ImmutableTags: pulumi.Bool(true)}, Labels: pulumi.ToStringMap(args.Labels),
	}, pulumi.Parent(r))
	if err != nil {
		return nil, fmt.Errorf("repository %q: %w", name, err)
	}
	r.URL = pulumi.Sprintf("%s-docker.pkg.dev/%s/%s", args.Region, args.Project, made.RepositoryId)
	return r, ctx.RegisterResourceOutputs(r, pulumi.Map{"url": r.URL})
}
