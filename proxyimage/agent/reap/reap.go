// Package reap does the duty of process 1: it collects the exit status of processes whose parent has died, so that they do
// not stay as zombies. Processes started through it are left to the one who waits for them.
package reap

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// interval is how often zombies are looked for besides each SIGCHLD: signals that come close together arrive as one.
const interval = 10 * time.Second

// Reaper knows which children somebody waits for.
type Reaper struct {
	mu    sync.Mutex
	owned map[int]bool
}

// New makes the calling process the parent of its orphaned descendants, which process 1 is anyway.
func New() (*Reaper, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("become the parent of orphans: %w", err)
	}
	return &Reaper{owned: map[int]bool{}}, nil
}

// Start starts a command that Wait must be called for.
func (r *Reaper) Start(cmd *exec.Cmd) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	r.owned[cmd.Process.Pid] = true
	return nil
}

// Wait waits for a command started with Start.
func (r *Reaper) Wait(cmd *exec.Cmd) error {
	err := cmd.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.owned, cmd.Process.Pid)
	return err
}

// Run reaps until ctx is done.
func (r *Reaper) Run(ctx context.Context) {
	died := make(chan os.Signal, 1)
	signal.Notify(died, syscall.SIGCHLD)
	defer signal.Stop(died)
	for {
		r.reap()
		select {
		case <-ctx.Done():
			return
		case <-died:
		case <-time.After(interval):
		}
	}
}

// reap collects every zombie child that nobody waits for. It does not use wait4(-1), which would steal the others.
func (r *Reaper) reap() {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, path := range stats {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil || r.owned[pid] {
			continue
		}
		if text, err := os.ReadFile(path); err == nil && isOrphan(string(text)) {
			_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
		}
	}
}

// isOrphan reports whether a line of /proc/<pid>/stat is that of a zombie child of this process.
func isOrphan(stat string) bool {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	return len(fields) > 1 && fields[0] == "Z" && fields[1] == strconv.Itoa(os.Getpid())
}
