package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/components/stack"
)

// call runs the command line in this process.
func call(t *testing.T, args ...string) (code int, out, complaints string) {
	t.Helper()
	var o, c strings.Builder
	code = run(t.Context(), args, strings.NewReader(""), &o, &c)
	return code, o.String(), c.String()
}

func TestMonitoringFollowsThePlanOfAStack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made")
	code, out, complaints := call(t, "monitoring", "--file", "../../stacks/Pulumi.local.yaml", "--out", dir)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, complaints)
	}
	rules, err := os.ReadFile(filepath.Join(dir, "sallyport-local.rules.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	board, err := os.ReadFile(filepath.Join(dir, "sallyport-local.dashboard.json"))
	if err != nil || !json.Valid(board) || strings.Count(out, "\n") != 2 {
		t.Fatalf("%v\n%s", err, out)
	}
	s, err := stack.ReadFile("../../stacks/Pulumi.local.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range s.Destinations {
		watched := strings.Contains(string(rules), `destination: "`+d.Name+`"`) && strings.Contains(string(board), `"title": "`+d.Name+`"`)
		if want := d.Route != "nat"; watched != want {
			t.Errorf("%s leaves by %s: watched %v", d.Name, d.Route, watched)
		}
	}
	if !strings.Contains(string(rules), "> 51609") { // 0.8 x 64,512
		t.Errorf("no threshold at 80 %% of the ports:\n%s", rules)
	}
}

func TestMonitoringNamesWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no stack":       {[]string{"--out", dir}, "--stack: is required"},
		"no directory":   {[]string{"--file", "../../stacks/Pulumi.local.yaml"}, `"out" not set`},
		"file not there": {[]string{"--file", "nowhere.yaml", "--out", dir}, "nowhere.yaml"},
		"share of 80":    {[]string{"--file", "../../stacks/Pulumi.local.yaml", "--out", dir, "--share", "80"}, "--share: must be above 0"},
		"both":           {[]string{"--stack", "local", "--file", "x", "--out", dir}, "cannot be combined"},
		"place taken":    {[]string{"--file", "../../stacks/Pulumi.local.yaml", "--out", "main.go"}, "--out: "},
	} {
		code, _, complaints := call(t, append([]string{"monitoring"}, test.args...)...)
		if code != 2 || !strings.Contains(complaints, test.want) {
			t.Errorf("%s: exit %d: %s", name, code, complaints)
		}
	}
}
