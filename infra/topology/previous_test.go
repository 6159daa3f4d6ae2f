package topology

import (
	"testing"

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
