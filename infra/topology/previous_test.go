package topology

import (
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/pulumitest"
	"github.com/sallyport/sallyport/internal/clock"
)

func TestSerialsRiseWithTheContentOnly(t *testing.T) {
	t.Setenv(clock.Env, "2026-01-01T00:00:00Z")
	const newYear = 1767225600
	type doc struct {
		Serial uint64   `json:"serial"`
		Hosts  []string `json:"hosts"`
	}
	for name, c := range map[string]struct {
		previous any
		want     uint64
	}{
		"the first document":                      {nil, newYear},
		"the same content":                        {map[string]any{"serial": 7.0, "hosts": []any{"a"}}, 7},
		"other content":                           {map[string]any{"serial": 7.0, "hosts": []any{"b"}}, newYear},
		"other content, and the clock went back":  {map[string]any{"serial": newYear + 60.0, "hosts": []any{"b"}}, newYear + 61},
		"the same content but without its serial": {map[string]any{"hosts": []any{"a"}}, newYear},
		"something else":                          {"text", newYear},
	} {
		if got, err := NextSerial(c.previous, doc{Serial: 99, Hosts: []string{"a"}}); err != nil || got != c.want {
			t.Errorf("%s: got %d, %v, want %d", name, got, err, c.want)
		}
	}
	if _, err := NextSerial(nil, 7); err == nil {
		t.Error("content that is no object was accepted")
	}
}

func TestPreviousOutputsOfAStack(t *testing.T) {
	document := map[string]any{
		"version": 1, "stack": "prod", "serial": 3,
		"entries": []any{map[string]any{
			"ip": "198.51.100.7", "cloud": "aws", "region": "eu-west-1", "kind": "nat", "slot": "nat-a-1", "state": "active", "partners": []any{},
		}},
	}
	for name, c := range map[string]struct {
		outputs map[string]any
		serial  uint64
		problem bool
	}{
		"the first update":       {map[string]any{}, 0, false},
		"a later update":         {map[string]any{"allowlist": document}, 3, false},
		"outputs that were lost": {map[string]any{"allowlist": "nonsense"}, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			recorder := pulumitest.New(func(token, _ string, _ resource.PropertyMap) map[string]any {
				if token != "pulumi:pulumi:StackReference" {
					return nil
				}
				return map[string]any{"outputs": c.outputs}
			})
			err := recorder.Run("sallyport", "prod", t.TempDir(), nil, func(ctx *pulumi.Context) error {
				previous, err := ReadPrevious(ctx)
				if err != nil {
					return err
				}
				got, err := previous.Allowlist()
				if (err != nil) != c.problem {
					t.Errorf("got %v", err)
				}
				if c.serial == 0 && got != nil || c.serial != 0 && (got == nil || got.Serial != c.serial) {
					t.Errorf("got %+v, want serial %d", got, c.serial)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}
