package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
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

// wait returns true when the process has ended, false when ctx or limit ended first. It need not be a child of ours.
func (h handle) wait(ctx context.Context, limit time.Duration) bool {
	const step = 50 * time.Millisecond // how late the end of ctx may be noticed
	deadline := time.Now().Add(limit)
	for {
		left := min(time.Until(deadline), step)
		if ctx.Err() != nil {
			left = 0
		}
		polled := []unix.PollFd{{Fd: int32(h.fd), Events: unix.POLLIN}}
		n, err := unix.Poll(polled, max(0, int(left.Milliseconds())))
		if n > 0 {
			return true
		}
		if (err != nil && !errors.Is(err, unix.EINTR)) || ctx.Err() != nil || !time.Now().Before(deadline) {
			return false
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
	var found []handle
	if record, err := readRecord(d); err == nil {
		if h, err := record.open(); err == nil {
			found = append(found, h)
		}
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return found, err
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() || (len(found) > 0 && pid == found[0].pid) {
			continue
		}
		if !d.owns(pid) {
			continue
		}
		h, err := openHandle(pid)
		if err != nil {
			continue
		}
		if !d.owns(pid) { // again, now that the number cannot change hands
			h.close()
			continue
		}
		found = append(found, h)
	}
	return found, nil
}

// owns says whether the process carries the daemon's identity. A zombie has no environment any more and is nobody's.
func (d Daemon) owns(pid int) bool {
	environment, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return false
	}
	want := []byte(EnvIdentity + "=" + d.identity())
	for variable := range bytes.SplitSeq(environment, []byte{0}) {
		if bytes.Equal(variable, want) {
			return true
		}
	}
	return false
}
