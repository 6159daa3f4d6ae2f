package agent

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/proxyimage/agent/hosts"
	"github.com/sallyport/sallyport/proxyimage/haproxycfg"
	"github.com/sallyport/sallyport/proxyimage/routes"
)

// pooled is one host of a pool route.
type pooled struct {
	route   routes.Route
	backend haproxycfg.Backend
	problem string // why it cannot be reached, see haproxycfg.Unreachable; empty if it can
}

// pooledHosts returns every host of the pool routes of f, with the addresses in their slots. Hosts whose route has a file that
// cannot be used have no backend; bad says what is wrong, by route.
func (p *pool) pooledHosts(f *force, states map[string]hosts.State) (all []pooled, bad map[string]error) {
	bad = map[string]error{}
	slots := map[string][]netip.Addr{}
	for _, route := range f.doc.Routes {
		if route.Mode != routes.ModePool {
			continue
		}
		options := route.Pooled()
		err := p.files.check(options)
		if err != nil {
			bad[route.Name] = err
		}
		for _, host := range route.Hosts {
			entry := pooled{route: route, backend: backend(route, options, host)}
			if err != nil {
				entry.problem = haproxycfg.PoolBadFile
			} else if entry.backend.Slotted(p.prober != nil) {
				var usable []netip.Addr
				usable, entry.problem = p.addresses(f, states[host].Addresses)
				entry.backend.Addresses = assign(p.slots[entry.backend.Name], usable)
				slots[entry.backend.Name] = entry.backend.Addresses
			}
			all = append(all, entry)
		}
	}
	p.slots = slots
	return all, bad
}

// addresses returns where a host that has the given addresses in DNS is reached, or why it is not. The fleet's addresses come from
// the routes document, not from DNS, and are private: they are not vetted.
func (p *pool) addresses(f *force, resolved []netip.Addr) (usable []netip.Addr, problem string) {
	if p.prober == nil {
		allowed, refused := f.policy.Addresses(resolved)
		return allowed, reach(allowed, len(refused))
	}
	usable = shuffled(p.prober.Answer(), p.name)
	if len(usable) == 0 {
		return nil, haproxycfg.PoolNoProxy
	}
	return usable, ""
}

// shuffled sorts addresses in an order that is each controller's own, so that of a fleet with more proxies than a backend has slots
// every proxy is used by some.
func shuffled(all []netip.Addr, name string) []netip.Addr {
	order := func(ip netip.Addr) uint64 {
		h := fnv.New64a()
		_, _ = h.Write([]byte(name + " " + ip.String())) // never fails
		return h.Sum64()
	}
	slices.SortFunc(all, func(a, b netip.Addr) int { return cmp.Compare(order(a), order(b)) })
	return all
}

// probe has the proxies of a document probed, if destinations are reached through them.
func (p *pool) probe(ctx context.Context, doc *routes.Document) {
	if p.prober != nil && p.probed != doc {
		p.prober.Set(ctx, doc.Proxies)
		p.probed = doc
	}
}

// reach says why a host cannot be reached, or nothing.
func reach(allowed []netip.Addr, refused int) string {
	switch {
	case len(allowed) > 0:
		return ""
	case refused > 0:
		return haproxycfg.PoolRefusedAddress
	}
	return haproxycfg.PoolNoAddress
}

func backend(route routes.Route, options routes.Pool, host string) haproxycfg.Backend {
	b := haproxycfg.Backend{
		Name: haproxycfg.BackendName(route.Name, host), Host: host, Port: route.Port, CAFile: options.CAFile, CertFile: options.CertFile,
		ConnectTimeout: time.Duration(options.ConnectTimeoutSeconds) * time.Second,
		ServerTimeout:  time.Duration(options.ServerTimeoutSeconds) * time.Second,
		MaxConnections: options.MaxConnections,
	}
	for _, name := range options.ALPN {
		b.ALPN = append(b.ALPN, string(name))
	}
	return b
}

// poolMaps returns the entries of every map file. running tells which backends HAProxy has; the others are about to come.
func (p *pool) poolMaps(f *force, all []pooled, running func(name string) bool) map[string][]haproxycfg.Entry {
	names := map[string]string{} // host or suffix, with and without port -> backend or reason
	ports := map[string]int{}    // that a host without a port stands for
	for _, h := range all {
		value := h.backend.Name
		if h.problem != "" {
			value = haproxycfg.Unreachable(h.problem, h.route.Name)
		} else if !running(value) {
			value = haproxycfg.Unreachable(haproxycfg.PoolStarting, h.route.Name)
		}
		host := strings.TrimPrefix(h.backend.Host, "*")
		names[host+":"+strconv.Itoa(h.backend.Port)] = value
		if best, ok := ports[host]; !ok || preferred(h.backend.Port, best) {
			ports[host], names[host] = h.backend.Port, value
		}
	}
	p.aliases(f, names)
	exact, wilds := []haproxycfg.Entry{}, []haproxycfg.Entry{}
	for key, value := range names {
		if strings.HasPrefix(key, ".") {
			wilds = append(wilds, haproxycfg.Entry{Key: key, Value: value})
		} else {
			exact = append(exact, haproxycfg.Entry{Key: key, Value: value})
		}
	}
	slices.SortFunc(exact, func(a, b haproxycfg.Entry) int { return strings.Compare(a.Key, b.Key) })
	slices.SortFunc(wilds, func(a, b haproxycfg.Entry) int { // the most specific first
		if n := len(b.Key) - len(a.Key); n != 0 {
			return n
		}
		return strings.Compare(a.Key, b.Key)
	})
	dir := p.mapDir()
	maps := map[string][]haproxycfg.Entry{
		haproxycfg.ClientsMap(dir):       haproxycfg.NetworkEntries(f.doc.Clients),
		haproxycfg.PoolHostsMap(dir):     exact,
		haproxycfg.PoolWildcardsMap(dir): wilds,
	}
	if p.prober == nil { // otherwise HAProxy judges no address, and has no such map
		maps[haproxycfg.RefusedMap(dir)] = haproxycfg.NetworkEntries(f.policy.Refused())
	}
	return maps
}

// preferred reports whether a host without a port rather means port than best: 443, else the lowest.
func preferred(port, best int) bool { return best != 443 && (port == 443 || port < best) }

// aliases adds the names by which the cluster knows a route that has exactly one exact host: "payments", "payments.egress",
// "payments.egress.svc" and so on. A host of the document goes before an alias.
func (p *pool) aliases(f *force, names map[string]string) {
	namespace, rest, _ := strings.Cut(p.pool.domain, ".")
	svc, _, _ := strings.Cut(rest, ".")
	for _, route := range f.doc.Routes {
		if route.Mode != routes.ModePool || len(route.Hosts) != 1 || strings.HasPrefix(route.Hosts[0], "*.") {
			continue
		}
		value := names[route.Hosts[0]+":"+strconv.Itoa(route.Port)]
		for _, suffix := range []string{"", "." + namespace, "." + namespace + "." + svc, "." + p.pool.domain} {
			if _, taken := names[route.Name+suffix]; !taken {
				names[route.Name+suffix] = value
			}
		}
	}
}

// fileCheck reads the files that routes name. HAProxy would refuse the whole configuration for one bad file. Not for concurrent use.
type fileCheck struct {
	prints map[string]string // content hash by path, of the last round
}

// check reports whether the files of a route can be used.
func (c *fileCheck) check(options routes.Pool) error {
	if options.CAFile != "" {
		data, err := c.read(options.CAFile)
		if err != nil {
			return fmt.Errorf("caFile: %w", err)
		}
		if !x509.NewCertPool().AppendCertsFromPEM(data) {
			return fmt.Errorf("caFile: needs at least one certificate in PEM, got none in %s", options.CAFile)
		}
	}
	if options.CertFile != "" {
		data, err := c.read(options.CertFile)
		if err != nil {
			return fmt.Errorf("certFile: %w", err)
		}
		if _, err := tls.X509KeyPair(data, data); err != nil {
			return fmt.Errorf("certFile: must hold a certificate and its key in PEM, got %s: %w", options.CertFile, err)
		}
	}
	return nil
}

func (c *fileCheck) read(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	c.prints[path] = hex.EncodeToString(sum[:8])
	return data, nil
}
