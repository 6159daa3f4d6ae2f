// Package gcsbucket keeps the routes document in Cloud Storage: a private, versioned bucket with one object that the fleet follows.
//
// A change of destinations is a new version of that object and touches nothing else. Every version is kept for a while, so that an
// earlier one can be looked at and published again.
package gcsbucket

import (
	"fmt"
	"maps"
	"regexp"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/storage"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/internal/problem"
)

// typeToken identifies the component in every state file.
const typeToken = "sallyport:routesbucket:GCS"

// DefaultKey is the object's name unless another is given.
const DefaultKey = "routes.json"

// defaultKeepDays is how long earlier versions are kept unless otherwise said.
const defaultKeepDays = 90

// BucketArgs are the arguments of NewBucket.
type BucketArgs struct {
	// Project is the bucket's project.
	Project string
	// Region is where the bucket is: near the fleet, and nowhere else.
	Region string
	// Bucket is the bucket's name, unique in all the world. Empty: the provider makes one up.
	Bucket string
	// Key is the object's name. Default DefaultKey.
	Key string
	// KeepDays is how long earlier versions are kept, at least 1. Default 90.
	KeepDays int
	// Labels are put on the bucket. May be nil.
	Labels map[string]string
}

// Bucket is the place of the routes document.
type Bucket struct {
	pulumi.ResourceState

	// Name is the bucket's name, for the permission of the proxies' service account.
	Name pulumi.StringOutput `pulumi:"bucketName"`
	// URL is what the agent is given: gs://<bucket>/<key>.
	URL pulumi.StringOutput `pulumi:"url"`

	key string
}

var (
	// bucketRule is what Cloud Storage takes as a name without dots. Cloud Storage documentation, "Bucket naming guidelines", 2026.
	bucketRule = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{1,61}[a-z0-9]$`)
	keyRule    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/-]{0,199}$`)
)

// NewBucket makes the bucket. The document is published with Publish, once it is known who serves it.
func NewBucket(ctx *pulumi.Context, name string, args *BucketArgs, opts ...pulumi.ResourceOption) (*Bucket, error) {
	declared := args.withDefaults()
	if err := declared.validate(name); err != nil {
		return nil, err
	}
	b := &Bucket{key: declared.Key}
	inputs := pulumi.Map{"key": pulumi.String(declared.Key), "keepDays": pulumi.Int(declared.KeepDays)}
	if err := ctx.RegisterComponentResourceV2(typeToken, name, inputs, b, opts...); err != nil {
		return nil, err
	}
	in := &storage.BucketArgs{
		Project: pulumi.String(declared.Project), Location: pulumi.String(declared.Region), Labels: pulumi.ToStringMap(declared.Labels),
		UniformBucketLevelAccess: pulumi.Bool(true), PublicAccessPrevention: pulumi.String("enforced"), StorageClass: pulumi.String("STANDARD"),
		Versioning: &storage.BucketVersioningArgs{Enabled: pulumi.Bool(true)},
		// Destroying the stack destroys the document with all its versions: it follows from the stack file.
		ForceDestroy: pulumi.Bool(true),
		LifecycleRules: storage.BucketLifecycleRuleArray{&storage.BucketLifecycleRuleArgs{
			Action:    &storage.BucketLifecycleRuleActionArgs{Type: pulumi.String("Delete")},
			Condition: &storage.BucketLifecycleRuleConditionArgs{DaysSinceNoncurrentTime: pulumi.Int(declared.KeepDays)},
		}},
	}
	if declared.Bucket != "" {
		in.Name = pulumi.String(declared.Bucket)
	}
	made, err := storage.NewBucket(ctx, "routesbucket-bucket", in, pulumi.Parent(b))
	if err != nil {
		return nil, fmt.Errorf("routes bucket %q: %w", name, err)
	}
	b.Name = made.Name
	b.URL = pulumi.Sprintf("gs://%s/%s", made.Name, declared.Key)
	return b, ctx.RegisterResourceOutputs(b, pulumi.Map{"bucketName": b.Name, "url": b.URL})
}

// Publish puts the document into the bucket, as a resource below it. Cloud Storage replaces an object as a whole, in one step: a
// reader has the old document or the new one. A provider that counts new content as a new resource deletes the old one first,
// which is the object of the same name; so the old one is retained, that is, overwritten. The bucket goes with all its objects.
func (b *Bucket) Publish(ctx *pulumi.Context, document pulumi.StringInput) (pulumi.Resource, error) {
	return storage.NewBucketObject(ctx, "routesbucket-document", &storage.BucketObjectArgs{
		Bucket: b.Name, Name: pulumi.String(b.key), Content: document.ToStringOutput(), ContentType: pulumi.String("application/json"),
		CacheControl: pulumi.String("no-store"),
	}, pulumi.Parent(b), pulumi.RetainOnDelete(true))
}

func (args *BucketArgs) withDefaults() BucketArgs {
	out := *args
	out.Labels = maps.Clone(args.Labels)
	if out.Key == "" {
		out.Key = DefaultKey
	}
	if out.KeepDays == 0 {
		out.KeepDays = defaultKeepDays
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
	need(args.Project != "", "project", "must be given", args.Project)
	need(args.Region != "", "region", "must be given", args.Region)
	need(args.Bucket == "" || bucketRule.MatchString(args.Bucket), "bucket", "must be a name that Cloud Storage takes", args.Bucket)
	need(keyRule.MatchString(args.Key), "key", "must be letters, digits and . _ / -, at most 200", args.Key)
	need(args.KeepDays >= 1, "keepDays", "must be at least 1", args.KeepDays)
	return problems.Err()
}
