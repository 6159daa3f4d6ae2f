// Package accesslog reads the access log that HAProxy writes for the agent, and says each refusal aloud once a minute and
// not a million times.
//
// What a client may send, and what becomes of it (hostile_test.go of package agent sends each to a real HAProxy):
//
//	anything but a TLS ClientHello          not-tls, at once
//	less than a ClientHello                 slow, after haproxycfg.InspectDelay; closed-early if the client left
//	no name, an empty one, one HAProxy      no-sni
//	cannot find, a hello over two records
//	a name not listed: IP addresses, other  unlisted
//	spellings, a trailing dot, any bytes
//	several names                           the first counts
//	an encrypted ClientHello (ECH)          its outer name counts, which is all that a proxy sees: list the outer name of a
//	                                        destination that uses ECH, and know that whatever hides behind it is reached too
//	upper case, TLS 1.0, a hello of 16 KB   forwarded: what is spoken is the destination's business
//
// The name in a line is what a client sent and can be anything. HAProxy escapes it; here it is checked once more, and what is
// not a DNS name is not passed on as one.
package accesslog

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/proxyimage/haproxycfg"
	"github.com/sallyport/sallyport/proxyimage/routes"
)

// Reason says why a connection was refused.
type Reason string

// The reasons. All but ClientNotAllowed come in the access log.
const (
	NotTLS           Reason = "not-tls"            // what came is not a TLS ClientHello
	Slow             Reason = "slow"               // the ClientHello did not come in time
	ClosedEarly      Reason = "closed-early"       // the client left before it sent a byte: a port scan, a health check
	NoSNI            Reason = "no-sni"             // the ClientHello has no server name
	Unlisted         Reason = "unlisted"           // the server name is not in the routes document
	NoAddress        Reason = "no-address"         // the host is listed but DNS has no address for it
	PrivateAddress   Reason = "private-address"    // all its addresses are refused
	ClientNotAllowed Reason = "client-not-allowed" // the client is not in the routes document
	BadRequest       Reason = "bad-request"        // not an HTTP request that can be forwarded
	ClientLimit      Reason = "client-limit"       // the client has too many connections open
	DestinationLimit Reason = "destination-limit"  // the route has too many connections open
)

// Reasons are all of them.
var Reasons = []Reason{NotTLS, Slow, ClosedEarly, NoSNI, Unlisted, NoAddress, PrivateAddress, ClientNotAllowed, BadRequest, ClientLimit, DestinationLimit}

// Audited are the reasons that do not refuse a connection in audit mode.
var Audited = []Reason{Unlisted, ClientLimit, DestinationLimit}

// Record is one finished connection.
type Record struct {
	Refused Reason // empty if the connection was forwarded
	// WouldRefuse says why the connection would have been refused but for audit mode; empty if it would not have been. It may
	// have been refused all the same, for another reason.
	WouldRefuse Reason
	Host        string // lower-case DNS name that the client asked for; empty if it sent none or no DNS name
	Client      string // address of the client
	Port        int    // listening port
	Dst         string // address connected to; empty if refused before
	Source      string // own address used; empty if not connected
	In, Out     uint64 // bytes from and to the client
	Connect     time.Duration
	Total       time.Duration
	// Failed reports whether no connection to Dst came about.
	Failed bool
	// Unrouted reports that Refused was not said by a rule: there is neither a reason nor an address.
	Unrouted bool

	// Of pool mode only: the status of the answer, 0 if there was none; how often the request was sent again; the name of
	// HAProxy's backend, empty if none was chosen.
	Status  int
	Retries int
	Backend string
}

// maxStatus bounds the status of an answer: it has three digits.
const maxStatus = 999

// Parse reads one line.
func Parse(text []byte) (Record, error) {
	var l line
	if err := l.read(text); err != nil {
		return Record{}, fmt.Errorf("access log: %w", err)
	}
	if l.Port < 0 || l.Port > math.MaxUint16 {
		return Record{}, fmt.Errorf("access log: port: must be 0 to 65535, got %d", l.Port)
	}
	r := Record{
		Refused: Reason(dash(l.Reason)), WouldRefuse: Reason(dash(l.Would)), Client: l.Src, Port: int(l.Port), Dst: dash(l.Dst), Source: dash(l.Source),
		In: uint64(max(l.In, 0)), Out: uint64(max(l.Out, 0)),
		Connect: milliseconds(l.Connect), Total: milliseconds(l.Total),
		Status: int(min(max(l.Status, 0), maxStatus)), Retries: retries(l.Retries), Backend: dash(l.Backend),
	}
	if sni := dash(l.SNI); sni != "" && routes.HostRule(sni) == "" && sni[0] != '*' {
		r.Host = sni
	}
	r.Refused = r.refine()
	// The second letter is where the connection was: C is connecting to the server.
	r.Failed = r.Refused == "" && len(l.State) == 2 && l.State[1] == 'C'
	if r.Refused == "" && !r.Failed && r.Dst == "" {
		r.Unrouted, r.Refused = true, unrouted(l.State)
	}
	return r, nil
}

// unrouted says why a line of plain HTTP tells neither a refusal nor an address: HAProxy judged the request before any rule.
func unrouted(state string) Reason {
	switch {
	case strings.HasPrefix(state, "c"):
		return Slow
	case strings.HasPrefix(state, "C"):
		return ClosedEarly
	}
	return BadRequest
}

// refine tells apart what HAProxy's rules see as one: no ClientHello.
func (r Record) refine() Reason {
	switch {
	case r.Refused != NotTLS:
		return r.Refused
	case r.Total >= haproxycfg.InspectDelay:
		return Slow
	case r.In == 0:
		return ClosedEarly
	}
	return NotTLS
}

// retries reads how often a request was sent again: "+1" if the last one went to another server.
func retries(text string) int {
	n, _ := strconv.Atoi(strings.TrimPrefix(text, "+")) // 0 if there is no number
	return max(n, 0)
}

// milliseconds converts a time, which is -1 for what did not come to pass.
func milliseconds(n int64) time.Duration {
	return time.Duration(min(max(n, 0), math.MaxInt64/int64(time.Millisecond))) * time.Millisecond
}

// dash turns HAProxy's sign for nothing into nothing.
func dash(s string) string {
	if s == "-" {
		return ""
	}
	return s
}
