package monitoring

import (
	"encoding/json"
	"testing"

	"gopkg.in/yaml.v3"
)

// FuzzNames: whatever the names, the texts are refused or well-formed.
func FuzzNames(f *testing.F) {
	f.Add("production", "payments")
	f.Add(`a"b`, "x\ny")
	f.Add("a.b_c-d", "0")
	f.Fuzz(func(t *testing.T, stack, destination string) {
		v := example()
		v.Stack, v.Destinations[0].Name = stack, destination
		rules, err := Rules(v)
		if err != nil {
			return
		}
		var tree map[string]any
		if err := yaml.Unmarshal([]byte(rules), &tree); err != nil || len(tree["groups"].([]any)) != 4 {
			t.Errorf("%q, %q: %v", stack, destination, err)
		}
		if board, err := Dashboard(v); err != nil || !json.Valid([]byte(board)) {
			t.Errorf("%q, %q: %v", stack, destination, err)
		}
	})
}
