package agent

import (
	"runtime"
	"testing"
)

func TestOneProcessorUnlessTheOperatorSaysMore(t *testing.T) {
	before := runtime.GOMAXPROCS(2)
	defer runtime.GOMAXPROCS(before)
	t.Setenv("GOMAXPROCS", "2")
	boundProcessors()
	if got := runtime.GOMAXPROCS(0); got != 2 {
		t.Errorf("GOMAXPROCS=2: got %d", got)
	}
	t.Setenv("GOMAXPROCS", "")
	boundProcessors()
	if got := runtime.GOMAXPROCS(0); got != 1 {
		t.Errorf("no GOMAXPROCS: got %d, want 1", got)
	}
}
