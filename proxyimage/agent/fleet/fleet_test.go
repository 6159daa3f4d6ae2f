package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/sallyport/sallyport/proxyimage/routes"
)

func TestProbesChangeTheState(t *testing.T) {
	refused := fmt.Errorf("dial: %w", syscall.ECONNREFUSED)
	timeout := context.DeadlineExceeded
	notReady := fmt.Errorf("%w: status 503", errNotReady)
	tests := map[string]struct {
		probes []error
		want   bool
	}{
		"never probed":                 {nil, false},
		"one success":                  {[]error{nil}, true},
		"one timeout is forgiven":      {[]error{nil, timeout}, true},
		"two timeouts":                 {[]error{nil, timeout, timeout}, false},
		"timeouts with a break":        {[]error{nil, timeout, nil, timeout}, true},
		"refused counts at once":       {[]error{nil, refused}, false},
		"not ready counts at once":     {[]error{nil, notReady}, false},
		"one success brings it back":   {[]error{nil, refused, refused, nil}, true},
		"first probe fails":            {[]error{timeout}, false},
		"timeout after coming back":    {[]error{nil, timeout, timeout, nil, timeout}, true},
		"other failures count as such": {[]error{nil, errors.New("reset"), errors.New("reset")}, false},
	}
	for name, test := range tests {
		var e probed
		for _, err := range test.probes {
			e.update(err)
		}
		if e.healthy != test.want {
			t.Errorf("%s: healthy %v", name, e.healthy)
		}
	}
}

// proxies are HTTP servers on 127.0.0.x, all on one port, whose state tests change.
type proxies struct {
	port   int
	status [4]atomic.Int64 // 0: silent
	server [4]*http.Server
}

func newProxies(t *testing.T) *proxies {
	t.Helper()
	p := &proxies{}
	for i := range p.server {
		p.status[i].Store(http.StatusOK)
		p.start(t, i)
	}
	return p
}

func (p *proxies) address(i int) netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 0, byte(11 + i)}) }

func (p *proxies) start(t *testing.T, i int) {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(p.address(i).String(), strconv.Itoa(p.port)))
	if err != nil {
		t.Fatal(err)
	}
	p.port = listener.Addr().(*net.TCPAddr).Port
	p.server[i] = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			t.Errorf("asked for %s", r.URL)
		}
		if status := p.status[i].Load(); status != 0 {
			w.WriteHeader(int(status))
			return
		}
		<-r.Context().Done()
	})}
	go func(s *http.Server) { _ = s.Serve(listener) }(p.server[i])
	t.Cleanup(func() { p.server[i].Close() })
}

func (p *proxies) list(n int) []routes.Proxy {
	var all []routes.Proxy
	for i := range n {
		all = append(all, routes.Proxy{Name: fmt.Sprintf("proxy-a-%d", i), Zone: "a", Address: p.address(i)})
	}
	return all
}

func answerIs(t *testing.T, p *Prober, what string, limit time.Duration, want ...netip.Addr) {
	t.Helper()
	began := time.Now()
	for {
		got := p.Answer()
		if fmt.Sprint(got) == fmt.Sprint(want) {
			t.Logf("%s: after %s", what, time.Since(began))
			return
		}
		if time.Since(began) > limit {
			t.Fatalf("%s: %v within %s, want %v", what, got, limit, want)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func TestDeadProxiesLeaveTheAnswersAndComeBack(t *testing.T) {
	p := newProxies(t)
	const interval = 100 * time.Millisecond
	var changes sync.Map
	prober := NewProber(interval, p.port, func(proxy string, healthy bool) { changes.Store(proxy, healthy) }, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); prober.Wait() })
	if prober.Answer() != nil {
		t.Error("an answer without proxies")
	}
	prober.Set(ctx, p.list(3))
	a, b, c, d := p.address(0), p.address(1), p.address(2), p.address(3)
	answerIs(t, prober, "all before the first probe or after it", time.Second, a, b, c)
	await := time.Now().Add(time.Second)
	for _, tried := prober.State(); !tried; _, tried = prober.State() {
		if time.Now().After(await) {
			t.Fatal("not probed")
		}
	}
	p.server[1].Close()
	answerIs(t, prober, "killed", 3*interval, a, c)
	p.start(t, 1)
	answerIs(t, prober, "back", 3*interval, a, b, c)
	p.status[2].Store(0)
	answerIs(t, prober, "silent", 5*interval, a, b)
	p.status[2].Store(http.StatusOK)
	answerIs(t, prober, "speaks again", 4*interval, a, b, c)
	p.status[0].Store(http.StatusServiceUnavailable)
	answerIs(t, prober, "draining", 3*interval, b, c)
	p.status[1].Store(http.StatusServiceUnavailable)
	p.status[2].Store(http.StatusFound)
	answerIs(t, prober, "none healthy: all", 3*interval, a, b, c)
	p.status[0].Store(http.StatusOK)
	answerIs(t, prober, "one healthy", 3*interval, a)
	p.status[0].Store(0)
	time.Sleep(5 * interval)
	answerIs(t, prober, "none healthy, one only silent: that one", interval, a)
	p.status[0].Store(http.StatusOK)
	time.Sleep(3 * interval)
	if healthy, ok := changes.Load("proxy-a-0"); !ok || healthy != true {
		t.Error("the last change was not announced")
	}

	// The list changes: one goes, one comes, one moves.
	p.status[2].Store(http.StatusOK)
	prober.Set(ctx, []routes.Proxy{{Name: "proxy-a-0", Address: a}, {Name: "proxy-a-2", Address: d}})
	answerIs(t, prober, "other list", 3*interval, a, d)
	if healthy, _ := prober.State(); len(healthy) != 2 {
		t.Errorf("state %v", healthy)
	}
}

// serving starts a server whose document covers api.example.com and everything below wild.example.net.
func serving(t *testing.T, n int, known bool) (*Server, *atomic.Int64) {
	t.Helper()
	var forwarded atomic.Int64
	var all []netip.Addr
	for i := range n {
		all = append(all, netip.AddrFrom4([4]byte{10, 0, byte(i / 250), byte(i%250 + 1)}))
	}
	s, err := Listen(Config{
		Address: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler), Answered: func(string) {},
		Covered: func(name string) (bool, bool) {
			return name == "api.example.com" || strings.HasSuffix(name, ".wild.example.net"), known
		},
		Proxies: func() []netip.Addr { return all },
		Forward: func(_ context.Context, query *dns.Msg, _ bool) (*dns.Msg, error) {
			forwarded.Add(1)
			if strings.HasPrefix(query.Question[0].Name, "dead.") {
				return nil, errors.New("no server answers")
			}
			reply := new(dns.Msg)
			reply.SetReply(query)
			record, err := dns.NewRR(query.Question[0].Name + " 60 IN A 203.0.113.99")
			reply.Answer = []dns.RR{record}
			return reply, err
		},
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
	return s, &forwarded
}

func ask(t *testing.T, s *Server, network, name string, qtype uint16, size uint16) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(name, qtype)
	if size > 0 {
		m.SetEdns0(size, false)
	}
	client := dns.Client{Net: network, Timeout: 5 * time.Second, UDPSize: 65535}
	reply, _, err := client.Exchange(m, s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

func TestProxiedHostsAreAnsweredWithProxiesInTurn(t *testing.T) {
	s, forwarded := serving(t, 3, true)
	firsts := map[string]int{}
	for i := range 30 {
		name := []string{"api.example.com.", "API.Example.com.", "x.y.wild.example.net."}[i%3]
		reply := ask(t, s, []string{"udp", "tcp"}[i%2], name, dns.TypeA, 0)
		if reply.Rcode != dns.RcodeSuccess || len(reply.Answer) != 3 {
			t.Fatalf("%s: %v", name, reply)
		}
		for _, record := range reply.Answer {
			if record.Header().Ttl != ttl || record.Header().Name != name {
				t.Fatalf("%s: %v", name, record)
			}
		}
		firsts[reply.Answer[0].(*dns.A).A.String()]++
	}
	if len(firsts) != 3 || firsts["10.0.0.1"] != 10 {
		t.Errorf("first answers %v", firsts)
	}
	if forwarded.Load() != 0 {
		t.Error("a proxied host was asked upstream")
	}
}

func TestOtherTypesOfProxiedHostsDoNotExist(t *testing.T) {
	s, forwarded := serving(t, 3, true)
	for _, qtype := range []uint16{dns.TypeAAAA, dns.TypeHTTPS, dns.TypeSVCB, dns.TypeTXT, dns.TypeMX, dns.TypeANY} {
		reply := ask(t, s, "udp", "api.example.com.", qtype, 1232)
		if reply.Rcode != dns.RcodeSuccess || len(reply.Answer) != 0 || len(reply.Ns) != 1 || reply.Ns[0].(*dns.SOA).Minttl != ttl {
			t.Errorf("%s: %v", dns.TypeToString[qtype], reply)
		}
	}
	if forwarded.Load() != 0 {
		t.Error("a proxied host was asked upstream")
	}
}

func TestOtherNamesAreForwarded(t *testing.T) {
	s, forwarded := serving(t, 3, true)
	for _, name := range []string{"x.api.example.com.", "wild.example.net.", "www.example.org."} {
		reply := ask(t, s, "udp", name, dns.TypeA, 0)
		if len(reply.Answer) != 1 || reply.Answer[0].(*dns.A).A.String() != "203.0.113.99" {
			t.Errorf("%s: %v", name, reply)
		}
	}
	if reply := ask(t, s, "tcp", "dead.example.org.", dns.TypeA, 0); reply.Rcode != dns.RcodeServerFailure {
		t.Errorf("dead upstream: %v", reply)
	}
	if forwarded.Load() != 4 {
		t.Errorf("%d queries forwarded", forwarded.Load())
	}
}

func TestNothingIsForwardedWithoutADocument(t *testing.T) {
	s, forwarded := serving(t, 3, false)
	if reply := ask(t, s, "udp", "api.example.com.", dns.TypeA, 0); reply.Rcode != dns.RcodeServerFailure || forwarded.Load() != 0 {
		t.Errorf("%v, %d forwarded", reply, forwarded.Load())
	}
}

func TestNoProxiesAtAllIsAFailure(t *testing.T) {
	s, forwarded := serving(t, 0, true)
	if reply := ask(t, s, "udp", "api.example.com.", dns.TypeA, 0); reply.Rcode != dns.RcodeServerFailure || forwarded.Load() != 0 {
		t.Errorf("%v, %d forwarded", reply, forwarded.Load())
	}
}

func TestLargeFleetsFitIntoOnePacket(t *testing.T) {
	s, _ := serving(t, 400, true)
	for _, test := range []struct {
		network string
		size    uint16
		want    int
	}{{"udp", 0, 30}, {"udp", 1232, 75}, {"tcp", 0, 400}} {
		reply := ask(t, s, test.network, "api.example.com.", dns.TypeA, test.size)
		limit := int(max(test.size, 512))
		reply.Compress = true // as it was sent
		if test.network == "udp" && reply.Len() > limit || reply.Truncated || len(reply.Answer) < test.want-5 || len(reply.Answer) > test.want {
			t.Errorf("%s, %d bytes: %d answers, %d bytes, truncated %v; want about %d", test.network, test.size, len(reply.Answer), reply.Len(), reply.Truncated, test.want)
		}
	}
}

func TestOddQueriesAreRefused(t *testing.T) {
	s, forwarded := serving(t, 1, true)
	chaos := new(dns.Msg)
	chaos.SetQuestion("api.example.com.", dns.TypeA)
	chaos.Question[0].Qclass = dns.ClassCHAOS
	update := new(dns.Msg)
	update.SetUpdate("example.com.")
	none := new(dns.Msg)
	for name, query := range map[string]*dns.Msg{"class CHAOS": chaos, "update": update, "no question": none} {
		if reply, kind := s.answer(query, false); reply.Rcode == dns.RcodeSuccess || kind != "failed" {
			t.Errorf("%s: %v", name, reply)
		}
	}
	if forwarded.Load() != 0 {
		t.Error("forwarded")
	}
}
