package allowlistpublish

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/components/pulumitest"
)

func document(t *testing.T) (allowlist.Document, string) {
	t.Helper()
	entry := func(ip, slot string, kind allowlist.Kind, partners ...string) allowlist.Entry {
		return allowlist.Entry{IP: netip.MustParseAddr(ip), Cloud: "aws", Region: "eu-west-1", Kind: kind, Slot: slot, State: allowlist.StateActive, Partners: partners}
	}
	d, err := allowlist.Build("prod", 7, []allowlist.Entry{
		entry("198.51.100.1", "nat-a-1", allowlist.KindNat, "shop"), entry("198.51.100.2", "proxy-a-1-1", allowlist.KindProxy, "bank"),
		entry("198.51.100.3", "proxy-b-1-1", allowlist.KindProxy, "bank"),
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := d.Render(allowlist.FormatJSON)
	if err != nil {
		t.Fatal(err)
	}
	return d, text
}

// signer signs by naming what it signed.
type signer struct{}

func (signer) Sign(d allowlist.Document, file string) (string, error) {
	return "signed " + file + " for " + strings.Join(d.Partners(), " "), nil
}

func TestEachPartnerGetsItsOwnViewAndNoOtherName(t *testing.T) {
	d, _ := document(t)
	var keys []string
	for _, f := range Files([]string{"shop", "bank", "shop"}, "lists/", true) {
		keys = append(keys, f.Key)
		content, err := Content(f, d, signer{})
		if err != nil {
			t.Fatal(err)
		}
		other := map[string]string{"shop": "bank", "bank": "shop"}[f.Partner]
		if strings.Contains(content, other) || f.Name != NetworksName && !strings.Contains(content, f.Partner) {
			t.Errorf("%s:\n%s", f.Key, content)
		}
	}
	want := "lists/bank/allowlist.json.minisig lists/bank/allowlist.txt lists/bank/allowlist.json lists/shop/allowlist.json.minisig lists/shop/allowlist.txt lists/shop/allowlist.json"
	if got := strings.Join(keys, " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if len(Files([]string{"bank"}, "", false)) != 2 {
		t.Error("an unsigned list has a signature")
	}
	if got, err := Content(File{Partner: "bank", Name: NetworksName}, d, nil); err != nil || got != "198.51.100.2/31\n" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := Content(File{Key: "k", Partner: "bank", Name: SignatureName}, d, nil); err == nil {
		t.Error("signed without a key")
	}
	if _, err := Content(File{Key: "k", Partner: "nobody", Name: DocumentName}, d, nil); err == nil {
		t.Error("an empty list was published")
	}
}

func TestWhatIsNotTrueIsNotPublished(t *testing.T) {
	_, text := document(t)
	if _, err := Open(context.Background(), text, nil); err != nil {
		t.Error(err)
	}
	hole := strings.Replace(text, "198.51.100.2", "198.51.100.1", 1)
	if _, err := Open(context.Background(), hole, nil); !errors.Is(err, allowlist.ErrIncomplete) || !strings.HasPrefix(err.Error(), "allow list is not published\n") {
		t.Error(err)
	}
	contradiction := errors.New("cloud: 198.51.100.1 is gone")
	if _, err := Open(context.Background(), text, func(context.Context, allowlist.Document) error { return contradiction }); !errors.Is(err, contradiction) {
		t.Error(err)
	}
}

func TestPartnersAreThoseWhomAnAddressConcerns(t *testing.T) {
	got := Partners([]allowlist.Life{
		{Partners: []string{"shop", "bank"}}, {State: allowlist.StateRetired, Partners: []string{"bank", "past"}}, {Release: true, Partners: []string{"gone"}}, {},
	})
	if strings.Join(got, " ") != "bank past shop" {
		t.Error(got)
	}
}

func TestAPublicationNeedsPartners(t *testing.T) {
	if err := (&Publication{Bucket: "theirs", Notices: true}).Validate("p"); err == nil || len(strings.Split(err.Error(), "\n")) != 2 {
		t.Error(err)
	}
	if err := (&Publication{Partners: []string{"bank"}, Notices: true}).Validate("p"); err != nil {
		t.Error(err)
	}
}

// contents are what a preview shows, by key; what it does not know is left out. It asks nobody.
func contents(t *testing.T, p Publication) map[string]string {
	t.Helper()
	var mu sync.Mutex
	shown := map[string]string{}
	p.Check = func(context.Context, allowlist.Document) error { t.Error("a preview asked the cloud"); return nil }
	put := func(ctx *pulumi.Context) Put {
		return func(name string, f File, content pulumi.StringInput, opts ...pulumi.ResourceOption) (pulumi.Resource, error) {
			content.ToStringOutput().ApplyT(func(text string) string {
				mu.Lock()
				defer mu.Unlock()
				shown[f.Key] = text
				return text
			})
			object := &pulumi.ResourceState{}
			return object, ctx.RegisterComponentResource("test:index:Object", name, object, opts...)
		}
	}
	recorder := pulumitest.New(nil)
	if err := pulumi.RunErr(func(ctx *pulumi.Context) error {
		_, err := p.Objects(ctx, nil, put(ctx))
		return err
	}, pulumi.WithMocks("sallyport", "prod", recorder), func(info *pulumi.RunInfo) { info.DryRun = true }); err != nil {
		t.Fatal(err)
	}
	if got := len(recorder.Names("test:index:Object")); got != len(Files(p.Partners, p.Prefix, p.Signed)) {
		t.Errorf("%d objects", got)
	}
	return shown
}

func TestAPreviewWithoutAKeyShowsEverythingButTheSignatures(t *testing.T) {
	_, text := document(t)
	p := Publication{Partners: []string{"bank"}, Document: pulumi.String(text), Signed: true}
	shown := contents(t, p)
	if _, known := shown["bank/allowlist.json.minisig"]; known || shown["bank/allowlist.txt"] != "198.51.100.2/31\n" || len(shown) != 2 {
		t.Errorf("%q", shown)
	}
	p.Signer = signer{}
	if shown := contents(t, p); shown["bank/allowlist.json.minisig"] != "signed allowlist.json for bank" {
		t.Errorf("%q", shown)
	}
}
