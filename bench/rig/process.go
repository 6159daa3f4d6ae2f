package rig

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/lab/namespace"
)

// stopWait is how long a peer may take to end once its standard input is closed.
const stopWait = 3 * time.Second

// process is a peer.
type process struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	stdout *bufio.Reader
	stderr bytes.Buffer
	ended  chan struct{}
}

// start runs a program in a namespace. It ends with the context or when its standard input is closed, at the latest when this
// process ends.
func start(ctx context.Context, name, path string, args ...string) (*process, error) {
	p := &process{cmd: exec.CommandContext(ctx, path, args...), ended: make(chan struct{})}
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(unix.SIGTERM) }
	p.cmd.WaitDelay = stopWait
	p.cmd.Stderr = &p.stderr
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, outEnd, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.stdin, p.stdout, p.cmd.Stdout = stdin, bufio.NewReader(out), outEnd
	err = namespace.Start(name, p.cmd)
	outEnd.Close()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", filepath.Base(path), err), out.Close())
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // how it ended shows in what it wrote
		out.Close()
	}()
	return p, nil
}

// awaitReady waits for the line "ready".
func (p *process) awaitReady() error {
	line, err := p.stdout.ReadString('\n')
	if err != nil || strings.TrimSpace(line) != "ready" {
		return p.complaint(fmt.Errorf("must say that it is ready, said %q: %w", strings.TrimSpace(line), err))
	}
	return nil
}

// report decodes the line that a client writes.
func (p *process) report(value any) error {
	line, err := p.stdout.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, value)
	}
	if err != nil {
		return p.complaint(err)
	}
	return nil
}

func (p *process) complaint(err error) error {
	p.stop()
	return fmt.Errorf("%s: %w: %s", strings.Join(p.cmd.Args[1:min(3, len(p.cmd.Args))], " "), err, strings.TrimSpace(p.stderr.String()))
}

// stop ends the process and waits for it.
func (p *process) stop() {
	p.stdin.Close()
	select {
	case <-p.ended:
		return
	case <-time.After(100 * time.Millisecond): // labd does not watch its standard input
		_ = p.cmd.Process.Signal(unix.SIGTERM)
	}
	select {
	case <-p.ended:
	case <-time.After(stopWait):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// Usage is what processes have used so far.
type Usage struct {
	CPU time.Duration // on a processor, user and kernel, including the network work that the kernel did in their name
	PSS int64         // bytes of memory; a page that n processes share counts 1/n for each
	RSS int64         // bytes of memory; shared pages count in full for each
}

// cpu sums what the scheduler counted for all threads of the processes, in nanoseconds: finer than the ticks of ps.
func cpu(pids []int) (time.Duration, error) {
	var total time.Duration
	for _, pid := range pids {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		if err != nil {
			return 0, err
		}
		for _, path := range threads {
			text, err := os.ReadFile(path)
			if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
				continue // a thread that has just ended
			}
			if err != nil {
				return 0, err
			}
			first, _, _ := strings.Cut(string(text), " ")
			n, err := strconv.ParseInt(first, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", path, err)
			}
			total += time.Duration(n)
		}
	}
	return total, nil
}

// Memory returns the proportional and the resident set size of a process in bytes.
func Memory(pid int) (pss, rss int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(text)) {
		key, rest, _ := strings.Cut(line, ":")
		fields := strings.Fields(rest)
		if len(fields) == 0 || key != "Pss" && key != "Rss" {
			continue
		}
		kib, err := strconv.ParseInt(fields[0], 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("memory of process %d: %w", pid, err)
		}
		if key == "Pss" {
			pss = kib << 10
		} else {
			rss = kib << 10
		}
	}
	return pss, rss, nil
}
