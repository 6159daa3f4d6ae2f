// Package golden compares what a test rendered with a file under testdata. `make golden` rewrites the files.
package golden

import (
	"os"
	"path/filepath"
	"testing"
)

// Check fails the test if got differs from testdata/name. With UPDATE_GOLDEN=1 in the environment it writes the file instead.
func Check(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE_GOLDEN") == "1" {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (run make golden)", err)
	}
	if got != string(want) {
		t.Errorf("%s differs from what was rendered; look at the change, then run make golden\n--- want\n%s\n--- got\n%s", path, want, got)
	}
}
