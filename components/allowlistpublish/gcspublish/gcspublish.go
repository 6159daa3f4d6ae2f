// Package gcspublish puts each partner's view of the allow list into Cloud Storage: a versioned bucket, one folder for each partner,
// and a topic that hears of every new version.
package gcspublish

import (
	"fmt"
	"slices"

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
	// Partners are those who get a folder, at least one.
	Partners []string
	// Bucket is an existing bucket; who reads it and how many versions it keeps is then its owner's business. Empty: one is made.
	Bucket string
	// Prefix is in front of every name. Default none.
	Prefix string
	// Public lets everybody read a bucket that is made here. Default false: signed URLs, or members whom the owner admits.
	Public bool
	// Notices makes a topic that hears of each new object. Only for a bucket that is made here. Default false.
	Notices bool
	// Agent is the e-mail address of the project's Cloud Storage service agent, which publishes to the topic:
	// storage.GetProjectServiceAccount tells it. Required with Notices.
	Agent pulumi.StringInput
	// Document is the whole allow list as JSON.
	Document pulumi.StringInput
	// Signer signs each view. Nil: they are not signed.
	Signer allowlistpublish.Signer
	// Check is asked before anything is published, and not in a preview. Nil: nobody is.
	Check allowlistpublish.Check
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

	guards []pulumi.Resource // what must be in force before a document is in the bucket
}

// New publishes a document.
func New(ctx *pulumi.Context, name string, args *Args, opts ...pulumi.ResourceOption) (*Publication, error) {
	if err := args.validate(fmt.Sprintf("allow list publication %q", name)); err != nil {
		return nil, err
	}
	p := &Publication{Topic: pulumi.String("").ToStringOutput()}
	inputs := pulumi.Map{
		"partners": pulumi.ToStringArray(args.Partners), "bucket": pulumi.String(args.Bucket), "prefix": pulumi.String(args.Prefix),
		"public": pulumi.Bool(args.Public), "notices": pulumi.Bool(args.Notices), "signed": pulumi.Bool(args.Signer != nil),
	}
	if err := ctx.RegisterComponentResourceV2(typeToken, name, inputs, p, opts...); err != nil {
		return nil, err
	}
	for _, step := range []func(*pulumi.Context, *Publication) error{args.createBucket, args.createTopic, args.createObjects} {
		if err := step(ctx, p); err != nil {
			return nil, fmt.Errorf("allow list publication %q: %w", name, err)
		}
	}
	documents := pulumi.StringMap{}
	for _, f := range allowlistpublish.Files(args.Partners, args.Prefix, false) {
		if f.Name == allowlistpublish.DocumentName {
			documents[f.Partner] = pulumi.Sprintf("gs://%s/%s", p.BucketName, f.Key)
		}
	}
	p.Documents = documents.ToStringMapOutput()
	return p, ctx.RegisterResourceOutputs(p, pulumi.Map{"bucketName": p.BucketName, "documents": p.Documents, "topic": p.Topic})
}

func (args *Args) validate(name string) error {
	var list problem.List
	if err := allowlistpublish.Validate(name, args.Partners, args.Bucket, args.Notices); err != nil {
		list.AddError(name, err)
	}
	for _, field := range []struct{ name, value string }{{"project", args.Project}, {"region", args.Region}} {
		if field.value == "" {
			list.Add(name+": "+field.name, "is required", nil, "write where the bucket is to be")
		}
	}
	if args.Notices && args.Agent == nil {
		list.Add(name+": agent", "is required with notices", nil, "pass the Cloud Storage service agent of the project")
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
		Versioning: &storage.BucketVersioningArgs{Enabled: pulumi.Bool(true)}, ForceDestroy: pulumi.Bool(false),
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

// createTopic tells subscribers of every new object. Cloud Storage filters by the start of a name only, so subscribers look at its end.
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
	publisher, err := pubsub.NewTopicIAMMember(ctx, "allowlistpublish-publisher", &pubsub.TopicIAMMemberArgs{
		Project: pulumi.String(args.Project), Topic: topic.Name, Role: pulumi.String("roles/pubsub.publisher"),
		Member: pulumi.Sprintf("serviceAccount:%s", args.Agent),
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

// createObjects puts every file in its place, each partner's document after the rest of its folder.
func (args *Args) createObjects(ctx *pulumi.Context, p *Publication) error {
	check := args.Check
	if ctx.DryRun() {
		check = nil // the cloud is asked when the document is about to be published
	}
	checked := args.Document.ToStringOutput().ApplyT(func(text string) (string, error) {
		_, err := allowlistpublish.Open(ctx.Context(), text, check)
		return text, err
	}).(pulumi.StringOutput)
	before := map[string][]pulumi.Resource{}
	for _, f := range allowlistpublish.Files(args.Partners, args.Prefix, args.Signer != nil) {
		content := checked.ApplyT(func(text string) (string, error) {
			document, err := allowlistpublish.Open(ctx.Context(), text, nil)
			if err != nil {
				return "", err
			}
			return allowlistpublish.Content(f, document, args.Signer)
		}).(pulumi.StringOutput)
		// New content is a new resource of the same name: the old one is overwritten and not deleted, see routesbucket/gcsbucket.
		object, err := storage.NewBucketObject(ctx, "allowlistpublish-object-"+f.Partner+"-"+f.Name, &storage.BucketObjectArgs{
			Bucket: p.BucketName, Name: pulumi.String(f.Key), Content: content, ContentType: pulumi.String(f.ContentType),
			CacheControl: pulumi.String("no-store"),
		}, pulumi.Parent(p), pulumi.DependsOn(slices.Concat(before[f.Partner], p.guards)), pulumi.RetainOnDelete(true))
		if err != nil {
			return err
		}
		before[f.Partner] = append(before[f.Partner], object)
	}
	return nil
}
