// Package wildcard is the DNS cache on loopback that HAProxy asks for hosts below a wildcard, which cannot be resolved ahead.
//
// It answers A queries for names that the routes document covers and refuses all others. Every answer is a single vetted
// address, the next one each time: HAProxy 2.6 uses the first address of an answer always, and asks again for every
// connection. When the upstream servers do not answer, the last good answer is used on. A name without an address gets
// haproxycfg.NoAddress instead of a denial, after which HAProxy would ask again for 2 s while its client waits.
package wildcard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/sallyport/sallyport/proxyimage/agent/dnsserver"
	"github.com/sallyport/sallyport/proxyimage/agent/vetting"
	"github.com/sallyport/sallyport/proxyimage/haproxycfg"
	"github.com/sallyport/sallyport/proxyimage/routes"
)

// Config says what a Server depends on.
type Config struct {
	// Lookup asks the upstream servers; see upstream.Client.LookupA.
	Lookup func(ctx context.Context, name string) (vetting.Answer, error)
	// Covered reports whether a wildcard host of the document covers a lower-case name.
	Covered func(name string) bool
	// Policy returns the policy in force.
	Policy func() *vetting.Policy
	Logger *slog.Logger
}

// Server is the cache. Create it with Listen.
type Server struct {
	Config
	cache  *cache
	server *dnsserver.Server
}

// Listen binds a free port of loopback, UDP and TCP.
func Listen(config Config) (*Server, error) {
	server, err := dnsserver.Listen("127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("wildcard resolver: %w", err)
	}
	return &Server{Config: config, cache: newCache(config.Lookup), server: server}, nil
}

// Address is where the server listens.
func (s *Server) Address() netip.AddrPort { return s.server.Addr() }

// Run serves until ctx is done.
func (s *Server) Run(ctx context.Context) error { return s.server.Run(ctx, s.serve) }

// serve answers one query.
func (s *Server) serve(w dns.ResponseWriter, query *dns.Msg) {
	reply := new(dns.Msg)
	reply.SetReply(query)
	reply.RecursionAvailable = true
	s.fill(reply, query)
	if err := w.WriteMsg(reply); err != nil {
		s.Logger.Debug("cannot answer haproxy's query", "error", err)
	}
}

func (s *Server) fill(reply, query *dns.Msg) {
	if len(query.Question) != 1 || query.Opcode != dns.OpcodeQuery {
		reply.Rcode = dns.RcodeFormatError
		return
	}
	question := query.Question[0]
	name := strings.TrimSuffix(dns.CanonicalName(question.Name), ".")
	plain := routes.HostRule(name) == "" && name[0] != '*'
	if question.Qclass != dns.ClassINET || question.Qtype != dns.TypeA || !plain || !s.Covered(name) {
		reply.Rcode = dns.RcodeRefused
		return
	}
	addresses, turn, err := s.cache.get(name, time.Now())
	if err != nil && !errors.Is(err, vetting.ErrNoSuchName) {
		s.Logger.Debug("cannot resolve host below a wildcard", "host", name, "error", err)
	}
	address := haproxycfg.NoAddress
	allowed, refused := s.Policy().Addresses(addresses)
	switch {
	case len(allowed) > 0:
		address = allowed[turn%uint64(len(allowed))]
	case len(refused) > 0:
		address = haproxycfg.RefusedAddress
	}
	reply.Answer = []dns.RR{&dns.A{
		Hdr: dns.RR_Header{Name: question.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 0},
		A:   address.AsSlice(),
	}}
}
