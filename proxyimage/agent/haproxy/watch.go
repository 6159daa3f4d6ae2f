package haproxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// watch waits until the started HAProxy answers, then keeps asking, and kills it when it hangs.
func (p *Process) watch(ctx context.Context, master *os.Process, exited <-chan struct{}) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-exited:
			cancel()
		case <-ctx.Done():
		}
	}()
	if err := p.awaitWorker(ctx, master.Pid, 0); err != nil {
		if ctx.Err() == nil {
			p.Logger.Error("haproxy does not answer after its start and is killed", "error", err)
			_ = master.Kill()
		}
		return
	}
	p.setServing(true, exited)
	p.Up()
	for failures := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(watchInterval):
		}
		err := p.probe(ctx)
		if ctx.Err() != nil || p.isStopping() {
			return
		}
		p.setServing(err == nil, exited)
		if err == nil {
			failures = 0
		} else if failures++; failures >= watchFailures {
			p.Logger.Error("haproxy hangs and is killed", "error", err)
			p.killAll(master)
			return
		}
	}
}

// setServing records the state unless the process it is about has gone.
func (p *Process) setServing(serving bool, exited <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.exited == exited && p.master != nil {
		p.serving = serving
	}
}

// probe asks the health frontend.
func (p *Process) probe(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://haproxy/", nil)
	if err != nil {
		return err
	}
	response, err := p.health.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("health: status %d", response.StatusCode)
	}
	return nil
}

// awaitWorker waits for a worker of the master that is not old, or for the news that it failed to start.
func (p *Process) awaitWorker(ctx context.Context, master, old int) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		info, err := p.admin.Info(ctx)
		if err == nil && info.PID != old && parentOf(info.PID) == master {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("haproxy: no worker answers within %s: %w", startTimeout, errors.Join(err, ctx.Err()))
		case <-p.failed:
			return errors.New("haproxy: the new worker failed to start")
		case <-time.After(pollInterval):
		}
	}
}

// parentOf returns the parent of a process, or 0.
func parentOf(pid int) int {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0
	}
	// The second field is the name in parentheses and may hold anything.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 2 {
		return 0
	}
	parent, _ := strconv.Atoi(fields[1])
	return parent
}
