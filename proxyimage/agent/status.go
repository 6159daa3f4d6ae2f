package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// maxListed bounds the hosts that the status page lists.
const maxListed = 50

// status is the body of /readyz and /healthz, for people and scripts.
type status struct {
	OK       bool     `json:"ok"`
	Mode     Mode     `json:"mode"`
	Problems []string `json:"problems,omitempty"` // why OK is false
	Notes    []string `json:"notes,omitempty"`    // what is wrong but does not stop service
	Serial   uint64   `json:"serial"`
	InForce  string   `json:"inForceSince,omitempty"` // RFC 3339
	// Hosts that have no address, or a failing lookup, or refused addresses.
	Hosts []hostStatus `json:"hosts,omitempty"`
	// Proxies and whether they answer, in resolver mode and of a pool that goes through the fleet.
	Proxies map[string]bool `json:"proxies,omitempty"`
}

type hostStatus struct {
	Host       string   `json:"host"`
	Addresses  int      `json:"addresses"`
	Refused    []string `json:"refused,omitempty"` // "10.0.0.1: private"
	Error      string   `json:"error,omitempty"`
	AgeSeconds int      `json:"ageSeconds,omitempty"` // of the answer in use
}

// needs adds a problem unless ok.
func (s *status) needs(ok bool, problem string) {
	if !ok {
		s.Problems = append(s.Problems, problem)
	}
}

// document adds what there is to say about the routes document.
func (s *status) document(docs *documents) {
	serial, since, problem := docs.state()
	s.Serial = serial
	if !since.IsZero() {
		s.InForce = since.UTC().Format(time.RFC3339)
	}
	s.needs(!since.IsZero(), "no routes document is in force")
	if problem != "" {
		s.Notes = append(s.Notes, problem)
	}
}

// health says whether the agent and HAProxy are alive.
func (p *passthrough) health() status {
	s := status{Mode: p.mode}
	s.needs(!p.started.Load() || p.process.Alive(), "haproxy does not run")
	s.document(p.docs)
	if !p.started.Load() {
		s.Notes, s.Problems = append(s.Notes, s.Problems...), nil // waiting for a document is healthy
	}
	return s
}

// ready says whether clients may be sent here. A proxy that was ready stays so when a new document brings hosts that are not
// resolved yet: all proxies get the document at the same time.
func (p *passthrough) ready() status {
	s := status{Mode: p.mode}
	s.needs(!p.draining.Load(), "draining")
	s.document(p.docs)
	if behind := p.behind.Load(); behind != nil {
		s.Notes = append(s.Notes, (*behind).Error())
	}
	s.needs(p.process.Serving(), "haproxy does not serve")
	s.needs(p.primed.Load(), "not every host has been looked up")
	f := p.force.Load()
	if f == nil {
		return s
	}
	states := p.tracker.Snapshot()
	for _, host := range f.exact {
		state := states[host]
		allowed, refused := f.policy.Addresses(state.Addresses)
		if state.Error == "" && len(refused) == 0 && len(allowed) > 0 || len(s.Hosts) == maxListed {
			continue
		}
		h := hostStatus{Host: host, Addresses: len(allowed), Error: state.Error}
		if !state.Tried {
			h.Error = "not looked up yet"
		}
		if !state.Good.IsZero() {
			h.AgeSeconds = int(time.Since(state.Good).Seconds())
		}
		for _, decision := range refused {
			h.Refused = append(h.Refused, fmt.Sprintf("%s: %s", decision.Address, decision.Reason))
		}
		s.Hosts = append(s.Hosts, h)
	}
	return s
}

// serveHTTP serves /readyz, /healthz and /metrics until ctx is done.
func serveHTTP(ctx context.Context, address string, m *metrics, ready, health func() status, logger *slog.Logger) (func() error, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("SALLYPORT_HTTP_LISTEN: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /readyz", page(ready))
	mux.HandleFunc("GET /healthz", page(health))
	server := &http.Server{
		Handler: mux, ReadTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 8 << 10,
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
	return func() error {
		stop := context.AfterFunc(ctx, func() { _ = server.Close() })
		defer stop()
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("http: %w", err)
		}
		return nil
	}, nil
}

// page serves a status: 200 if it is OK, else 503.
func page(report func() status) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		s := report()
		s.OK = len(s.Problems) == 0
		slices.Sort(s.Problems)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		if !s.OK {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		_ = encoder.Encode(s) // the client has gone
	}
}
