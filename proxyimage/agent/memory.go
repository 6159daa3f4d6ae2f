package agent

import (
	"os"
	"runtime/debug"
)

const (
	// gcPercent makes the heap grow by half between two collections, not double: with 4,000 hosts that is 10 MiB less, for some
	// ten collections more a minute.
	gcPercent = 50
	// memoryLimit is where the collector begins to work harder. It is far above what the largest document needs, and with HAProxy's
	// memory below the 120 MiB that a proxy may take.
	memoryLimit = 80 << 20
)

// boundMemory tells the garbage collector what the agent is for, unless the operator has (GOGC, GOMEMLIMIT).
func boundMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
}
