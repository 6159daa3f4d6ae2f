package partner

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
)

// clientKey finds the client in a request's context.
type clientKey struct{}

// tlsConfig is made once per configuration: it also holds the keys with which sessions are resumed.
func (s *Server) tlsConfig(certificate tls.Certificate) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{certificate},
		NextProtos:   []string{"http/1.1"},
		VerifyConnection: func(connection tls.ConnectionState) error {
			s.stats.handshake(connection.DidResume)
			return nil
		},
	}
}

func (s *Server) httpServer() *http.Server {
	return &http.Server{
		Handler:           http.HandlerFunc(s.answer),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          log.New(io.Discard, "", 0), // failed handshakes are the clients' business
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			if secure, ok := conn.(*tls.Conn); ok {
				conn = secure.NetConn()
			}
			return context.WithValue(ctx, clientKey{}, conn)
		},
	}
}

// answer serves every request.
func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	conn := r.Context().Value(clientKey{}).(*client)
	conn.requests++
	now := s.state.Load()
	answer := Answer{
		Partner: now.config.Name, Source: conn.source.Addr().String(), SourcePort: int(conn.source.Port()),
		Host: r.Host, Path: r.URL.Path, Allowed: now.allows(conn.source.Addr()), Request: conn.requests,
	}
	if r.TLS != nil {
		answer.Host = r.TLS.ServerName
	}
	s.stats.requested(conn.source.Addr(), answer.Allowed)
	if answer.Allowed && r.URL.Path == HoldPath {
		s.hold(w)
		return
	}
	body, err := json.Marshal(answer)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	body = append(body, '\n')
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if !answer.Allowed {
		w.WriteHeader(http.StatusForbidden)
	}
	_, _ = w.Write(body) // a client that is gone is not our concern
}

// hold turns the connection into an echo.
func (s *Server) hold(w http.ResponseWriter) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer conn.Close()
	s.stats.held(1)
	defer s.stats.held(-1)
	_, err = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	if err == nil {
		echo(conn, buffered)
	}
}
