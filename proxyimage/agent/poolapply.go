package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sallyport/sallyport/proxyimage/agent/haproxy"
	"github.com/sallyport/sallyport/proxyimage/haproxycfg"
)

// apply brings configuration, maps and addresses to the state of the document in force. A host that was removed is refused
// before anything else is done; a new one waits for the reload that brings its backend.
func (p *pool) apply(ctx context.Context, cancel context.CancelCauseFunc) error {
	f := p.force.Load()
	if f == nil {
		return nil
	}
	if p.fresh.Swap(false) {
		p.servers.forget()
	}
	p.probe(ctx, f.doc)
	states := p.tracker.Snapshot()
	all, bad := p.pooledHosts(f, states)
	p.noteBad(bad)
	backends, wanted := []haproxycfg.Backend{}, map[string]bool{}
	for _, h := range all {
		if h.problem != haproxycfg.PoolBadFile {
			backends = append(backends, h.backend)
			wanted[h.backend.Name] = true
		}
	}
	text, shape, err := p.renderPool(backends)
	if err != nil {
		return err
	}
	if !p.started.Load() {
		return p.startPool(ctx, cancel, p.poolMaps(f, all, func(string) bool { return true }), text, shape, wanted)
	}
	err = p.update(ctx, p.poolMaps(f, all, func(name string) bool { return p.backends[name] }), backends)
	if err == nil && p.process.Serving() && f.tried(states) {
		p.primed.Store(true)
	}
	if shape == p.shape && !p.recycle.due.Load() {
		return errors.Join(err, p.keep(text))
	}
	if time.Now().Before(p.reloadAfter) {
		return err
	}
	return errors.Join(err, p.reloadPool(ctx, p.poolMaps(f, all, func(string) bool { return true }), text, shape, wanted))
}

// noteBad makes bad files visible and logs new problems.
func (p *pool) noteBad(bad map[string]error) {
	before := p.bad.Swap(&bad)
	for route, err := range bad {
		if before == nil || (*before)[route] == nil || (*before)[route].Error() != err.Error() {
			p.logger.Error("route is not served", "route", route, "error", err)
		}
	}
}

// renderPool returns the configuration, and its shape: what a reload is needed for.
func (p *pool) renderPool(backends []haproxycfg.Backend) (text, shape string, err error) {
	connections, err := p.connectionLimit()
	if err != nil {
		return "", "", err
	}
	config := haproxycfg.Pool{
		RunDir: p.runDir, MapDir: p.mapDir(), Listen: p.listen, Port: p.pool.port, Backends: backends, CAFile: p.pool.caFile,
		Resolver: p.wildcard.Address(), MaxConnections: connections, Threads: p.threads, IdleTimeout: p.idleTimeout,
		RequestsPerConnection: p.pool.requests, ForwardedHeaders: p.pool.forwardedHeaders, ThroughFleet: p.prober != nil, ClientConnections: p.clientConnections,
	}
	if text, err = config.Render(); err != nil {
		return "", "", err
	}
	blank := slices.Clone(backends)
	for i := range blank {
		blank[i].Addresses = nil
	}
	config.Backends = blank
	if shape, err = config.Render(); err != nil {
		return "", "", err
	}
	for _, b := range blank { // a file with other content is another configuration
		for _, path := range []string{b.CAFile, b.CertFile} {
			if path != "" {
				shape += fmt.Sprintln("#", path, p.files.prints[path])
			}
		}
	}
	return text, shape, nil
}

func (p *pool) startPool(ctx context.Context, cancel context.CancelCauseFunc, want map[string][]haproxycfg.Entry, text, shape string, backends map[string]bool) error {
	if err := p.maps.Write(want); err != nil {
		return err
	}
	if err := p.process.Configure(ctx, text); err != nil {
		return err
	}
	p.text, p.shape, p.backends = text, shape, backends
	p.started.Store(true)
	p.running.Go(func() {
		if err := p.process.Run(ctx); err != nil {
			cancel(err)
		}
	})
	return nil
}

// update brings map files, maps and addresses up to date, as far as the configuration in place goes.
func (p *pool) update(ctx context.Context, want map[string][]haproxycfg.Entry, backends []haproxycfg.Backend) error {
	if err := p.maps.Write(want); err != nil {
		return err
	}
	if !p.process.Serving() {
		return nil // it reads the files when it starts, and p.up follows
	}
	// A backend must have its addresses before a host is sent there.
	running := slices.DeleteFunc(slices.Clone(backends), func(b haproxycfg.Backend) bool { return !p.backends[b.Name] })
	began := time.Now()
	defer func() { p.metrics.commits.Observe(time.Since(began).Seconds()) }()
	running = slices.DeleteFunc(running, func(b haproxycfg.Backend) bool { return !b.Slotted(p.prober != nil) })
	return errors.Join(p.servers.push(ctx, running), p.maps.Commit(ctx, want))
}

// keep puts the present addresses into the configuration in place, for the next start.
func (p *pool) keep(text string) error {
	if text == p.text {
		return nil
	}
	if err := p.process.Keep(text); err != nil {
		return err
	}
	p.text = text
	return nil
}

// reloadPool puts another configuration in force. The new worker reads the map files, so they come first.
func (p *pool) reloadPool(ctx context.Context, want map[string][]haproxycfg.Entry, text, shape string, backends map[string]bool) error {
	if err := p.maps.Write(want); err != nil {
		return err
	}
	began := time.Now()
	err := p.process.Reload(ctx, text)
	if err != nil && !errors.Is(err, haproxy.ErrNotRunning) {
		p.metrics.reloads.WithLabelValues("failed").Inc()
		p.reloadAfter = time.Now().Add(min(retryApply<<min(p.failedReloads, 10), maxRetryReload))
		p.failedReloads++
		return err
	}
	p.text, p.shape, p.backends, p.failedReloads = text, shape, backends, 0
	p.recycle.reloaded(time.Now())
	p.servers.forget()
	p.maps.Forget()
	nudge(p.wake)
	if err != nil {
		return nil // the next start takes the new configuration
	}
	p.metrics.reloads.WithLabelValues("ok").Inc()
	p.logger.Info("haproxy was reloaded", "backends", len(backends), "took", time.Since(began).String())
	return nil
}
