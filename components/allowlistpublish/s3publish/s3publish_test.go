package s3publish

import (
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/allowlistpublish"
	"github.com/sallyport/sallyport/components/allowlistpublish/publishtest"
)

func TestS3(t *testing.T) {
	publishtest.Kind{
		Cloud: "aws", Object: "aws:s3/bucketObjectv2:BucketObjectv2",
		Outputs: func(token, name string, _ resource.PropertyMap) map[string]any {
			switch token {
			case "aws:s3/bucketV2:BucketV2":
				return map[string]any{"bucket": name + "-1a2b", "arn": "arn:aws:s3:::" + name + "-1a2b"}
			case "aws:sns/topic:Topic":
				return map[string]any{"arn": "arn:aws:sns:eu-west-1:123456789012:" + name}
			}
			return nil
		},
		New: func(ctx *pulumi.Context, p allowlistpublish.Publication) (pulumi.StringOutput, error) {
			made, err := New(ctx, "allowlist", &Args{Stack: "prod", Publication: p, Tags: map[string]string{"team": "platform"}})
			if err != nil {
				return pulumi.StringOutput{}, err
			}
			return made.Document, nil
		},
	}.Run(t)
}
