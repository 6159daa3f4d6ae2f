// Package fleet answers DNS queries for proxied hosts on a node: with the proxies that are healthy at this moment.
//
// A dead proxy leaves the answers within two probes, and at once if it refuses the connection or says itself that it is not
// ready. If no proxy seems healthy, those are answered that have not said so themselves, or else all: a probe may be wrong, no
// answer at all is wrong for certain.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/sallyport/sallyport/proxyimage/routes"
)

const (
	// maxTimeout bounds one probe; it is the interval if that is shorter.
	maxTimeout = 500 * time.Millisecond
	// failuresDown is how many failures in a row make a proxy unhealthy.
	failuresDown = 2
)

// Prober asks every proxy for its health. Safe for concurrent use.
type Prober struct {
	interval time.Duration
	port     int
	changed  func(proxy string, healthy bool)
	logger   *slog.Logger
	client   *http.Client
	group    sync.WaitGroup

	mu      sync.Mutex
	proxies map[string]*probed // by name
}

// probed is the state of a proxy. Guarded by Prober.mu.
type probed struct {
	routes.Proxy
	cancel   context.CancelFunc
	tried    bool
	healthy  bool
	denied   bool // it said itself that it must not be used
	failures int  // in a row
}

// NewProber returns a prober without proxies. It asks http://<address>:<port>/readyz. changed is told each change.
func NewProber(interval time.Duration, port int, changed func(proxy string, healthy bool), logger *slog.Logger) *Prober {
	dialer := &net.Dialer{Timeout: min(interval, maxTimeout)}
	return &Prober{
		interval: interval, port: port, changed: changed, logger: logger, proxies: map[string]*probed{},
		client: &http.Client{
			Timeout:       min(interval, maxTimeout),
			Transport:     &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 1},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Set makes the proxies the probed ones. One whose address changed is a new one. Probing ends with ctx.
func (p *Prober) Set(ctx context.Context, proxies []routes.Proxy) {
	p.mu.Lock()
	defer p.mu.Unlock()
	keep := map[string]bool{}
	for _, proxy := range proxies {
		keep[proxy.Name] = true
		old := p.proxies[proxy.Name]
		if old != nil && old.Address == proxy.Address {
			old.Proxy = proxy
			continue
		}
		if old != nil {
			old.cancel()
		}
		ctx, cancel := context.WithCancel(ctx)
		entry := &probed{Proxy: proxy, cancel: cancel}
		p.proxies[proxy.Name] = entry
		p.group.Go(func() { p.watch(ctx, entry, proxy.Name, proxy.Address) })
	}
	for name, entry := range p.proxies {
		if !keep[name] {
			entry.cancel()
			delete(p.proxies, name)
		}
	}
}

// Wait returns when all probing has ended, after ctx of Set is done.
func (p *Prober) Wait() { p.group.Wait() }

// Answer returns the addresses to answer with, sorted: those of the healthy proxies; if none is healthy, of those that have not
// said themselves that they are not ready; if all have, of all. They are nil if there is no proxy.
func (p *Prober) Answer() []netip.Addr {
	p.mu.Lock()
	defer p.mu.Unlock()
	var healthy, silent, all []netip.Addr
	for _, proxy := range p.proxies {
		all = append(all, proxy.Address)
		if proxy.healthy {
			healthy = append(healthy, proxy.Address)
		}
		if !proxy.denied {
			silent = append(silent, proxy.Address)
		}
	}
	if len(healthy) > 0 {
		all = healthy
	} else if len(silent) > 0 {
		all = silent
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return all
}

// State returns which proxies are healthy, and whether each has been probed once.
func (p *Prober) State() (healthy map[string]bool, allTried bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	healthy, allTried = make(map[string]bool, len(p.proxies)), true
	for name, proxy := range p.proxies {
		healthy[name] = proxy.healthy
		allTried = allTried && proxy.tried
	}
	return healthy, allTried
}

// watch probes one proxy until ctx is done.
func (p *Prober) watch(ctx context.Context, entry *probed, name string, address netip.Addr) {
	url := "http://" + net.JoinHostPort(address.String(), strconv.Itoa(p.port)) + "/readyz"
	ticker := time.NewTicker(p.interval)
	defer ticker.Stop()
	for {
		err := p.probe(ctx, url)
		if ctx.Err() != nil {
			return
		}
		p.record(entry, name, err)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// errNotReady is a proxy's own word that it must not be used.
var errNotReady = errors.New("not ready")

func (p *Prober) probe(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := p.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10)) // so that the connection can be used again
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: status %d", errNotReady, response.StatusCode)
	}
	return nil
}

// record takes the outcome of a probe over.
func (p *Prober) record(entry *probed, name string, err error) {
	p.mu.Lock()
	before := entry.healthy
	entry.update(err)
	after := entry.healthy
	p.mu.Unlock()
	if before == after {
		return
	}
	p.changed(name, after)
	if after {
		p.logger.Info("proxy is healthy", "proxy", name)
	} else {
		p.logger.Warn("proxy is not healthy", "proxy", name, "error", err)
	}
}

// update is the rule by which a probe changes a state.
func (e *probed) update(err error) {
	e.tried, e.denied = true, errors.Is(err, errNotReady)
	if err == nil {
		e.healthy, e.failures = true, 0
		return
	}
	e.failures++
	if e.failures >= failuresDown || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, errNotReady) {
		e.healthy = false
	}
}
