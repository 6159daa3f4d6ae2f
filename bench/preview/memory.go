package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// watch sums up the memory of all descendants of a process: the command line, the language host, the program and the providers.
type watch struct {
	end  chan struct{}
	peak chan int64
}

// watchMemory looks every period until stop is called.
func watchMemory(pid int, period time.Duration) *watch {
	w := &watch{end: make(chan struct{}), peak: make(chan int64, 1)}
	go func() {
		ticker := time.NewTicker(period)
		defer ticker.Stop()
		var peak int64
		for {
			select {
			case <-w.end:
				w.peak <- peak
				return
			case <-ticker.C:
				peak = max(peak, descendantMemory("/proc", pid))
			}
		}
	}()
	return w
}

// stop ends the watch and returns the largest sum in bytes.
func (w *watch) stop() int64 {
	close(w.end)
	return <-w.peak
}

// descendantMemory is the resident memory of all processes below one, in bytes. Pages that processes share count for each, so it
// is rather too much.
func descendantMemory(proc string, root int) int64 {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return 0
	}
	children, resident := map[int][]int{}, map[int]int64{}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		parent, bytes := status(filepath.Join(proc, entry.Name(), "status"))
		children[parent], resident[pid] = append(children[parent], pid), bytes
	}
	var sum int64
	for queue := children[root]; len(queue) > 0; queue = queue[1:] {
		sum += resident[queue[0]]
		queue = append(queue, children[queue[0]]...)
	}
	return sum
}

// status reads the parent and the resident memory of a process; zeros of one that has ended.
func status(path string) (parent int, resident int64) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, 0
	}
	for line := range bytes.Lines(text) {
		key, value, _ := strings.Cut(string(line), ":")
		switch key {
		case "PPid":
			parent, _ = strconv.Atoi(strings.TrimSpace(value))
		case "VmRSS":
			kib, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			resident = kib << 10
		}
	}
	return parent, resident
}
