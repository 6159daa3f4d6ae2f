package clouds

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/test/standin/world"
)

// rounds bounds how often a run is repeated until it succeeds. A run ends at its first failure, after what is in flight: so
// every round gets at least one step deeper into the graph, whose longest way is shorter than this.
const rounds = 40

// census counts what exists by type; what the cloud itself made is left out.
func (s *cloudStack) census() map[string]int {
	counts := map[string]int{}
	s.look(func(state *world.State) {
		for _, o := range state.All() {
			if !o.Foreign {
				counts[o.Type]++
			}
		}
	})
	return counts
}

// intended is what a world must hold, counted in one that was made without any fault.
func intended(t *testing.T, name string) map[string]int {
	t.Helper()
	once, _ := counted.LoadOrStore(name, sync.OnceValue(func() map[string]int {
		s := newStack(t, name, complete)
		s.apply(nil)
		return s.census()
	}))
	return once.(func() map[string]int)()
}

// complete gives a stack an image where its file leaves it out, so that it has machines.
func complete(config map[string]any) {
	c := clouds[config["sallyport:cloud"].(string)]
	c.image(config, "sha256:"+strings.Repeat("5a11f047", 8))
}

// counted are the counts of intended, by stack, each made when first asked for.
var counted sync.Map

// same compares a world with the intended one, and checks that no address is without the tag that finds it again.
func (s *cloudStack) same(want map[string]int) {
	s.t.Helper()
	if got := s.census(); !maps.Equal(got, want) {
		for _, kind := range slices.Sorted(maps.Keys(got)) {
			if got[kind] != want[kind] {
				s.t.Errorf("%d of %s in the world, want %d", got[kind], kind, want[kind])
			}
		}
		for _, kind := range slices.Sorted(maps.Keys(want)) {
			if got[kind] == 0 {
				s.t.Errorf("none of %s in the world, want %d", kind, want[kind])
			}
		}
	}
	slots := map[string]string{}
	s.look(func(state *world.State) {
		for _, o := range addresses(state) {
			slot := s.slot(o)
			if slot == "" || slots[slot] != "" {
				s.t.Errorf("address %s has slot %q, as %q has", o.ID, slot, slots[slot])
			}
			slots[slot] = o.ID
		}
	})
}

// small are the stacks, one of each cloud, in which every single resource is made to fail.
var small = []string{"aws-dev", "gcp-dev"}

// TestEveryCreateFailsOnce lets the first attempt to create every single resource fail: without effect, as a throttled request
// does, and with the resource made and then reported as failed, as one that does not become ready. `pulumi up` again is all
// it takes, and nothing is made twice.
func TestEveryCreateFailsOnce(t *testing.T) {
	t.Parallel()
	for _, name := range small {
		for _, mode := range []world.Mode{world.Before, world.Partial} {
			flags := []string{"--continue-on-error"} // fewer rounds
			if name == "aws-dev" && mode == world.Before {
				flags = nil // as users run it: the first failure ends the update after what is in flight
			}
			t.Run(name+"/"+string(mode), func(t *testing.T) {
				t.Parallel()
				want := intended(t, name)
				s := newStack(t, name, complete)
				s.faults(world.Fault{ID: "each", Op: "create", Each: true, Mode: mode})
				failed := s.upUntilItWorks("each", nil, flags...)
				creates := 0
				for kind := range want {
					creates += want[kind]
				}
				if failed != creates {
					t.Errorf("%d creates failed once, want all %d", failed, creates)
				}
				s.same(want)
				s.kept(nil)
				s.unchanged()
			})
		}
	}
}

// upUntilItWorks repeats up as long as it fails, with a recovery after each failure if there is one, and returns how many calls
// met the fault. Every address stays what it was from one round to the next.
func (s *cloudStack) upUntilItWorks(fault string, recovery func(), flags ...string) int {
	s.t.Helper()
	for round := range rounds {
		before := s.publicIPs()
		start := time.Now()
		r := s.Pulumi(append([]string{"up"}, flags...)...)
		s.kept(before)
		s.t.Logf("round %d: up took %s", round+1, r.Took.Round(time.Millisecond))
		if r.Err == nil {
			break
		}
		if round == rounds-1 || !strings.Contains(r.Output, "injected fault") {
			s.t.Fatalf("round %d: %v\n%s", round+1, r.Err, r.Output)
		}
		if recovery != nil {
			recovery()
			s.t.Logf("round %d: up and recovery took %s", round+1, time.Since(start).Round(time.Millisecond))
		}
	}
	events, err := s.World.Journal()
	if err != nil {
		s.t.Fatal(err)
	}
	failed := 0
	for _, e := range events {
		if e.Fault == fault && e.Op == "create" {
			failed++
		}
	}
	return failed
}

// TestUpdatesAndDeletesFailOnce lets the first attempt to change, then to delete, every resource of a change of the image fail.
func TestUpdatesAndDeletesFailOnce(t *testing.T) {
	t.Parallel()
	for _, name := range small {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t, name, complete)
			s.apply(nil)
			want, before := s.census(), s.publicIPs()
			for i, op := range []string{"update", "delete"} {
				s.faults(world.Fault{ID: op, Op: op, Each: true, Mode: world.Before})
				s.image(s.config, "sha256:"+strings.Repeat(fmt.Sprintf("%04x", i), 16))
				if err := s.Configure(render(t, s.config)); err != nil {
					t.Fatal(err)
				}
				s.upUntilItWorks(op, nil)
				if events, err := s.World.Journal(); err != nil || !slices.ContainsFunc(events, func(e world.Event) bool { return e.Fault == op }) {
					t.Errorf("no %s met the fault: %v", op, err)
				}
				s.same(want)
				s.kept(before)
				s.unchanged()
			}
		})
	}
}
