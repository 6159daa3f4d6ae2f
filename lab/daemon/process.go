package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// handle is a hold on one process: the kernel never gives its number to another process while the handle exists, so what was
// checked about the process is still true when it is signalled.
type handle struct{ pid, fd int }

func openHandle(pid int) (handle, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
		return handle{}, os.ErrProcessDone // EINVAL: the number is a thread's by now
	}
	if err != nil {
		return handle{}, fmt.Errorf("process %d: %w", pid, err)
	}
	return handle{pid: pid, fd: fd}, nil
}

func (h handle) close() { unix.Close(h.fd) } //nolint:errcheck // nothing was written

func (h handle) signal(sig syscall.Signal) error {
	err := unix.PidfdSendSignal(h.fd, sig, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// wait returns when the process has ended, or when ctx or limit has. It need not be a child of ours.
func (h handle) wait(ctx context.Context, limit time.Duration) {
	const step = 50 * time.Millisecond // how late the end of ctx may be noticed
	deadline := time.Now().Add(limit)
	for ctx.Err() == nil {
		left := min(time.Until(deadline), step)
		if left <= 0 {
			return
		}
		polled := []unix.PollFd{{Fd: int32(h.fd), Events: unix.POLLIN}}
		n, err := unix.Poll(polled, int(left.Milliseconds())+1)
		if n > 0 || (err != nil && !errors.Is(err, unix.EINTR)) {
			return
		}
	}
}

// open returns a handle on the recorded process, or os.ErrProcessDone if it has ended, be its number in use again or not.
func (r Record) open() (handle, error) {
	if r.BootID != bootID() {
		return handle{}, os.ErrProcessDone
	}
	h, err := openHandle(r.PID)
	if err != nil {
		return handle{}, err
	}
	stat, err := readStat(r.PID)
	if err != nil || stat.startTicks != r.StartTicks || stat.state == 'Z' || stat.state == 'X' {
		h.close()
		return handle{}, os.ErrProcessDone
	}
	return h, nil
}

// process returns the record if its process runs.
func (d Daemon) process() (Record, bool) {
	record, err := readRecord(d)
	if err != nil {
		return record, false
	}
	h, err := record.open()
	if err != nil {
		return record, false
	}
	h.close()
	return record, true
}

// remains returns handles on every process that belongs to the daemon: the recorded one, and all that carry its identity in
// their environment.
func (d Daemon) remains() ([]handle, error) {
	found, err := carriers(func(identity string) bool { return identity == d.identity() })
	if err != nil {
		return nil, err
	}
	record, err := readRecord(d)
	if err != nil || slices.ContainsFunc(found, func(h handle) bool { return h.pid == record.PID }) {
		return found, nil // without a record there is nothing to add
	}
	if h, err := record.open(); err == nil {
		found = append(found, h)
	}
	return found, nil
}

// carriers returns handles on all processes whose identity matches, except the caller's own.
func carriers(match func(identity string) bool) ([]handle, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var found []handle
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() || !match(identityOf(pid)) {
			continue
		}
		h, err := openHandle(pid)
		if err != nil {
			continue
		}
		if !match(identityOf(pid)) { // again, now that the number cannot change hands
			h.close()
			continue
		}
		found = append(found, h)
	}
	return found, nil
}

// identityOf returns the identity that a process carries in its environment, empty if none. A zombie has no environment any more
// and is nobody's.
func identityOf(pid int) string {
	environment, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return ""
	}
	for variable := range bytes.SplitSeq(environment, []byte{0}) {
		if identity, ok := bytes.CutPrefix(variable, []byte(EnvIdentity+"=")); ok {
			return string(identity)
		}
	}
	return ""
}
