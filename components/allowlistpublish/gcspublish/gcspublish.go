// Package gcspublish puts each partner's view of the allow list into Cloud Storage: a versioned bucket, one folder for each partner,
// and a topic that hears of every new version.
package gcspublish

import (
	"fmt"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/pubsub"
	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/storage"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/allowlistpublish"
	"github.com/sallyport/sallyport/internal/problem"
)

// typeToken identifies the component in every state file.
const typeToken = "sallyport:allowlistpublish:GCS"

// Args are the arguments of New.
type Args struct {
	// Project and Region are where the bucket and the topic are made. Required.
	Project, Region string
	// Publication is what is published.
	allowlistpublish.Publication
	// Labels are put on the bucket and the topic. May be nil.
	Labels map[string]string
}

// Publication is where partners find their lists.
type Publication struct {
	pulumi.ResourceState

	// BucketName is the bucket's name.
	BucketName pulumi.StringOutput `pulumi:"bucketName"`
	// Documents are the gs:// URLs of the documents, by partner.
	Documents pulumi.StringMapOutput `pulumi:"documents"`
	// Topic is the topic's ID, for subscriptions; empty without notices.
	Topic pulumi.StringOutput `pulumi:"topic"`
	// Document is the allow list once every partner's view of it is in the bucket.
	Document pulumi.StringOutput `pulumi:"document"`

	guards []pulumi.Resource // what must be in force before a document is in the bucket
}

// New publishes a document.
func New(ctx *pulumi.Context, name string, args *Args, opts ...pulumi.ResourceOption) (*Publication, error) {
	if err := args.validate(fmt.Sprintf("allow list publication %q", name)); err != nil {
		return nil, err
	}
	p := &Publication{Topic: pulumi.String("").ToStringOutput()}
	if err := ctx.RegisterComponentResourceV2(typeToken, name, args.Inputs(), p, opts...); err != nil {
		return nil, err
	}
	for _, step := range []func(*pulumi.Context, *Publication) error{args.createBucket, args.createTopic, args.createObjects} {
		if err := step(ctx, p); err != nil {
			return nil, fmt.Errorf("allow list publication %q: %w", name, err)
		}
	}
	p.Documents = args.URLs("gs", p.BucketName)
	return p, ctx.RegisterResourceOutputs(p, pulumi.Map{
		"bucketName": p.BucketName, "documents": p.Documents, "topic": p.Topic, "document": p.Document,
	})
}

func (args *Args) validate(name string) error {
	var list problem.List
	if err := args.Validate(name); err != nil {
		list.AddError(name, err)
	}
	for _, field := range []struct{ name, value string }{{"project", args.Project}, {"region", args.Region}} {
		if field.value == "" {
			list.Add(name+": "+field.name, "is required", nil, "write where the bucket is to be")
		}
	}
	return list.Err()
}

// createBucket makes the bucket with all versions kept: what partners were told is worth proving. A public one lets everybody read
// and nobody list.
func (args *Args) createBucket(ctx *pulumi.Context, p *Publication) error {
	if args.Bucket != "" {
		p.BucketName = pulumi.String(args.Bucket).ToStringOutput()
		return nil
	}
	prevention := "enforced"
	if args.Public {
		prevention = "inherited"
	}
	bucket, err := storage.NewBucket(ctx, "allowlistpublish-bucket", &storage.BucketArgs{
		Project: pulumi.String(args.Project), Location: pulumi.String(args.Region), Labels: pulumi.ToStringMap(args.Labels),
		UniformBucketLevelAccess: pulumi.Bool(true), PublicAccessPrevention: pulumi.String(prevention), StorageClass: pulumi.String("STANDARD"),
		Versioning: &storage.BucketVersioningArgs{Enabled: pulumi.Bool(true)},
		// Objects are never deleted one by one, see createObjects: the bucket goes with them when the stack goes.
		ForceDestroy: pulumi.Bool(true),
	}, pulumi.Parent(p))
	if err != nil {
		return err
	}
	p.BucketName = bucket.Name
	if !args.Public {
		return nil
	}
	readers, err := storage.NewBucketIAMMember(ctx, "allowlistpublish-readers", &storage.BucketIAMMemberArgs{
		// legacyObjectReader, not objectViewer: the latter lets everybody list the partners' names.
		Bucket: bucket.Name, Role: pulumi.String("roles/storage.legacyObjectReader"), Member: pulumi.String("allUsers"),
	}, pulumi.Parent(p))
	p.guards = append(p.guards, readers)
	return err
}

// createTopic tells subscribers of every new object: the project's Cloud Storage service agent publishes it. Cloud Storage filters by the start of a name only, so subscribers look at its end.
func (args *Args) createTopic(ctx *pulumi.Context, p *Publication) error {
	if !args.Notices {
		return nil
	}
	topic, err := pubsub.NewTopic(ctx, "allowlistpublish-topic", &pubsub.TopicArgs{
		Project: pulumi.String(args.Project), Labels: pulumi.ToStringMap(args.Labels),
	}, pulumi.Parent(p))
	if err != nil {
		return err
	}
	p.Topic = topic.ID().ToStringOutput()
	agent := storage.GetProjectServiceAccountOutput(ctx, storage.GetProjectServiceAccountOutputArgs{Project: pulumi.String(args.Project)}, pulumi.Parent(p))
	publisher, err := pubsub.NewTopicIAMMember(ctx, "allowlistpublish-publisher", &pubsub.TopicIAMMemberArgs{
		Project: pulumi.String(args.Project), Topic: topic.Name, Role: pulumi.String("roles/pubsub.publisher"),
		Member: pulumi.Sprintf("serviceAccount:%s", agent.EmailAddress()),
	}, pulumi.Parent(p))
	if err != nil {
		return err
	}
	notification, err := storage.NewNotification(ctx, "allowlistpublish-notification", &storage.NotificationArgs{
		Bucket: p.BucketName, Topic: topic.ID(), PayloadFormat: pulumi.String("JSON_API_V1"),
		EventTypes: pulumi.ToStringArray([]string{"OBJECT_FINALIZE"}), ObjectNamePrefix: pulumi.String(args.Prefix),
	}, pulumi.Parent(p), pulumi.DependsOn([]pulumi.Resource{publisher}))
	p.guards = append(p.guards, notification)
	return err
}

// createObjects puts every file in its place. New content is a new resource of the same name: the old one is overwritten and not
// deleted, see routesbucket/gcsbucket.
func (args *Args) createObjects(ctx *pulumi.Context, p *Publication) (err error) {
	put := func(name string, f allowlistpublish.File, content pulumi.StringInput, opts ...pulumi.ResourceOption) (pulumi.Resource, error) {
		return storage.NewBucketObject(ctx, name, &storage.BucketObjectArgs{
			Bucket: p.BucketName, Name: pulumi.String(f.Key), Content: content.ToStringOutput(), ContentType: pulumi.String(f.ContentType),
			CacheControl: pulumi.String("no-store"),
		}, append(opts, pulumi.Parent(p), pulumi.RetainOnDelete(true))...)
	}
	p.Document, err = args.Objects(ctx, p.guards, put)
	return err
}
