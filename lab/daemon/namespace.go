package daemon

import (
	"fmt"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netns"
)

// InNamespace calls f on a thread that is in the network namespace of that name in /run/netns, or at that absolute path; empty
// means the caller's own. What f opens, starts or reads below /proc/sys/net belongs to that namespace; goroutines that f starts
// do not.
func InNamespace(namespace string, f func() error) error {
	if namespace == "" {
		return f()
	}
	result := make(chan error, 1)
	go func() { result <- enter(namespace, f) }()
	return <-result
}

// enter leaves the thread where it found it. A thread that cannot go back stays locked, and so ends with the goroutine, instead of
// serving other goroutines in the wrong namespace.
func enter(namespace string, f func() error) error {
	open := netns.GetFromName
	if filepath.IsAbs(namespace) {
		open = netns.GetFromPath
	}
	target, err := open(namespace)
	if err != nil {
		return fmt.Errorf("network namespace %q: %w", namespace, err)
	}
	defer target.Close()

	runtime.LockOSThread()
	origin, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("network namespace of the caller: %w", err)
	}
	defer origin.Close()
	if err := netns.Set(target); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("network namespace %q: %w", namespace, err)
	}
	defer func() {
		if netns.Set(origin) == nil {
			runtime.UnlockOSThread()
		}
	}()
	return f()
}
