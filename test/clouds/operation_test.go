package clouds

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/golden"
	"github.com/sallyport/sallyport/test/standin/world"
)

// operation is one thing that a user or an accident does to a stack.
type operation struct {
	name string
	// edit changes the stack file, nil for none.
	edit func(config map[string]any)
	// days pass before it.
	days int
	// before happens to the world.
	before func(s *cloudStack)
	// run does it; nil is up.
	run func(s *cloudStack) []string
	// restarts says that running instances are replaced or ended; otherwise all of them must live on.
	restarts bool
	// ends says that the stack is gone or half gone afterwards, so that no further run can be clean.
	ends bool
	// after checks the world.
	after func(s *cloudStack)
}

func anyList[T any](values []T) []any {
	out := make([]any, len(values))
	for i, v := range values {
		out[i] = v
	}
	return out
}

func setSpare(n int) func(map[string]any) {
	return func(config map[string]any) { config["sallyport:proxies"] = map[string]any{"sparePerZone": n} }
}

// oneAtATime checks in the journal that the last operation took n slots out of service and brought them back, never two at once.
func (s *cloudStack) oneAtATime(n int) {
	s.t.Helper()
	events, err := s.World.Journal()
	if err != nil {
		s.t.Fatal(err)
	}
	out, most, back := map[string]bool{}, 0, 0
	for _, e := range events {
		if e.Type != s.group {
			continue
		}
		switch e.Op {
		case "begin-delete", "begin-update":
			out[e.Name] = true
			most = max(most, len(out))
		case "create", "update":
			if out[e.Name] {
				delete(out, e.Name)
				back++
			}
		}
	}
	if most != 1 || back != n || len(out) != 0 {
		s.t.Errorf("%d slots came back, at most %d were out of service at once, %d still are; want %d, 1, 0", back, most, len(out), n)
	}
}

// lowest is the object of a type with the lowest value of a property: the order of creation is no one's to rely on.
func lowest(state *world.State, kind, property string) *world.Object {
	return slices.MinFunc(state.All(kind), func(a, b *world.Object) int {
		return strings.Compare(fmt.Sprint(a.Props[property]), fmt.Sprint(b.Props[property]))
	})
}

// inOneLife does to one stack, one after the other, what happens to it in its life. For each operation the exact
// list of touched resources is a golden file; no public IP is ever released, replaced or moved; a further run finds nothing to do.
func inOneLife(t *testing.T, s *cloudStack, operations []operation) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, op := range operations {
		now = now.AddDate(0, 0, op.days)
		passed := t.Run(op.name, func(t *testing.T) {
			inner := *s
			env := *s.environment
			env.t, inner.environment = t, &env
			inner.Env = []string{"SALLYPORT_NOW=" + now.Format(time.RFC3339)}
			operate(t, &inner, op)
		})
		if !passed {
			t.Fatalf("%s: what follows would show nothing", op.name)
		}
	}
}

func operate(t *testing.T, s *cloudStack, op operation) {
	start := time.Now()
	published, running := s.publicIPs(), s.running()
	if op.before != nil {
		op.before(s)
	}
	if op.edit != nil {
		op.edit(s.config)
		if err := s.Configure(render(t, s.config)); err != nil {
			t.Fatal(err)
		}
	}
	run := op.run
	if run == nil {
		run = func(s *cloudStack) []string { return s.must("up") }
	}
	touched := run(s)
	golden.Check(t, s.Name+"/"+op.name+".golden", lines(touched))
	s.kept(published)
	if op.after != nil {
		op.after(s)
	}
	if after := s.running(); !op.restarts {
		for id, group := range running {
			if after[id] != group {
				t.Errorf("instance %s of %s was ended or replaced", id, group)
			}
		}
	}
	if !op.ends {
		s.unchanged()
	}
	t.Logf("%s with the run after it", time.Since(start).Round(100*time.Millisecond))
}

func destroyRefused(s *cloudStack) []string {
	r := s.Pulumi("destroy")
	if r.Err == nil || !strings.Contains(r.Output, "protected") {
		s.t.Errorf("destroy: %v, want it refused because of protected addresses\n%s", r.Err, r.Output)
	}
	return r.Touched
}

func onlyAddressesLeft(s *cloudStack) {
	s.look(func(state *world.State) {
		for _, o := range state.All() {
			if !o.Foreign && world.PublicIP(o) == "" {
				s.t.Errorf("left behind: %s %s", o.Type, o.ID)
			}
		}
	})
}

// documentHas checks that the routes document, an object of a bucket, has a host.
func (s *cloudStack) documentHas(kind, host string) {
	s.look(func(state *world.State) {
		objects := state.All(kind)
		if len(objects) != 1 || !strings.Contains(objects[0].String("content"), host) {
			s.t.Errorf("%d routes documents, want one with %s", len(objects), host)
		}
	})
}
