package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func runImage(t *testing.T, args ...string) (string, error) {
	t.Helper()
	command := newImageCommand()
	var out bytes.Buffer
	command.SetOut(&out)
	command.SetErr(&out)
	command.SetArgs(args)
	command.SilenceErrors, command.SilenceUsage = true, true
	err := command.Execute()
	return out.String(), err
}

func TestImageCommandsSayWhatIsMissing(t *testing.T) {
	t.Run("an agent that was not built", func(t *testing.T) {
		_, err := runImage(t, "build", "--out", t.TempDir(), "--agent", filepath.Join(t.TempDir(), "agent"))
		if err == nil || !strings.Contains(err.Error(), "make build") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a directory outside of the repository", func(t *testing.T) {
		t.Chdir(t.TempDir())
		for _, name := range []string{"build", "lock"} {
			if _, err := runImage(t, name); err == nil || !strings.Contains(err.Error(), "--lock") {
				t.Errorf("%s: got %v", name, err)
			}
		}
	})
	t.Run("the other architecture's agent", func(t *testing.T) {
		agent := filepath.Join(t.TempDir(), "agent")
		if err := os.WriteFile(agent, nil, 0o755); err != nil {
			t.Fatal(err)
		}
		_, err := runImage(t, "build", "--all-platforms", "--arch", "amd64", "--out", t.TempDir(), "--agent", agent)
		if err == nil || !strings.Contains(err.Error(), agent+"-arm64") || !strings.Contains(err.Error(), "make image") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("an image to push", func(t *testing.T) {
		_, err := runImage(t, "push", "--out", t.TempDir(), "--ref", "registry.example.com/proxy:v1")
		if err == nil || !strings.Contains(err.Error(), "sallyport image build") {
			t.Errorf("got %v", err)
		}
		if _, err = runImage(t, "push", "--ref", ""); err == nil || !strings.Contains(err.Error(), "registry/repository:tag") {
			t.Errorf("no reference: %v", err)
		}
	})
	t.Run("an argument that means nothing", func(t *testing.T) {
		for _, args := range [][]string{{"build", "x"}, {"build", "--sparc"}, {"lock", "x"}, {"push"}, {"push", "x", "--ref", "registry.example.com/proxy:v1"}} {
			if _, err := runImage(t, args...); err == nil {
				t.Errorf("%q: accepted", args)
			}
		}
	})
	t.Run("an unknown architecture", func(t *testing.T) {
		for _, name := range []string{"build", "lock"} {
			_, err := runImage(t, name, "--arch", "sparc", "--lock", "../../"+lockPath, "--cache", t.TempDir())
			if err == nil || !strings.Contains(err.Error(), `must be amd64 or arm64, got "sparc"`) {
				t.Errorf("%s: got %v", name, err)
			}
		}
	})
}
