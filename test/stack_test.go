package test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/lab/labid"
	"github.com/sallyport/sallyport/lab/remains"
)

// commandTimeout bounds every command a test runs, far above what any takes.
const commandTimeout = 5 * time.Minute

// environment is a stack of its own: own backend, own stack file, own lab.
type environment struct {
	t       *testing.T
	root    string // project root
	name    string // stack
	file    string // stack file
	backend string // folder
	owner   remains.Owner
	env     []string // further variables of every command
}

var stacks atomic.Int32

// newEnvironment prepares a stack whose file holds config. The stack's lab is gone at the end of the test, and the next run
// clears what a killed one left.
func newEnvironment(t *testing.T, config string) *environment {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	owner, err := remains.Self()
	if err != nil {
		t.Fatal(err)
	}
	e := &environment{
		t: t, root: root, owner: owner, name: fmt.Sprintf("t%d-%d", os.Getpid(), stacks.Add(1)),
		file: filepath.Join(t.TempDir(), "stack.yaml"), backend: t.TempDir(),
	}
	e.must("tools/pulumi.sh", "stack", "init", e.name)
	// Pulumi writes the new stack's salt beside the project's own stack files; it belongs into ours.
	written := filepath.Join(root, "stacks", "Pulumi."+e.name+".yaml")
	if err := os.Rename(written, e.file); err != nil {
		t.Fatal(err)
	}
	e.write(config)
	t.Cleanup(e.remove)
	return e
}

// write replaces the stack file's configuration and keeps what Pulumi put below it.
func (e *environment) write(config string) {
	e.t.Helper()
	old, _ := os.ReadFile(e.file)
	var salt string
	for line := range strings.Lines(string(old)) {
		if strings.HasPrefix(line, "encryptionsalt:") {
			salt = line
		}
	}
	if err := os.WriteFile(e.file, []byte(config+"\n"+salt), 0o600); err != nil {
		e.t.Fatal(err)
	}
}

// result is what a command printed.
type result struct {
	stdout, stderr string
	err            error // nil if the command exited with 0
}

// command prepares a command in the project root with this stack's backend.
func (e *environment) command(args ...string) *exec.Cmd {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = e.root
	cmd.Env = append(os.Environ(),
		"PULUMI_BACKEND_URL=file://"+e.backend,
		"PULUMI_CONFIG_PASSPHRASE=test",
		"PULUMI_HOME="+filepath.Join(e.root, ".build", "pulumi-home"),
		"SALLYPORT_LAB_OWNER="+string(e.owner),
		"GOFLAGS=-tags=local", // as make does for stack local
	)
	cmd.Env = append(cmd.Env, e.env...)
	return cmd
}

// run runs a command to its end.
func (e *environment) run(args ...string) result {
	var stdout, stderr bytes.Buffer
	cmd := e.command(args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		return result{err: err}
	}
	timer := time.AfterFunc(commandTimeout, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	err := cmd.Wait()
	return result{stdout: stdout.String(), stderr: stderr.String(), err: err}
}

// must runs a command that has to succeed and returns what it printed.
func (e *environment) must(args ...string) string {
	e.t.Helper()
	r := e.run(args...)
	if r.err != nil {
		e.t.Fatalf("%s: %v\n%s%s", strings.Join(args, " "), r.err, r.stdout, r.stderr)
	}
	return r.stdout
}

// pulumi runs a Pulumi command on this stack.
func (e *environment) pulumi(args ...string) result {
	return e.run(append([]string{"tools/pulumi.sh"}, e.pulumiArgs(args...)...)...)
}

func (e *environment) pulumiArgs(args ...string) []string {
	all := append([]string{}, args...)
	return append(all, "--stack", e.name, "--config-file", e.file, "--non-interactive")
}

// up applies the stack file and returns what Pulumi printed.
func (e *environment) up() string {
	e.t.Helper()
	r := e.pulumi("up", "--yes", "--suppress-outputs")
	if r.err != nil {
		e.t.Fatalf("pulumi up: %v\n%s%s", r.err, r.stdout, r.stderr)
	}
	return r.stdout
}

// exec runs a command in a pod, as a user would.
func (e *environment) exec(pod string, command ...string) result {
	args := append([]string{e.bin("sallyport"), "lab", "exec", "--stack", e.name, pod, "--"}, command...)
	return e.run(args...)
}

// bin is the path of one of our programs.
func (e *environment) bin(name string) string { return filepath.Join(e.root, ".build", "bin", name) }

// lab is the stack's lab.
func (e *environment) lab() string { return labid.For(e.root, e.name) }

// remove destroys the stack and checks that nothing is left of it.
func (e *environment) remove() {
	r := e.pulumi("destroy", "--yes", "--suppress-outputs")
	if r.err != nil {
		e.t.Errorf("pulumi destroy: %v\n%s%s", r.err, r.stdout, r.stderr)
	}
	for _, left := range leftovers(e.lab()) {
		e.t.Errorf("left behind after destroy: %s", left)
	}
}

// leftovers finds namespaces, state, processes and mounts of a lab.
func leftovers(lab string) []string {
	var left []string
	for _, pattern := range []string{"/run/netns/" + lab + "-*", labid.StateDir(lab)} {
		found, _ := filepath.Glob(pattern)
		left = append(left, found...)
	}
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, process := range processes {
		cmdline, _ := os.ReadFile(filepath.Join(process, "cmdline"))
		environ, _ := os.ReadFile(filepath.Join(process, "environ"))
		if bytes.Contains(cmdline, []byte(labid.StateDir(lab)+"/")) || bytes.Contains(environ, []byte(labid.StateDir(lab)+"/")) {
			left = append(left, process+" "+string(bytes.ReplaceAll(cmdline, []byte{0}, []byte{' '})))
		}
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, lab+"-") || strings.Contains(line, labid.StateDir(lab)) {
			left = append(left, "mount "+strings.TrimSpace(line))
		}
	}
	return left
}

// exitCode is the exit code of a command that ran.
func exitCode(r result) int {
	var exit *exec.ExitError
	switch {
	case r.err == nil:
		return 0
	case errors.As(r.err, &exit):
		return exit.ExitCode()
	default:
		return -1
	}
}
