package s3bucket

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/pulumitest"
	"github.com/sallyport/sallyport/internal/golden"
	"github.com/sallyport/sallyport/proxyimage/agent/source"
)

// outputs are what AWS would add.
func outputs(token, _ string, _ resource.PropertyMap) map[string]any {
	if token == "aws:s3/bucketV2:BucketV2" {
		return map[string]any{"bucket": "prod-routes-1a2b", "arn": "arn:aws:s3:::prod-routes-1a2b"}
	}
	return nil
}

// build makes a bucket with a document in it and returns the URL for the agents.
func build(t *testing.T, args *BucketArgs, document string) (*pulumitest.Recorder, string, error) {
	t.Helper()
	recorder, url := pulumitest.New(outputs), ""
	err := recorder.Run("sallyport", "prod", t.TempDir(), nil, func(ctx *pulumi.Context) error {
		bucket, err := NewBucket(ctx, "routes", args)
		if err != nil {
			return err
		}
		bucket.URL.ApplyT(func(value string) string { url = value; return value })
		_, err = bucket.Publish(ctx, pulumi.String(document))
		return err
	})
	return recorder, url, err
}

func example() *BucketArgs {
	return &BucketArgs{
		Stack: "prod", Region: "eu-west-1", Tags: map[string]string{"team": "platform"},
		Endpoint: &EndpointArgs{VPCID: pulumi.String("vpc-1"), RouteTableIDs: map[string]pulumi.StringInput{
			"eu-west-1a": pulumi.String("rtb-a"), "eu-west-1b": pulumi.String("rtb-b"),
		}},
	}
}

func graph(t *testing.T, args *BucketArgs, document string) (text, url string) {
	t.Helper()
	recorder, url, err := build(t, args, document)
	if err != nil {
		t.Fatal(err)
	}
	text, err = recorder.Graph()
	if err != nil {
		t.Fatal(err)
	}
	return text, url
}

func TestGraph(t *testing.T) {
	text, _ := graph(t, example(), `{"version":1}`)
	golden.Check(t, "graph.golden", text)
}

func TestAChangeOfTheDocumentTouchesTheObjectOnly(t *testing.T) {
	before, _ := graph(t, example(), `{"version":1,"serial":1}`)
	after, _ := graph(t, example(), `{"version":1,"serial":2}`)
	old, young := strings.Split(before, "\n"), strings.Split(after, "\n")
	if len(old) != len(young) {
		t.Fatalf("%d lines became %d", len(old), len(young))
	}
	changed := 0
	for i := range old {
		if old[i] != young[i] {
			changed++
			if !strings.Contains(young[i], `"content":`) {
				t.Errorf("%s became %s", old[i], young[i])
			}
		}
	}
	if changed != 1 {
		t.Errorf("%d lines changed", changed)
	}
}

// The agent must be able to read the URL that it is given.
func TestAgentsUnderstandTheURL(t *testing.T) {
	_, url := graph(t, example(), "{}")
	if url != "s3://prod-routes-1a2b/routes.json?region=eu-west-1" {
		t.Errorf("got %s", url)
	}
	if _, err := source.Open(url, 1); err != nil {
		t.Error(err)
	}
}

func TestTheBucketIsPrivate(t *testing.T) {
	recorder, _, err := build(t, example(), "{}")
	if err != nil {
		t.Fatal(err)
	}
	closed := recorder.Inputs("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", "routesbucket-privacy")
	for _, name := range []string{"blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"} {
		if closed[name] != true {
			t.Errorf("%s is %v", name, closed[name])
		}
	}
	var policy struct{ Statement []map[string]any }
	text, _ := recorder.Inputs("aws:s3/bucketPolicy:BucketPolicy", "routesbucket-policy")["policy"].(string)
	if err := json.Unmarshal([]byte(text), &policy); err != nil {
		t.Fatal(err)
	}
	for _, s := range policy.Statement {
		if s["Effect"] != "Deny" {
			t.Errorf("the bucket itself must allow nobody anything: %v", s)
		}
	}
}

func TestMistakesAreAllReported(t *testing.T) {
	_, _, err := build(t, &BucketArgs{Stack: "a b", Bucket: "UPPER", Key: "/routes.json", KeepDays: -1, Endpoint: &EndpointArgs{}}, "{}")
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"stack:", "region: must be given", `bucket: must be a name that S3 takes, got "UPPER"`, `key: must be letters`, "keepDays: must be at least 1, got -1", "endpoint: needs the VPC"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("missing %q in\n%v", want, err)
		}
	}
}
