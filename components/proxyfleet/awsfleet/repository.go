package awsfleet

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
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

// Repository is an ECR repository for the proxy image: tags are immutable, images are scanned when they are pushed, and nothing is
// deleted with the stack, because running proxies start from it.
type Repository struct {
	pulumi.ResourceState

	// URL is <account>.dkr.ecr.<region>.amazonaws.com/<name>: what to push to.
	URL pulumi.StringOutput `pulumi:"url"`
	// ARN is for Permissions.
	ARN pulumi.StringOutput `pulumi:"arn"`
}
