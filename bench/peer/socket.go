package peer

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// ioTimeout bounds a single read or write: a peer that hangs would hang the benchmark.
const ioTimeout = 10 * time.Second

// ClientHello returns what Go's TLS client sends first for a server name: with a post-quantum key share, some 1.5 KB.
func ClientHello(host string) ([]byte, error) {
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()
	go func() { _ = tls.Client(client, &tls.Config{ServerName: host}).Handshake() }() // fails when the pipe closes
	_ = server.SetReadDeadline(time.Now().Add(ioTimeout))
	buffer := make([]byte, 16<<10)
	n, err := io.ReadAtLeast(server, buffer, 5)
	if err != nil {
		return nil, err
	}
	for want := 5 + int(buffer[3])<<8 + int(buffer[4]); n < want; {
		more, err := server.Read(buffer[n:want])
		if err != nil {
			return nil, err
		}
		n += more
	}
	return buffer[:n], nil
}

// A socket is a blocking TCP socket: the cheapest way to do one thing after another on one connection.
type socket int

func dial(to netip.AddrPort) (socket, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	limit := unix.NsecToTimeval(ioTimeout.Nanoseconds())
	err = errors.Join(
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit), // bounds connect, too
	)
	if err == nil {
		err = unix.Connect(fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())})
		if errors.Is(err, unix.EINTR) { // it goes on by itself; another connect would be refused
			err = connected(fd)
		}
	}
	if err != nil {
		return -1, errors.Join(err, unix.Close(fd))
	}
	return socket(fd), nil
}

// connected waits for the end of a connect that a signal has interrupted.
func connected(fd int) error {
	for deadline := time.Now().Add(ioTimeout); ; {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		n, err := unix.Poll(poll, int(ioTimeout.Milliseconds()))
		switch {
		case errors.Is(err, unix.EINTR) && time.Now().Before(deadline):
			continue
		case err != nil:
			return err
		case n == 0:
			return unix.ETIMEDOUT
		}
		code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && code != 0 {
			err = unix.Errno(code)
		}
		return err
	}
}

func (s socket) write(data []byte) error {
	for len(data) > 0 {
		n, err := unix.Write(int(s), data)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// read returns io.EOF at the end of the stream.
func (s socket) read(buffer []byte) (int, error) {
	for {
		n, err := unix.Read(int(s), buffer)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err == nil && n == 0:
			return 0, io.EOF
		}
		return n, err
	}
}

func (s socket) readFull(buffer []byte) error {
	for done := 0; done < len(buffer); {
		n, err := s.read(buffer[done:])
		if err != nil {
			return err
		}
		done += n
	}
	return nil
}

func (s socket) close() { _ = unix.Close(int(s)) }

// ask sends a ClientHello and reads the answer.
func (s socket) ask(hello, buffer []byte) error {
	if err := s.write(hello); err != nil {
		return err
	}
	return s.readFull(buffer[:AnswerBytes])
}
