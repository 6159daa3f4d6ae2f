package agent

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport/sallyport/proxyimage/agent/accesslog"
	"github.com/sallyport/sallyport/proxyimage/agent/haproxy"
)

// Reasons of mode pool, beside those of accesslog.
const (
	badRequest accesslog.Reason = "bad-request" // not an HTTP request that can be forwarded
)

// poolFigures are what a pooling controller counts beside what a proxy does. In the figures of traffic a connection is a request.
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

// poolLine is what the log-format has beside that of passthrough.
type poolLine struct {
	Reason  string `json:"reason"`
	Status  int    `json:"status"`
	Retries string `json:"retries"` // "+1" if the last one went to another server
	Backend string `json:"backend"`
}

// line takes one line of the access log.
func (f *poolFigures) line(text []byte) {
	var l poolLine
	if json.Unmarshal(text, &l) == nil {
		if early := earlyReason(l); early != "" {
			f.traffic.metrics.refusals.WithLabelValues(string(early), "").Inc()
			f.traffic.say("request refused", string(early), "")
			return
		}
		if route, _, forwarded := strings.Cut(l.Backend, ":"); forwarded {
			f.requests.WithLabelValues(route, strconv.Itoa(max(l.Status, 0)/100)+"xx").Inc()
			if n, err := strconv.Atoi(strings.TrimPrefix(l.Retries, "+")); err == nil && n > 0 {
				f.retries.WithLabelValues(route).Add(float64(n))
			}
		}
	}
	f.traffic.line(text)
}

// earlyReason is why HAProxy refused a request before any rule saw it.
func earlyReason(l poolLine) accesslog.Reason {
	if l.Reason != "" && l.Reason != "-" || l.Backend != "" && l.Backend != "-" {
		return ""
	}
	switch {
	case l.Status == 408:
		return accesslog.Slow
	case l.Status == 0 || l.Status == -1:
		return accesslog.ClosedEarly
	}
	return badRequest
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
