package namespace

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// Do runs fn inside the namespace of that name, or at that absolute path; empty means the caller's own. It runs on a goroutine that stays on one OS thread. Goroutines that fn starts are NOT inside.
// If the thread cannot be brought back it is ended instead of being reused. A panic in fn panics in the caller.
func Do(name string, fn func() error) error {
	if name == "" {
		return fn()
	}
	target, err := os.Open(Path(name))
	if err != nil {
		return fmt.Errorf("network namespace %s: %w", name, err)
	}
	defer target.Close()

	var result error
	var panicked any
	finished := false
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		origin, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			runtime.UnlockOSThread()
			result, finished = err, true
			return
		}
		defer origin.Close()
		if err := unix.Setns(int(target.Fd()), unix.CLONE_NEWNET); err != nil {
			runtime.UnlockOSThread()
			result, finished = fmt.Errorf("network namespace %s: enter: %w", name, err), true
			return
		}
		defer func() {
			panicked = recover()
			if unix.Setns(int(origin.Fd()), unix.CLONE_NEWNET) == nil {
				runtime.UnlockOSThread()
			} // else: the goroutine ends locked and takes the thread with it
		}()
		result = fn()
		finished = true
	}()
	<-done
	switch {
	case panicked != nil:
		panic(panicked)
	case !finished:
		runtime.Goexit() // fn left by t.FailNow
	}
	return result
}

// Start starts cmd inside the namespace; everything else is as exec.Cmd.Start. Do not set SysProcAttr.Pdeathsig: it acts on the
// end of the thread, not of the process.
func Start(name string, cmd *exec.Cmd) error {
	return Do(name, cmd.Start)
}
