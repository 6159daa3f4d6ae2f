package fleet

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/sallyport/sallyport/proxyimage/agent/dnsserver"
)

const (
	// ttl of answers, in seconds: how long a client may keep using a dead proxy.
	ttl = 1
	// forwardBudget is the time for a query that is passed on.
	forwardBudget = 5 * time.Second
	// maxForwards bounds the queries passed on at once; beyond, SERVFAIL is answered.
	maxForwards = 1000
)

// Config says what a Server depends on.
type Config struct {
	// Address is where to listen, UDP and TCP.
	Address string
	// Covered reports whether the routes document serves a lower-case name; known is false while no document is in force.
	Covered func(name string) (covered, known bool)
	// Proxies returns the addresses to answer with; see Prober.Answer.
	Proxies func() []netip.Addr
	// Forward passes on queries for all other names; see upstream.Client.Forward.
	Forward func(ctx context.Context, query *dns.Msg, tcp bool) (*dns.Msg, error)
	// Answered is called for each answer with its kind: "proxied", "forwarded" or "failed".
	Answered func(kind string)
	Logger   *slog.Logger
}

// Server answers the queries of one node. Create it with Listen.
type Server struct {
	Config
	server   *dnsserver.Server
	turn     atomic.Uint32
	forwards chan struct{}
}

// Listen binds the address.
func Listen(config Config) (*Server, error) {
	server, err := dnsserver.Listen(config.Address)
	if err != nil {
		return nil, fmt.Errorf("SALLYPORT_DNS_LISTEN: %w", err)
	}
	return &Server{Config: config, server: server, forwards: make(chan struct{}, maxForwards)}, nil
}

// Addr is where the server listens.
func (s *Server) Addr() netip.AddrPort { return s.server.Addr() }

// Run serves until ctx is done.
func (s *Server) Run(ctx context.Context) error { return s.server.Run(ctx, s.serve) }

func (s *Server) serve(w dns.ResponseWriter, query *dns.Msg) {
	_, tcp := w.RemoteAddr().(*net.TCPAddr)
	reply, kind := s.answer(query, tcp)
	s.Answered(kind)
	if err := w.WriteMsg(reply); err != nil {
		s.Logger.Debug("cannot answer a query", "error", err)
	}
}

// answer returns the reply to a query and its kind.
func (s *Server) answer(query *dns.Msg, tcp bool) (reply *dns.Msg, kind string) {
	if len(query.Question) != 1 || query.Opcode != dns.OpcodeQuery || query.Question[0].Qclass != dns.ClassINET {
		return failure(query, dns.RcodeRefused), "failed"
	}
	name := strings.TrimSuffix(dns.CanonicalName(query.Question[0].Name), ".")
	switch covered, known := s.Covered(name); {
	case !known:
		// Passing it on would send clients past the proxies.
		return failure(query, dns.RcodeServerFailure), "failed"
	case covered:
		return s.proxied(query, tcp)
	}
	return s.forward(query, tcp)
}

func failure(query *dns.Msg, code int) *dns.Msg {
	reply := new(dns.Msg)
	reply.SetRcode(query, code)
	reply.RecursionAvailable = true
	return reply
}

// proxied answers for a host that leaves through the fleet: A with the proxies, one further on each time; nothing else exists.
func (s *Server) proxied(query *dns.Msg, tcp bool) (*dns.Msg, string) {
	proxies := s.Proxies()
	if len(proxies) == 0 {
		return failure(query, dns.RcodeServerFailure), "failed"
	}
	reply := failure(query, dns.RcodeSuccess)
	question := query.Question[0]
	if opt := query.IsEdns0(); opt != nil {
		reply.SetEdns0(dns.DefaultMsgSize, false)
	}
	if question.Qtype != dns.TypeA {
		reply.Ns = []dns.RR{&dns.SOA{
			Hdr: dns.RR_Header{Name: question.Name, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: ttl},
			Ns:  "sallyport.invalid.", Mbox: "nobody.invalid.", Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: ttl,
		}}
		return reply, "proxied"
	}
	first := int(s.turn.Add(1)-1) % len(proxies)
	for i := range proxies {
		ip := proxies[(first+i)%len(proxies)]
		reply.Answer = append(reply.Answer, &dns.A{
			Hdr: dns.RR_Header{Name: question.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: ttl}, A: ip.AsSlice(),
		})
	}
	if !tcp {
		fit(reply, query)
	}
	return reply, "proxied"
}

// fit drops the last proxies of an answer that is too long for UDP. Fewer proxies are better than a second query over TCP.
func fit(reply, query *dns.Msg) {
	size := dns.MinMsgSize
	if opt := query.IsEdns0(); opt != nil {
		size = max(size, int(opt.UDPSize()))
	}
	reply.Compress = true
	for reply.Len() > size && len(reply.Answer) > 1 {
		reply.Answer = reply.Answer[:len(reply.Answer)-1]
	}
}

func (s *Server) forward(query *dns.Msg, tcp bool) (*dns.Msg, string) {
	select {
	case s.forwards <- struct{}{}:
		defer func() { <-s.forwards }()
	default:
		return failure(query, dns.RcodeServerFailure), "failed"
	}
	ctx, cancel := context.WithTimeout(context.Background(), forwardBudget)
	defer cancel()
	reply, err := s.Forward(ctx, query, tcp)
	if err != nil {
		s.Logger.Debug("cannot pass a query on", "name", query.Question[0].Name, "error", err)
		return failure(query, dns.RcodeServerFailure), "failed"
	}
	return reply, "forwarded"
}
