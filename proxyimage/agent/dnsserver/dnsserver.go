// Package dnsserver serves DNS on one address over UDP and TCP.
package dnsserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/miekg/dns"
)

// Server has bound its address and does not serve yet.
type Server struct {
	packets net.PacketConn
	stream  net.Listener
}

// Listen binds the address for both protocols. Port 0 finds one that is free for both.
func Listen(address string) (*Server, error) {
	const attempts = 10
	var errs []error
	for range attempts {
		packets, err := net.ListenPacket("udp", address)
		if err != nil {
			return nil, err
		}
		stream, err := net.Listen("tcp", packets.LocalAddr().String())
		if err == nil {
			return &Server{packets: packets, stream: stream}, nil
		}
		errs = append(errs, err, packets.Close())
		if !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return nil, errors.Join(errs...)
}

// Addr is where the server listens.
func (s *Server) Addr() netip.AddrPort { return s.stream.Addr().(*net.TCPAddr).AddrPort() }

// Run serves until ctx is done. Call it once.
func (s *Server) Run(ctx context.Context, handler dns.HandlerFunc) error {
	servers := []*dns.Server{{PacketConn: s.packets, Handler: handler}, {Listener: s.stream, Handler: handler}}
	ended := make(chan error, len(servers))
	for _, server := range servers {
		go func() { ended <- server.ActivateAndServe() }()
	}
	running := len(servers)
	var err error
	select {
	case err = <-ended:
		running--
		err = fmt.Errorf("dns server: %w", errors.Join(err, errors.New("ended without being told to")))
	case <-ctx.Done():
	}
	for _, server := range servers {
		_ = server.Shutdown() // fails if it has not begun to serve or has ended
	}
	_ = s.packets.Close() // closed already unless it had not begun to serve
	_ = s.stream.Close()
	for range running {
		<-ended
	}
	return err
}
