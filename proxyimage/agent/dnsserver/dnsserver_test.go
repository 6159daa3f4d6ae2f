package dnsserver

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestServesBothProtocolsUntilTold(t *testing.T) {
	s, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		done <- s.Run(ctx, func(w dns.ResponseWriter, query *dns.Msg) { _ = w.WriteMsg(new(dns.Msg).SetReply(query)) })
	}()
	query := new(dns.Msg)
	query.SetQuestion("example.com.", dns.TypeA)
	for _, network := range []string{"udp", "tcp"} {
		client := dns.Client{Net: network, Timeout: 5 * time.Second}
		if _, _, err := client.Exchange(query, s.Addr().String()); err != nil {
			t.Errorf("%s: %v", network, err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	again, err := net.ListenPacket("udp", s.Addr().String())
	if err != nil {
		t.Fatalf("the address is not free again: %v", err)
	}
	again.Close()
}

func TestEndsAtOnceWhenToldBeforeItServes(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for range 50 {
		s, err := Listen("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Run(ctx, func(dns.ResponseWriter, *dns.Msg) {}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestASocketThatDiesIsAnError(t *testing.T) {
	s, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.stream.Close()
	if err := s.Run(context.Background(), func(dns.ResponseWriter, *dns.Msg) {}); err == nil || !strings.Contains(err.Error(), "dns server") {
		t.Errorf("error %v", err)
	}
}

func TestTakenAddressIsAnError(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if s, err := Listen(taken.Addr().String()); err == nil {
		t.Errorf("bound %s twice", s.Addr())
	}
}
