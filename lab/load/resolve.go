package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// tryDNS is how long one query waits for its answer before it is sent again.
const tryDNS = time.Second

var errNoAddress = errors.New("no A record")

// address chooses where to connect: the first address that was not tried yet, else any.
func (g *generator) address(ctx context.Context, tried []netip.Addr) (netip.Addr, *failure) {
	addresses := g.spec.Addresses
	if g.spec.Resolver != "" {
		var err error
		if addresses, err = lookup(ctx, g.spec.Resolver, g.spec.Host); err != nil {
			return netip.Addr{}, &failure{DNS, err}
		}
	} else if len(addresses) > 1 {
		turn := rand.IntN(len(addresses))
		addresses = slices.Concat(addresses[turn:], addresses[:turn])
	}
	for _, address := range addresses {
		if !slices.Contains(tried, address) {
			return address, nil
		}
	}
	return addresses[len(tried)%len(addresses)], nil
}

// lookup asks a DNS server for A records, again every second until ctx ends. An answer that was cut short is asked for over TCP.
func lookup(ctx context.Context, server, host string) ([]netip.Addr, error) {
	question := new(dns.Msg)
	question.SetQuestion(dns.Fqdn(host), dns.TypeA)
	for last := error(nil); ; {
		query, cancel := context.WithTimeout(ctx, tryDNS)
		client := dns.Client{Net: "udp4", Timeout: tryDNS}
		answer, _, err := client.ExchangeContext(query, question, server)
		if err == nil && answer.Truncated {
			client.Net = "tcp4"
			answer, _, err = client.ExchangeContext(query, question, server)
		}
		cancel()
		if err == nil {
			return addressesOf(answer)
		}
		if last = err; ctx.Err() != nil {
			return nil, fmt.Errorf("lookup %s: %w", host, last)
		}
		select { // a server that refuses at once is not asked in a tight loop
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
		question.Id = dns.Id()
	}
}

func addressesOf(answer *dns.Msg) ([]netip.Addr, error) {
	var addresses []netip.Addr
	for _, record := range answer.Answer {
		if a, ok := record.(*dns.A); ok {
			if address, ok := netip.AddrFromSlice(a.A.To4()); ok {
				addresses = append(addresses, address)
			}
		}
	}
	if len(addresses) == 0 {
		return nil, fmt.Errorf("%s: %w", dns.RcodeToString[answer.Rcode], errNoAddress)
	}
	return addresses, nil
}
