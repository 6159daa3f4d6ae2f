package vetting

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// maxChain is the longest chain of aliases followed; recursive resolvers give up about there too.
const maxChain = 16

// ErrNoSuchName is returned for an answer that says that the name does not exist or has no IPv4 address. Other errors mean
// that there is no usable answer.
var ErrNoSuchName = errors.New("the name does not exist or has no IPv4 address")

// Answer is what a DNS message says about a name.
type Answer struct {
	// Addresses are the IPv4 addresses of the name, in the order of the message, judged by nobody yet.
	Addresses []netip.Addr
	// TTL is the shortest time to live along the way to the addresses; for ErrNoSuchName that of the denial.
	TTL time.Duration
	// Ignored are addresses in the message that belong to other names.
	Ignored []Decision
}

// Read takes from a response what it says about the A records of name, and nothing else: the question must be the one asked,
// aliases are followed from it within the answer section, and records of other owners are ignored. It never panics, whatever
// the message holds.
func Read(name string, m *dns.Msg) (Answer, error) {
	name = dns.CanonicalName(name)
	if err := check(name, m); err != nil {
		return Answer{}, err
	}
	owner, ttl, err := follow(name, m.Answer)
	if err != nil {
		return Answer{}, err
	}
	answer := Answer{TTL: ttl}
	for _, record := range m.Answer {
		a, ok := record.(*dns.A)
		if !ok || a == nil || a.Hdr.Class != dns.ClassINET {
			continue
		}
		ip, ok := netip.AddrFromSlice(a.A)
		if ip = ip.Unmap(); !ok || !ip.Is4() {
			return Answer{}, fmt.Errorf("the answer holds an A record that is not an IPv4 address")
		}
		if dns.CanonicalName(a.Hdr.Name) != owner {
			answer.Ignored = append(answer.Ignored, Decision{Address: ip, Reason: OtherOwner})
			continue
		}
		answer.Addresses = append(answer.Addresses, ip)
		answer.TTL = min(answer.TTL, seconds(a.Hdr.Ttl))
	}
	if len(answer.Addresses) == 0 || m.Rcode == dns.RcodeNameError {
		return Answer{TTL: min(ttl, denialTTL(m)), Ignored: answer.Ignored}, ErrNoSuchName
	}
	return answer, nil
}

// check refuses messages that do not answer the question.
func check(name string, m *dns.Msg) error {
	switch {
	case m == nil:
		return errors.New("there is no answer")
	case !m.Response || m.Opcode != dns.OpcodeQuery:
		return errors.New("the answer is not a response to a query")
	case len(m.Question) != 1 || dns.CanonicalName(m.Question[0].Name) != name ||
		m.Question[0].Qtype != dns.TypeA || m.Question[0].Qclass != dns.ClassINET:
		return errors.New("the answer is to another question")
	case m.Truncated:
		return errors.New("the answer is truncated")
	case m.Rcode == dns.RcodeSuccess || m.Rcode == dns.RcodeNameError:
		return nil
	}
	code, ok := dns.RcodeToString[m.Rcode]
	if !ok {
		code = fmt.Sprintf("code %d", m.Rcode)
	}
	return fmt.Errorf("the server answers %s", code)
}

// maxTTL bounds a time to live that nothing bounds: RFC 8767 advises a week at most.
const maxTTL = 7 * 24 * time.Hour

// follow follows the aliases of name and returns the last owner and the shortest TTL on the way.
func follow(name string, records []dns.RR) (owner string, ttl time.Duration, err error) {
	aliases := map[string]*dns.CNAME{}
	for _, record := range records {
		if c, ok := record.(*dns.CNAME); ok && c != nil && c.Hdr.Class == dns.ClassINET {
			key := dns.CanonicalName(c.Hdr.Name)
			if other, ok := aliases[key]; ok && !strings.EqualFold(other.Target, c.Target) {
				return "", 0, fmt.Errorf("the answer holds two aliases of one name")
			}
			aliases[key] = c
		}
	}
	owner, ttl = name, maxTTL
	for range maxChain {
		alias, ok := aliases[owner]
		if !ok {
			return owner, ttl, nil
		}
		owner, ttl = dns.CanonicalName(alias.Target), min(ttl, seconds(alias.Hdr.Ttl))
	}
	return "", 0, fmt.Errorf("the answer holds more than %d aliases in a row", maxChain)
}

// denialTTL is how long a denial holds: RFC 2308, 5. Without a SOA record it is not to be kept.
func denialTTL(m *dns.Msg) time.Duration {
	for _, record := range m.Ns {
		if soa, ok := record.(*dns.SOA); ok && soa != nil {
			return min(seconds(soa.Hdr.Ttl), seconds(soa.Minttl))
		}
	}
	return 0
}

// seconds converts a TTL; one with the top bit set counts as 0: RFC 2181, 8.
func seconds(ttl uint32) time.Duration {
	if ttl > 1<<31-1 {
		return 0
	}
	return time.Duration(ttl) * time.Second
}
