package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/sallyport/sallyport/bench/rig"
)

// session is one run.
type session struct {
	options
	rig     *rig.Rig
	began   time.Time
	targets []*rig.Target // open ways, in the order of the report
	tables  []*table
	notes   []string // what a reader has to know about this run, besides the figures
}

// measurement is one thing that is measured.
type measurement struct {
	name string
	run  func(*session, context.Context) error
}

var measurements = []measurement{
	{"connect", (*session).measureConnect},
	{"tls", (*session).measureTLS},
	{"latency", (*session).measureLatency},
	{"bodies", (*session).measureBodies},
	{"idle", (*session).measureIdle},
	{"changes", (*session).measureChanges},
	{"pool", (*session).measurePool},
}

func measurementNames() []string {
	names := make([]string, len(measurements))
	for i, m := range measurements {
		names[i] = m.name
	}
	return names
}

// say tells whoever waits what goes on.
func (s *session) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%4.0fs  %s\n", time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
}

// pick returns the duration for a full or for a quick run.
func (s *session) pick(full, quick time.Duration) time.Duration {
	if s.quick {
		return quick
	}
	return full
}

func (s *session) measure(ctx context.Context) error {
	for _, m := range measurements {
		if !slices.Contains(s.only, m.name) {
			continue
		}
		if err := m.run(s, ctx); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		s.tables[len(s.tables)-1].print(os.Stdout)
	}
	goals := s.goals()
	printGoals(os.Stdout, goals)
	return s.write(goals)
}

// open starts every way, once; they stay open for the measurements that can share them.
func (s *session) open(ctx context.Context) error {
	if s.targets != nil {
		return nil
	}
	for _, way := range s.ways {
		s.say("starting %s", way)
		t, err := s.rig.Start(ctx, way, s.setup(way))
		if err != nil {
			return err
		}
		s.targets = append(s.targets, t)
	}
	return nil
}

// shut stops all proxies.
func (s *session) shut(ctx context.Context) error {
	for _, t := range s.targets {
		if err := t.Stop(ctx); err != nil {
			return err
		}
	}
	s.targets = nil
	return nil
}

func (s *session) setup(way rig.Kind) rig.Setup {
	if way != rig.Variant {
		return rig.Setup{}
	}
	return rig.Setup{Rootfs: s.variantRootfs, Env: s.variantEnv}
}

// eachRound calls one for every way, round after round. Each round begins with another way, so that none always follows the same.
func (s *session) eachRound(ctx context.Context, what string, one func(context.Context, *rig.Target) error) error {
	if err := s.open(ctx); err != nil {
		return err
	}
	for round := range s.rounds {
		s.say("%s: round %d of %d", what, round+1, s.rounds)
		for i := range s.targets {
			t := s.targets[(i+round)%len(s.targets)]
			if err := one(ctx, t); err != nil {
				return fmt.Errorf("%s: %w", t.Kind, err)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	return nil
}

// settle is how long a proxy gets to finish with connections that have ended at the client, its log included, before its CPU time
// is read.
const settle = 150 * time.Millisecond

// cpuOf returns the CPU time that a proxy spends on what work makes it do.
func cpuOf(t *rig.Target, work func() error) (time.Duration, error) {
	before, err := t.CPU()
	if err != nil {
		return 0, err
	}
	if err := work(); err != nil {
		return 0, err
	}
	time.Sleep(settle)
	after, err := t.CPU()
	return after - before, err
}
