package agent

import (
	"context"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport/sallyport/proxyimage/agent/accesslog"
	"github.com/sallyport/sallyport/proxyimage/agent/haproxy"
)

// poolFigures are what a pooling controller counts beside what a proxy does. In the figures that they share, a connection is a
// request.
type poolFigures struct {
	traffic     *traffic
	requests    *prometheus.CounterVec // destination, code
	retries     *prometheus.CounterVec // destination
	connections *prometheus.CounterVec // destination
	reuses      *prometheus.CounterVec // destination
	idle        *prometheus.GaugeVec   // destination

	// Of the poller only.
	worker int
	seen   map[string]haproxy.Backend // by name, of the worker
}

func newPoolFigures(t *traffic, m *metrics) *poolFigures {
	f := &poolFigures{traffic: t}
	f.requests = m.vector("pool_requests_total", "Requests forwarded, by class of the answer's status; 0xx if there was none.", "destination", "code")
	f.retries = m.vector("pool_retries_total", "Requests sent again, or connections tried again.", "destination")
	f.connections = m.vector("pool_connections_total", "Connections opened to the destination.", "destination")
	f.reuses = m.vector("pool_reuses_total", "Requests sent over a connection that was there.", "destination")
	f.idle = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "sallyport_pool_idle_connections", Help: "Connections that wait for a request."}, []string{"destination"})
	m.registry.MustRegister(f.idle)
	return f
}

// line takes one line of the access log.
func (f *poolFigures) line(text []byte) {
	record, err := accesslog.Parse(text)
	if err != nil {
		f.traffic.say("unreadable line in haproxy's access log", "unreadable", "")
		return
	}
	route, forwarded := poolRoute(record.Backend)
	if forwarded && record.Unrouted {
		record.Refused = "" // it has no address: no connection came about
	}
	m := f.traffic.metrics
	if record.Refused != "" {
		m.refusals.WithLabelValues(string(record.Refused), route).Inc()
		f.traffic.say("request refused", string(record.Refused), record.Host, "client", record.Client, "destination", route, "address", record.Dst)
		return
	}
	f.requests.WithLabelValues(route, strconv.Itoa(record.Status/100)+"xx").Inc()
	if record.Retries > 0 {
		f.retries.WithLabelValues(route).Add(float64(record.Retries))
	}
	m.bytes.WithLabelValues(route, "in").Add(float64(record.In))
	m.bytes.WithLabelValues(route, "out").Add(float64(record.Out))
	if f.traffic.sample > 0 && rand.Float64() < f.traffic.sample {
		f.traffic.logger.Info("request", "host", record.Host, "client", record.Client, "destination", route, "address", record.Dst,
			"in", record.In, "out", record.Out, "connect", record.Connect.String(), "total", record.Total.String(), "status", record.Status)
	}
	if record.Failed {
		m.failed.WithLabelValues(route).Inc()
		f.traffic.say("destination does not accept a connection, or its certificate is not valid", "connect-failed", record.Host,
			"destination", route, "address", record.Dst, "after", record.Total.String())
	} else if record.Connect > 0 { // otherwise the connection was there
		m.connectTime.WithLabelValues(route).Observe(record.Connect.Seconds())
	}
}

// poolRoute returns the name of a backend's route, empty if there is none, and whether the request was given to the backend.
func poolRoute(backend string) (name string, forwarded bool) {
	if reason, route, ok := strings.Cut(backend, ":"); ok && strings.HasPrefix(reason, "!") {
		return route, false
	} else if ok {
		return reason, true
	}
	return "", false
}

// poll asks HAProxy regularly for its connections until ctx is done.
func (f *poolFigures) poll(ctx context.Context, process *haproxy.Process) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pollInterval):
		}
		if !process.Serving() {
			continue
		}
		if err := f.update(ctx, process.Admin()); err != nil && ctx.Err() == nil {
			f.traffic.say("cannot read haproxy's figures", "figures", "", "error", err)
		}
	}
}

// update takes over the counters of the current worker.
func (f *poolFigures) update(ctx context.Context, admin *haproxy.Admin) error {
	info, err := admin.Info(ctx)
	if err != nil {
		return err
	}
	backends, err := admin.Backends(ctx)
	if err != nil {
		return err
	}
	if f.worker != info.PID {
		f.worker, f.seen = info.PID, map[string]haproxy.Backend{}
	}
	idle := map[string]int{}
	for _, b := range backends {
		route, _, ok := strings.Cut(b.Name, ":")
		if !ok {
			continue
		}
		before := f.seen[b.Name]
		f.connections.WithLabelValues(route).Add(float64(b.Connections - min(before.Connections, b.Connections)))
		f.reuses.WithLabelValues(route).Add(float64(b.Reuses - min(before.Reuses, b.Reuses)))
		idle[route] += b.Idle
		f.seen[b.Name] = b
	}
	f.idle.Reset()
	for route, n := range idle {
		f.idle.WithLabelValues(route).Set(float64(n))
	}
	return nil
}
