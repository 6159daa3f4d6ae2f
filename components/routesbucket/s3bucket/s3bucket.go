// Package s3bucket keeps the routes document in S3: a private, versioned, encrypted bucket with one object that the fleet follows.
//
// A change of destinations is a new version of that object and touches nothing else. Every version is kept for a while, so that an
// earlier one can be looked at and published again.
package s3bucket

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/s3"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/internal/problem"
)

// typeToken identifies the component in every state file.
const typeToken = "sallyport:routesbucket:S3"

// DefaultKey is the object's key unless another is given.
const DefaultKey = "routes.json"

// BucketArgs are the arguments of NewBucket.
type BucketArgs struct {
	// Stack is the name that the tags carry.
	Stack string
	// Region is the bucket's region; it becomes part of the URL.
	Region string
	// Bucket is the bucket's name. Empty: the provider makes one up.
	Bucket string
	// Key is the object's key. Default DefaultKey.
	Key string
	// KeepDays is how long earlier versions are kept, at least 1. Default 90.
	KeepDays int
	// Endpoint adds a gateway endpoint for S3, so that the document does not travel by the internet gateway. Nil: none is made;
	// those who have one in the VPC must not ask for a second.
	Endpoint *EndpointArgs
	// Tags are added to every resource. May be nil.
	Tags map[string]string
}

// EndpointArgs say where the gateway endpoint is.
type EndpointArgs struct {
	VPCID pulumi.StringInput
	// RouteTableIDs are the route tables of the subnets with proxies, by a stable name, for example the zone.
	RouteTableIDs map[string]pulumi.StringInput
}

// Bucket is the place of the routes document.
type Bucket struct {
	pulumi.ResourceState

	// Name is the bucket's name.
	Name pulumi.StringOutput `pulumi:"bucketName"`
	// ARN is for the instances' role.
	ARN pulumi.StringOutput `pulumi:"arn"`
	// URL is what the agent is given: s3://<bucket>/<key>?region=<region>.
	URL pulumi.StringOutput `pulumi:"url"`

	bucket *s3.BucketV2
	guards []pulumi.Resource // what must be in force before a document is in the bucket
	key    string
	tags   map[string]string
}

var (
	// bucketRule is what S3 takes as a name. Amazon S3 user guide, "General purpose bucket naming rules", 2026.
	bucketRule = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	keyRule    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/-]{0,199}$`)
	stackRule  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$`)
)

// NewBucket makes the bucket. The document is published with Publish, once it is known who serves it.
func NewBucket(ctx *pulumi.Context, name string, args *BucketArgs, opts ...pulumi.ResourceOption) (*Bucket, error) {
	declared := args.withDefaults()
	if err := declared.validate(name); err != nil {
		return nil, err
	}
	b := &Bucket{key: declared.Key, tags: declared.tags()}
	inputs := pulumi.Map{"stack": pulumi.String(declared.Stack), "key": pulumi.String(declared.Key), "keepDays": pulumi.Int(declared.KeepDays)}
	if err := ctx.RegisterComponentResourceV2(typeToken, name, inputs, b, opts...); err != nil {
		return nil, err
	}
	for _, step := range []func(*pulumi.Context, *Bucket) error{
		declared.createBucket, declared.createPrivacy, declared.createHistory, declared.createEndpoint,
	} {
		if err := step(ctx, b); err != nil {
			return nil, fmt.Errorf("routes bucket %q: %w", name, err)
		}
	}
	b.Name, b.ARN = b.bucket.Bucket, b.bucket.Arn
	b.URL = pulumi.Sprintf("s3://%s/%s?region=%s", b.bucket.Bucket, declared.Key, declared.Region)
	return b, ctx.RegisterResourceOutputs(b, pulumi.Map{"bucketName": b.Name, "arn": b.ARN, "url": b.URL})
}

// Publish puts the document into the bucket, as a resource below it. A change of the document is an update of the object.
func (b *Bucket) Publish(ctx *pulumi.Context, document pulumi.StringInput) (pulumi.Resource, error) {
	return s3.NewBucketObjectv2(ctx, "routesbucket-document", &s3.BucketObjectv2Args{
		Bucket: b.Name, Key: pulumi.String(b.key), Content: document.ToStringOutput(), ContentType: pulumi.String("application/json"),
		ServerSideEncryption: pulumi.String("AES256"),
		// An object takes ten tags at most, fewer than a stack or the provider may have. Amazon S3 user guide, "Categorizing your
		// objects using tags", 2026.
		OverrideProvider: s3.BucketObjectv2OverrideProviderArgs{DefaultTags: s3.BucketObjectv2OverrideProviderDefaultTagsArgs{Tags: pulumi.StringMap{}}},
	}, pulumi.Parent(b), pulumi.DependsOn(b.guards))
}

func (args *BucketArgs) withDefaults() BucketArgs {
	out := *args
	out.Tags = maps.Clone(args.Tags)
	if out.Key == "" {
		out.Key = DefaultKey
	}
	if out.KeepDays == 0 {
		out.KeepDays = 90
	}
	return out
}

func (args *BucketArgs) validate(name string) error {
	var problems problem.List
	need := func(ok bool, field, rule string, value any) {
		if !ok {
			problems.Add(fmt.Sprintf("routes bucket %q: %s", name, field), rule, value, "")
		}
	}
	need(stackRule.MatchString(args.Stack), "stack", "must be letters, digits and . _ -, at most 100", args.Stack)
	need(args.Region != "", "region", "must be given", args.Region)
	need(args.Bucket == "" || bucketRule.MatchString(args.Bucket), "bucket", "must be a name that S3 takes", args.Bucket)
	need(keyRule.MatchString(args.Key), "key", "must be letters, digits and . _ / -, at most 200", args.Key)
	need(args.KeepDays >= 1, "keepDays", "must be at least 1", args.KeepDays)
	if e := args.Endpoint; e != nil {
		need(e.VPCID != nil && len(e.RouteTableIDs) > 0, "endpoint", "needs the VPC and the route tables of the proxies' subnets", len(e.RouteTableIDs))
	}
	return problems.Err()
}

func (args *BucketArgs) tags() map[string]string {
	all := maps.Clone(args.Tags)
	if all == nil {
		all = map[string]string{}
	}
	all["sallyport:stack"] = args.Stack
	return all
}

// createBucket makes the bucket. Its history is worth keeping: it is not emptied for a deletion.
func (args *BucketArgs) createBucket(ctx *pulumi.Context, b *Bucket) (err error) {
	in := &s3.BucketV2Args{ForceDestroy: pulumi.Bool(false), Tags: pulumi.ToStringMap(b.tags)}
	if args.Bucket != "" {
		in.Bucket = pulumi.String(args.Bucket)
	}
	b.bucket, err = s3.NewBucketV2(ctx, "routesbucket-bucket", in, pulumi.Parent(b))
	return err
}

// createPrivacy encrypts what is stored, closes the bucket to the public, and refuses requests without TLS.
func (args *BucketArgs) createPrivacy(ctx *pulumi.Context, b *Bucket) error {
	encryption, err := s3.NewBucketServerSideEncryptionConfigurationV2(ctx, "routesbucket-encryption", &s3.BucketServerSideEncryptionConfigurationV2Args{
		Bucket: b.bucket.ID(),
		Rules: s3.BucketServerSideEncryptionConfigurationV2RuleArray{s3.BucketServerSideEncryptionConfigurationV2RuleArgs{
			// S3's own keys: the proxies' role needs no permission for a key.
			ApplyServerSideEncryptionByDefault: s3.BucketServerSideEncryptionConfigurationV2RuleApplyServerSideEncryptionByDefaultArgs{SseAlgorithm: pulumi.String("AES256")},
		}},
	}, pulumi.Parent(b))
	if err != nil {
		return err
	}
	closed, err := s3.NewBucketPublicAccessBlock(ctx, "routesbucket-privacy", &s3.BucketPublicAccessBlockArgs{
		Bucket: b.bucket.ID(), BlockPublicAcls: pulumi.Bool(true), BlockPublicPolicy: pulumi.Bool(true),
		IgnorePublicAcls: pulumi.Bool(true), RestrictPublicBuckets: pulumi.Bool(true),
	}, pulumi.Parent(b))
	if err != nil {
		return err
	}
	ownership, err := s3.NewBucketOwnershipControls(ctx, "routesbucket-ownership", &s3.BucketOwnershipControlsArgs{
		Bucket: b.bucket.ID(), Rule: s3.BucketOwnershipControlsRuleArgs{ObjectOwnership: pulumi.String("BucketOwnerEnforced")},
	}, pulumi.Parent(b))
	if err != nil {
		return err
	}
	// S3 takes one change of a bucket's access at a time.
	policy, err := s3.NewBucketPolicy(ctx, "routesbucket-policy", &s3.BucketPolicyArgs{
		Bucket: b.bucket.ID(), Policy: b.bucket.Arn.ApplyT(tlsOnly).(pulumi.StringOutput),
	}, pulumi.Parent(b), pulumi.DependsOn([]pulumi.Resource{closed, ownership}))
	b.guards = append(b.guards, encryption, closed, ownership, policy)
	return err
}

// tlsOnly is a bucket policy that refuses everything that comes without TLS. It allows nothing: who may read is said by the
// proxies' role.
func tlsOnly(arn string) (string, error) {
	text, err := json.Marshal(map[string]any{
		"Version": "2012-10-17",
		"Statement": []any{map[string]any{
			"Sid": "RefusePlainText", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": []string{arn, arn + "/*"},
			"Condition": map[string]any{"Bool": map[string]string{"aws:SecureTransport": "false"}},
		}},
	})
	return string(text), err
}

// createHistory keeps earlier versions, and not forever.
func (args *BucketArgs) createHistory(ctx *pulumi.Context, b *Bucket) error {
	versions, err := s3.NewBucketVersioningV2(ctx, "routesbucket-versions", &s3.BucketVersioningV2Args{
		Bucket: b.bucket.ID(), VersioningConfiguration: s3.BucketVersioningV2VersioningConfigurationArgs{Status: pulumi.String("Enabled")},
	}, pulumi.Parent(b))
	if err != nil {
		return err
	}
	b.guards = append(b.guards, versions)
	_, err = s3.NewBucketLifecycleConfigurationV2(ctx, "routesbucket-lifecycle", &s3.BucketLifecycleConfigurationV2Args{
		Bucket: b.bucket.ID(),
		Rules: s3.BucketLifecycleConfigurationV2RuleArray{s3.BucketLifecycleConfigurationV2RuleArgs{
			Id: pulumi.String("earlier-versions"), Status: pulumi.String("Enabled"),
			Filter:                      s3.BucketLifecycleConfigurationV2RuleFilterArgs{Prefix: pulumi.String("")},
			NoncurrentVersionExpiration: s3.BucketLifecycleConfigurationV2RuleNoncurrentVersionExpirationArgs{NoncurrentDays: pulumi.Int(args.KeepDays)},
		}},
	}, pulumi.Parent(b), pulumi.DependsOn([]pulumi.Resource{versions}))
	return err
}

// createEndpoint lets the proxies reach S3 without the internet gateway. It costs nothing.
func (args *BucketArgs) createEndpoint(ctx *pulumi.Context, b *Bucket) error {
	if args.Endpoint == nil {
		return nil
	}
	endpoint, err := ec2.NewVpcEndpoint(ctx, "routesbucket-endpoint", &ec2.VpcEndpointArgs{
		VpcId: args.Endpoint.VPCID, ServiceName: pulumi.String("com.amazonaws." + args.Region + ".s3"), VpcEndpointType: pulumi.String("Gateway"),
		Tags: pulumi.ToStringMap(b.tags),
	}, pulumi.Parent(b))
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(args.Endpoint.RouteTableIDs)) {
		// One resource per route table, so that a new zone touches no other.
		_, err := ec2.NewVpcEndpointRouteTableAssociation(ctx, "routesbucket-route-"+name, &ec2.VpcEndpointRouteTableAssociationArgs{
			VpcEndpointId: endpoint.ID(), RouteTableId: args.Endpoint.RouteTableIDs[name],
		}, pulumi.Parent(b))
		if err != nil {
			return err
		}
	}
	return nil
}
