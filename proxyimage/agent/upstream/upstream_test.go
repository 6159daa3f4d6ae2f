package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/sallyport/sallyport/proxyimage/agent/vetting"
)

// server starts a DNS server on loopback, UDP and TCP, and returns its address and the number of queries it got.
func server(t *testing.T, handler func(w dns.ResponseWriter, query *dns.Msg)) (netip.AddrPort, *atomic.Int64) {
	t.Helper()
	var queries atomic.Int64
	for range 10 {
		packets, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		stream, err := net.Listen("tcp", packets.LocalAddr().String())
		if err != nil {
			packets.Close()
			continue
		}
		handle := dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) { queries.Add(1); handler(w, query) })
		for _, s := range []*dns.Server{{PacketConn: packets, Handler: handle}, {Listener: stream, Handler: handle}} {
			go func() { _ = s.ActivateAndServe() }()
		}
		t.Cleanup(func() { packets.Close(); stream.Close() })
		return netip.MustParseAddrPort(packets.LocalAddr().String()), &queries
	}
	t.Fatal("no port is free for UDP and TCP")
	return netip.AddrPort{}, nil
}

func answering(n int) func(dns.ResponseWriter, *dns.Msg) {
	return func(w dns.ResponseWriter, query *dns.Msg) {
		reply := new(dns.Msg)
		reply.SetReply(query)
		for i := range n {
			record, _ := dns.NewRR(fmt.Sprintf("%s 60 IN A 203.0.113.%d", query.Question[0].Name, i))
			reply.Answer = append(reply.Answer, record)
		}
		if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
			reply.Truncate(1232)
		}
		_ = w.WriteMsg(reply)
	}
}

func code(rcode int) func(dns.ResponseWriter, *dns.Msg) {
	return func(w dns.ResponseWriter, query *dns.Msg) {
		reply := new(dns.Msg)
		reply.SetRcode(query, rcode)
		_ = w.WriteMsg(reply)
	}
}

func silent(dns.ResponseWriter, *dns.Msg) {}

func TestLookupA(t *testing.T) {
	good, _ := server(t, answering(2))
	large, largeQueries := server(t, answering(200))
	failing, failingQueries := server(t, code(dns.RcodeServerFailure))
	refusing, _ := server(t, code(dns.RcodeRefused))
	denying, _ := server(t, code(dns.RcodeNameError))
	mute, _ := server(t, silent)
	lying, _ := server(t, func(w dns.ResponseWriter, query *dns.Msg) {
		query.Question[0].Name = "evil.example.org."
		answering(1)(w, query)
	})
	unused, _ := server(t, func(dns.ResponseWriter, *dns.Msg) { t.Error("the second server was asked after a denial") })
	tests := map[string]struct {
		servers   []netip.AddrPort
		addresses int
		err       string
	}{
		"one server":                   {[]netip.AddrPort{good}, 2, ""},
		"truncated answer over TCP":    {[]netip.AddrPort{large}, 200, ""},
		"first server fails":           {[]netip.AddrPort{failing, good}, 2, ""},
		"first server refuses":         {[]netip.AddrPort{refusing, good}, 2, ""},
		"first server is mute":         {[]netip.AddrPort{mute, good}, 2, ""},
		"first server answers another": {[]netip.AddrPort{lying, good}, 2, ""},
		"denial ends the search":       {[]netip.AddrPort{denying, unused}, 0, vetting.ErrNoSuchName.Error()},
		"all servers fail":             {[]netip.AddrPort{failing, refusing}, 0, "REFUSED"},
	}
	for name, test := range tests {
		answer, err := New(test.servers).LookupA(context.Background(), "api.example.com")
		if len(answer.Addresses) != test.addresses || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: %d addresses, %v", name, len(answer.Addresses), err)
		}
	}
	if largeQueries.Load() != 2 {
		t.Errorf("the large answer took %d queries, want UDP and TCP", largeQueries.Load())
	}
	if got := failingQueries.Load(); got != 1+rounds {
		t.Errorf("the failing server got %d queries, want 1 and %d", got, rounds)
	}
}

func TestTheServerThatAnsweredIsAskedFirst(t *testing.T) {
	good, goodQueries := server(t, answering(1))
	failing, failingQueries := server(t, code(dns.RcodeServerFailure))
	client := New([]netip.AddrPort{failing, good})
	for range 10 {
		if _, err := client.LookupA(context.Background(), "api.example.com"); err != nil {
			t.Fatal(err)
		}
	}
	if failingQueries.Load() != 1 || goodQueries.Load() != 10 {
		t.Errorf("failing server %d, good server %d queries", failingQueries.Load(), goodQueries.Load())
	}
}

func TestLookupEndsWithItsContext(t *testing.T) {
	mute, _ := server(t, silent)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := New([]netip.AddrPort{mute, mute}).LookupA(ctx, "api.example.com")
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > time.Second {
		t.Errorf("%v after %s", err, time.Since(began))
	}
}

func TestForwardPassesRepliesOn(t *testing.T) {
	good, _ := server(t, answering(1))
	large, _ := server(t, answering(200))
	denying, _ := server(t, code(dns.RcodeNameError))
	failing, _ := server(t, code(dns.RcodeServerFailure))
	query := new(dns.Msg)
	query.SetQuestion("www.example.com.", dns.TypeA)
	query.Id = 4711
	tests := map[string]struct {
		servers            []netip.AddrPort
		tcp                bool
		code, records      int
		truncated, failure bool
	}{
		"answer":                   {servers: []netip.AddrPort{good}, records: 1},
		"denial":                   {servers: []netip.AddrPort{denying}, code: dns.RcodeNameError},
		"failure, then answer":     {servers: []netip.AddrPort{failing, good}, records: 1},
		"failure of all":           {servers: []netip.AddrPort{failing}, code: dns.RcodeServerFailure},
		"truncated reply over UDP": {servers: []netip.AddrPort{large}, records: -1, truncated: true},
		"large reply over TCP":     {servers: []netip.AddrPort{large}, tcp: true, records: 200},
		"nobody there":             {servers: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")}, failure: true},
	}
	for name, test := range tests {
		reply, err := New(test.servers).Forward(context.Background(), query, test.tcp)
		if test.failure {
			if err == nil {
				t.Errorf("%s: no error", name)
			}
			continue
		}
		if err != nil && test.code != dns.RcodeServerFailure {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if reply.Id != 4711 || reply.Rcode != test.code || reply.Truncated != test.truncated || test.records >= 0 && len(reply.Answer) != test.records {
			t.Errorf("%s: %v", name, reply)
		}
	}
}
