package wildcard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/sallyport/sallyport/proxyimage/agent/vetting"
	"github.com/sallyport/sallyport/proxyimage/haproxycfg"
)

// upstream is a fake of the servers behind.
type upstream struct {
	mu      sync.Mutex
	answer  vetting.Answer
	err     error
	asked   int
	blocked chan struct{} // lookups wait for it if not nil
}

func (u *upstream) lookup(ctx context.Context, _ string) (vetting.Answer, error) {
	u.mu.Lock()
	u.asked++
	blocked := u.blocked
	u.mu.Unlock()
	if blocked != nil {
		select {
		case <-blocked:
		case <-ctx.Done():
			return vetting.Answer{}, ctx.Err()
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.answer, u.err
}

func (u *upstream) set(ttl time.Duration, err error, texts ...string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.answer, u.err = vetting.Answer{TTL: ttl}, err
	for _, text := range texts {
		u.answer.Addresses = append(u.answer.Addresses, netip.MustParseAddr(text))
	}
}

func newServer(t *testing.T, u *upstream) *Server {
	t.Helper()
	s, err := Listen(Config{
		Lookup: u.lookup, Logger: slog.New(slog.DiscardHandler), Policy: func() *vetting.Policy { return vetting.NewPolicy(nil, nil) },
		Covered: func(name string) bool { return strings.HasSuffix(name, ".wild.example.net") },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

func query(t *testing.T, s *Server, network, name string, qtype uint16) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(name, qtype)
	client := dns.Client{Net: network, Timeout: 10 * time.Second}
	reply, _, err := client.Exchange(m, s.Address().String())
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

func first(m *dns.Msg) string {
	if len(m.Answer) != 1 {
		return fmt.Sprintf("%s, %d records", dns.RcodeToString[m.Rcode], len(m.Answer))
	}
	return m.Answer[0].(*dns.A).A.String()
}

func TestAnswersRotateAndAreCached(t *testing.T) {
	u := &upstream{}
	u.set(time.Minute, nil, "203.0.113.1", "10.0.0.1", "203.0.113.2", "203.0.113.3")
	s := newServer(t, u)
	seen := map[string]int{}
	for i := range 30 {
		network := []string{"udp", "tcp"}[i%2]
		seen[first(query(t, s, network, "A.wild.Example.net.", dns.TypeA))]++
	}
	if len(seen) != 3 || seen["203.0.113.1"] != 10 || seen["10.0.0.1"] != 0 {
		t.Errorf("answers %v", seen)
	}
	if u.asked != 1 {
		t.Errorf("%d lookups for one name within its TTL", u.asked)
	}
}

func TestOnlyCoveredNamesAreLookedUp(t *testing.T) {
	u := &upstream{}
	u.set(time.Minute, nil, "203.0.113.1")
	s := newServer(t, u)
	tests := []struct {
		name  string
		qtype uint16
	}{
		{"evil.example.org.", dns.TypeA}, {"wild.example.net.", dns.TypeA}, {".", dns.TypeA}, {"a.wild.example.net.", dns.TypeAAAA},
		{"a.wild.example.net.", dns.TypeANY}, {"*.wild.example.net.", dns.TypeA}, {`a\000b.wild.example.net.`, dns.TypeA}, {`a\ b.wild.example.net.`, dns.TypeA},
	}
	for _, test := range tests {
		if reply := query(t, s, "udp", test.name, test.qtype); reply.Rcode == dns.RcodeSuccess || len(reply.Answer) > 0 {
			t.Errorf("%s %s: %s", test.name, dns.TypeToString[test.qtype], first(reply))
		}
	}
	if u.asked > 0 {
		t.Errorf("%d lookups", u.asked)
	}
}

func TestRefusedAddressesBecomeTheStandIn(t *testing.T) {
	u := &upstream{}
	u.set(time.Minute, nil, "10.0.0.1", "169.254.169.254")
	if got := first(query(t, newServer(t, u), "udp", "a.wild.example.net.", dns.TypeA)); got != haproxycfg.RefusedAddress.String() {
		t.Errorf("answer %s", got)
	}
}

// A denial or a failure would make HAProxy ask again for 2 s while its client waits.
func TestNamesWithoutAnAddressGetTheirStandInAtOnce(t *testing.T) {
	for _, err := range []error{vetting.ErrNoSuchName, errors.New("dead")} {
		u := &upstream{}
		u.set(time.Minute, err)
		if got := first(query(t, newServer(t, u), "udp", "a.wild.example.net.", dns.TypeA)); got != haproxycfg.NoAddress.String() {
			t.Errorf("%v: answer %s", err, got)
		}
	}
}

func TestCacheGoesByTheUpstream(t *testing.T) {
	u := &upstream{}
	c := newCache(u.lookup)
	get := func() string {
		t.Helper()
		ips, _, err := c.get("a.wild.example.net", time.Now())
		return fmt.Sprint(ips, err)
	}
	expire := func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.entry("a.wild.example.net").expires = time.Time{}
	}
	u.set(0, errors.New("dead"))
	if got := get(); got != "[] dead" {
		t.Errorf("first failure: %s", got)
	}
	u.set(time.Minute, nil, "203.0.113.1")
	if got := get(); got != "[] dead" {
		t.Errorf("a failure must be kept for a moment: %s", got)
	}
	expire()
	if got := get(); got != "[203.0.113.1] <nil>" {
		t.Errorf("answer: %s", got)
	}
	u.set(0, errors.New("dead"))
	expire()
	if got := get(); got != "[203.0.113.1] <nil>" {
		t.Errorf("last good answer: %s", got)
	}
	expire()
	u.mu.Lock()
	u.blocked = make(chan struct{})
	u.mu.Unlock()
	began := time.Now()
	if got := get(); got != "[203.0.113.1] <nil>" || time.Since(began) > 3*staleWait {
		t.Errorf("last good answer with a silent upstream: %s after %s", got, time.Since(began))
	}
	close(u.blocked)
	u.set(time.Minute, vetting.ErrNoSuchName)
	c.mu.Lock()
	pending := c.entry("a.wild.example.net").pending
	c.mu.Unlock()
	if pending != nil {
		<-pending
	}
	expire()
	if got := get(); got != "[] "+vetting.ErrNoSuchName.Error() {
		t.Errorf("denied name: %s", got)
	}
}

func TestCacheBoundsNamesAndLookups(t *testing.T) {
	u := &upstream{}
	u.set(time.Minute, nil, "203.0.113.1")
	c := newCache(u.lookup)
	now := time.Now()
	for i := range maxNames + 100 {
		if _, _, err := c.get(fmt.Sprintf("n%d.wild.example.net", i), now); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.names) != maxNames || c.recent.Len() != maxNames {
		t.Errorf("%d names kept", len(c.names))
	}
	u.mu.Lock()
	u.blocked = make(chan struct{})
	u.mu.Unlock()
	var group sync.WaitGroup
	busy := make(chan error, maxLookups+50)
	for i := range maxLookups + 50 {
		group.Go(func() {
			_, _, err := c.get(fmt.Sprintf("m%d.wild.example.net", i), now)
			busy <- err
		})
	}
	time.Sleep(200 * time.Millisecond)
	close(u.blocked)
	group.Wait()
	refused := 0
	for range maxLookups + 50 {
		if errors.Is(<-busy, errBusy) {
			refused++
		}
	}
	if refused != 50 {
		t.Errorf("%d lookups refused, want 50", refused)
	}
}
