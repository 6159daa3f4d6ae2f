package agent

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport/sallyport/proxyimage/agent/fleet"
	"github.com/sallyport/sallyport/proxyimage/agent/upstream"
	"github.com/sallyport/sallyport/proxyimage/routes"
)

// proxyHTTPPort is where every proxy serves /readyz.
const proxyHTTPPort = 8404

// resolver is the agent of a node: it answers DNS queries for proxied hosts with healthy proxies.
type resolver struct {
	settings
	docs     *documents
	prober   *fleet.Prober
	server   *fleet.Server
	index    atomic.Pointer[routes.Index] // nil until a document is in force
	draining atomic.Bool
	healthy  *prometheus.GaugeVec // proxy
}

func newResolver(s settings, logger *slog.Logger, m *metrics, docs *documents) (*resolver, error) {
	r := &resolver{settings: s, docs: docs}
	queries := m.vector("dns_answers_total", "DNS answers by kind: proxied, forwarded, failed.", "kind")
	changes := m.vector("proxy_health_changes_total", "Changes of a proxy's health as seen from this node.", "proxy")
	r.healthy = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "sallyport_proxy_healthy", Help: "1 if the proxy answers this node's probes.",
	}, []string{"proxy"})
	m.registry.MustRegister(r.healthy)
	r.prober = fleet.NewProber(s.probeInterval, proxyHTTPPort, func(proxy string, healthy bool) {
		changes.WithLabelValues(proxy).Inc()
		value := 0.0
		if healthy {
			value = 1
		}
		r.healthy.WithLabelValues(proxy).Set(value)
	}, logger)
	var err error
	r.server, err = fleet.Listen(fleet.Config{
		Address: s.dnsListen, Covered: r.covered, Proxies: r.prober.Answer, Forward: upstream.New(s.dnsServers).Forward,
		Answered: func(kind string) { queries.WithLabelValues(kind).Inc() }, Logger: logger,
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// covered implements fleet.Config.Covered. A node does not know the port a client will use: one route on any port is enough.
func (r *resolver) covered(name string) (covered, known bool) {
	index := r.index.Load()
	return index != nil && index.Covers(name), index != nil
}

// run implements worker.
func (r *resolver) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	group.Go(func() { r.docs.run(ctx) })
	group.Go(func() {
		if err := r.server.Run(ctx); err != nil && ctx.Err() == nil {
			cancel(err)
		}
	})
	r.follow(ctx)
	group.Wait()
	r.prober.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// follow takes over documents until ctx is done.
func (r *resolver) follow(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case doc := <-r.docs.out:
			r.healthy.Reset()
			r.prober.Set(ctx, doc.Proxies)
			healthy, _ := r.prober.State()
			for name, ok := range healthy {
				if ok {
					r.healthy.WithLabelValues(name).Set(1)
				} else {
					r.healthy.WithLabelValues(name).Set(0)
				}
			}
			r.index.Store(routes.NewIndex(doc, routes.ModePassthrough))
		}
	}
}

// health implements worker.
func (r *resolver) health() status {
	s := status{Mode: r.mode}
	s.document(r.docs)
	s.Notes, s.Problems = append(s.Notes, s.Problems...), nil // waiting for a document is healthy
	return s
}

// ready implements worker.
func (r *resolver) ready() status {
	s := status{Mode: r.mode}
	s.needs(!r.draining.Load(), "draining")
	s.document(r.docs)
	healthy, tried := r.prober.State()
	s.needs(tried, "not every proxy has been probed")
	s.Proxies = healthy
	return s
}

// drain implements worker: a resolver has nothing to wait for.
func (r *resolver) drain(context.Context) { r.draining.Store(true) }
