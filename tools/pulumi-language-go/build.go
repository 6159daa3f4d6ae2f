package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// stopGrace is how long a program may take to end after it was asked to.
const stopGrace = 5 * time.Second

// command prepares a child that is asked to stop when ctx ends and that never outlives the host.
func command(ctx context.Context, path string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopGrace
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// program is a main package and how to run it.
type program struct {
	source         string // folder of the main package
	dir            string // working directory
	args, env      []string
	stdout, stderr io.Writer
}

// start compiles and starts a program. The Go tool skips compiling and linking when the kept binary is up to date, so an
// unchanged program starts at once. Runs at the same time take turns, and each executes a link of its own that is gone as soon
// as it runs, so that none executes a file that another rewrites and a crash leaves nothing behind.
func start(ctx context.Context, p program) (*exec.Cmd, error) {
	cache, err := cacheDir(p.source)
	if err != nil {
		return nil, err
	}
	unlock, err := lock(filepath.Join(cache, "lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()

	kept, running := filepath.Join(cache, "program"), filepath.Join(cache, "running")
	compiler := command(ctx, "go", "build", "-o", kept, ".")
	compiler.Dir, compiler.Stdout, compiler.Stderr = p.source, p.stderr, p.stderr
	if err := compiler.Run(); err != nil {
		return nil, fmt.Errorf("go build in %s: %w", p.source, err)
	}
	_ = os.Remove(running) // left by a crash between the next two steps
	if err := os.Link(kept, running); err != nil {
		return nil, fmt.Errorf("link %s: %w", kept, err)
	}
	defer func() { _ = os.Remove(running) }()
	cmd := command(ctx, running, p.args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = p.dir, p.env, p.stdout, p.stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the program in %s: %w", p.source, err)
	}
	return cmd, nil
}

// cacheDir is the folder that keeps the binary of the program in dir.
func cacheDir(dir string) (string, error) {
	base := os.Getenv("PULUMI_HOME")
	if base == "" {
		var err error
		if base, err = os.UserCacheDir(); err != nil {
			base = os.TempDir()
		}
	}
	sum := sha256.Sum256([]byte(dir))
	cache := filepath.Join(base, "sallyport-programs", hex.EncodeToString(sum[:8]))
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return "", fmt.Errorf("program cache: %w", err)
	}
	return cache, nil
}

// lock takes an exclusive lock on path and returns how to give it back.
func lock(path string) (func(), error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { _ = file.Close() }, nil
}
