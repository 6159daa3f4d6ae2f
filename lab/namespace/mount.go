package namespace

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// lockDir makes Dir ready to hold namespaces and locks it against other processes, `ip netns` included. Closing the file
// unlocks.
//
// As in iproute2, Dir is a shared mount of its own, so that unmounting a namespace here also unmounts the copies that other
// mount namespaces (containers) got of it; otherwise they would keep the namespace alive.
func lockDir() (*os.File, error) {
	if err := os.MkdirAll(Dir, 0o755); err != nil {
		return nil, err
	}
	lock, err := os.Open(Dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		lock.Close()
		return nil, fmt.Errorf("lock %s: %w", Dir, err)
	}
	if err := shareDir(); err != nil {
		lock.Close()
		return nil, fmt.Errorf("mount %s: %w", Dir, err)
	}
	return lock, nil
}

func shareDir() error {
	err := unix.Mount("", Dir, "none", unix.MS_SHARED|unix.MS_REC, "")
	if !errors.Is(err, unix.EINVAL) { // EINVAL: not a mount point yet
		return err
	}
	if err := unix.Mount(Dir, Dir, "none", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	return unix.Mount("", Dir, "none", unix.MS_SHARED|unix.MS_REC, "")
}

// unmountDirIfEmpty undoes shareDir. The caller holds the lock. Somebody who waits for the lock finds the same directory
// below and mounts it again.
func unmountDirIfEmpty() error {
	entries, err := os.ReadDir(Dir)
	if err != nil || len(entries) > 0 {
		return err
	}
	if err := unix.Unmount(Dir, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("unmount %s: %w", Dir, err)
	}
	return nil
}
