package partner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Source is what came from one IP address.
type Source struct {
	Connections int `json:"connections"` // TCP connections accepted
	Requests    int `json:"requests"`    // HTTP requests and pings
	Refused     int `json:"refused"`     // those of the requests that the allow list refused
}

// Statistics are what a partner saw since its start or the last Reset.
type Statistics struct {
	Connections int               `json:"connections"` // TCP connections accepted
	Handshakes  int               `json:"handshakes"`  // TLS handshakes completed
	Resumed     int               `json:"resumed"`     // those of the handshakes that resumed a session
	Requests    int               `json:"requests"`    // HTTP requests and pings
	Refused     int               `json:"refused"`     // those of the requests that the allow list refused
	Open        int               `json:"open"`        // TCP connections now; not changed by Reset
	Held        int               `json:"held"`        // connections turned into an echo by HoldPath, now; not changed by Reset
	Sources     map[string]Source `json:"sources"`     // by IP address; never nil
}

// recorder collects Statistics.
type recorder struct {
	mu      sync.Mutex
	now     Statistics
	sources map[netip.Addr]*Source
}

func (r *recorder) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = Statistics{Open: r.now.Open, Held: r.now.Held}
	r.sources = map[netip.Addr]*Source{}
}

func (r *recorder) source(ip netip.Addr) *Source {
	s := r.sources[ip]
	if s == nil {
		s = &Source{}
		r.sources[ip] = s
	}
	return s
}

func (r *recorder) connected(ip netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now.Connections++
	r.now.Open++
	r.source(ip).Connections++
}

func (r *recorder) disconnected() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now.Open--
}

func (r *recorder) handshake(resumed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now.Handshakes++
	if resumed {
		r.now.Resumed++
	}
}

func (r *recorder) requested(ip netip.Addr, allowed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.source(ip)
	r.now.Requests++
	s.Requests++
	if !allowed {
		r.now.Refused++
		s.Refused++
	}
}

func (r *recorder) held(change int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now.Held += change
}

func (r *recorder) statistics() Statistics {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.now
	all.Sources = make(map[string]Source, len(r.sources))
	for ip, source := range r.sources {
		all.Sources[ip.String()] = *source
	}
	return all
}

// serveControl answers Stats and Reset on a unix socket. A socket that a crashed run left behind is replaced.
func (s *Server) serveControl(path string) (*http.Server, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("partner: control: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("partner: control: %w", err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("partner: control: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(s.stats.statistics())
	})
	mux.HandleFunc("POST /reset", func(w http.ResponseWriter, _ *http.Request) {
		s.stats.reset()
		w.WriteHeader(http.StatusNoContent)
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: headerTimeout}
	go func() { _ = server.Serve(listener) }() // ends with Close
	return server, nil
}

// controlTimeout bounds a call to the control socket.
const controlTimeout = 5 * time.Second

// Stats asks the partner behind a control socket what it saw.
func Stats(socket string) (Statistics, error) {
	var stats Statistics
	err := call(socket, http.MethodGet, "/stats", &stats)
	return stats, err
}

// Reset makes the partner behind a control socket forget what it saw.
func Reset(socket string) error { return call(socket, http.MethodPost, "/reset", nil) }

func call(socket, method, path string, result any) error {
	ctx, cancel := context.WithTimeout(context.Background(), controlTimeout)
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "unix", socket)
	}}
	request, err := http.NewRequestWithContext(ctx, method, "http://partner"+path, nil)
	if err != nil {
		return fmt.Errorf("partner: control: %w", err)
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return fmt.Errorf("partner: control: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 {
		return fmt.Errorf("partner: control %s: status must be below 300, got %d", path, response.StatusCode)
	}
	if result == nil {
		return nil
	}
	if err := json.NewDecoder(response.Body).Decode(result); err != nil {
		return fmt.Errorf("partner: control %s: %w", path, err)
	}
	return nil
}
