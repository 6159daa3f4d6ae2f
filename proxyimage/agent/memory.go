package agent

import (
	"os"
	"runtime"
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

// boundProcessors keeps the agent beside a HAProxy to one processor at a time, unless the operator has said how many (GOMAXPROCS).
// It has little to do, and Go wakes further threads to look for more: 5 of the 15 us that it costs for each connection.
func boundProcessors() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
}
