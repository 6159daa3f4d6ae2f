package haproxy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/sallyport/sallyport/proxyimage/agent/atomicfile"
)

// killGrace is how long HAProxy has to end after SIGTERM, which cuts its connections.
const killGrace = 2 * time.Second

// ErrNotRunning is returned by Reload when there is nothing to reload: the next start uses the new configuration.
var ErrNotRunning = errors.New("haproxy: not running")

// Reload puts a new configuration in force without refusing or cutting a connection, and returns when the new worker answers.
// If HAProxy refuses the text, or the new worker does not come up, the old configuration stays in force and in place.
func (p *Process) Reload(ctx context.Context, text string) error {
	old, err := os.ReadFile(p.configPath())
	if err != nil {
		return fmt.Errorf("haproxy configuration: %w", err)
	}
	if err := p.Configure(ctx, text); err != nil {
		return err
	}
	p.mu.Lock()
	master := p.master
	p.mu.Unlock()
	if master == nil {
		return ErrNotRunning
	}
	before, err := p.admin.Info(ctx)
	if err != nil {
		return errors.Join(ErrNotRunning, err)
	}
	p.clearFailed()
	if err := master.Signal(syscall.SIGUSR2); err != nil {
		return errors.Join(ErrNotRunning, err)
	}
	if err := p.awaitWorker(ctx, master.Pid, before.PID); err != nil {
		return errors.Join(fmt.Errorf("haproxy: reload failed, the old configuration stays: %w", err), atomicfile.Write(p.configPath(), old))
	}
	return nil
}

// Stop ends HAProxy: it accepts nothing more, its connections have until ctx is done to end, then they are cut. It returns
// when HAProxy has gone. Run returns as well.
func (p *Process) Stop(ctx context.Context) {
	p.mu.Lock()
	p.stopping, p.serving = true, false
	master, exited := p.master, p.exited
	p.mu.Unlock()
	if master == nil {
		return
	}
	_ = master.Signal(syscall.SIGUSR1)
	select {
	case <-exited:
		return
	case <-ctx.Done():
	}
	_ = master.Signal(syscall.SIGTERM)
	select {
	case <-exited:
		return
	case <-time.After(killGrace):
	}
	p.killAll(master)
	<-exited
}

// clearFailed forgets news about earlier workers.
func (p *Process) clearFailed() {
	select {
	case <-p.failed:
	default:
	}
}

func (p *Process) isStopping() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stopping
}

// killAll kills the workers and the master. A killed master alone would leave its workers serving.
func (p *Process) killAll(master *os.Process) {
	for _, worker := range childrenOf(master.Pid) {
		_ = syscall.Kill(worker, syscall.SIGKILL)
	}
	_ = master.Kill()
}

// Workers returns how many workers there are: the one that serves, and old ones whose connections have not ended yet.
func (p *Process) Workers() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.master == nil {
		return 0
	}
	return len(childrenOf(p.master.Pid))
}

// childrenOf returns the child processes of pid.
func childrenOf(pid int) []int {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil
	}
	var children []int
	for _, stat := range stats {
		child, err := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
		if err == nil && parentOf(child) == pid {
			children = append(children, child)
		}
	}
	return children
}
