package hosts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/proxyimage/agent/vetting"
)

var errServer = errors.New("the server answers SERVFAIL")

func addresses(texts ...string) []netip.Addr {
	var all []netip.Addr
	for _, text := range texts {
		all = append(all, netip.MustParseAddr(text))
	}
	return all
}

func TestOutcomesChangeTheState(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	good := vetting.Answer{Addresses: addresses("203.0.113.2", "203.0.113.1", "203.0.113.2"), TTL: 30 * time.Second}
	type outcome struct {
		after  time.Duration // since the last one
		answer vetting.Answer
		err    error
	}
	tests := map[string]struct {
		outcomes []outcome
		kept     int
		failed   bool
		pause    time.Duration
	}{
		"good answer":               {[]outcome{{answer: good}}, 2, false, 30 * time.Second},
		"TTL 0":                     {[]outcome{{answer: vetting.Answer{Addresses: good.Addresses}}}, 2, false, minTTL},
		"TTL of a day":              {[]outcome{{answer: vetting.Answer{Addresses: good.Addresses, TTL: 24 * time.Hour}}}, 2, false, maxTTL},
		"failure at first":          {[]outcome{{err: errServer}}, 0, true, time.Second},
		"second failure":            {[]outcome{{err: errServer}, {err: errServer}}, 0, true, 2 * time.Second},
		"tenth failure":             {[]outcome{{err: errServer}, {err: errServer}, {err: errServer}, {err: errServer}, {err: errServer}, {err: errServer}, {err: errServer}, {err: errServer}, {err: errServer}, {err: errServer}}, 0, true, maxRetry},
		"failure keeps the answer":  {[]outcome{{answer: good}, {after: 100 * time.Hour, err: errServer}}, 2, true, time.Second},
		"denial keeps it for now":   {[]outcome{{answer: good}, {err: vetting.ErrNoSuchName}, {after: denialGrace - 1, err: vetting.ErrNoSuchName}}, 2, true, 2 * time.Second},
		"denial for ten minutes":    {[]outcome{{answer: good}, {err: vetting.ErrNoSuchName}, {after: denialGrace, err: vetting.ErrNoSuchName}}, 0, true, 2 * time.Second},
		"failure interrupts denial": {[]outcome{{answer: good}, {err: vetting.ErrNoSuchName}, {after: denialGrace, err: errServer}, {err: vetting.ErrNoSuchName}}, 2, true, 4 * time.Second},
		"denial with a TTL":         {[]outcome{{answer: vetting.Answer{TTL: 10 * time.Second}, err: vetting.ErrNoSuchName}}, 0, true, 10 * time.Second},
		"denial with a long TTL":    {[]outcome{{answer: vetting.Answer{TTL: time.Hour}, err: vetting.ErrNoSuchName}}, 0, true, maxRetry},
		"recovery":                  {[]outcome{{err: errServer}, {err: errServer}, {answer: good}}, 2, false, 30 * time.Second},
		"failure after recovery":    {[]outcome{{err: errServer}, {err: errServer}, {answer: good}, {err: errServer}}, 2, true, time.Second},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var s State
			var pause time.Duration
			now, failures := start, uint64(0)
			for _, o := range test.outcomes {
				now = now.Add(o.after)
				pause = s.update(now, o.answer, o.err)
				if o.err != nil {
					failures++
				}
			}
			if len(s.Addresses) != test.kept || (s.Error != "") != test.failed || pause != test.pause || !s.Tried || s.Failures != failures {
				t.Errorf("kept %v, error %q, pause %s, %d failures; want %d, %v, %s, %d", s.Addresses, s.Error, pause, s.Failures, test.kept, test.failed, test.pause, failures)
			}
		})
	}
}

// fakeDNS answers from a table that tests change.
type fakeDNS struct {
	mu      sync.Mutex
	answers map[string]vetting.Answer
	asked   map[string]int
	atOnce  int
	most    int
	delay   time.Duration
}

func (f *fakeDNS) lookup(ctx context.Context, name string) (vetting.Answer, error) {
	f.mu.Lock()
	f.asked[name]++
	f.atOnce++
	f.most = max(f.most, f.atOnce)
	answer, ok := f.answers[name]
	delay := f.delay
	f.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-time.After(delay):
	}
	f.mu.Lock()
	f.atOnce--
	f.mu.Unlock()
	if !ok {
		return vetting.Answer{}, errServer
	}
	return answer, nil
}

func (f *fakeDNS) set(name string, texts ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers[name] = vetting.Answer{Addresses: addresses(texts...), TTL: time.Second}
}

func newTracker(t *testing.T) (*Tracker, *fakeDNS, chan struct{}, context.Context) {
	t.Helper()
	f := &fakeDNS{answers: map[string]vetting.Answer{}, asked: map[string]int{}}
	changed := make(chan struct{}, 10000)
	tracker := New(f.lookup, func() { changed <- struct{}{} }, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); tracker.Wait() })
	return tracker, f, changed, ctx
}

func await(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 5 s", what)
		}
	}
}

func TestTrackerFollowsTheListAndTheAnswers(t *testing.T) {
	tracker, f, changed, ctx := newTracker(t)
	f.set("a.example.com", "203.0.113.1")
	tracker.Set(ctx, []string{"a.example.com", "b.example.com"})
	await(t, "first lookups", tracker.AllTried)
	states := tracker.Snapshot()
	if len(states["a.example.com"].Addresses) != 1 || states["b.example.com"].Error == "" {
		t.Errorf("states %+v", states)
	}
	<-changed
	<-changed
	f.set("a.example.com", "203.0.113.2")
	await(t, "new address", func() bool { return tracker.Snapshot()["a.example.com"].Addresses[0].String() == "203.0.113.2" })
	select {
	case <-changed:
	case <-time.After(time.Second):
		t.Error("a new address was not announced")
	}
	tracker.Set(ctx, []string{"a.example.com"})
	if len(tracker.Snapshot()) != 1 {
		t.Error("a removed host is still known")
	}
	f.mu.Lock()
	before := f.asked["b.example.com"]
	f.mu.Unlock()
	time.Sleep(1500 * time.Millisecond)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.asked["b.example.com"] > before {
		t.Error("a removed host is still asked for")
	}
}

func TestManyHostsAreLookedUpSideBySideButNotAllAtOnce(t *testing.T) {
	tracker, f, _, ctx := newTracker(t)
	f.delay = 10 * time.Millisecond
	var hosts []string
	for i := range 300 {
		hosts = append(hosts, fmt.Sprintf("host-%d.example.com", i))
	}
	tracker.Set(ctx, hosts)
	await(t, "first lookups", tracker.AllTried)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.most > maxAtOnce || f.most < maxAtOnce/2 {
		t.Errorf("%d lookups at once, want up to %d", f.most, maxAtOnce)
	}
}

func TestAnswersSurviveARestart(t *testing.T) {
	tracker, f, _, ctx := newTracker(t)
	f.set("a.example.com", "203.0.113.1")
	tracker.Set(ctx, []string{"a.example.com", "never.example.com"})
	await(t, "first lookups", tracker.AllTried)
	path := filepath.Join(t.TempDir(), "answers.json")
	writes := 0
	write := func(data []byte) error { writes++; return os.WriteFile(path, data, 0o644) }
	if err := tracker.Save(write); err != nil {
		t.Fatal(err)
	}
	again, _, _, ctx2 := newTracker(t) // whose DNS answers nothing
	if err := again.Load(path); err != nil {
		t.Fatal(err)
	}
	again.Set(ctx2, []string{"a.example.com", "never.example.com", "new.example.com"})
	states := again.Snapshot()
	if s := states["a.example.com"]; len(s.Addresses) != 1 || !s.Tried || s.Good.IsZero() {
		t.Errorf("saved host: %+v", s)
	}
	await(t, "failed lookups", again.AllTried)
	if s := again.Snapshot()["a.example.com"]; len(s.Addresses) != 1 {
		t.Errorf("saved host after a failure: %+v", s)
	}
	writes = 0
	if err := again.Save(write); err != nil || writes != 0 {
		t.Errorf("%d writes without news, %v", writes, err)
	}
}

func TestUselessFilesAreReported(t *testing.T) {
	tracker, _, _, ctx := newTracker(t)
	path := filepath.Join(t.TempDir(), "answers.json")
	if err := tracker.Load(path); err != nil {
		t.Errorf("a file that is not there: %v", err)
	}
	for _, text := range []string{"", "[]", `{"a.example.com":{"addresses":["nonsense"]}}`} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if tracker.Load(path) == nil {
			t.Errorf("%q is accepted", text)
		}
	}
	if err := os.WriteFile(path, []byte(`{"a.example.com":{"addresses":["203.0.113.1"]}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := tracker.Load(path); err != nil {
		t.Fatal(err)
	}
	tracker.Set(ctx, []string{"a.example.com"})
	await(t, "lookup", tracker.AllTried)
	if s := tracker.Snapshot()["a.example.com"]; len(s.Addresses) != 0 {
		t.Error("an answer of unknown age is used")
	}
}

func TestDyingDNSIsNotLoggedForEveryHost(t *testing.T) {
	tracker, _, _, ctx := newTracker(t)
	var log bytes.Buffer
	var mu sync.Mutex
	tracker.logger = slog.New(slog.NewTextHandler(writer(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return log.Write(p)
	}), nil))
	var hosts []string
	for i := range 200 {
		hosts = append(hosts, fmt.Sprintf("host-%d.example.com", i))
	}
	tracker.Set(ctx, hosts)
	await(t, "first lookups", tracker.AllTried)
	mu.Lock()
	defer mu.Unlock()
	if lines := strings.Count(log.String(), "\n"); lines < 1 || lines > maxSaid {
		t.Errorf("%d lines for 200 failing hosts, want at most %d", lines, maxSaid)
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }
