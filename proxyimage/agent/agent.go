// Package agent is process 1 of the proxy image.
//
// In mode passthrough it is the control plane of the HAProxy beside it: it follows the routes document, resolves its hosts in
// the background, vets the addresses, keeps HAProxy's maps current at run time, and keeps HAProxy running. In mode pool it does
// the same for an HAProxy in the cluster that takes plain HTTP and shares verified TLS connections. In mode resolver it
// runs on a node without HAProxy and answers DNS queries for the proxied hosts with the proxies that are healthy.
//
// No traffic passes through the agent. If it dies, HAProxy dies with it and both are started anew from what is on disk.
package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/sallyport/sallyport/proxyimage/agent/cloudwatch"
	"github.com/sallyport/sallyport/proxyimage/agent/reap"
)

// SettingsError is returned by Run when the settings are wrong: starting again would not help.
type SettingsError struct{ Err error }

// Error implements error: every problem on a line of its own.
func (e *SettingsError) Error() string { return e.Err.Error() }

// Unwrap returns the joined problems.
func (e *SettingsError) Unwrap() error { return e.Err }

// worker is what the two modes have in common.
type worker interface {
	run(ctx context.Context) error
	ready() status
	health() status
	// drain makes the worker not ready and returns when nothing more is to be waited for, or ctx is done.
	drain(ctx context.Context)
}

// Run runs the agent with the settings that lookup returns (os.LookupEnv) and logs JSON lines to log. It returns after
// SIGTERM or SIGINT and the drain; a second signal ends the drain.
func Run(lookup func(string) (string, bool), log io.Writer) error {
	s, err := settingsFromEnv(lookup)
	if err != nil {
		return &SettingsError{err}
	}
	boundMemory()
	if s.mode != ModeResolver { // there the agent is what carries the load
		boundProcessors()
	}
	logger := slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: s.logLevel}))
	for _, dir := range []string{s.stateDir, s.runDir} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	reaper, err := reap.New()
	if err != nil {
		return err
	}
	m := newMetrics()
	docs, err := newDocuments(s, logger, m)
	if err != nil {
		return err
	}
	var w worker
	switch s.mode {
	case ModeResolver:
		w, err = newResolver(s, logger, m, docs)
	case ModePool:
		w, err = newPool(s, logger, m, docs, reaper)
	default:
		w, err = newPassthrough(s, logger, m, docs, reaper)
	}
	if err != nil {
		return err
	}
	return supervise(s, w, m, reaper, log, logger)
}

// supervise runs the worker and the HTTP server until a signal, then drains.
func supervise(s settings, w worker, m *metrics, reaper *reap.Reaper, log io.Writer, logger *slog.Logger) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	serve, err := serveHTTP(ctx, s.httpListen, m, w.ready, w.health, logger)
	if err != nil {
		return err
	}
	logger.Info("sallyport agent starts", "mode", s.mode, "routes", s.routes)
	var group sync.WaitGroup
	failed := make(chan error, 2)
	group.Go(func() { reaper.Run(ctx) })
	group.Go(func() { failed <- serve() })
	group.Go(func() { failed <- w.run(ctx) })
	if d := s.cloudWatch; d != nil {
		ready := func() bool { return len(w.ready().Problems) == 0 }
		group.Go(func() { cloudwatch.New(*d, m.registry, ready, log, logger).Run(ctx) })
	}
	select {
	case received := <-signals:
		logger.Info("draining", "signal", received.String(), "limit", s.drain.String())
		drainUntil(ctx, s.drain, signals, w)
	case err = <-failed:
		if err == nil {
			err = errors.New("ended without being told to")
		}
	}
	cancel()
	group.Wait()
	logger.Info("sallyport agent ends")
	if err != nil {
		return fmt.Errorf("agent: %w", err)
	}
	return nil
}

// drainUntil drains until the worker has, the limit is over, or there is another signal.
func drainUntil(ctx context.Context, limit time.Duration, signals <-chan os.Signal, w worker) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	go func() {
		select {
		case <-signals:
			cancel()
		case <-ctx.Done():
		}
	}()
	w.drain(ctx)
}
