// Package partner is a company on the lab's internet that our cluster calls: a TLS server that tells the caller which source IP
// it saw, refuses those that its allow list lacks, and remembers every source IP.
//
// Three protocols share its port, told apart by the first byte of a connection:
//   - TLS with HTTP/1.1: every request is answered with an Answer; status 403 if the source is refused.
//   - HTTP/1.1 in the clear, the same.
//   - the byte Ping: a line of text, "<source> <port> allowed" or "... refused". It costs no cryptography, for tests that
//     need many connections.
//
// After the answer to Ping, and after an HTTP request for HoldPath, the server echoes every byte, so that both ends
// notice at once when the connection is cut.
package partner

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// Ping is the first byte of a connection in the cheap protocol.
	Ping = 0x01
	// HoldPath is the path that turns an HTTP connection into an echo.
	HoldPath = "/hold"

	tlsHandshake = 0x16 // the first byte of a TLS connection
	// firstByteTimeout is how long a client may stay silent after connecting.
	firstByteTimeout = 5 * time.Minute
	// idleTimeout ends HTTP connections without requests, and echoes without bytes.
	idleTimeout = 10 * time.Minute
	// headerTimeout bounds the TLS handshake and the head of a request.
	headerTimeout = 30 * time.Second
)

// Answer is the body of every HTTP response.
type Answer struct {
	Partner    string `json:"partner"`
	Source     string `json:"source"`     // the IP address that the partner saw
	SourcePort int    `json:"sourcePort"` // the port that the partner saw
	Host       string `json:"host"`       // TLS server name; without TLS the Host header
	Path       string `json:"path"`
	Allowed    bool   `json:"allowed"` // false with status 403
	Request    int    `json:"request"` // number of this request on its connection, from 1
}

// Server is a running partner.
type Server struct {
	configFile string
	state      atomic.Pointer[state] // the configuration in force; never nil
	stats      recorder
	queue      chan net.Conn // connections for the HTTP server

	mu        sync.Mutex
	listeners map[string]net.Listener // by address:port
}

// Run serves until ctx ends. The configuration is read again when its file changes and on every value from reload (may be nil);
// a bad one is logged and the old one stays in force. ready (may be nil) is called once when all addresses accept connections.
func Run(ctx context.Context, configFile string, reload <-chan struct{}, ready func()) error {
	s := &Server{configFile: configFile, queue: make(chan net.Conn, 128), listeners: map[string]net.Listener{}}
	first, err := s.load(configFile)
	if err != nil {
		return err
	}
	s.stats.reset()
	s.state.Store(first)
	defer s.close()
	if err := s.listen(ctx, first.config); err != nil {
		return err
	}
	control, err := s.serveControl(first.config.Control)
	if err != nil {
		return err
	}
	defer control.Close()
	server := s.httpServer()
	defer server.Close()
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(queueListener{s.queue, ctx}) }()
	if ready != nil {
		ready()
	}
	watch := time.NewTicker(watchInterval)
	defer watch.Stop()
	for stamp := first.stamp; ; {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("partner: serve: %w", err)
		case <-reload:
			stamp = fileStamp(configFile)
			s.apply(ctx)
		case <-watch.C:
			if now := fileStamp(configFile); now != stamp {
				stamp = now
				s.apply(ctx)
			}
		}
	}
}

// apply puts the configuration file in force; established connections go on, under the new allow list.
func (s *Server) apply(ctx context.Context) {
	next, err := s.load(s.configFile)
	if err == nil {
		err = s.listen(ctx, next.config)
	}
	if err != nil {
		slog.Error("the configuration stays as it was", "error", err)
		return
	}
	s.state.Store(next)
	slog.Info("configuration in force", "addresses", len(next.config.Addresses), "allow", len(next.config.Allow), "enforce", next.config.Enforce)
}

// listen opens what is missing and closes what is no longer wanted.
func (s *Server) listen(ctx context.Context, config Config) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	wanted := map[string]bool{}
	for _, address := range config.Addresses {
		key := netip.AddrPortFrom(address, uint16(config.Port)).String()
		wanted[key] = true
		if s.listeners[key] != nil {
			continue
		}
		var listen net.ListenConfig
		listen.SetMultipathTCP(false)
		listener, err := listen.Listen(ctx, "tcp4", key)
		if err != nil {
			return fmt.Errorf("partner: listen: %w", err)
		}
		s.listeners[key] = listener
		go s.accept(ctx, listener)
	}
	for key, listener := range s.listeners {
		if !wanted[key] {
			listener.Close()
			delete(s.listeners, key)
		}
	}
	return nil
}

func (s *Server) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, listener := range s.listeners {
		listener.Close()
	}
}

func (s *Server) accept(ctx context.Context, listener net.Listener) {
	for {
		conn, err := listener.Accept()
		switch {
		case err == nil:
			go s.handle(ctx, conn)
		case errors.Is(err, net.ErrClosed):
			return
		default: // out of file descriptors, for example: give others time to end
			slog.Warn("accept", "error", err)
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// handle looks at the first byte and passes the connection on.
func (s *Server) handle(ctx context.Context, raw net.Conn) {
	conn := &client{Conn: raw, source: raw.RemoteAddr().(*net.TCPAddr).AddrPort(), server: s}
	s.stats.connected(conn.source.Addr())
	_ = raw.SetReadDeadline(time.Now().Add(firstByteTimeout))
	if _, err := io.ReadFull(raw, conn.first[:]); err != nil {
		conn.Close()
		return
	}
	_ = raw.SetReadDeadline(time.Time{})
	var next net.Conn = conn
	switch conn.first[0] {
	case Ping:
		s.ping(conn)
		return
	case tlsHandshake:
		next = tls.Server(conn, s.state.Load().tls)
	}
	select {
	case s.queue <- next:
	case <-ctx.Done():
		conn.Close()
	}
}

// client is a connection whose first byte was read already.
type client struct {
	net.Conn
	server   *Server
	source   netip.AddrPort
	first    [1]byte
	replayed bool
	requests int // of HTTP; they come one after the other
	once     sync.Once
}

// Read gives the first byte back.
func (c *client) Read(p []byte) (int, error) {
	if !c.replayed && len(p) > 0 {
		c.replayed = true
		return copy(p, c.first[:]), nil
	}
	return c.Conn.Read(p)
}

// Close closes the connection and counts it as closed once.
func (c *client) Close() error {
	c.once.Do(c.server.stats.disconnected)
	return c.Conn.Close()
}

func (s *Server) ping(conn *client) {
	defer conn.Close()
	verdict := " refused\n"
	allowed := s.state.Load().allows(conn.source.Addr())
	if allowed {
		verdict = " allowed\n"
	}
	s.stats.requested(conn.source.Addr(), allowed)
	line := append(conn.source.Addr().AppendTo(make([]byte, 0, 48)), ' ')
	line = append(strconv.AppendUint(line, uint64(conn.source.Port()), 10), verdict...)
	if _, err := conn.Write(line); err == nil {
		echo(conn, conn.Conn) // the first byte is not echoed
	}
}

// echo returns every byte until the client closes or is silent for too long.
func echo(conn net.Conn, reader io.Reader) {
	var buffer [256]byte
	for {
		_ = conn.SetDeadline(time.Now().Add(idleTimeout))
		n, err := reader.Read(buffer[:])
		if err != nil {
			return
		}
		if _, err := conn.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// queueListener hands the HTTP server connections that were looked at.
type queueListener struct {
	queue <-chan net.Conn
	ctx   context.Context
}

// Accept waits for the next connection.
func (l queueListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.queue:
		return conn, nil
	case <-l.ctx.Done():
		return nil, http.ErrServerClosed
	}
}

// Close does nothing: the sockets are closed by their owner.
func (l queueListener) Close() error { return nil }

// Addr has no meaning.
func (l queueListener) Addr() net.Addr { return &net.TCPAddr{} }
