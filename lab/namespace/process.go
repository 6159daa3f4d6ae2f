package namespace

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Processes returns the ids of the processes whose main thread is inside the namespace, without the caller.
func Processes(name string) ([]int, error) {
	var want unix.Stat_t
	if err := unix.Stat(Path(name), &want); err != nil {
		return nil, fmt.Errorf("namespace %s: %w", name, err)
	}
	links, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, link := range links {
		var have unix.Stat_t
		if unix.Stat(link, &have) != nil || have.Ino != want.Ino || have.Dev != want.Dev {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(link))))
		if err == nil && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// Kill ends all processes inside the namespace: SIGTERM, after grace SIGKILL. It returns when none is left, or an error with
// their ids two seconds after SIGKILL. A namespace that does not exist is no error.
func Kill(name string, grace time.Duration) error {
	if !Exists(name) {
		return nil
	}
	signal, deadline := unix.SIGTERM, time.Now().Add(grace)
	for signalled := map[int]bool{}; ; time.Sleep(10 * time.Millisecond) {
		pids, err := Processes(name)
		if err != nil || len(pids) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			if signal == unix.SIGKILL {
				return fmt.Errorf("namespace %s: processes survived SIGKILL: %v", name, pids)
			}
			signal, deadline = unix.SIGKILL, time.Now().Add(2*time.Second)
			clear(signalled)
		}
		for _, pid := range pids {
			if signalled[pid] {
				continue
			}
			signalled[pid] = true
			if err := unix.Kill(pid, signal); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("namespace %s: signal process %d: %w", name, pid, err)
			}
		}
	}
}
