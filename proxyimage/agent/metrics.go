package agent

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/sallyport/sallyport/proxyimage/agent/accesslog"
	"github.com/sallyport/sallyport/proxyimage/agent/hosts"
)

// metrics are the agent's own figures. A destination is the name of a route; names that clients send never become labels.
type metrics struct {
	registry         *prometheus.Registry
	serial           prometheus.Gauge
	documentSince    prometheus.Gauge
	documentsRefused prometheus.Counter
	documentProblem  prometheus.Gauge

	restarts    prometheus.Counter
	reloads     *prometheus.CounterVec // result
	up          prometheus.Gauge
	sessions    prometheus.Gauge
	sessionsMax prometheus.Gauge
	idle        prometheus.Gauge
	poolBytes   prometheus.Gauge
	lostLines   prometheus.Counter
	commits     prometheus.Histogram
	connections *prometheus.CounterVec   // destination
	failed      *prometheus.CounterVec   // destination
	bytes       *prometheus.CounterVec   // destination, direction
	refusals    *prometheus.CounterVec   // reason, destination
	wouldRefuse *prometheus.CounterVec   // reason, destination
	connectTime *prometheus.HistogramVec // destination
}

func newMetrics() *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.serial = m.gauge("routes_serial", "Serial of the routes document in force, 0 if none is.")
	m.documentSince = m.gauge("routes_in_force_since_timestamp_seconds", "When the routes document in force came into force.")
	m.documentsRefused = m.counter("routes_refused_total", "Routes documents refused, and failures to read one.")
	m.documentProblem = m.gauge("routes_problem", "1 while the document at the source cannot be read or is refused, and another or none is in force.")
	return m
}

// addPassthrough adds the figures of a proxy.
func (m *metrics) addPassthrough() {
	m.restarts = m.counter("haproxy_restarts_total", "Times HAProxy died and was started again.")
	m.reloads = m.vector("haproxy_reloads_total", "Reloads of HAProxy, which a change of ports needs.", "result")
	m.up = m.gauge("haproxy_up", "1 while HAProxy serves.")
	m.sessions = m.gauge("haproxy_sessions", "Connections open now on all frontends.")
	m.sessionsMax = m.gauge("haproxy_sessions_limit", "Connections that HAProxy keeps open at once; further clients wait.")
	m.idle = m.gauge("haproxy_idle_ratio", "Share of their time that HAProxy's threads are idle, 0 to 1: at 0 the proxy is at its limit.")
	m.poolBytes = m.gauge("haproxy_memory_bytes", "Memory that HAProxy has taken for connections and maps.")
	m.lostLines = m.counter("access_log_lost_total", "Connections missing in the figures below because the log was full.")
	m.commits = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "sallyport_map_commit_seconds", Help: "Time to bring HAProxy's maps to a new state.",
		Buckets: []float64{.001, .003, .01, .03, .1, .3, 1, 3},
	})
	m.registry.MustRegister(m.commits)
	m.connections = m.vector("connections_total", "Connections forwarded, counted when they end.", "destination")
	m.failed = m.vector("connect_failures_total", "Connections that the destination did not accept.", "destination")
	m.bytes = m.vector("bytes_total", "Bytes forwarded, counted when the connection ends.", "destination", "direction")
	m.refusals = m.vector("refusals_total", "Connections refused. The destination is empty if no listed host was asked for.", "reason", "destination")
	m.wouldRefuse = m.vector("would_refuse_total", "Connections forwarded in audit mode that would be refused without it.", "reason", "destination")
	m.connectTime = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "sallyport_connect_seconds", Help: "Time from the ClientHello to the TCP connection with the destination.",
		Buckets: []float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5},
	}, []string{"destination"})
	m.registry.MustRegister(m.connectTime)
	for _, reason := range accesslog.Audited {
		m.wouldRefuse.WithLabelValues(string(reason), "")
	}
	for _, reason := range accesslog.Reasons {
		m.refusals.WithLabelValues(string(reason), "")
	}
	for _, result := range []string{"ok", "failed"} {
		m.reloads.WithLabelValues(result)
	}
}

func (m *metrics) gauge(name, help string) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "sallyport_" + name, Help: help})
	m.registry.MustRegister(g)
	return g
}

func (m *metrics) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "sallyport_" + name, Help: help})
	m.registry.MustRegister(c)
	return c
}

func (m *metrics) vector(name, help string, labels ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sallyport_" + name, Help: help}, labels)
	m.registry.MustRegister(v)
	return v
}

// hostCollector reports the state of every exact host when it is asked.
type hostCollector struct {
	hosts func() map[string]hosts.State
	judge func(host string, state hosts.State) (destination string, allowed, refused int)
	now   func() time.Time
}

var (
	hostLabels    = []string{"destination", "host"}
	hostAge       = prometheus.NewDesc("sallyport_resolve_age_seconds", "Age of the last good DNS answer.", hostLabels, nil)
	hostFailures  = prometheus.NewDesc("sallyport_resolve_failures_total", "Failed lookups since the host was listed.", hostLabels, nil)
	hostAddresses = prometheus.NewDesc("sallyport_resolve_addresses", "Addresses in use (allowed) and dropped (refused).", append(hostLabels, "verdict"), nil)
)

// Describe implements prometheus.Collector.
func (c hostCollector) Describe(out chan<- *prometheus.Desc) {
	out <- hostAge
	out <- hostFailures
	out <- hostAddresses
}

// Collect implements prometheus.Collector.
func (c hostCollector) Collect(out chan<- prometheus.Metric) {
	for host, state := range c.hosts() {
		destination, allowed, refused := c.judge(host, state)
		if destination == "" {
			continue // removed a moment ago
		}
		if !state.Good.IsZero() {
			out <- prometheus.MustNewConstMetric(hostAge, prometheus.GaugeValue, c.now().Sub(state.Good).Seconds(), destination, host)
		}
		out <- prometheus.MustNewConstMetric(hostFailures, prometheus.CounterValue, float64(state.Failures), destination, host)
		out <- prometheus.MustNewConstMetric(hostAddresses, prometheus.GaugeValue, float64(allowed), destination, host, "allowed")
		out <- prometheus.MustNewConstMetric(hostAddresses, prometheus.GaugeValue, float64(refused), destination, host, "refused")
	}
}
