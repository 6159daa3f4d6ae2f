package clouds

import (
	"strings"
	"testing"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/test/standin/world"
)

// A stack on GCP publishes what its project confirms, and nothing else. AWS does so for a year in test/allowlist.
func TestAListIsPublishedWhenTheProjectConfirmsIt(t *testing.T) {
	t.Parallel()
	s := newStack(t, "gcp-dev", func(config map[string]any) {
		at[map[string]any](t, config, "sallyport:allowlist")["publish"] = map[string]any{"prefix": "lists/"}
	})
	s.reach(s)
	found := func() (list string) {
		s.look(func(state *world.State) {
			if o := state.By("gcp:storage/bucketObject:BucketObject", "name", "lists/payments/allowlist.json"); o != nil {
				list = o.String("content")
			}
		})
		return list
	}
	output := func() string {
		r := s.Command("tools/pulumi.sh", "stack", "output", "allowlist", "--json", "--stack", s.Name)
		if r.Err != nil {
			t.Fatalf("%v\n%s", r.Err, r.Output)
		}
		return r.Output
	}
	s.must("up")
	document, err := allowlist.Parse([]byte(output()))
	if err != nil {
		t.Fatal(err)
	}
	view, err := document.ForPartner("payments")
	if err != nil {
		t.Fatal(err)
	}
	want, err := view.Render(allowlist.FormatJSON)
	if err != nil || found() != want {
		t.Errorf("%v: payments finds\n%s\nwant\n%s", err, found(), want)
	}
	s.unchanged()

	// The next day somebody takes the labels off an address.
	s.Env = append(s.Env, "SALLYPORT_NOW=2026-01-02T00:00:00Z")
	label := func(stack string) {
		s.change(func(state *world.State) error {
			for _, o := range state.All("gcp:compute/address:Address") {
				if labels, _ := o.Props["effectiveLabels"].(map[string]any); labels["sallyport-slot"] == "proxy-europe-west1-b-1-1" {
					labels["sallyport-stack"] = stack
				}
			}
			return nil
		})
	}
	before := output()
	label("another")
	refusal := "proxy-europe-west1-b-1-1 is active in the document and does not exist under the stack's tag"
	if r := s.Pulumi("up"); r.Err == nil || !strings.Contains(r.Output, refusal) {
		t.Errorf("%v\n%s\nwant %s", r.Err, r.Output, refusal)
	}
	if found() != want || output() != before {
		t.Errorf("payments was given another list:\n%s", found())
	}
	label(s.Name)
	s.must("destroy")
	if found() != "" {
		t.Error("the list outlives the stack's bucket")
	}
}
