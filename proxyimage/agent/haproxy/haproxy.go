// Package haproxy runs HAProxy in master-worker mode and changes it while it runs.
//
// A Process keeps one HAProxy alive: whatever dies, the master, the worker or both, it is started again at once, from the
// files of the last change. Maps follow the routes without a reload. A Reload, which only a change of ports needs, hands the
// listening sockets to a new worker, and the old one serves its connections to their end.
package haproxy

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sallyport/sallyport/proxyimage/agent/atomicfile"
	"github.com/sallyport/sallyport/proxyimage/haproxycfg"
)

const (
	// startTimeout is how long a started HAProxy or a reloaded worker may take to answer.
	startTimeout = 10 * time.Second
	// pollInterval is how often a starting HAProxy is asked whether it answers.
	pollInterval = 10 * time.Millisecond
	// stable is how long HAProxy must have run for its death to be restarted without delay.
	stable = 5 * time.Second
	// maxBackoff bounds the delay between starts that fail.
	maxBackoff = 5 * time.Second
	// watchInterval is how often a serving HAProxy is asked for its health; after watchFailures failures it is killed.
	watchInterval = time.Second
	watchFailures = 4
	// pipeBytes is the size of the access log's pipe, some 3,000 lines. 1 MiB is what an ordinary user may ask for.
	pipeBytes = 1 << 20
)

// Options say how to run HAProxy.
type Options struct {
	Binary string // path of the program
	RunDir string // sockets and haproxy.cfg; see haproxycfg.AdminSocket
	Logger *slog.Logger
	// Line is called for each line of the access log, from one goroutine. The slice is valid during the call only.
	Line func([]byte)
	// Up is called when HAProxy was started, first or anew, and answers. It has just read the map files.
	Up func()
	// Down is called when HAProxy has died without being told to.
	Down func()
	// Start starts a child and Wait waits for it; they let the caller reap other processes. Default: those of exec.Cmd.
	Start func(*exec.Cmd) error
	Wait  func(*exec.Cmd) error
}

// Process supervises one HAProxy.
type Process struct {
	Options
	admin  *Admin
	health *http.Client

	failed chan struct{} // news that a new worker failed to start

	mu       sync.Mutex
	master   *os.Process   // nil if none runs
	exited   chan struct{} // closed when master has gone
	serving  bool
	stopping bool
}

// New returns a Process that is not started.
func New(o Options) *Process {
	if o.Start == nil {
		o.Start, o.Wait = (*exec.Cmd).Start, (*exec.Cmd).Wait
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", haproxycfg.HealthSocket(o.RunDir))
	}
	return &Process{
		Options: o, admin: NewAdmin(haproxycfg.AdminSocket(o.RunDir)), failed: make(chan struct{}, 1),
		health: &http.Client{Timeout: watchInterval, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}},
	}
}

// Admin returns the admin socket.
func (p *Process) Admin() *Admin { return p.admin }

// Alive reports whether HAProxy runs; Serving, whether it answered when it was last asked.
func (p *Process) Alive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.master != nil
}

// Serving reports whether HAProxy answered when it was last asked.
func (p *Process) Serving() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.serving
}

func (p *Process) configPath() string { return filepath.Join(p.RunDir, "haproxy.cfg") }

// Configure checks a configuration with HAProxy itself and puts it in place for the next start or Reload. A configuration
// that HAProxy refuses leaves the old one in place.
func (p *Process) Configure(ctx context.Context, text string) error {
	candidate := p.configPath() + ".candidate"
	if err := atomicfile.Write(candidate, []byte(text)); err != nil {
		return fmt.Errorf("haproxy configuration: %w", err)
	}
	if err := p.check(ctx, candidate); err != nil {
		return err
	}
	if err := os.Rename(candidate, p.configPath()); err != nil {
		return fmt.Errorf("haproxy configuration: %w", err)
	}
	return nil
}

// Keep puts a configuration in place for the next start without a check: one that differs from the one in place in addresses only.
func (p *Process) Keep(text string) error {
	if err := atomicfile.Write(p.configPath(), []byte(text)); err != nil {
		return fmt.Errorf("haproxy configuration: %w", err)
	}
	return nil
}

func (p *Process) check(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	var output strings.Builder
	cmd := exec.CommandContext(ctx, p.Binary, "-c", "-f", path)
	cmd.Stdout, cmd.Stderr = &output, &output
	err := p.Start(cmd)
	if err == nil {
		err = p.Wait(cmd)
	}
	if err != nil {
		return fmt.Errorf("haproxy configuration: refused by HAProxy: %w: %.1000s", err, alerts(output.String()))
	}
	return nil
}

// alerts returns the lines of HAProxy's output that say what is wrong, or all of it.
func alerts(output string) string {
	var lines []string
	for line := range strings.Lines(output) {
		if strings.HasPrefix(line, "[ALERT]") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	if len(lines) == 0 {
		return strings.TrimSpace(output)
	}
	return strings.Join(lines, "; ")
}

// Run starts HAProxy with the configuration in place and keeps it running until Stop was called or ctx is done, in which
// case it is killed. Call it once.
func (p *Process) Run(ctx context.Context) error {
	out, err := p.pipe(p.line)
	if err != nil {
		return err
	}
	defer out.Close()
	messages, err := p.pipe(p.message)
	if err != nil {
		return err
	}
	defer messages.Close()
	failures := 0
	for {
		began := time.Now()
		err := p.runOnce(ctx, out, messages)
		if p.isStopping() || ctx.Err() != nil {
			return nil
		}
		p.Down()
		failures++
		if time.Since(began) > stable {
			failures = 0
		}
		delay := backoff(failures)
		p.Logger.Error("haproxy has died and is started again", "error", err, "delay", delay.String())
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(delay):
		}
	}
}

// backoff is the delay before the next start: none after a death in service or one failed start, then doubling.
func backoff(failures int) time.Duration {
	if failures < 2 {
		return 0
	}
	return min(100*time.Millisecond<<min(failures-2, 10), maxBackoff)
}

// runOnce starts HAProxy and returns when it has gone.
func (p *Process) runOnce(ctx context.Context, out, messages *os.File) error {
	// The death signal is sent when the thread that started the child ends, so the thread must live as long.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, p.Binary, "-W", "-db", "-f", p.configPath())
	cmd.Stdout, cmd.Stderr = out, messages
	cmd.Cancel = func() error { p.killAll(cmd.Process); return nil }
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.Start(cmd); err != nil {
		return fmt.Errorf("haproxy: %w", err)
	}
	exited := make(chan struct{})
	p.clearFailed()
	p.mu.Lock()
	p.master, p.exited = cmd.Process, exited
	stopping := p.stopping
	p.mu.Unlock()
	if stopping { // Stop came between two starts
		_ = cmd.Process.Kill()
	}
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		p.watch(ctx, cmd.Process, exited)
	}()
	err := p.Wait(cmd)
	p.mu.Lock()
	p.master, p.serving = nil, false
	p.mu.Unlock()
	close(exited)
	<-watched
	return err
}
