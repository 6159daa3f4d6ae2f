package agent

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/sallyport/sallyport/proxyimage/agent/accesslog"
	"github.com/sallyport/sallyport/proxyimage/agent/haproxy"
)

// pollInterval is how often HAProxy is asked for what the access log does not tell.
const pollInterval = 2 * time.Second

// traffic turns the access log into figures, and refusals into a log that cannot be flooded.
type traffic struct {
	logger  *slog.Logger
	metrics *metrics
	force   func() *force
	sample  float64 // share of forwarded connections that are logged
	limiter accesslog.Limiter

	mu       sync.Mutex
	worker   int               // whose counters denied and lost are
	denied   map[string]uint64 // by frontend
	lost     uint64
	attempts map[string]uint64 // by client
}

// line takes one line of the access log.
func (t *traffic) line(text []byte) {
	record, err := accesslog.Parse(text)
	if err != nil {
		t.say("unreadable line in haproxy's access log", "unreadable", "")
		return
	}
	destination := t.destination(record)
	if record.WouldRefuse != "" {
		t.metrics.wouldRefuse.WithLabelValues(string(record.WouldRefuse), destination).Inc()
		t.say("connection would be refused", "would-refuse "+string(record.WouldRefuse), record.Host,
			"client", record.Client, "port", record.Port, "destination", destination, "address", record.Dst)
	}
	if record.Refused != "" {
		t.metrics.refusals.WithLabelValues(string(record.Refused), destination).Inc()
		t.say("connection refused", string(record.Refused), record.Host,
			"client", record.Client, "port", record.Port, "destination", destination, "address", record.Dst)
		return
	}
	t.metrics.connections.WithLabelValues(destination).Inc()
	t.metrics.bytes.WithLabelValues(destination, "in").Add(float64(record.In))
	t.metrics.bytes.WithLabelValues(destination, "out").Add(float64(record.Out))
	if t.sample > 0 && rand.Float64() < t.sample {
		t.logger.Info("connection", "host", record.Host, "client", record.Client, "port", record.Port, "destination", destination,
			"address", record.Dst, "source", record.Source, "in", record.In, "out", record.Out,
			"connect", record.Connect.String(), "total", record.Total.String(), "failed", record.Failed)
	}
	if record.Failed {
		t.metrics.failed.WithLabelValues(destination).Inc()
		t.say("destination does not accept a connection", "connect-failed", record.Host,
			"destination", destination, "address", record.Dst, "source", record.Source, "after", record.Total.String())
		return
	}
	t.metrics.connectTime.WithLabelValues(destination).Observe(record.Connect.Seconds())
}

// destination returns the name of the route that a connection belongs to, or "".
func (t *traffic) destination(record accesslog.Record) string {
	if f := t.force(); f != nil && record.Host != "" {
		if route := f.index.Lookup(record.Host, record.Port); route != nil {
			return route.Name
		}
	}
	return ""
}

// say warns of a thing about a host once a minute.
func (t *traffic) say(message, reason, host string, args ...any) {
	allowed, silenced := t.limiter.Allow(time.Now(), reason, host)
	for _, s := range silenced {
		t.logger.Warn("the same again in the last minute", "reason", s.Reason, "host", s.Host, "count", s.Count)
	}
	if allowed {
		t.logger.Warn(message, append([]any{"reason", reason, "host", host}, args...)...)
	}
}

// poll asks HAProxy regularly until ctx is done.
func (t *traffic) poll(ctx context.Context, process *haproxy.Process) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pollInterval):
		}
		t.metrics.up.Set(0)
		if process.Serving() {
			t.metrics.up.Set(1)
			if err := t.update(ctx, process.Admin()); err != nil && ctx.Err() == nil {
				t.say("cannot read haproxy's figures", "figures", "", "error", err)
			}
		}
	}
}

// update takes over the counters of the current worker.
func (t *traffic) update(ctx context.Context, admin *haproxy.Admin) error {
	info, err := admin.Info(ctx)
	if err != nil {
		return err
	}
	frontends, err := admin.Frontends(ctx)
	if err != nil {
		return err
	}
	clients, err := admin.RefusedClients(ctx)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.worker != info.PID {
		t.worker, t.denied, t.lost, t.attempts = info.PID, map[string]uint64{}, 0, map[string]uint64{}
	}
	sessions := 0
	for _, frontend := range frontends {
		sessions += frontend.Current
		if frontend.Denied > t.denied[frontend.Name] {
			t.metrics.refusals.WithLabelValues(string(accesslog.ClientNotAllowed), "").Add(float64(frontend.Denied - t.denied[frontend.Name]))
			t.denied[frontend.Name] = frontend.Denied
		}
	}
	t.metrics.sessions.Set(float64(sessions))
	t.metrics.sessionsMax.Set(float64(info.Limit))
	t.metrics.idle.Set(float64(info.IdlePercent) / 100)
	t.metrics.poolBytes.Set(float64(info.PoolBytes))
	if info.DroppedLogs > t.lost {
		t.metrics.lostLines.Add(float64(info.DroppedLogs - t.lost))
		t.lost = info.DroppedLogs
	}
	for client, attempts := range clients {
		if attempts != t.attempts[client] {
			t.say("connection refused", string(accesslog.ClientNotAllowed), "", "client", client, "attempts", attempts)
		}
	}
	t.attempts = clients
	return nil
}
