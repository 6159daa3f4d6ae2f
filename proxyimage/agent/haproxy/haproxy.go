// Package haproxy runs HAProxy in master-worker mode and changes it while it runs.
//
// A Process keeps one HAProxy alive: whatever dies, the master, the worker or both, it is started again at once, from the
// files of the last change. Maps follow the routes without a reload. A Reload, which only a change of ports needs, hands the
// listening sockets to a new worker, and the old one serves its connections to their end.
package haproxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

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
		Options: o, admin: NewAdmin(haproxycfg.AdminSocket(o.RunDir)),
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

func (p *Process) check(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	var output strings.Builder
	cmd := exec.CommandContext(ctx, p.Binary, "-c", "-q", "-f", path)
	cmd.Stdout, cmd.Stderr = &output, &output
	err := p.Start(cmd)
	if err == nil {
		err = p.Wait(cmd)
	}
	if err != nil {
		return fmt.Errorf("haproxy configuration: refused by HAProxy: %w: %.1000s", err, output.String())
	}
	return nil
}

// Run starts HAProxy with the configuration in place and keeps it running until Stop was called or ctx is done, in which
// case it is killed. Call it once.
func (p *Process) Run(ctx context.Context) error {
	out, err := p.pipe(p.Line)
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

// pipe returns the writing end of a pipe whose lines go to f. It outlives a single HAProxy: old workers go on writing.
func (p *Process) pipe(f func([]byte)) (*os.File, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("haproxy: %w", err)
	}
	if _, err := unix.FcntlInt(writer.Fd(), unix.F_SETPIPE_SZ, pipeBytes); err != nil {
		p.Logger.Warn("the log pipe stays small: lines may be lost under load", "error", err)
	}
	go func() {
		defer reader.Close()
		lines := bufio.NewReaderSize(reader, 64<<10)
		for {
			line, err := lines.ReadSlice('\n')
			if len(line) > 0 && !errors.Is(err, bufio.ErrBufferFull) {
				f(line)
			}
			if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
				if !errors.Is(err, io.EOF) {
					p.Logger.Error("cannot read haproxy's log", "error", err)
				}
				return
			}
		}
	}()
	return writer, nil
}

// message logs a line that HAProxy wrote to standard error.
func (p *Process) message(line []byte) {
	level := slog.LevelDebug
	switch text := string(line); {
	case strings.HasPrefix(text, "[ALERT]"):
		level = slog.LevelError
	case strings.HasPrefix(text, "[WARNING]"):
		level = slog.LevelWarn
	}
	p.Logger.Log(context.Background(), level, "haproxy", "message", strings.TrimSpace(string(line)))
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
	if _, err := p.awaitWorker(ctx, master.Pid, 0); err != nil {
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

// awaitWorker waits for a worker of the master that is not old, and returns its process id.
func (p *Process) awaitWorker(ctx context.Context, master, old int) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		info, err := p.admin.Info(ctx)
		if err == nil && info.PID != old && parentOf(info.PID) == master {
			return info.PID, nil
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("haproxy: no worker answers within %s: %w", startTimeout, errors.Join(err, ctx.Err()))
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
