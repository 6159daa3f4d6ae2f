package agent

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/proxyimage/agent/fleet"
	"github.com/sallyport/sallyport/proxyimage/agent/reap"
	"github.com/sallyport/sallyport/proxyimage/routes"
)

// filesInterval is how often the files that routes name are looked at: a renewed certificate is used that soon.
const filesInterval = 5 * time.Second

// pool is the agent of a pooling controller. It differs from passthrough in what it makes of a document: backends in HAProxy's
// configuration, whose servers' addresses it sets at run time. A change of DNS needs no reload, a change of routes does.
type pool struct {
	*passthrough
	name    string // of this controller among its like
	figures *poolFigures
	recycle *recycler
	prober  *fleet.Prober                    // nil unless destinations are reached through the fleet
	fresh   atomic.Bool                      // HAProxy was started and knows what was on disk
	bad     atomic.Pointer[map[string]error] // files that cannot be used, by route; nil until a document is in force

	// Of the loop only.
	probed   *routes.Document // whose proxies are probed
	files    fileCheck
	servers  serverPool
	slots    map[string][]netip.Addr // by backend
	shape    string                  // of the configuration in place: all of it but addresses
	text     string                  // the configuration in place
	backends map[string]bool         // of the configuration in place
}

func newPool(s settings, logger *slog.Logger, m *metrics, docs *documents, reaper *reap.Reaper) (*pool, error) {
	base, err := newPassthrough(s, logger, m, docs, reaper)
	if err != nil {
		return nil, err
	}
	p := &pool{
		passthrough: base, files: fileCheck{prints: map[string]string{}},
		servers: serverPool{admin: base.process.Admin(), known: map[string]server{}},
	}
	if p.name, err = os.Hostname(); err != nil {
		return nil, fmt.Errorf("name of this machine: %w", err)
	}
	p.figures = newPoolFigures(base.traffic, m)
	p.recycle = &recycler{after: s.pool.requests, done: m.counter("pool_recycles_total", "Times that HTTP/2 clients were asked to connect anew.")}
	if s.pool.upstream == upstreamFleet {
		base.lookups = false
		p.prober = fleet.NewProber(s.probeInterval, proxyHTTPPort, func(string, bool) { nudge(base.wake) }, logger)
	}
	base.routeMode, base.change = routes.ModePool, p.apply
	base.process.Line = p.figures.line
	base.process.Up = func() {
		p.fresh.Store(true)
		nudge(base.up)
	}
	return p, nil
}

// run implements worker.
func (p *pool) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p.running.Go(func() { p.figures.poll(ctx, p.process) })
	p.running.Go(func() { p.watchFiles(ctx) })
	p.running.Go(func() { p.watchClients(ctx) })
	err := p.passthrough.run(ctx)
	if p.prober != nil {
		cancel()
		p.prober.Wait()
	}
	return err
}

// watchFiles has the document applied again regularly while it names files: what is in them may have changed.
func (p *pool) watchFiles(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(filesInterval):
		}
		if f := p.force.Load(); f != nil && namesFiles(f.doc) {
			nudge(p.wake)
		}
	}
}

func namesFiles(doc *routes.Document) bool {
	for _, route := range doc.Routes {
		if route.Pool != nil && (route.Pool.CAFile != "" || route.Pool.CertFile != "") {
			return true
		}
	}
	return false
}

// ready implements worker.
func (p *pool) ready() status {
	s := p.passthrough.ready()
	if p.prober != nil {
		var tried bool
		s.Proxies, tried = p.prober.State()
		s.needs(tried, "not every proxy has been probed")
	}
	if bad := p.bad.Load(); bad != nil {
		for route, err := range *bad {
			s.Notes = append(s.Notes, fmt.Sprintf("route %q is not served: %v", route, err))
		}
	}
	return s
}
