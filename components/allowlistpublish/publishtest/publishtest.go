// Package publishtest checks what every kind of bucket has to do with an allow list, with the recorder of pulumitest in the place of
// a cloud.
package publishtest

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/components/allowlistpublish"
	"github.com/sallyport/sallyport/components/pulumitest"
	"github.com/sallyport/sallyport/internal/golden"
)

// Kind is a kind of bucket.
type Kind struct {
	// Cloud is the entries' cloud.
	Cloud string
	// Object is the type token of what is put into the bucket.
	Object string
	// Outputs are what the cloud would add to a resource.
	Outputs pulumitest.Outputs
	// New publishes, and returns the document once that is done.
	New func(ctx *pulumi.Context, p allowlistpublish.Publication) (pulumi.StringOutput, error)
}

// signer signs by naming what it signed.
type signer struct{}

func (signer) Sign(d allowlist.Document, file string) (string, error) {
	return "signed " + file + " for " + strings.Join(d.Partners(), " "), nil
}

// document is an allow list of one IP that concerns two partners.
func (k Kind) document(t *testing.T) string {
	t.Helper()
	d, err := allowlist.Build("prod", 7, []allowlist.Entry{
		{IP: netip.MustParseAddr("198.51.100.1"), Cloud: k.Cloud, Region: "r", Kind: allowlist.KindNat, Slot: "nat-a-1", State: allowlist.StateActive, Partners: []string{"bank", "shop"}},
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

// run publishes and says what was asked for, and what was handed on as published.
func (k Kind) run(t *testing.T, change func(*allowlistpublish.Publication)) (recorder *pulumitest.Recorder, handed string, err error) {
	t.Helper()
	p := allowlistpublish.Publication{Partners: []string{"bank", "shop"}, Document: pulumi.String(k.document(t))}
	if change != nil {
		change(&p)
	}
	recorder = pulumitest.New(k.Outputs)
	err = recorder.Run("sallyport", "prod", t.TempDir(), nil, func(ctx *pulumi.Context) error {
		document, err := k.New(ctx, p)
		if err == nil {
			ctx.Export("published", document.ApplyT(func(text string) string { handed = text; return text }))
		}
		return err
	})
	return recorder, handed, err
}

// Run runs every check. The graphs are golden files of the caller: private, public and existing.
func (k Kind) Run(t *testing.T) {
	t.Run("graphs", k.graphs)
	t.Run("nothing is published that is not true", k.withholds)
	t.Run("nothing is published before the IPs are in place", k.waits)
	t.Run("arguments are checked", k.refuses)
}

func (k Kind) graphs(t *testing.T) {
	for name, change := range map[string]func(*allowlistpublish.Publication){
		"private.golden": nil,
		"public.golden": func(p *allowlistpublish.Publication) {
			p.Public, p.Notices, p.Signed, p.Signer, p.Prefix = true, true, true, signer{}, "lists/"
		},
		"existing.golden": func(p *allowlistpublish.Publication) { p.Bucket = "theirs" },
	} {
		recorder, handed, err := k.run(t, change)
		if err != nil {
			t.Fatal(err)
		}
		if handed != k.document(t) {
			t.Errorf("%s: was handed on as %s", name, handed)
		}
		graph, err := recorder.Graph()
		if err != nil {
			t.Fatal(err)
		}
		golden.Check(t, name, graph)
	}
}

func (k Kind) withholds(t *testing.T) {
	gone := func(context.Context, allowlist.Document) error { return errors.New("cloud: is gone") }
	for name, change := range map[string]func(*allowlistpublish.Publication){
		"a document with a hole": func(p *allowlistpublish.Publication) {
			p.Document = pulumi.String(strings.Replace(k.document(t), "198.51.100.1", "10.0.0.1", 1))
		},
		"the cloud contradicts":   func(p *allowlistpublish.Publication) { p.Check = gone },
		"a partner without an IP": func(p *allowlistpublish.Publication) { p.Partners = []string{"nobody"} },
		"a key that is missing":   func(p *allowlistpublish.Publication) { p.Signed = true },
	} {
		recorder, handed, err := k.run(t, change)
		if err == nil || handed != "" {
			t.Errorf("%s: %v, handed on %q", name, err, handed)
		}
		if names := recorder.Names(k.Object); len(names) > 0 {
			t.Errorf("%s: published %v", name, names)
		}
	}
}

// waits lets an attachment fail: the cloud is not even asked.
func (k Kind) waits(t *testing.T) {
	asked := false
	recorder, _, err := k.run(t, func(p *allowlistpublish.Publication) {
		p.Check = func(context.Context, allowlist.Document) error { asked = true; return nil }
		p.After = []pulumi.Input{pulumi.String("").ToStringOutput().ApplyT(func(string) (string, error) { return "", errors.New("no gateway") })}
	})
	if err == nil || asked || len(recorder.Names(k.Object)) > 0 {
		t.Errorf("%v, asked %v, published %v", err, asked, recorder.Names(k.Object))
	}
}

func (k Kind) refuses(t *testing.T) {
	recorder, _, err := k.run(t, func(p *allowlistpublish.Publication) { p.Partners, p.Bucket, p.Notices = nil, "theirs", true })
	if err == nil || !strings.Contains(err.Error(), "partners: needs at least 1 partner") || !strings.Contains(err.Error(), "notices: must be off") {
		t.Error(err)
	}
	if text, _ := recorder.Graph(); text != "" {
		t.Errorf("resources were registered:\n%s", text)
	}
}
