package vetting

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// message builds a response to an A query for api.example.com.
func message(t testing.TB, records ...string) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion("api.example.com.", dns.TypeA)
	m.Response = true
	for _, text := range records {
		record, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		m.Answer = append(m.Answer, record)
	}
	return m
}

func TestReadTakesOnlyWhatBelongsToTheName(t *testing.T) {
	chain := []string{"api.example.com. 60 IN CNAME n0.example.net."}
	for i := range 20 {
		chain = append(chain, fmt.Sprintf("n%d.example.net. 60 IN CNAME n%d.example.net.", i, i+1))
	}
	with := func(m *dns.Msg, change func(*dns.Msg)) *dns.Msg { change(m); return m }
	one := "api.example.com. 60 IN A 203.0.113.10"
	tests := map[string]struct {
		message *dns.Msg
		want    string // addresses
		ttl     time.Duration
		err     string // part of it
		ignored int
	}{
		"one address":                                {message: message(t, one), want: "203.0.113.10", ttl: time.Minute},
		"owner in other case":                        {message: message(t, "API.example.COM. 60 IN A 203.0.113.10"), want: "203.0.113.10", ttl: time.Minute},
		"two addresses, min TTL":                     {message: message(t, one, "api.example.com. 7 IN A 203.0.113.11"), want: "203.0.113.10 203.0.113.11", ttl: 7 * time.Second},
		"alias to another name":                      {message: message(t, "api.example.com. 5 IN CNAME edge.example.net.", "edge.example.net. 60 IN A 203.0.113.10"), want: "203.0.113.10", ttl: 5 * time.Second},
		"alias after its address":                    {message: message(t, "edge.example.net. 60 IN A 203.0.113.10", "api.example.com. 60 IN CNAME edge.example.net."), want: "203.0.113.10", ttl: time.Minute},
		"private address is read, the policy judges": {message: message(t, "api.example.com. 60 IN A 10.0.0.1"), want: "10.0.0.1", ttl: time.Minute},

		"address of another name":              {message: message(t, one, "evil.example.org. 60 IN A 203.0.113.66"), want: "203.0.113.10", ttl: time.Minute, ignored: 1},
		"only another name's address":          {message: message(t, "evil.example.org. 60 IN A 203.0.113.66"), err: "does not exist", ignored: 1},
		"address beside an alias":              {message: message(t, one, "api.example.com. 60 IN CNAME edge.example.net."), err: "does not exist", ignored: 1},
		"alias in a circle":                    {message: message(t, "api.example.com. 60 IN CNAME b.example.net.", "b.example.net. 60 IN CNAME api.example.com."), err: "aliases in a row"},
		"alias to itself":                      {message: message(t, "api.example.com. 60 IN CNAME api.example.com."), err: "aliases in a row"},
		"alias chain too long":                 {message: message(t, chain...), err: "aliases in a row"},
		"two aliases of one name":              {message: message(t, "api.example.com. 60 IN CNAME a.example.net.", "api.example.com. 60 IN CNAME b.example.net."), err: "two aliases"},
		"class CHAOS":                          {message: message(t, "api.example.com. 60 CH A 203.0.113.10"), err: "does not exist"},
		"AAAA, HTTPS and TXT are no addresses": {message: message(t, "api.example.com. 60 IN AAAA ::ffff:203.0.113.10", `api.example.com. 60 IN HTTPS 1 . ipv4hint="203.0.113.10"`, `api.example.com. 60 IN TXT "203.0.113.10"`), err: "does not exist"},
		"empty":                                {message: message(t), err: "does not exist"},
		"denial with a SOA": {message: with(message(t), func(m *dns.Msg) {
			m.Rcode = dns.RcodeNameError
			m.Ns = []dns.RR{&dns.SOA{Hdr: dns.RR_Header{Rrtype: dns.TypeSOA, Ttl: 30}, Minttl: 9}}
		}), err: "does not exist", ttl: 9 * time.Second},
		"denial that holds an address": {message: with(message(t, one), func(m *dns.Msg) { m.Rcode = dns.RcodeNameError }), err: "does not exist"},
		"server failure":               {message: with(message(t), func(m *dns.Msg) { m.Rcode = dns.RcodeServerFailure }), err: "SERVFAIL"},
		"unknown code":                 {message: with(message(t), func(m *dns.Msg) { m.Rcode = 99 }), err: "code 99"},
		"truncated":                    {message: with(message(t, one), func(m *dns.Msg) { m.Truncated = true }), err: "truncated"},
		"a query":                      {message: with(message(t, one), func(m *dns.Msg) { m.Response = false }), err: "not a response"},
		"an update":                    {message: with(message(t, one), func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }), err: "not a response"},
		"question for another name":    {message: with(message(t, one), func(m *dns.Msg) { m.Question[0].Name = "evil.example.org." }), err: "another question"},
		"question for another type":    {message: with(message(t, one), func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeAAAA }), err: "another question"},
		"question of another class":    {message: with(message(t, one), func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }), err: "another question"},
		"no question":                  {message: with(message(t, one), func(m *dns.Msg) { m.Question = nil }), err: "another question"},
		"two questions":                {message: with(message(t, one), func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }), err: "another question"},
		"A record without an address": {message: with(message(t), func(m *dns.Msg) {
			m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: "api.example.com.", Class: dns.ClassINET}}}
		}), err: "not an IPv4 address"},
		"A record with an IPv6 address": {message: with(message(t), func(m *dns.Msg) {
			m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: "api.example.com.", Class: dns.ClassINET}, A: net.ParseIP("::1")}}
		}), err: "not an IPv4 address"},
		"nil record":           {message: with(message(t, one), func(m *dns.Msg) { m.Answer = append(m.Answer, (*dns.A)(nil), (*dns.CNAME)(nil), nil) }), want: "203.0.113.10", ttl: time.Minute},
		"TTL with the top bit": {message: message(t, "api.example.com. 4294967295 IN A 203.0.113.10"), want: "203.0.113.10", ttl: 0},
		"no message":           {message: nil, err: "no answer"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			answer, err := Read("api.example.com", test.message)
			if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Fatalf("error %v, want %q", err, test.err)
			}
			var got []string
			for _, ip := range answer.Addresses {
				got = append(got, ip.String())
			}
			if strings.Join(got, " ") != test.want || answer.TTL != test.ttl || len(answer.Ignored) != test.ignored {
				t.Errorf("got %v, TTL %s, %d ignored; want %s, %s, %d", got, answer.TTL, len(answer.Ignored), test.want, test.ttl, test.ignored)
			}
		})
	}
}

func TestDenialIsToldFromFailure(t *testing.T) {
	_, err := Read("api.example.com", message(t))
	if !errors.Is(err, ErrNoSuchName) {
		t.Errorf("an empty answer is %v", err)
	}
	failed := message(t)
	failed.Rcode = dns.RcodeServerFailure
	if _, err := Read("api.example.com", failed); errors.Is(err, ErrNoSuchName) {
		t.Error("a server's failure counts as a denial")
	}
}

// forbidden is an independent, cruder statement of what must never get through.
func forbidden(ip netip.Addr) bool {
	return !ip.Is4() || ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() ||
		ip.As4()[0] == 0 || ip.As4()[0] >= 224 || ip.As4()[0] == 100 && ip.As4()[1]&0xc0 == 64 || ip.String() == "198.51.100.129"
}

// FuzzRead feeds arbitrary DNS messages: nothing panics, nothing forbidden gets through, and every address belongs to the
// name or to an alias of it.
func FuzzRead(f *testing.F) {
	for _, records := range [][]string{
		{"api.example.com. 60 IN A 203.0.113.10"}, {"api.example.com. 60 IN A 10.0.0.1", "api.example.com. 60 IN A 169.254.169.254"},
		{"api.example.com. 60 IN CNAME x.example.net.", "x.example.net. 60 IN A 127.0.0.1", "y.example.net. 60 IN A 203.0.113.1"},
		{"api.example.com. 60 IN AAAA ::ffff:10.0.0.1"}, {"evil.example.org. 60 IN A 203.0.113.66"},
		{"api.example.com. 60 IN CNAME api.example.com."}, nil,
	} {
		packed, err := message(f, records...).Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed)
	}
	policy := NewPolicy(nil, []netip.Addr{netip.MustParseAddr("198.51.100.129")})
	f.Fuzz(func(t *testing.T, data []byte) {
		m := new(dns.Msg)
		if m.Unpack(data) != nil {
			return
		}
		answer, err := Read("api.example.com", m)
		if err != nil && len(answer.Addresses) > 0 {
			t.Fatalf("addresses %v beside error %v", answer.Addresses, err)
		}
		allowed, _ := policy.Addresses(answer.Addresses)
		for _, ip := range allowed {
			if forbidden(ip) {
				t.Fatalf("%s gets through", ip)
			}
			if !owned(m, ip) {
				t.Fatalf("%s belongs to another name", ip)
			}
		}
		if answer.TTL < 0 || answer.TTL > maxTTL {
			t.Fatalf("TTL %s", answer.TTL)
		}
	})
}

// owned reports whether some A record with the address belongs to the name or to any alias that leads from it.
func owned(m *dns.Msg, ip netip.Addr) bool {
	reach := map[string]bool{"api.example.com.": true}
	for range m.Answer {
		for _, record := range m.Answer {
			if c, ok := record.(*dns.CNAME); ok && reach[dns.CanonicalName(c.Hdr.Name)] {
				reach[dns.CanonicalName(c.Target)] = true
			}
		}
	}
	for _, record := range m.Answer {
		if a, ok := record.(*dns.A); ok && reach[dns.CanonicalName(a.Hdr.Name)] && a.A.String() == ip.String() {
			return true
		}
	}
	return false
}
