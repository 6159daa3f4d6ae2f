package twhold_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/sallyport/sallyport/lab/labtest"
	"github.com/sallyport/sallyport/lab/nat"
	"github.com/sallyport/sallyport/lab/twhold"
)

const partner = "203.0.113.10:443"

// site is a client behind a NAT of some ports with a partner beyond.
type site struct {
	gateway, client string
	holder          *twhold.Holder
}

func newSite(t *testing.T, ports int, timeWait time.Duration) *site {
	lab := labtest.New(t)
	s := &site{gateway: lab.Host(t, "nat-a", "10.0.0.10", "198.51.100.1"), client: lab.Host(t, "node-1", "10.0.1.10")}
	labtest.Via(t, s.client, "0.0.0.0/0", "10.0.0.10")
	labtest.Serve(t, lab.Host(t, "partner-p", "203.0.113.10"), partner)
	rules, err := nat.NatGateway([]netip.Addr{netip.MustParseAddr("198.51.100.1")}, ports)
	labtest.Must(t, err)
	labtest.Must(t, nat.Apply(s.gateway, rules), nat.Prepare(s.gateway, timeWait))
	return s
}

func (s *site) hold(t *testing.T, timeWait time.Duration) {
	t.Helper()
	s.start(t, twhold.Config{TimeWait: timeWait})
}

func (s *site) start(t *testing.T, config twhold.Config) {
	t.Helper()
	ready := make(chan bool)
	var err error
	config.Namespace, config.Ready = s.gateway, func() { close(ready) }
	s.holder, err = twhold.New(config)
	labtest.Must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.holder.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			labtest.Must(t, err)
		case <-time.After(5 * time.Second):
			t.Error("the daemon does not stop")
		}
	})
	select {
	case <-ready:
	case <-time.After(5 * time.Second):
		t.Fatal("never ready")
	}
}

// connect opens and closes n connections and returns how many were established.
func (s *site) connect(t *testing.T, n int) int {
	t.Helper()
	group, refused, _ := labtest.Connect(t, s.client, "", partner, n, 500*time.Millisecond)
	if refused > 0 {
		t.Errorf("%d of %d connections were refused", refused, n)
	}
	established := group.Len()
	group.Close()
	return established
}

// waitFor waits up to ten seconds until n ports are held.
func (s *site) waitFor(t *testing.T, n int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); s.holder.Stats().Holding < n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("%+v, want %d held", s.holder.Stats(), n)
			return
		}
	}
}

func TestAClosedConnectionKeepsItsPort(t *testing.T) {
	const timeWait = 3 * time.Second
	s := newSite(t, 64, timeWait)
	s.hold(t, timeWait)
	if got := s.connect(t, 64); got != 64 {
		t.Fatalf("%d of 64 connections through 64 ports", got)
	}
	s.waitFor(t, 64)
	start := time.Now()
	if got := s.connect(t, 20); got != 0 {
		t.Errorf("%d connections got a port that is still held", got)
	}
	if stats := s.holder.Stats(); stats.Holding != 64 || stats.Total != 64 {
		t.Errorf("statistics: %+v", stats)
	}
	time.Sleep(time.Until(start.Add(timeWait + 1500*time.Millisecond)))
	if stats := s.holder.Stats(); stats.Holding != 0 {
		t.Errorf("statistics after the hold time: %+v", stats)
	}
	if got := s.connect(t, 64); got != 64 {
		t.Errorf("after the hold time %d of 64 ports are free", got)
	}
}

func TestWithoutTheDaemonTheKernelReusesPorts(t *testing.T) {
	s := newSite(t, 64, 120*time.Second)
	if got := s.connect(t, 64); got != 64 {
		t.Fatalf("%d of 64 connections through 64 ports", got)
	}
	time.Sleep(100 * time.Millisecond)
	if got := s.connect(t, 20); got == 0 {
		t.Skip("this kernel holds ports in TIME_WAIT by itself, so the daemon changes nothing")
	}
}

func TestConnectionsThatClosedBeforeAreHeldToo(t *testing.T) {
	s := newSite(t, 64, 60*time.Second)
	if got := s.connect(t, 64); got != 64 {
		t.Fatalf("%d of 64 connections", got)
	}
	time.Sleep(100 * time.Millisecond)
	s.hold(t, 60*time.Second)
	s.waitFor(t, 64)
	if got := s.connect(t, 20); got != 0 {
		t.Errorf("%d connections got a port; %+v", got, s.holder.Stats())
	}
}

func TestTheDaemonKeepsUp(t *testing.T) {
	s := newSite(t, 0, 60*time.Second)
	s.hold(t, 60*time.Second)
	const bursts, size = 15, 200
	total, start := 0, time.Now()
	for range bursts {
		total += s.connect(t, size)
	}
	rate := float64(total) / time.Since(start).Seconds()
	s.waitFor(t, total)
	stats := s.holder.Stats()
	t.Logf("%d connections at %.0f/s: %+v", total, rate, stats)
	if total != bursts*size || stats.Holding != total {
		t.Errorf("%d connections of %d, %d held", total, bursts*size, stats.Holding)
	}
	counters, err := nat.Read(s.gateway)
	labtest.Must(t, err)
	// A client that uses its own source port again replaces the entry of the earlier connection, and keeps the NAT's port.
	if counters.Tracked < uint64(total)*98/100 {
		t.Errorf("only %d of %d connections are in the table", counters.Tracked, total)
	}
}

func TestLostEventsAreMadeUpFor(t *testing.T) {
	s := newSite(t, 0, 60*time.Second)
	s.start(t, twhold.Config{TimeWait: 60 * time.Second, ReceiveBuffer: 4096})
	total := 0
	for range 10 {
		total += s.connect(t, 200)
	}
	s.waitFor(t, total)
	if stats := s.holder.Stats(); stats.Resyncs == 0 || stats.Holding != total {
		t.Errorf("%d connections: %+v, want at least one resync and all held", total, stats)
	}
}

func TestNewRefusesBadHoldTimes(t *testing.T) {
	for _, bad := range []time.Duration{0, -time.Second, 500 * time.Millisecond, 1500 * time.Millisecond, 25 * time.Hour} {
		if _, err := twhold.New(twhold.Config{TimeWait: bad}); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
	if err := twhold.Run(context.Background(), twhold.Config{TimeWait: time.Second, Namespace: "no-such-namespace"}); err == nil {
		t.Error("a missing namespace was accepted")
	}
}
