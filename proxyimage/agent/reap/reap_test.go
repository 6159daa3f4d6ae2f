package reap

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// zombies returns the dead children of this process that nobody has waited for.
func zombies() int {
	n := 0
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		if text, err := os.ReadFile(path); err == nil && isOrphan(string(text)) {
			n++
		}
	}
	return n
}

func TestOrphansAreReapedAndOwnChildrenAreNot(t *testing.T) {
	r, err := New()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { r.Run(ctx); close(done) }()
	defer func() { cancel(); <-done }()

	// A shell that leaves ten orphans behind: they become ours.
	orphans := exec.Command("sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10; do (sleep 0.3 &) ; done")
	if err := r.Start(orphans); err != nil {
		t.Fatal(err)
	}
	if err := r.Wait(orphans); err != nil {
		t.Fatal(err)
	}
	// Children with a status each, which must reach the one who waits.
	for i := range 20 {
		cmd := exec.Command("sh", "-c", fmt.Sprintf("exit %d", i))
		if err := r.Start(cmd); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond) // it is dead before anybody waits
		_ = r.Wait(cmd)
		if got := cmd.ProcessState.ExitCode(); got != i {
			t.Errorf("exit code %d, want %d", got, i)
		}
	}
	time.Sleep(400 * time.Millisecond)
	for deadline := time.Now().Add(3 * time.Second); zombies() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d zombies", zombies())
		}
	}
	if len(r.owned) != 0 {
		t.Errorf("%d children still owned", len(r.owned))
	}
}

func TestFailedStartOwnsNothing(t *testing.T) {
	r, err := New()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(exec.Command("/nowhere/program")); err == nil || len(r.owned) != 0 {
		t.Errorf("error %v, owned %v", err, r.owned)
	}
}

func TestIsOrphanReadsNamesWithParentheses(t *testing.T) {
	self := fmt.Sprint(os.Getpid())
	for stat, want := range map[string]bool{
		"7 (sh) Z " + self + " 7": true, "7 (a) Z 1) Z " + self + " 7": true, "7 (sh) S " + self + " 7": false, "7 (sh) Z 1 7": false, "": false, "7 (sh": false,
	} {
		if isOrphan(stat) != want {
			t.Errorf("%q: %v", strings.TrimSpace(stat), !want)
		}
	}
}
