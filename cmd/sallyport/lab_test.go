package main

import (
	"bytes"
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/lab/labid"
	"github.com/sallyport/sallyport/lab/partner"
	"github.com/sallyport/sallyport/lab/registry"
	"github.com/sallyport/sallyport/lab/status"
)

func TestExecTakesPodAndCommandApart(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		pod  string
		run  []string
	}{
		"with dashes":                  {[]string{"pod-a", "--", "curl", "-s"}, "pod-a", []string{"curl", "-s"}},
		"without dashes":               {[]string{"pod-a", "curl", "--", "x"}, "pod-a", []string{"curl", "--", "x"}},
		"only the first dashes go":     {[]string{"pod-a", "--", "--", "x"}, "pod-a", []string{"--", "x"}},
		"a pod without a command":      {[]string{"pod-a", "--"}, "pod-a", nil},
		"nothing at all":               {nil, "", nil},
		"a pod and nothing after that": {[]string{"pod-a"}, "pod-a", nil},
	} {
		pod, run := splitExec(c.args)
		if pod != c.pod || !slices.Equal(run, c.run) {
			t.Errorf("%s: got %q %q", name, pod, run)
		}
	}
}

// lab runs `sallyport lab` with labs in a directory of the test's own.
func runLab(t *testing.T, args ...string) (code int, out, complaints string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(context.Background(), append([]string{"lab"}, args...), strings.NewReader(""), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func TestLabMessagesSayWhatToDo(t *testing.T) {
	t.Setenv(labid.RootEnv, filepath.Join(t.TempDir(), "labs"))
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"a lab that is not up": {[]string{"status", "--lab", "t-1"}, "lab t-1: is not up; run `make up`"},
		"exec in such a lab":   {[]string{"exec", "--lab", "t-1", "pod-a", "--", "true"}, "lab t-1: is not up; run `make up`"},
		"exec without command": {[]string{"exec", "--lab", "t-1", "pod-a"}, "lab exec: needs a pod and a command"},
		"an impossible id":     {[]string{"status", "--lab", "NO"}, `only a-z, 0-9 and hyphen are allowed, got "NO"`},
	} {
		code, out, complaints := runLab(t, c.args...)
		if code != 2 || out != "" || !strings.Contains(complaints, c.want) {
			t.Errorf("%s: got code %d, %q, %q", name, code, out, complaints)
		}
	}
	lab, err := registry.Open("t-2")
	if err != nil {
		t.Fatal(err)
	}
	if err := lab.PutRecord(registry.Record{ID: "1", Kind: "pod", Name: "pod-a", Host: "pod-a"}, struct{}{}); err != nil {
		t.Fatal(err)
	}
	if code, _, complaints := runLab(t, "exec", "--lab", "t-2", "pod-b", "--", "true"); code != 2 ||
		!strings.Contains(complaints, `pod "pod-b": is not in lab t-2; its pods are pod-a`) {
		t.Errorf("an unknown pod: %d %q", code, complaints)
	}
	if code, _, complaints := runLab(t, "exec", "--lab", "t-2", "pod-a", "--", "true"); code != 2 || !strings.Contains(complaints, "its namespace is gone") {
		t.Errorf("a dead pod: %d %q", code, complaints)
	}
	if code, out, _ := runLab(t, "list"); code != 0 || !strings.Contains(out, "t-2  0") {
		t.Errorf("list: %d %q", code, out)
	}
	if code, out, _ := runLab(t, "prune"); code != 0 || out != "" {
		t.Errorf("prune of a lab without owner: %d %q", code, out)
	}
	if code, out, _ := runLab(t, "status", "--lab", "t-2"); code != 0 || !strings.Contains(out, "NOT healthy") ||
		!strings.Contains(out, "PROBLEM: its namespace is gone") {
		t.Errorf("status: %d %q", code, out)
	}
}

func TestStatusTable(t *testing.T) {
	ready := true
	var out bytes.Buffer
	err := printStatus(&out, status.Lab{ID: "t-1", StateDir: "/run/x", Healthy: false, Routes: &status.Routes{Serial: 3, Hosts: []string{"a.example.com"}},
		Hosts: []status.Host{
			{Name: "proxy-a-1", Addresses: map[string][]string{"vpc0": {"10.0.2.10"}}, Processes: []status.Process{{Name: "agent", PID: 7, Alive: true}}, Ready: &ready, Serial: 3},
			{Name: "nat", Processes: []status.Process{{Name: "twhold"}}, Problems: []string{"twhold is dead"}},
			{Name: "partner-x", Sources: map[string]partner.Source{"198.51.100.1": {Requests: 2, Refused: 1}}},
		}})
	want := `lab t-1: NOT healthy, state in /run/x
routes serial 3: a.example.com

HOST       ADDRESSES  PROCESSES     STATE
proxy-a-1  10.0.2.10  agent(7)      ready, routes serial 3
nat        -          twhold(dead)  PROBLEM: twhold is dead
partner-x  -          -             198.51.100.1: 2 requests (1 refused)
`
	if err != nil || out.String() != want {
		t.Errorf("%v, got\n%s", err, out.String())
	}
}
