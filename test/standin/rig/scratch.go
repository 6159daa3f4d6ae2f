package rig

import (
	"os"
	"syscall"
)

// Scratch is where a run keeps its files: in memory where that has room and runs programs, else in the folder for temporary files. Pulumi
// writes its whole state at every step, and on a slow disk that takes most of a run's time.
func Scratch() string {
	const memory, room, noExec = "/dev/shm", 2 << 30, 8 // ST_NOEXEC of statfs(2)
	var fs syscall.Statfs_t
	if err := syscall.Statfs(memory, &fs); err != nil || fs.Flags&noExec != 0 || fs.Bavail*uint64(fs.Bsize) < room { //nolint:unconvert // signed on some architectures
		return os.TempDir()
	}
	probe, err := os.MkdirTemp(memory, "sallyport-probe-")
	if err != nil {
		return os.TempDir()
	}
	_ = os.Remove(probe) // empty
	return memory
}
