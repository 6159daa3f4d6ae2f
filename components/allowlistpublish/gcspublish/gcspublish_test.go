package gcspublish

import (
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/allowlistpublish"
	"github.com/sallyport/sallyport/components/allowlistpublish/publishtest"
)

func TestGCS(t *testing.T) {
	publishtest.Kind{
		Cloud: "gcp", Object: "gcp:storage/bucketObject:BucketObject",
		Outputs: func(token, name string, _ resource.PropertyMap) map[string]any {
			switch token {
			case "gcp:storage/bucket:Bucket", "gcp:pubsub/topic:Topic":
				return map[string]any{"name": name + "-1a2b"}
			case "gcp:storage/getProjectServiceAccount:getProjectServiceAccount":
				return map[string]any{"emailAddress": "agent@example.com"}
			}
			return nil
		},
		New: func(ctx *pulumi.Context, p allowlistpublish.Publication) (pulumi.StringOutput, error) {
			made, err := New(ctx, "allowlist", &Args{Project: "project-1", Region: "r", Publication: p, Labels: map[string]string{"team": "platform"}})
			if err != nil {
				return pulumi.StringOutput{}, err
			}
			return made.Document, nil
		},
	}.Run(t)
}

func TestTheBucketNeedsAPlace(t *testing.T) {
	args := Args{Publication: allowlistpublish.Publication{Partners: []string{"bank"}}}
	if err := args.validate("p"); err == nil || !strings.Contains(err.Error(), "p: project: is required") || !strings.Contains(err.Error(), "p: region: is required") {
		t.Error(err)
	}
}
