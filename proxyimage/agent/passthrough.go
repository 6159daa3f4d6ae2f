package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/proxyimage/agent/atomicfile"
	"github.com/sallyport/sallyport/proxyimage/agent/haproxy"
	"github.com/sallyport/sallyport/proxyimage/agent/hosts"
	"github.com/sallyport/sallyport/proxyimage/agent/ports"
	"github.com/sallyport/sallyport/proxyimage/agent/reap"
	"github.com/sallyport/sallyport/proxyimage/agent/upstream"
	"github.com/sallyport/sallyport/proxyimage/agent/vetting"
	"github.com/sallyport/sallyport/proxyimage/agent/wildcard"
	"github.com/sallyport/sallyport/proxyimage/haproxycfg"
	"github.com/sallyport/sallyport/proxyimage/routes"
)

const (
	// gather is how long changes of addresses are gathered before they are applied together.
	gather = 20 * time.Millisecond
	// firstLookups is how long a new document waits for the addresses of its new hosts, so that they are served at once.
	firstLookups = 150 * time.Millisecond
	// retryApply is the pause after a change that did not succeed.
	retryApply = time.Second
	// maxRetryReload bounds the pause after a reload that failed; the first is retryApply, then doubling.
	maxRetryReload = 30 * time.Second
	// announce is how long the news that a proxy drains takes after the probe that found out: an answer lives for a second,
	// and a busy machine may be late by as much.
	announce = 2 * time.Second
	// saveInterval is how often new answers are written to disk.
	saveInterval = 5 * time.Second
)

// passthrough is the agent of a proxy: it keeps HAProxy's maps equal to what the routes document and DNS say.
type passthrough struct {
	settings
	logger   *slog.Logger
	metrics  *metrics
	docs     *documents
	tracker  *hosts.Tracker
	process  *haproxy.Process
	maps     *haproxy.Maps
	wildcard *wildcard.Server
	traffic  *traffic

	force    atomic.Pointer[force] // nil until a document is in force
	behind   atomic.Pointer[error] // why HAProxy is not what the document says; nil if it is
	draining atomic.Bool
	started  atomic.Bool   // HAProxy has been configured and is kept running
	primed   atomic.Bool   // HAProxy has once had the outcome of a lookup of every host
	wake     chan struct{} // addresses have changed
	up       chan struct{} // HAProxy was started

	routeMode routes.Mode // of the routes that are served
	lookups   bool        // hosts are looked up here
	// change brings HAProxy to the state of the document in force and of DNS; see apply.
	change func(ctx context.Context, cancel context.CancelCauseFunc) error

	// Of the loop only.
	listeners     []haproxycfg.Listener // that HAProxy has, or will after its next start
	failedReloads int                   // in a row
	reloadAfter   time.Time
	running       sync.WaitGroup
}

func newPassthrough(s settings, logger *slog.Logger, m *metrics, docs *documents, reaper *reap.Reaper) (*passthrough, error) {
	p := &passthrough{
		settings: s, logger: logger, metrics: m, docs: docs, wake: make(chan struct{}, 1), up: make(chan struct{}, 1),
	}
	p.routeMode, p.change, p.lookups = routes.ModePassthrough, p.apply, true
	m.addPassthrough()
	// The maps are written anew before HAProxy starts; nothing of an earlier run may stay among them.
	if err := errors.Join(os.RemoveAll(p.mapDir()), os.MkdirAll(p.mapDir(), 0o755)); err != nil {
		return nil, fmt.Errorf("SALLYPORT_STATE_DIR: %w", err)
	}
	client := upstream.New(s.dnsServers)
	p.tracker = hosts.New(client.LookupA, func() { nudge(p.wake) }, logger)
	if err := p.tracker.Load(p.answersPath()); err != nil {
		logger.Error("cannot use the last good answers", "error", err)
	}
	p.traffic = &traffic{logger: logger, metrics: m, force: p.force.Load, sample: s.accessLogSample}
	p.process = haproxy.New(haproxy.Options{
		Binary: s.haproxy, RunDir: s.runDir, Logger: logger, Line: p.traffic.line,
		Up: func() { nudge(p.up) }, Down: m.restarts.Inc, Start: reaper.Start, Wait: reaper.Wait,
	})
	p.maps = haproxy.NewMaps(p.process.Admin())
	var err error
	p.wildcard, err = wildcard.Listen(wildcard.Config{
		Lookup: client.LookupA, Logger: logger,
		Covered: func(name string) bool {
			f := p.force.Load()
			return f != nil && (s.audit || f.index.CoversByWildcard(name)) // in audit mode HAProxy asks for unlisted names too
		},
		Policy: func() *vetting.Policy { return p.force.Load().policy }, // Covered comes first
	})
	if err != nil {
		return nil, err
	}
	m.registry.MustRegister(hostCollector{hosts: p.tracker.Snapshot, judge: p.judge, now: time.Now})
	m.registry.MustRegister(portCollector{sources: s.sourceIPs, destinations: p.destinations, count: ports.Count, ceiling: ports.Ceiling})
	return p, nil
}

func (p *passthrough) mapDir() string      { return filepath.Join(p.stateDir, "maps") }
func (p *passthrough) answersPath() string { return filepath.Join(p.stateDir, "answers.json") }

// nudge wakes the reader of a channel that holds one wake-up.
func nudge(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run serves until ctx is done. HAProxy must have been stopped before, or it is killed.
func (p *passthrough) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p.running.Go(func() { p.docs.run(ctx) })
	p.running.Go(func() {
		if err := p.wildcard.Run(ctx); err != nil && ctx.Err() == nil {
			cancel(err)
		}
	})
	p.running.Go(func() { p.traffic.poll(ctx, p.process) })
	p.loop(ctx, cancel)
	p.running.Wait()
	p.tracker.Wait()
	p.save()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// loop applies changes one after another until ctx is done.
func (p *passthrough) loop(ctx context.Context, cancel context.CancelCauseFunc) {
	save := time.NewTicker(saveInterval)
	defer save.Stop()
	var retry <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case doc := <-p.docs.out:
			p.adopt(ctx, doc)
			p.failedReloads, p.reloadAfter = 0, time.Time{}
		case <-p.up:
			p.maps.Forget()
		case <-p.wake:
			p.settle(ctx, gather, func() bool { return false })
		case <-retry:
		case <-save.C:
			p.save()
			continue
		}
		err := p.change(ctx, cancel)
		if err != nil && ctx.Err() == nil {
			p.logger.Error("cannot bring haproxy to the state of the routes document", "error", err)
			p.behind.Store(&err)
		} else if p.failedReloads == 0 {
			p.behind.Store(nil)
		}
		retry = nil
		if err != nil || p.failedReloads > 0 {
			retry = time.After(retryApply)
		}
	}
}

// adopt makes a document the one in force and gives its new hosts a moment to resolve.
func (p *passthrough) adopt(ctx context.Context, doc *routes.Document) {
	f := newForce(doc, p.routeMode, ownAddresses(p.sourceIPs))
	if !p.lookups {
		f.exact = nil
	}
	p.force.Store(f)
	p.tracker.Set(ctx, f.exact)
	p.settle(ctx, firstLookups, p.tracker.AllTried)
}

// settle waits until done or the time is over.
func (p *passthrough) settle(ctx context.Context, limit time.Duration, done func() bool) {
	deadline := time.Now().Add(limit)
	for !done() && time.Now().Before(deadline) && ctx.Err() == nil {
		time.Sleep(5 * time.Millisecond)
	}
	select {
	case <-p.wake: // what it announced is applied now
	default:
	}
}

// save writes the last good answers to disk.
func (p *passthrough) save() {
	err := p.tracker.Save(func(data []byte) error { return atomicfile.Write(p.answersPath(), data) })
	if err != nil {
		p.logger.Error("cannot keep the last good answers", "error", err)
	}
}

// drain implements worker: not ready at once, HAProxy stops listening when that has got about, and ends with its connections.
func (p *passthrough) drain(ctx context.Context) {
	p.draining.Store(true)
	select {
	case <-time.After(min(2*p.probeInterval+announce, p.settings.drain/2)):
	case <-ctx.Done():
	}
	p.process.Stop(ctx)
}

// judge returns the route of an exact host and how many of its addresses are allowed and refused.
func (p *passthrough) judge(host string, state hosts.State) (destination string, allowed, refused int) {
	f := p.force.Load()
	if f == nil {
		return "", 0, 0
	}
	good, bad := f.policy.Addresses(state.Addresses)
	return f.name[host], len(good), len(bad)
}
