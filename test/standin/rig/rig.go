// Package rig runs the real Pulumi command line against the stand-in providers: each stack gets a project folder, a backend and a
// world of its own, and every run says which resources it touched, from the engine's own event log.
package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sallyport/sallyport/test/standin/install"
	"github.com/sallyport/sallyport/test/standin/world"
)

// Rig is what all stacks of a test run share: compiled programs and the stand-ins.
type Rig struct {
	// Env are further variables for the commands of all stacks.
	Env []string

	root, dir string
	stacks    atomic.Int64
}

// New prepares a rig in a folder of its own, for the checkout at root.
func New(root, dir string) (*Rig, error) {
	absolute, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("rig: %w", err)
	}
	r := &Rig{root: absolute, dir: dir}
	if err := os.MkdirAll(r.temporary(), 0o700); err != nil {
		return nil, fmt.Errorf("rig: %w", err)
	}
	return r, install.Install(absolute, r.home())
}

func (r *Rig) home() string { return filepath.Join(r.dir, "home") }

func (r *Rig) temporary() string { return filepath.Join(r.dir, "tmp") }

// Compile builds a program of the checkout and returns the path of a binary that nobody rewrites. Linking a program with the SDKs
// of the clouds takes a minute and 1.5 GB: runs at the same time take turns, and what is up to date is not linked again.
func (r *Rig) Compile(pkg string) (string, error) {
	kept := filepath.Join(r.root, ".build", "standin", filepath.Base(pkg))
	if err := os.MkdirAll(filepath.Dir(kept), 0o755); err != nil {
		return "", fmt.Errorf("rig: %w", err)
	}
	lock, err := os.OpenFile(kept+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", fmt.Errorf("rig: %w", err)
	}
	defer func() { _ = lock.Close() }()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("rig: %w", err)
	}
	build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", kept, pkg)
	build.Dir, build.Stderr = r.root, os.Stderr
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if err := build.Run(); err != nil {
		return "", fmt.Errorf("rig: compile %s: %w", pkg, err)
	}
	text, err := os.ReadFile(kept)
	if err != nil {
		return "", fmt.Errorf("rig: %w", err)
	}
	binary := filepath.Join(r.dir, "program-"+filepath.Base(pkg))
	if err := os.WriteFile(binary, text, 0o755); err != nil {
		return "", fmt.Errorf("rig: %w", err)
	}
	return binary, nil
}

// Stack is one stack in a project of its own.
type Stack struct {
	// Name is the stack's name.
	Name string
	// World is what the stand-ins keep.
	World *world.World
	// Env are further variables for every command.
	Env []string

	rig                 *Rig
	dir, backend, state string
}

// launcher is the program as the language host sees it: it compiles in no time and becomes the one compiled before.
const launcher = `// Command program becomes the program that was compiled before.
package main

import (
	"fmt"
	"os"
	"syscall"
)

func main() {
	err := syscall.Exec(%q, os.Args, os.Environ())
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
`

// NewStack makes a project with a compiled program and creates a stack in it, with the configuration of a stack file.
func (r *Rig) NewStack(name, program, config string) (*Stack, error) {
	dir := filepath.Join(r.dir, fmt.Sprintf("%s-%d", name, r.stacks.Add(1)))
	s := &Stack{Name: name, rig: r, dir: dir, backend: filepath.Join(dir, "backend"), state: filepath.Join(dir, "world")}
	for _, sub := range []string{"program", "stacks", "backend"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, fmt.Errorf("rig: %w", err)
		}
	}
	declared, err := r.project()
	if err != nil {
		return nil, err
	}
	files := map[string]string{
		"Pulumi.yaml": declared, "program/go.mod": "module program\n\ngo 1.24\n", "program/main.go": fmt.Sprintf(launcher, program),
	}
	for path, text := range files {
		if err := os.WriteFile(filepath.Join(dir, path), []byte(text), 0o644); err != nil {
			return nil, fmt.Errorf("rig: %w", err)
		}
	}
	if err := os.Symlink(filepath.Join(r.root, "tools"), filepath.Join(dir, "tools")); err != nil {
		return nil, fmt.Errorf("rig: %w", err)
	}
	if s.World, err = world.Open(s.state); err != nil {
		return nil, err
	}
	if made := s.Command("tools/pulumi.sh", "stack", "init", name); made.Err != nil {
		return nil, fmt.Errorf("rig: stack init: %w\n%s", made.Err, made.Output)
	}
	return s, s.Configure(config)
}

// project is the checkout's Pulumi.yaml with the program's folder replaced, and without the lab's provider.
func (r *Rig) project() (string, error) {
	text, err := os.ReadFile(filepath.Join(r.root, "Pulumi.yaml"))
	if err != nil {
		return "", fmt.Errorf("rig: %w", err)
	}
	before, rest, ok := strings.Cut(string(text), "main: infra\n")
	if !ok {
		return "", errors.New("rig: Pulumi.yaml has no line \"main: infra\"")
	}
	plugins, after, ok := strings.Cut(rest, "\nconfig:")
	if !ok {
		return "", errors.New("rig: Pulumi.yaml has no config")
	}
	directory, _, _ := strings.Cut(plugins, "plugins:")
	return before + "main: program\n" + directory + "\nconfig:" + after, nil
}

// File is the stack file.
func (s *Stack) File() string { return filepath.Join(s.dir, "stacks", "Pulumi."+s.Name+".yaml") }

// Configure replaces the stack file and keeps what Pulumi put there itself.
func (s *Stack) Configure(config string) error {
	old, err := os.ReadFile(s.File())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("rig: %w", err)
	}
	var kept string
	for line := range strings.Lines(string(old)) {
		if strings.HasPrefix(line, "encryptionsalt:") {
			kept = line
		}
	}
	var wanted strings.Builder
	for line := range strings.Lines(config) {
		if !strings.HasPrefix(line, "encryptionsalt:") {
			wanted.WriteString(line)
		}
	}
	if err := os.WriteFile(s.File(), []byte(strings.TrimRight(wanted.String(), "\n")+"\n"+kept), 0o644); err != nil {
		return fmt.Errorf("rig: %w", err)
	}
	return nil
}

// Result is what a command came to.
type Result struct {
	// Output is what the command printed on both streams.
	Output string
	// Err is nil if the command ended with 0.
	Err error
	// Touched are the changes of resources, one to a line, sorted: "create aws:ec2/eip:Eip elasticip-address-nat-a-1".
	Touched []string
	// Took is the time and MaxRSS the memory, in bytes, of the largest process.
	Took   time.Duration
	MaxRSS int64
}

// timeout bounds every command, far above what any takes.
const timeout = 4 * time.Minute

// prepare makes a command in the project's folder.
func (s *Stack) prepare(ctx context.Context, args ...string) *exec.Cmd {
	path := args[0]
	if !filepath.IsAbs(path) {
		path = filepath.Join(s.dir, path)
	}
	cmd := exec.CommandContext(ctx, path, args[1:]...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(),
		"SALLYPORT_BUILD_DIR="+filepath.Join(s.rig.root, ".build"),
		"PULUMI_BACKEND_URL=file://"+s.backend,
		"PULUMI_HOME="+s.rig.home(),
		"PULUMI_CONFIG_PASSPHRASE=",
		"PULUMI_DEBUG_COMMANDS=true",
		install.WorldVariable+"="+s.state,
		"TMPDIR="+s.rig.temporary(),
		"GOFLAGS=-mod=mod -trimpath", "GOWORK=off", // without paths in it, a launcher is compiled once for all stacks
	)
	cmd.Env = append(append(cmd.Env, s.rig.Env...), s.Env...)
	return cmd
}

// Command runs a program in the project's folder: one of its own, as tools/recover.sh, or one by its absolute path.
func (s *Stack) Command(args ...string) Result {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	var output bytes.Buffer
	cmd := s.prepare(ctx, args...)
	cmd.Stdout, cmd.Stderr = &output, &output
	start := time.Now()
	err := cmd.Run()
	r := Result{Output: output.String(), Err: err, Took: time.Since(start)}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		r.MaxRSS = usage.Maxrss << 10
	}
	return r
}

// Pulumi runs up, preview, refresh, destroy or import, without questions, and lists what it touched.
func (s *Stack) Pulumi(args ...string) Result {
	log := filepath.Join(s.dir, fmt.Sprintf("events-%d.json", s.rig.stacks.Add(1)))
	all := append([]string{"tools/pulumi.sh"}, args...)
	all = append(all, "--stack", s.Name, "--non-interactive", "--event-log", log)
	switch args[0] {
	case "preview":
	case "destroy": // as users run it: what the preview refuses is not begun
		all = append(all, "--yes")
	default:
		all = append(all, "--yes", "--skip-preview")
	}
	r := s.Command(all...)
	touched, err := touchedBy(log)
	if r.Err == nil {
		r.Err = err
	}
	r.Touched = touched
	return r
}

// Kill starts a command and ends the Pulumi process with SIGKILL, and nothing else, as soon as reached says so. It reports
// whether the point was reached before the command ended.
func (s *Stack) Kill(reached func() bool, args ...string) (bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	all := append([]string{"tools/pulumi.sh"}, args...)
	cmd := s.prepare(ctx, append(all, "--stack", s.Name, "--non-interactive", "--yes", "--skip-preview")...)
	if err := cmd.Start(); err != nil { // pulumi.sh becomes pulumi by exec, so the process is the command line's
		return false, fmt.Errorf("rig: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ended:
			return false, nil
		case <-ticker.C:
			if !reached() {
				continue
			}
			if err := cmd.Process.Kill(); err != nil {
				return false, fmt.Errorf("rig: %w", err)
			}
			<-ended
			return true, nil
		}
	}
}
