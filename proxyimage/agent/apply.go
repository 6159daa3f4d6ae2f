package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/sallyport/sallyport/proxyimage/agent/haproxy"
	"github.com/sallyport/sallyport/proxyimage/haproxycfg"
)

// apply brings files, maps and ports to the state of the document in force. The order keeps two promises: the files are never
// behind the running maps, and a host that was removed is refused before anything else is done.
func (p *passthrough) apply(ctx context.Context, cancel context.CancelCauseFunc) error {
	f := p.force.Load()
	if f == nil {
		return nil
	}
	states := p.tracker.Snapshot()
	want := f.maps(p.mapDir(), portsOf(p.listeners), states)
	if err := p.maps.Write(want); err != nil {
		return err
	}
	if !p.started.Load() {
		return p.start(ctx, cancel, f)
	}
	err := p.commit(ctx, want)
	if err == nil && p.process.Serving() && f.tried(states) {
		p.primed.Store(true)
	}
	if slices.Equal(f.listen, p.listeners) || time.Now().Before(p.reloadAfter) {
		return err
	}
	return errors.Join(err, p.reload(ctx, f))
}

// commit changes the maps that the running HAProxy has.
func (p *passthrough) commit(ctx context.Context, want map[string][]haproxycfg.Entry) error {
	if !p.process.Serving() {
		return nil // it reads the files when it starts, and p.up follows
	}
	known := map[string][]haproxycfg.Entry{}
	for _, path := range p.mapPaths() {
		known[path] = want[path]
	}
	began := time.Now()
	err := p.maps.Commit(ctx, known)
	p.metrics.commits.Observe(time.Since(began).Seconds())
	return err
}

// mapPaths are the maps that the configuration in place names.
func (p *passthrough) mapPaths() []string {
	if len(p.listeners) == 0 {
		return nil
	}
	paths := []string{haproxycfg.ClientsMap(p.mapDir()), haproxycfg.RefusedMap(p.mapDir())}
	for _, port := range portsOf(p.listeners) {
		paths = append(paths, haproxycfg.HostsMap(p.mapDir(), port), haproxycfg.LimitsMap(p.mapDir(), port), haproxycfg.WildcardsMap(p.mapDir(), port))
	}
	return paths
}

// start starts HAProxy with the first document.
func (p *passthrough) start(ctx context.Context, cancel context.CancelCauseFunc, f *force) error {
	text, err := p.render(f.listen)
	if err != nil {
		return err
	}
	if err := p.process.Configure(ctx, text); err != nil {
		return err
	}
	p.listeners = f.listen
	p.started.Store(true)
	p.running.Go(func() {
		if err := p.process.Run(ctx); err != nil {
			cancel(err)
		}
	})
	return nil
}

// reload changes the ports.
func (p *passthrough) reload(ctx context.Context, f *force) error {
	text, err := p.render(f.listen)
	if err != nil {
		return err
	}
	err = p.process.Reload(ctx, text)
	if err != nil && !errors.Is(err, haproxy.ErrNotRunning) {
		p.metrics.reloads.WithLabelValues("failed").Inc()
		p.reloadAfter = time.Now().Add(min(retryApply<<min(p.failedReloads, 10), maxRetryReload))
		p.failedReloads++
		return err
	}
	p.listeners, p.failedReloads = f.listen, 0
	p.maps.Forget()
	nudge(p.wake)
	if err != nil {
		return nil // the next start takes the new configuration
	}
	p.metrics.reloads.WithLabelValues("ok").Inc()
	p.logger.Info("haproxy listens on other ports", "ports", portsOf(f.listen))
	return p.maps.Prune(p.mapDir(), f.maps(p.mapDir(), nil, nil))
}

func (p *passthrough) render(listeners []haproxycfg.Listener) (string, error) {
	connections, err := p.connectionLimit()
	if err != nil {
		return "", err
	}
	return haproxycfg.Passthrough{
		RunDir: p.runDir, MapDir: p.mapDir(), Listen: p.listen, Listeners: listeners, SourceIPs: p.sourceIPs,
		Resolver: p.wildcard.Address(), MaxConnections: connections, Threads: p.threads, IdleTimeout: p.idleTimeout,
		ClientConnections: p.clientConnections, Audit: p.audit, KernelKeepalive: kernelKeepalive(kernelSettings),
	}.Render()
}

// maxConnections bounds what the agent chooses by itself: idle connections take about 4 KiB each, busy ones up to 256 KiB.
const maxConnections = 100_000

// connectionLimit is the number of connections that the limit on open files allows: two files each, and a tenth for the rest.
func (p *passthrough) connectionLimit() (int, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("limit on open files: %w", err)
	}
	// Above a million the figure means "no limit" and HAProxy would reserve memory for every one.
	files := int(min(limit.Max, 1<<20))
	most := files * 10 / 22
	if p.maxConnections > most {
		return 0, fmt.Errorf("SALLYPORT_MAX_CONNECTIONS: must not be above %d with %d open files, got %d; raise the limit on open files", most, files, p.maxConnections)
	}
	if p.maxConnections > 0 {
		return p.maxConnections, nil
	}
	return max(min(most, maxConnections), 1), nil
}
