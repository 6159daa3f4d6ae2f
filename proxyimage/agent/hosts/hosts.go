// Package hosts keeps the addresses of the exact hosts of the routes document fresh: each is resolved in the background
// when its time to live has passed, so that a connection never waits for DNS, and a dead DNS cuts nobody off.
//
// The last good answer is kept until there is a better one, on disk as well. A name that is denied, not merely unanswered, for
// ten minutes loses its addresses: they may belong to somebody else by then.
package hosts

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/sallyport/sallyport/proxyimage/agent/vetting"
)

const (
	minTTL       = time.Second      // an answer is used at least so long
	maxTTL       = 5 * time.Minute  // and at most so long
	maxRetry     = 30 * time.Second // longest pause after a failure; the first is minTTL, then doubling
	denialGrace  = 10 * time.Minute // see the package comment
	maxAtOnce    = 64               // lookups under way at once
	lookupBudget = 8 * time.Second  // for one lookup over all servers
	maxSaid      = 20               // hosts logged by name in each sayPeriod
	sayPeriod    = time.Minute
)

// Lookup asks DNS for the IPv4 addresses of a name; see upstream.Client.LookupA.
type Lookup func(ctx context.Context, name string) (vetting.Answer, error)

// State is what is known of a host.
type State struct {
	// Addresses is the last good answer, sorted, judged by nobody yet. Empty if there never was one.
	Addresses []netip.Addr
	// Good is when the last good answer came. Zero if never.
	Good time.Time
	// Tried reports whether a lookup has ended, or an answer came from disk.
	Tried bool
	// Error is what went wrong in the last lookup; empty if it went well.
	Error string
	// Failures counts failed lookups since the host was listed.
	Failures uint64

	deniedSince time.Time
	streak      int // failures in a row
}

// Tracker resolves a set of hosts. Safe for concurrent use.
type Tracker struct {
	lookup  Lookup
	changed func()
	logger  *slog.Logger
	slots   chan struct{}
	now     func() time.Time
	group   sync.WaitGroup

	mu     sync.Mutex
	hosts  map[string]*tracked
	loaded map[string]saved // from disk, for hosts not listed yet
	dirty  bool             // something to save

	sayingSince time.Time
	said        int // since sayingSince
}

type tracked struct {
	State
	cancel context.CancelFunc
}

// New returns a tracker without hosts. changed is called, from any goroutine, when a host's addresses have changed or its
// first lookup has ended; it must not block.
func New(lookup Lookup, changed func(), logger *slog.Logger) *Tracker {
	return &Tracker{
		lookup: lookup, changed: changed, logger: logger, now: time.Now,
		slots: make(chan struct{}, maxAtOnce), hosts: map[string]*tracked{}, loaded: map[string]saved{},
	}
}

// Set makes the hosts the tracked ones: lookups of new ones begin at once, others are forgotten. Tracking ends with ctx.
func (t *Tracker) Set(ctx context.Context, hosts []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	keep := make(map[string]bool, len(hosts))
	for _, host := range hosts {
		keep[host] = true
		if t.hosts[host] != nil {
			continue
		}
		ctx, cancel := context.WithCancel(ctx)
		entry := &tracked{cancel: cancel}
		if old, ok := t.loaded[host]; ok {
			entry.State = State{Addresses: old.Addresses, Good: old.Good, Tried: true}
		}
		t.hosts[host] = entry
		t.group.Go(func() { t.track(ctx, host, entry) })
	}
	clear(t.loaded)
	for host, entry := range t.hosts {
		if !keep[host] {
			entry.cancel()
			delete(t.hosts, host)
			t.dirty = true
		}
	}
}

// Wait returns when all tracking has ended, after ctx of Set is done.
func (t *Tracker) Wait() { t.group.Wait() }

// Snapshot returns the state of every tracked host. The addresses must not be changed.
func (t *Tracker) Snapshot() map[string]State {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make(map[string]State, len(t.hosts))
	for host, entry := range t.hosts {
		all[host] = entry.State
	}
	return all
}

// AllTried reports whether every host has been tried once.
func (t *Tracker) AllTried() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, entry := range t.hosts {
		if !entry.Tried {
			return false
		}
	}
	return true
}

// track resolves one host until ctx is done.
func (t *Tracker) track(ctx context.Context, host string, entry *tracked) {
	for {
		select {
		case <-ctx.Done():
			return
		case t.slots <- struct{}{}:
		}
		budget, cancel := context.WithTimeout(ctx, lookupBudget)
		answer, err := t.lookup(budget, host)
		cancel()
		<-t.slots
		if ctx.Err() != nil {
			return
		}
		pause := t.record(host, entry, answer, err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(jitter(pause)):
		}
	}
}

// jitter spreads lookups that began together over a tenth of the pause.
func jitter(d time.Duration) time.Duration { return d - time.Duration(rand.Int64N(int64(d)/10+1)) }

// record takes the outcome of a lookup over and returns the pause before the next one.
func (t *Tracker) record(host string, entry *tracked, answer vetting.Answer, err error) time.Duration {
	t.mu.Lock()
	before := entry.State
	pause := entry.update(t.now(), answer, err)
	after := entry.State
	moved := !before.Tried || !slices.Equal(before.Addresses, after.Addresses)
	t.dirty = t.dirty || err == nil
	t.mu.Unlock()

	if (after.Error == "") != (before.Error == "") || after.Error != "" && !before.Tried {
		t.say(host, after)
	}
	if moved {
		t.changed()
	}
	return pause
}

// say logs that a host has begun or ceased to fail. When DNS dies all hosts fail at once: then the first ones stand for all.
func (t *Tracker) say(host string, s State) {
	t.mu.Lock()
	now := t.now()
	if now.Sub(t.sayingSince) > sayPeriod {
		if t.said > maxSaid {
			t.logger.Warn("more hosts changed in the last minute", "count", t.said-maxSaid)
		}
		t.sayingSince, t.said = now, 0
	}
	t.said++
	quiet := t.said > maxSaid
	t.mu.Unlock()
	switch {
	case quiet:
	case s.Error != "":
		t.logger.Warn("cannot resolve host", "host", host, "error", s.Error, "kept", len(s.Addresses))
	default:
		t.logger.Info("host resolves again", "host", host, "addresses", len(s.Addresses))
	}
}

// update is the rule by which a lookup changes a state.
func (s *State) update(now time.Time, answer vetting.Answer, err error) time.Duration {
	s.Tried = true
	if err == nil {
		addresses := slices.Clone(answer.Addresses)
		slices.SortFunc(addresses, netip.Addr.Compare)
		*s = State{Addresses: slices.Compact(addresses), Good: now, Tried: true, Failures: s.Failures}
		return min(max(answer.TTL, minTTL), maxTTL)
	}
	s.Error = err.Error()
	s.Failures++
	s.streak++
	retry := min(minTTL<<min(s.streak-1, 10), maxRetry)
	if !errors.Is(err, vetting.ErrNoSuchName) {
		s.deniedSince = time.Time{}
		return retry
	}
	if s.deniedSince.IsZero() {
		s.deniedSince = now
	}
	if now.Sub(s.deniedSince) >= denialGrace {
		s.Addresses = nil
	}
	return min(max(answer.TTL, retry), maxRetry)
}
