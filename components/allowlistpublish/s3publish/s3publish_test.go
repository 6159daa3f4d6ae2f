package s3publish

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/components/pulumitest"
	"github.com/sallyport/sallyport/internal/golden"
)

// signer signs by naming what it signed.
type signer struct{}

func (signer) Sign(d allowlist.Document, file string) (string, error) {
	return "signed " + file + " for " + strings.Join(d.Partners(), " "), nil
}

func text(t *testing.T) string {
	t.Helper()
	d, err := allowlist.Build("prod", 7, []allowlist.Entry{
		{IP: netip.MustParseAddr("198.51.100.1"), Cloud: "aws", Region: "r", Kind: allowlist.KindNat, Slot: "nat-a-1", State: allowlist.StateActive, Partners: []string{"bank", "shop"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := d.Render(allowlist.FormatJSON)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// run publishes and returns what was asked for.
func run(t *testing.T, args *Args) (*pulumitest.Recorder, error) {
	t.Helper()
	recorder := pulumitest.New(outputs)
	return recorder, recorder.Run("sallyport", "prod", t.TempDir(), nil, func(ctx *pulumi.Context) error {
		_, err := New(ctx, "allowlist", args)
		return err
	})
}

func graph(t *testing.T, args *Args) string {
	t.Helper()
	recorder, err := run(t, args)
	if err != nil {
		t.Fatal(err)
	}
	text, err := recorder.Graph()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestGraphs(t *testing.T) {
	private := example(t)
	golden.Check(t, "private.golden", graph(t, private))
	public := example(t)
	public.Public, public.Notices, public.Signer, public.Prefix = true, true, signer{}, "lists/"
	golden.Check(t, "public.golden", graph(t, public))
	theirs := example(t)
	theirs.Bucket = "theirs"
	golden.Check(t, "existing.golden", graph(t, theirs))
}

func TestNothingIsPublishedThatIsNotTrue(t *testing.T) {
	for name, change := range map[string]func(*Args){
		"a document with a hole": func(a *Args) { a.Document = pulumi.String(strings.Replace(text(t), "198.51.100.1", "10.0.0.1", 1)) },
		"the cloud contradicts": func(a *Args) {
			a.Check = func(context.Context, allowlist.Document) error { return errors.New("cloud: is gone") }
		},
		"a partner without an IP": func(a *Args) { a.Partners = []string{"nobody"} },
	} {
		args := example(t)
		change(args)
		recorder, err := run(t, args)
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		if names := recorder.Names(objectToken); len(names) > 0 {
			t.Errorf("%s: published %v", name, names)
		}
	}
}

func TestArgumentsAreChecked(t *testing.T) {
	args := example(t)
	args.Partners, args.Bucket, args.Notices = nil, "theirs", true
	recorder, err := run(t, args)
	if err == nil || !strings.Contains(err.Error(), "partners: needs at least 1 partner") || !strings.Contains(err.Error(), "notices: must be off") {
		t.Error(err)
	}
	if text, _ := recorder.Graph(); text != "" {
		t.Errorf("resources were registered:\n%s", text)
	}
}

const objectToken = "aws:s3/bucketObjectv2:BucketObjectv2"

// outputs are what AWS would add.
func outputs(token, name string, _ resource.PropertyMap) map[string]any {
	switch token {
	case "aws:s3/bucketV2:BucketV2":
		return map[string]any{"bucket": name + "-1a2b", "arn": "arn:aws:s3:::" + name + "-1a2b"}
	case "aws:sns/topic:Topic":
		return map[string]any{"arn": "arn:aws:sns:eu-west-1:123456789012:" + name}
	}
	return nil
}

func example(t *testing.T) *Args {
	return &Args{Stack: "prod", Partners: []string{"bank", "shop"}, Document: pulumi.String(text(t)), Tags: map[string]string{"team": "platform"}}
}
