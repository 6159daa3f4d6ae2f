package test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/lab/labid"
)

// TestPublicIPsSurviveAKilledCommandLine kills the command line, and nothing else, at several points of its first run. The
// documented recovery then ends in a complete stack, and every IP that had been given out belongs to the same name as before.
func TestPublicIPsSurviveAKilledCommandLine(t *testing.T) {
	cases := map[string]func(e *environment) bool{ // when to kill
		"as soon as there is an address": func(e *environment) bool { return strings.Contains(e.registry(), "198.51.100.") },
		"when the fleet starts":          func(e *environment) bool { return len(e.made("proxy-*")) > 0 },
		"when the nodes are up":          func(e *environment) bool { return len(e.made("pod-*")) > 1 },
	}
	for name, reached := range cases {
		t.Run(name, func(t *testing.T) {
			e := newEnvironment(t, goodConfig)
			cmd := e.command(append([]string{"tools/pulumi.sh"}, e.pulumiArgs("up", "--yes", "--suppress-outputs")...)...)
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			_, err := until(time.Minute, func() error {
				if !reached(e) {
					return errNotYet
				}
				return nil
			})
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			if err != nil {
				t.Fatalf("the point was never reached: %v", err)
			}
			given := e.registry()

			e.must("tools/recover.sh", e.name, "--config-file", e.file)
			e.up()
			after := e.registry()
			for line := range strings.Lines(given) {
				if line = strings.TrimSuffix(strings.TrimSpace(line), ","); strings.Contains(line, "198.51.100.") && !strings.Contains(after, line) {
					t.Errorf("the address given before the crash is not kept: %s\nnow\n%s", line, after)
				}
			}
			if report := e.status(); !report.Healthy {
				t.Errorf("not healthy after the recovery: %+v", report)
			}
			if r := e.exec("pod-a-1-1", "curl", "-sS", "-m", "10", "https://api.payments.example.com/"); r.err != nil {
				t.Errorf("no way out after the recovery: %s%s", r.stdout, r.stderr)
			}
			testUnchanged(t, e)
		})
	}
}

// registry is the lab's record of who owns which address, one to a line; empty if there is none yet.
func (e *environment) registry() string {
	text, _ := os.ReadFile(filepath.Join(labid.StateDir(e.lab()), "addresses.json"))
	return string(text)
}

// made are the network namespaces of the lab whose host matches a pattern.
func (e *environment) made(pattern string) []string {
	found, _ := filepath.Glob("/run/netns/" + labid.Netns(e.lab(), pattern))
	return found
}
