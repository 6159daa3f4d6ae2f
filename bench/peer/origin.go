package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// OriginSpec says what a process serves. Addresses that are zero are not served.
type OriginSpec struct {
	Answer netip.AddrPort `json:"answer"` // answers a ClientHello with AnswerBytes bytes; threads that block, so one at a time each
	Idle   netip.AddrPort `json:"idle"`   // the same, for many connections at once that stay open
	Stream netip.AddrPort `json:"stream"` // streams without end once it got a ClientHello
	TLS    netip.AddrPort `json:"tls"`    // TLS 1.3: one byte in, one byte out

	Certificate string `json:"certificate"` // PEM files; needed for TLS
	Key         string `json:"key"`
}

// answerThreads serve Answer. More than clients that connect at once.
const answerThreads = 24

// streamChunk is how much an origin writes at once.
const streamChunk = 256 << 10

func serveOrigin(ctx context.Context, spec OriginSpec, out io.Writer) error {
	if spec.Answer.IsValid() {
		if err := serveAnswer(spec.Answer); err != nil {
			return fmt.Errorf("answer: %w", err)
		}
	}
	handlers := map[netip.AddrPort]func(*net.TCPConn){spec.Idle: idle, spec.Stream: stream}
	if spec.TLS.IsValid() {
		pair, err := tls.LoadX509KeyPair(spec.Certificate, spec.Key)
		if err != nil {
			return err
		}
		config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true}
		handlers[spec.TLS] = func(conn *net.TCPConn) { greet(tls.Server(conn, config)) }
	}
	for address, handle := range handlers {
		if !address.IsValid() {
			continue
		}
		if err := serve(ctx, address, handle); err != nil {
			return err
		}
	}
	if err := ready(out); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func serve(ctx context.Context, address netip.AddrPort, handle func(*net.TCPConn)) error {
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	listener, err := config.Listen(ctx, "tcp4", address.String())
	if err != nil {
		return err
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				handle(conn.(*net.TCPConn))
			}()
		}
	}()
	return nil
}

// serveAnswer starts threads that each take one connection after another. They end with the process.
func serveAnswer(address netip.AddrPort) error {
	listener, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	err = unix.SetsockoptInt(listener, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if err == nil {
		err = unix.Bind(listener, &unix.SockaddrInet4{Addr: address.Addr().As4(), Port: int(address.Port())})
	}
	if err == nil {
		err = unix.Listen(listener, 4096)
	}
	if err != nil {
		return errors.Join(err, unix.Close(listener))
	}
	for range answerThreads {
		go func() {
			buffer := make([]byte, 16<<10)
			for {
				fd, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
				if err != nil {
					continue // the client has left already
				}
				answerOne(socket(fd), buffer)
			}
		}()
	}
	return nil
}

func answerOne(s socket, buffer []byte) {
	defer s.close()
	limit := unix.NsecToTimeval(ioTimeout.Nanoseconds())
	_ = unix.SetsockoptTimeval(int(s), unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit)
	if _, err := s.read(buffer); err != nil || s.write(answer[:]) != nil {
		return
	}
	_, _ = s.read(buffer) // the client closes first
}

// idle answers and then waits for the client to go.
func idle(conn *net.TCPConn) {
	buffer := make([]byte, 4<<10)
	if _, err := conn.Read(buffer); err != nil {
		return
	}
	if _, err := conn.Write(answer[:]); err != nil {
		return
	}
	_, _ = conn.Read(buffer[:1])
}

// stream writes until the client goes.
func stream(conn *net.TCPConn) {
	chunk := make([]byte, streamChunk)
	_ = conn.SetReadDeadline(time.Now().Add(ioTimeout))
	if _, err := conn.Read(chunk); err != nil {
		return
	}
	for {
		_ = conn.SetWriteDeadline(time.Now().Add(ioTimeout))
		if _, err := conn.Write(chunk); err != nil {
			return
		}
	}
}

// greet completes the handshake and returns one byte.
func greet(conn *tls.Conn) {
	_ = conn.SetDeadline(time.Now().Add(ioTimeout))
	var b [1]byte
	if _, err := io.ReadFull(conn, b[:]); err != nil {
		return
	}
	if _, err := conn.Write(b[:]); err != nil {
		return
	}
	_, _ = conn.Read(b[:])
}
