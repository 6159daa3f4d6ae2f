// Package s3publish puts each partner's view of the allow list into S3: a versioned bucket, one folder for each partner, and a topic
// that hears of every new version.
package s3publish

import (
	"encoding/json"
	"fmt"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/s3"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/sns"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/allowlistpublish"
)

// typeToken identifies the component in every state file.
const typeToken = "sallyport:allowlistpublish:S3"

// Args are the arguments of New.
type Args struct {
	// Stack is the name that the tags carry.
	Stack string
	// Publication is what is published.
	allowlistpublish.Publication
	// Tags are added to the bucket and the topic. May be nil.
	Tags map[string]string
}

// Publication is where partners find their lists.
type Publication struct {
	pulumi.ResourceState

	// BucketName is the bucket's name.
	BucketName pulumi.StringOutput `pulumi:"bucketName"`
	// Documents are the s3:// URLs of the documents, by partner.
	Documents pulumi.StringMapOutput `pulumi:"documents"`
	// TopicARN is for subscriptions; empty without notices.
	TopicARN pulumi.StringOutput `pulumi:"topicArn"`
	// Document is the allow list once every partner's view of it is in the bucket.
	Document pulumi.StringOutput `pulumi:"document"`

	arn    pulumi.StringOutput
	id     pulumi.StringInput
	guards []pulumi.Resource // what must be in force before a document is in the bucket
}

// New publishes a document.
func New(ctx *pulumi.Context, name string, args *Args, opts ...pulumi.ResourceOption) (*Publication, error) {
	if err := args.Validate(fmt.Sprintf("allow list publication %q", name)); err != nil {
		return nil, err
	}
	p := &Publication{TopicARN: pulumi.String("").ToStringOutput()}
	inputs := args.Inputs()
	inputs["stack"] = pulumi.String(args.Stack)
	if err := ctx.RegisterComponentResourceV2(typeToken, name, inputs, p, opts...); err != nil {
		return nil, err
	}
	for _, step := range []func(*pulumi.Context, *Publication) error{args.createBucket, args.createAccess, args.createTopic, args.createObjects} {
		if err := step(ctx, p); err != nil {
			return nil, fmt.Errorf("allow list publication %q: %w", name, err)
		}
	}
	p.Documents = args.URLs("s3", p.BucketName)
	return p, ctx.RegisterResourceOutputs(p, pulumi.Map{
		"bucketName": p.BucketName, "documents": p.Documents, "topicArn": p.TopicARN, "document": p.Document,
	})
}

func (args *Args) tags() pulumi.StringMap {
	tags := pulumi.StringMap{"sallyport:stack": pulumi.String(args.Stack)}
	for key, value := range args.Tags {
		tags[key] = pulumi.String(value)
	}
	return tags
}

// createBucket makes the bucket, encrypted and with all versions kept: what partners were told is worth proving.
func (args *Args) createBucket(ctx *pulumi.Context, p *Publication) error {
	if args.Bucket != "" {
		p.BucketName = pulumi.String(args.Bucket).ToStringOutput()
		return nil
	}
	bucket, err := s3.NewBucketV2(ctx, "allowlistpublish-bucket", &s3.BucketV2Args{ForceDestroy: pulumi.Bool(false), Tags: args.tags()}, pulumi.Parent(p))
	if err != nil {
		return err
	}
	p.BucketName, p.arn, p.id = bucket.Bucket, bucket.Arn, bucket.ID()
	encryption, err := s3.NewBucketServerSideEncryptionConfigurationV2(ctx, "allowlistpublish-encryption", &s3.BucketServerSideEncryptionConfigurationV2Args{
		Bucket: bucket.ID(),
		Rules: s3.BucketServerSideEncryptionConfigurationV2RuleArray{s3.BucketServerSideEncryptionConfigurationV2RuleArgs{
			ApplyServerSideEncryptionByDefault: s3.BucketServerSideEncryptionConfigurationV2RuleApplyServerSideEncryptionByDefaultArgs{SseAlgorithm: pulumi.String("AES256")},
		}},
	}, pulumi.Parent(p))
	if err != nil {
		return err
	}
	versions, err := s3.NewBucketVersioningV2(ctx, "allowlistpublish-versions", &s3.BucketVersioningV2Args{
		Bucket: bucket.ID(), VersioningConfiguration: s3.BucketVersioningV2VersioningConfigurationArgs{Status: pulumi.String("Enabled")},
	}, pulumi.Parent(p))
	p.guards = append(p.guards, encryption, versions)
	return err
}

// createAccess says who may read. ACLs are off in both cases; a public bucket is public by its policy, which lets nobody list it.
func (args *Args) createAccess(ctx *pulumi.Context, p *Publication) error {
	if args.Bucket != "" {
		return nil
	}
	ownership, err := s3.NewBucketOwnershipControls(ctx, "allowlistpublish-ownership", &s3.BucketOwnershipControlsArgs{
		Bucket: p.id, Rule: s3.BucketOwnershipControlsRuleArgs{ObjectOwnership: pulumi.String("BucketOwnerEnforced")},
	}, pulumi.Parent(p))
	if err != nil {
		return err
	}
	privacy, err := s3.NewBucketPublicAccessBlock(ctx, "allowlistpublish-privacy", &s3.BucketPublicAccessBlockArgs{
		Bucket: p.id, BlockPublicAcls: pulumi.Bool(true), IgnorePublicAcls: pulumi.Bool(true),
		BlockPublicPolicy: pulumi.Bool(!args.Public), RestrictPublicBuckets: pulumi.Bool(!args.Public),
	}, pulumi.Parent(p))
	if err != nil {
		return err
	}
	// S3 takes one change of a bucket's access at a time.
	policy, err := s3.NewBucketPolicy(ctx, "allowlistpublish-policy", &s3.BucketPolicyArgs{
		Bucket: p.id, Policy: p.arn.ApplyT(args.policy).(pulumi.StringOutput),
	}, pulumi.Parent(p), pulumi.DependsOn([]pulumi.Resource{ownership, privacy}))
	p.guards = append(p.guards, ownership, privacy, policy)
	return err
}

// policy refuses plain text, and lets everybody read the partners' folders if they are public.
func (args *Args) policy(arn string) (string, error) {
	statements := []any{map[string]any{
		"Sid": "RefusePlainText", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": []string{arn, arn + "/*"},
		"Condition": map[string]any{"Bool": map[string]string{"aws:SecureTransport": "false"}},
	}}
	if args.Public {
		statements = append(statements, map[string]any{
			"Sid": "ReadLists", "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": arn + "/" + args.Prefix + "*",
		})
	}
	text, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": statements})
	return string(text), err
}

// createTopic tells subscribers of every new document.
func (args *Args) createTopic(ctx *pulumi.Context, p *Publication) error {
	if !args.Notices {
		return nil
	}
	topic, err := sns.NewTopic(ctx, "allowlistpublish-topic", &sns.TopicArgs{Tags: args.tags()}, pulumi.Parent(p))
	if err != nil {
		return err
	}
	p.TopicARN = topic.Arn
	policy, err := sns.NewTopicPolicy(ctx, "allowlistpublish-topicpolicy", &sns.TopicPolicyArgs{
		Arn: topic.Arn, Policy: pulumi.All(topic.Arn, p.arn).ApplyT(func(values []any) (string, error) {
			return topicPolicy(fmt.Sprint(values[0]), fmt.Sprint(values[1]))
		}).(pulumi.StringOutput),
	}, pulumi.Parent(p))
	if err != nil {
		return err
	}
	notification, err := s3.NewBucketNotification(ctx, "allowlistpublish-notification", &s3.BucketNotificationArgs{
		Bucket: p.id,
		Topics: s3.BucketNotificationTopicArray{s3.BucketNotificationTopicArgs{
			Id: pulumi.String("new-document"), TopicArn: topic.Arn, Events: pulumi.ToStringArray([]string{"s3:ObjectCreated:*"}),
			FilterSuffix: pulumi.String("/" + allowlistpublish.DocumentName),
		}},
	}, pulumi.Parent(p), pulumi.DependsOn([]pulumi.Resource{policy}))
	p.guards = append(p.guards, notification)
	return err
}

// topicPolicy lets S3 publish for this bucket, and nobody else.
func topicPolicy(topic, bucket string) (string, error) {
	text, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": []any{map[string]any{
		"Sid": "BucketNotices", "Effect": "Allow", "Principal": map[string]string{"Service": "s3.amazonaws.com"}, "Action": "sns:Publish",
		"Resource": topic, "Condition": map[string]any{"ArnEquals": map[string]string{"aws:SourceArn": bucket}},
	}}})
	return string(text), err
}

// createObjects puts every file in its place.
func (args *Args) createObjects(ctx *pulumi.Context, p *Publication) (err error) {
	put := func(name string, f allowlistpublish.File, content pulumi.StringInput, opts ...pulumi.ResourceOption) (pulumi.Resource, error) {
		return s3.NewBucketObjectv2(ctx, name, &s3.BucketObjectv2Args{
			Bucket: p.BucketName, Key: pulumi.String(f.Key), Content: content.ToStringOutput(), ContentType: pulumi.String(f.ContentType),
			CacheControl: pulumi.String("no-cache"), ServerSideEncryption: pulumi.String("AES256"),
			// An object takes ten tags at most. Amazon S3 user guide, "Categorizing your objects using tags", 2026.
			OverrideProvider: s3.BucketObjectv2OverrideProviderArgs{DefaultTags: s3.BucketObjectv2OverrideProviderDefaultTagsArgs{Tags: pulumi.StringMap{}}},
		}, append(opts, pulumi.Parent(p))...)
	}
	p.Document, err = args.Objects(ctx, p.guards, put)
	return err
}
