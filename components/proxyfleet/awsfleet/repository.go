package awsfleet

import (
	"fmt"
	"regexp"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ecr"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/internal/problem"
)

// repositoryToken identifies the component in every state file.
const repositoryToken = "sallyport:proxyfleet:Repository"

// RepositoryArgs are the arguments of NewRepository.
type RepositoryArgs struct {
	// RepositoryName is the name in the registry, for example "sallyport/proxy".
	RepositoryName string
	// Tags are added. May be nil.
	Tags map[string]string
}

// Repository is an ECR repository for the proxy image: tags are immutable, and images are scanned when they are pushed. ECR refuses to
// delete it while there are images in it.
type Repository struct {
	pulumi.ResourceState

	// URL is <account>.dkr.ecr.<region>.amazonaws.com/<name>: what to push to.
	URL pulumi.StringOutput `pulumi:"url"`
	// ARN is for Permissions.
	ARN pulumi.StringOutput `pulumi:"arn"`
}

// repositoryRule is what ECR takes as a name, 2 to 256 characters. Amazon ECR API, CreateRepository, 2026.
var repositoryRule = regexp.MustCompile(`^[a-z0-9]+([._/-][a-z0-9]+)*$`)

// NewRepository makes the repository.
func NewRepository(ctx *pulumi.Context, name string, args *RepositoryArgs, opts ...pulumi.ResourceOption) (*Repository, error) {
	if n := len(args.RepositoryName); n < 2 || n > 256 || !repositoryRule.MatchString(args.RepositoryName) {
		return nil, problem.Problem{Place: fmt.Sprintf("repository %q: name", name), Rule: "must be lower case words joined by . _ - or /", Value: fmt.Sprintf("%q", args.RepositoryName)}
	}
	r := &Repository{}
	inputs := pulumi.Map{"repositoryName": pulumi.String(args.RepositoryName)}
	if err := ctx.RegisterComponentResourceV2(repositoryToken, name, inputs, r, opts...); err != nil {
		return nil, err
	}
	made, err := ecr.NewRepository(ctx, "proxyfleet-repository", &ecr.RepositoryArgs{
		Name: pulumi.String(args.RepositoryName), ImageTagMutability: pulumi.String("IMMUTABLE"),
		ImageScanningConfiguration: ecr.RepositoryImageScanningConfigurationArgs{ScanOnPush: pulumi.Bool(true)},
		EncryptionConfigurations:   ecr.RepositoryEncryptionConfigurationArray{ecr.RepositoryEncryptionConfigurationArgs{EncryptionType: pulumi.String("AES256")}},
		Tags:                       pulumi.ToStringMap(args.Tags),
	}, pulumi.Parent(r))
	if err != nil {
		return nil, fmt.Errorf("repository %q: %w", name, err)
	}
	r.URL, r.ARN = made.RepositoryUrl, made.Arn
	return r, ctx.RegisterResourceOutputs(r, pulumi.Map{"url": r.URL, "arn": r.ARN})
}
