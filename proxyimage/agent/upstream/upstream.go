// Package upstream asks recursive DNS servers: over UDP, over TCP when an answer does not fit, and the next server when one
// does not answer.
package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/sallyport/sallyport/proxyimage/agent/vetting"
)

const (
	// attemptTimeout is how long one server has for one answer.
	attemptTimeout = 1500 * time.Millisecond
	// rounds is how often the list of servers is gone through.
	rounds = 2
	// payload is the largest UDP answer asked for: what passes every path unfragmented (DNS flag day 2020).
	payload = 1232
)

// Client asks a list of servers. Safe for concurrent use.
type Client struct {
	servers []string
	udp     dns.Client
	tcp     dns.Client
	first   atomic.Uint32 // the server that answered last
}

// New returns a client of at least one server.
func New(servers []netip.AddrPort) *Client {
	c := &Client{udp: dns.Client{Net: "udp", Timeout: attemptTimeout, UDPSize: payload}, tcp: dns.Client{Net: "tcp", Timeout: attemptTimeout}}
	for _, server := range servers {
		c.servers = append(c.servers, server.String())
	}
	return c
}

// LookupA returns the IPv4 addresses of a name. The error is vetting.ErrNoSuchName, with the TTL of the denial in the answer,
// or says what every server did.
func (c *Client) LookupA(ctx context.Context, name string) (vetting.Answer, error) {
	query := new(dns.Msg)
	query.SetQuestion(dns.Fqdn(name), dns.TypeA)
	query.SetEdns0(payload, false)
	var answer vetting.Answer
	err := c.each(ctx, func(ctx context.Context, server string) error {
		reply, err := c.ask(ctx, server, query.Copy())
		if err != nil {
			return err
		}
		answer, err = vetting.Read(name, reply)
		if errors.Is(err, vetting.ErrNoSuchName) {
			return errDenied
		}
		return err
	})
	if errors.Is(err, errDenied) {
		err = vetting.ErrNoSuchName
	}
	return answer, err
}

// errDenied ends the search without an answer: every server would say the same.
var errDenied = errors.New("denied")

// Forward passes a query on and returns the first reply that is not a server's failure. tcp is the way the query came in; a
// truncated reply over UDP is passed back as it is.
func (c *Client) Forward(ctx context.Context, query *dns.Msg, tcp bool) (*dns.Msg, error) {
	client := &c.udp
	if tcp {
		client = &c.tcp
	}
	var reply *dns.Msg
	err := c.each(ctx, func(ctx context.Context, server string) error {
		forwarded := query.Copy()
		forwarded.Id = dns.Id()
		r, _, err := client.ExchangeContext(ctx, forwarded, server)
		if err != nil {
			return err
		}
		if r.Rcode == dns.RcodeServerFailure || r.Rcode == dns.RcodeRefused {
			reply = r
			return fmt.Errorf("the server answers %s", dns.RcodeToString[r.Rcode])
		}
		reply = r
		return nil
	})
	if reply == nil {
		return nil, err
	}
	reply.Id = query.Id
	return reply, nil
}

// ask asks one server, and again over TCP if the answer is truncated.
func (c *Client) ask(ctx context.Context, server string, query *dns.Msg) (*dns.Msg, error) {
	reply, _, err := c.udp.ExchangeContext(ctx, query, server)
	if err == nil && reply.Truncated {
		reply, _, err = c.tcp.ExchangeContext(ctx, query, server)
	}
	return reply, err
}

// each calls f with one server after another until it succeeds, starting with the one that answered last.
func (c *Client) each(ctx context.Context, f func(context.Context, string) error) error {
	first := int(c.first.Load())
	var errs []error
	for i := range rounds * len(c.servers) {
		at := (first + i) % len(c.servers)
		attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
		err := f(attempt, c.servers[at])
		cancel()
		if err == nil || errors.Is(err, errDenied) {
			c.first.Store(uint32(at))
			return err
		}
		if i < len(c.servers) {
			errs = append(errs, fmt.Errorf("%s: %w", c.servers[at], err))
		}
		if ctx.Err() != nil {
			return errors.Join(append(errs, ctx.Err())...)
		}
	}
	return errors.Join(errs...)
}
