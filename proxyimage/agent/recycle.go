package agent

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport/sallyport/proxyimage/agent/haproxy"
)

const (
	// recyclePause is the least time between two recyclings, in which clients find each other's new connections.
	recyclePause = 10 * time.Second
	// recycleWorkers is how many workers there may be before a recycling: requests that never end keep old ones alive.
	recycleWorkers = 3
)

// recycler has HTTP/2 clients connect anew after a number of requests, so that they spread over new controllers. HAProxy 2.6 ends an
// HTTP/1.1 connection when told to, but for HTTP/2 it has only one occasion to say goodbye (GOAWAY): when a reload replaces the
// worker. So that is done, when HTTP/2 connections have had the number of requests on average. Requests under way finish, and
// clients open the next connection wherever their Service sends it.
type recycler struct {
	after int                // requests
	done  prometheus.Counter // may be nil
	due   atomic.Bool
	last  atomic.Int64 // time of the last reload, Unix nanoseconds
}

// judge decides by what HAProxy says of its frontends, and by how many workers there are.
func (r *recycler) judge(now time.Time, frontends []haproxy.Frontend, workers int) bool {
	var clients int
	var requests uint64
	for _, f := range frontends {
		clients += f.HTTP2Clients
		requests += f.HTTP2Requests
	}
	enough := clients > 0 && requests >= uint64(clients)*uint64(r.after)
	r.due.Store(enough && workers < recycleWorkers && now.UnixNano()-r.last.Load() >= int64(recyclePause))
	return r.due.Load()
}

// reloaded takes note of a reload, for whatever reason.
func (r *recycler) reloaded(now time.Time) {
	r.last.Store(now.UnixNano())
	if r.due.Swap(false) && r.done != nil {
		r.done.Inc()
	}
}

// watchClients has HAProxy reloaded when it is time to, until ctx is done.
func (p *pool) watchClients(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pollInterval):
		}
		if !p.process.Serving() {
			continue
		}
		frontends, err := p.process.Admin().Frontends(ctx)
		if err == nil && p.recycle.judge(time.Now(), frontends, p.process.Workers()) {
			nudge(p.wake)
		}
	}
}
