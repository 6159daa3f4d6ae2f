package test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/lab/labid"
)

// enough is how many bad files go through the command line: each costs seconds there, and components/stack tests them all.
const enough = 30

// seenOtherwise are bad files that Pulumi resolves or cuts before our program sees them, so that other problems are left.
var seenOtherwise = map[string]bool{"aliases": true, "deep-nesting": true, "keys-given-twice": true}

// TestBadStackFilesAreRefusedByTheRealCommandLine feeds bad stack files of components/stack to `pulumi up`: each comes back with
// every problem that its golden file lists, and nothing is created.
func TestBadStackFilesAreRefusedByTheRealCommandLine(t *testing.T) {
	e := newEnvironment(t, goodConfig)
	files, err := filepath.Glob(filepath.Join(e.root, "components/stack/testdata/bad/*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	before := e.must("tools/pulumi.sh", "stack", "export", "--stack", e.name)
	refused := 0
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		problems := problemLines(t, file)
		if refused == enough || len(problems) == 0 || seenOtherwise[name] {
			continue
		}
		refused++
		t.Run(name, func(t *testing.T) {
			config, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(e.file, config, 0o600); err != nil {
				t.Fatal(err)
			}
			r := e.pulumi("up", "--yes", "--suppress-outputs")
			output := r.stdout + r.stderr
			if exitCode(r) == 0 || strings.Contains(output, "panic:") {
				t.Errorf("exit code %d:\n%s", exitCode(r), output)
			}
			for _, problem := range problems {
				if !strings.Contains(output, problem) {
					t.Errorf("not reported: %s\nin\n%s", problem, output)
				}
			}
		})
	}
	if refused < enough {
		t.Errorf("%d bad files are left to try, want %d", refused, enough)
	}
	if after := e.must("tools/pulumi.sh", "stack", "export", "--stack", e.name); after != before {
		t.Errorf("the state changed:\n%s", after)
	}
	if _, err := os.Stat(labid.StateDir(e.lab())); err == nil {
		t.Errorf("%s was made", labid.StateDir(e.lab()))
	}
	e.write(goodConfig)
}

// problemLines are the lines of a bad file's golden messages, none if Pulumi refuses the file before our program runs.
func problemLines(t *testing.T, file string) []string {
	t.Helper()
	golden, err := os.ReadFile(strings.TrimSuffix(file, ".yaml") + ".golden")
	if err != nil {
		t.Fatal(err)
	}
	var problems []string
	for line := range strings.Lines(string(golden)) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "sallyport:") {
			return nil
		}
		problems = append(problems, line)
	}
	return problems
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
