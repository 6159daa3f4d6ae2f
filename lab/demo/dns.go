package demo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/sallyport/sallyport/components/destinations"
	"github.com/sallyport/sallyport/components/nodelocaldns"
	upstream "github.com/sallyport/sallyport/lab/dns"
	"github.com/sallyport/sallyport/lab/labid"
	"github.com/sallyport/sallyport/lab/namespace"
)

const (
	// lookups are made per value of ndots, one every lookupInterval: long enough for the cache to expire more than once.
	lookups        = 300
	lookupInterval = 25 * time.Millisecond
	// dnsTimeout bounds one lookup. It takes about a millisecond.
	dnsTimeout = 5 * time.Second
)

// dns counts what looking up one external name costs with ndots 5, which Kubernetes gives to pods, and with 2.
func (t Target) dns(ctx context.Context) ([]DNSLookup, error) {
	pods, err := t.pods()
	if err != nil {
		return nil, err
	}
	conf, err := t.resolvConf(pods[0])
	if err != nil {
		return nil, err
	}
	all := t.usable(destinations.RouteNat)
	if len(all) == 0 {
		return nil, nil
	}
	var found []DNSLookup
	for _, ndots := range []int{5, 2} {
		one, err := t.countLookups(ctx, pods[0], conf, SampleHost(all[0]), ndots)
		if err != nil {
			return nil, err
		}
		found = append(found, one)
	}
	return found, nil
}

// countLookups looks a name up many times and lets the name servers say how many queries came.
func (t Target) countLookups(ctx context.Context, from pod, conf resolvConf, host string, ndots int) (DNSLookup, error) {
	result := DNSLookup{Host: host, NDots: ndots}
	cacheBefore, upstreamBefore, err := t.dnsCounters(ctx, from)
	if err != nil {
		return result, err
	}
	names := candidates(host, ndots, conf.searches)
	space := labid.Netns(t.Lab.ID, from.Host)
	ticker := time.NewTicker(lookupInterval)
	defer ticker.Stop()
	for ; result.Lookups < lookups; result.Lookups++ {
		select {
		case <-ctx.Done():
			return result, ctx.Err()
		case <-ticker.C:
		}
		if _, err := lookup(ctx, space, conf.nameserver, names); err != nil {
			return result, fmt.Errorf("lookup %s: %w", host, err)
		}
	}
	cacheAfter, upstreamAfter, err := t.dnsCounters(ctx, from)
	result.Queries = (cacheAfter - cacheBefore) / lookups
	result.Upstream = (upstreamAfter - upstreamBefore) / lookups
	return result, err
}

// dnsCounters returns the A and AAAA queries that the cache of a pod's node, and the cluster's DNS behind all nodes, have got so far.
func (t Target) dnsCounters(ctx context.Context, p pod) (cache, cluster float64, err error) {
	cache, err = scrape(ctx, labid.Netns(t.Lab.ID, p.Node), fmt.Sprintf("http://%s:%d/metrics", nodelocaldns.DefaultAddress, nodelocaldns.MetricsPort), "")
	if err != nil {
		return 0, 0, fmt.Errorf("metrics of the DNS cache of %s: %w", p.Node, err)
	}
	server := labid.DNSPrivateAddress.String()
	cluster, err = scrape(ctx, labid.Netns(t.Lab.ID, labid.DNSHost), fmt.Sprintf("http://%s:%d/metrics", server, upstream.MetricsPort),
		`server="dns://`+server+`:53"`) // the proxies ask its other address
	if err != nil {
		return 0, 0, fmt.Errorf("metrics of the cluster's DNS: %w", err)
	}
	return cache, cluster, nil
}

// candidates are the names that a glibc client tries one after the other: a name with fewer dots than ndots goes through the search
// list first.
func candidates(host string, ndots int, searches []string) []string {
	if strings.HasSuffix(host, ".") {
		return []string{host}
	}
	var names []string
	for _, domain := range searches {
		names = append(names, host+"."+domain+".")
	}
	if strings.Count(host, ".") >= ndots {
		return append([]string{host + "."}, names...)
	}
	return append(names, host+".")
}

// lookup does what getaddrinfo does: for each name in turn, A and AAAA at the same time on one socket, until a name has an address. It
// returns the first IPv4 address.
func lookup(ctx context.Context, space, nameserver string, names []string) (netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, dnsTimeout)
	defer cancel()
	server, err := netip.ParseAddr(nameserver)
	if err != nil {
		return netip.Addr{}, err
	}
	socket, err := namespace.Dial(ctx, space, "udp4", netip.AddrPortFrom(server, 53).String())
	if err != nil {
		return netip.Addr{}, err
	}
	defer socket.Close() //nolint:errcheck // nothing to lose
	deadline, _ := ctx.Deadline()
	if err := socket.SetDeadline(deadline); err != nil {
		return netip.Addr{}, err
	}
	conn := &dns.Conn{Conn: socket}
	for _, name := range names {
		if found, err := askBoth(conn, name); err != nil || found.IsValid() {
			return found, err
		}
	}
	return netip.Addr{}, errors.New("no such name")
}

// askBoth asks for A and AAAA records and returns the first A record's address, the zero one if there is none.
func askBoth(conn *dns.Conn, name string) (first netip.Addr, err error) {
	for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
		if err := conn.WriteMsg(new(dns.Msg).SetQuestion(name, kind)); err != nil {
			return first, err
		}
	}
	for range 2 {
		answer, err := conn.ReadMsg()
		if err != nil {
			return first, err
		}
		if answer.Rcode != dns.RcodeSuccess && answer.Rcode != dns.RcodeNameError {
			return first, fmt.Errorf("%s: %s", name, dns.RcodeToString[answer.Rcode])
		}
		for _, record := range answer.Answer {
			if a, ok := record.(*dns.A); ok && !first.IsValid() {
				first, _ = netip.AddrFromSlice(a.A.To4())
			}
		}
	}
	return first, nil
}
