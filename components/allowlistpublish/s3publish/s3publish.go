// Package s3publish puts each partner's view of the allow list into S3: a versioned bucket, one folder for each partner, and a topic
// that hears of every new version.
package s3publish

import (
	"encoding/json"
	"fmt"
	"slices"

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
	// Partners are those who get a folder, at least one.
	Partners []string
	// Bucket is an existing bucket; who reads it and how many versions it keeps is then its owner's business. Empty: one is made.
	Bucket string
	// Prefix is in front of every key. Default none.
	Prefix string
	// Public lets everybody read the partners' folders of a bucket that is made here. Default false: signed URLs, or an AWS account
	// that the owner admits.
	Public bool
	// Notices makes a topic that hears of each new document. Only for a bucket that is made here. Default false.
	Notices bool
	// Document is the whole allow list as JSON.
	Document pulumi.StringInput
	// Signer signs each view. Nil: they are not signed.
	Signer allowlistpublish.Signer
	// Check is asked before anything is published, and not in a preview. Nil: nobody is.
	Check allowlistpublish.Check
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

	arn    pulumi.StringOutput
	id     pulumi.StringInput
	guards []pulumi.Resource // what must be in force before a document is in the bucket
}

// New publishes a document.
func New(ctx *pulumi.Context, name string, args *Args, opts ...pulumi.ResourceOption) (*Publication, error) {
	if err := allowlistpublish.Validate(fmt.Sprintf("allow list publication %q", name), args.Partners, args.Bucket, args.Notices); err != nil {
		return nil, err
	}
	p := &Publication{TopicARN: pulumi.String("").ToStringOutput()}
	inputs := pulumi.Map{
		"stack": pulumi.String(args.Stack), "partners": pulumi.ToStringArray(args.Partners), "bucket": pulumi.String(args.Bucket),
		"prefix": pulumi.String(args.Prefix), "public": pulumi.Bool(args.Public), "notices": pulumi.Bool(args.Notices), "signed": pulumi.Bool(args.Signer != nil),
	}
	if err := ctx.RegisterComponentResourceV2(typeToken, name, inputs, p, opts...); err != nil {
		return nil, err
	}
	for _, step := range []func(*pulumi.Context, *Publication) error{args.createBucket, args.createAccess, args.createTopic, args.createObjects} {
		if err := step(ctx, p); err != nil {
			return nil, fmt.Errorf("allow list publication %q: %w", name, err)
		}
	}
	documents := pulumi.StringMap{}
	for _, f := range allowlistpublish.Files(args.Partners, args.Prefix, false) {
		if f.Name == allowlistpublish.DocumentName {
			documents[f.Partner] = pulumi.Sprintf("s3://%s/%s", p.BucketName, f.Key)
		}
	}
	p.Documents = documents.ToStringMapOutput()
	return p, ctx.RegisterResourceOutputs(p, pulumi.Map{"bucketName": p.BucketName, "documents": p.Documents, "topicArn": p.TopicARN})
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
		object, err := s3.NewBucketObjectv2(ctx, "allowlistpublish-object-"+f.Partner+"-"+f.Name, &s3.BucketObjectv2Args{
			Bucket: p.BucketName, Key: pulumi.String(f.Key), Content: content, ContentType: pulumi.String(f.ContentType),
			CacheControl: pulumi.String("no-cache"), ServerSideEncryption: pulumi.String("AES256"),
			// An object takes ten tags at most. Amazon S3 user guide, "Categorizing your objects using tags", 2026.
			OverrideProvider: s3.BucketObjectv2OverrideProviderArgs{DefaultTags: s3.BucketObjectv2OverrideProviderDefaultTagsArgs{Tags: pulumi.StringMap{}}},
		}, pulumi.Parent(p), pulumi.DependsOn(slices.Concat(before[f.Partner], p.guards)))
		if err != nil {
			return err
		}
		before[f.Partner] = append(before[f.Partner], object)
	}
	return nil
}
