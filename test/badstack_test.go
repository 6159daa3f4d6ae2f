package test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/lab/labid"
)

// enough is how many bad files go through Pulumi: each costs seconds there.
const enough = 20

// onlyPlanSees are bad files whose fault Pulumi resolves by itself before our program runs: of a key given with and without
// the project's namespace it takes one, and of two documents in a file the first. A namespace that resembles ours may be another
// program's as far as Pulumi knows.
var onlyPlanSees = map[string]bool{"key-with-and-without-namespace": true, "two-documents": true, "unknown-namespace": true}

// TestBadStackFilesAreRefused feeds bad stack files of components/stack to the two programs that read stack files. `sallyport
// plan`, which `make up` runs first, reports every problem that a file's golden messages list. Pulumi refuses all of them, too,
// creates nothing, and shows the same messages for files that its own coarser checks let through.
func TestBadStackFilesAreRefused(t *testing.T) {
	e := newEnvironment(t, goodConfig)
	files, err := filepath.Glob(filepath.Join(e.root, "components/stack/testdata/bad/*.yaml"))
	if err != nil || len(files) < 25 {
		t.Fatalf("%d bad stack files, %v", len(files), err)
	}
	before := e.must("tools/pulumi.sh", "stack", "export", "--stack", e.name)
	reported := 0
	for i, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			problems := problemLines(t, file)
			r := e.run(e.bin("sallyport"), "plan", "--file", file)
			if missing := missing(problems, r.stdout+r.stderr); exitCode(r) == 0 || len(missing) > 0 {
				t.Errorf("sallyport plan: exit code %d, not reported: %q in\n%s%s", exitCode(r), missing, r.stdout, r.stderr)
			}
			chosen := i*enough/len(files) != (i-1)*enough/len(files) // an even choice
			if !chosen || onlyPlanSees[name] {
				return
			}
			config, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(e.file, config, 0o600); err != nil {
				t.Fatal(err)
			}
			r = e.pulumi("up", "--yes", "--suppress-outputs")
			output := r.stdout + r.stderr
			if exitCode(r) == 0 || strings.Contains(output, "panic:") {
				t.Errorf("pulumi up: exit code %d:\n%s", exitCode(r), output)
			}
			if len(missing(problems, output)) == 0 {
				reported++
			}
		})
	}
	if reported < enough/2 {
		t.Errorf("Pulumi passed on all messages of %d files, want at least %d of %d", reported, enough/2, enough)
	}
	if after := e.must("tools/pulumi.sh", "stack", "export", "--stack", e.name); after != before {
		t.Errorf("the state changed:\n%s", after)
	}
	if _, err := os.Stat(labid.StateDir(e.lab())); err == nil {
		t.Errorf("%s was made", labid.StateDir(e.lab()))
	}
	e.write(goodConfig)
}

// problemLines are the lines of a bad file's golden messages.
func problemLines(t *testing.T, file string) []string {
	t.Helper()
	golden, err := os.ReadFile(strings.TrimSuffix(file, ".yaml") + ".golden")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(golden)), "\n")
}

// missing are the lines that a text lacks.
func missing(lines []string, text string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return strings.Contains(text, line) })
}

func TestAHugeStackFileIsRefused(t *testing.T) {
	e := newEnvironment(t, goodConfig)
	var config bytes.Buffer
	config.WriteString("config:\n  sallyport:cloud: local\n  sallyport:cluster: {zones: [a, b], nodes: 2}\n  sallyport:destinations:\n")
	for config.Len() < 10<<20 {
		config.WriteString("    - {name: a, hosts: [a.example.com], demand: {connectionsPerSecond: 1}}\n")
	}
	if err := os.WriteFile(e.file, config.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	r := e.pulumi("up", "--yes", "--suppress-outputs")
	if exitCode(r) == 0 {
		t.Fatal("accepted")
	}
	if len(r.stdout)+len(r.stderr) > 1<<20 {
		t.Errorf("the message has %d bytes", len(r.stdout)+len(r.stderr))
	}
	e.write(goodConfig)
}

// goodConfig is a small valid stack.
const goodConfig = `config:
  pulumi:disable-default-providers: [aws, gcp, kubernetes]
  sallyport:cloud: local
  sallyport:cluster: {zones: [a, b], nodes: 2}
  sallyport:destinations:
    - {name: payments, hosts: [api.payments.example.com], route: proxy, partner: payments, demand: {connectionsPerSecond: 10}}
    - {name: registry, hosts: [registry.example.com], partner: registry, demand: {connectionsPerSecond: 10}}
  sallyport:lab: {}`
