package gcsbucket

import (
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/pulumitest"
	"github.com/sallyport/sallyport/internal/golden"
)

func run(t *testing.T, args *BucketArgs) (*pulumitest.Recorder, error) {
	t.Helper()
	recorder := pulumitest.New(nil)
	return recorder, recorder.Run("sallyport", "prod", t.TempDir(), nil, func(ctx *pulumi.Context) error {
		b, err := NewBucket(ctx, "routes", args)
		if err != nil {
			return err
		}
		_, err = b.Publish(ctx, pulumi.String(`{"version":1}`))
		return err
	})
}

func TestTheGraph(t *testing.T) {
	recorder, err := run(t, &BucketArgs{Project: "example-prod", Region: "europe-west1", Bucket: "example-routes", Labels: map[string]string{"team": "platform"}})
	if err != nil {
		t.Fatal(err)
	}
	graph, err := recorder.Graph()
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "bucket.golden", graph)
	if in := recorder.Inputs("gcp:storage/bucket:Bucket", "routesbucket-bucket"); in["publicAccessPrevention"] != "enforced" || in["uniformBucketLevelAccess"] != true {
		t.Errorf("the bucket may be opened to the world: %v", in)
	}
}

func TestAllThatIsWrongIsSaidAtOnce(t *testing.T) {
	_, err := run(t, &BucketArgs{Bucket: "Not A Name", Key: "/x", KeepDays: -1})
	for _, want := range []string{"project: must be given", "region: must be given", "bucket: must be a name", "key: must be letters", "keepDays: must be at least 1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %s", err, want)
		}
	}
}
