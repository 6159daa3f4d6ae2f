// Package labtest builds small labs for tests: segments, hosts, a NAT gateway host, servers that hold connections, and clients that
// open many at once. Every lab has a random id, so tests run beside each other; it is removed at the end of the test.
package labtest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/lab/labid"
	"github.com/sallyport/sallyport/lab/namespace"
)

// Lab is a lab with the two segments, internet and VPC.
type Lab struct{ ID string }

// New makes a lab. The test is skipped without root.
func New(t *testing.T) *Lab {
	t.Helper()
	l := empty(t)
	for _, host := range []string{labid.InternetHost, labid.VPCHost} {
		Must(t, namespace.Create(l.ID, host), namespace.EnsureBridge(l.Name(host), labid.Bridge))
	}
	return l
}

// Namespace makes one network namespace that is connected to nothing and returns its name. The test is skipped without root.
func Namespace(t *testing.T) string {
	t.Helper()
	l := empty(t)
	Must(t, namespace.Create(l.ID, "host"))
	return l.Name("host")
}

// empty names a lab and removes what will be in it at the end of the test.
func empty(t *testing.T) *Lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("making network namespaces needs root")
	}
	random := make([]byte, 4)
	if _, err := rand.Read(random); err != nil {
		t.Fatal(err)
	}
	l := &Lab{ID: "t-" + hex.EncodeToString(random)}
	t.Cleanup(func() {
		names, _ := namespace.List(l.ID)
		for _, name := range names {
			if err := namespace.Kill(name, time.Second); err != nil {
				t.Error(err)
			}
		}
		if err := namespace.DeleteAll(l.ID); err != nil {
			t.Error(err)
		}
	})
	return l
}

// Name returns the namespace of a host.
func (l *Lab) Name(host string) string { return labid.Netns(l.ID, host) }

// Host makes a host with addresses on the VPC (with the VPC's netmask) and on the internet (with routes to the public ranges) and returns
// its namespace. Other addresses are set as /32.
func (l *Lab) Host(t *testing.T, host string, addresses ...string) string {
	t.Helper()
	name := l.Name(host)
	Must(t, namespace.Create(l.ID, host))
	private := namespace.Attachment{Namespace: name, Interface: labid.VPCInterface, Switch: l.Name(labid.VPCHost), Bridge: labid.Bridge}
	public := namespace.Attachment{Namespace: name, Interface: labid.InternetInterface, Switch: l.Name(labid.InternetHost), Bridge: labid.Bridge}
	for _, text := range addresses {
		address := netip.MustParseAddr(text)
		switch {
		case labid.VPC.Contains(address):
			private.Addresses = append(private.Addresses, netip.PrefixFrom(address, labid.VPC.Bits()))
		case address.IsPrivate():
			private.Addresses = append(private.Addresses, netip.PrefixFrom(address, 32))
		default:
			public.Addresses = append(public.Addresses, netip.PrefixFrom(address, 32))
		}
	}
	if len(private.Addresses) > 0 {
		Must(t, namespace.Attach(private))
	}
	if len(public.Addresses) > 0 {
		Must(t, namespace.Attach(public))
		for _, r := range labid.PublicRanges() {
			Must(t, namespace.EnsureRoutes(name, namespace.Route{To: r, Interface: labid.InternetInterface}))
		}
	}
	return name
}

// Via gives a host a route through a gateway on the VPC.
func Via(t *testing.T, name, to, gateway string) {
	t.Helper()
	Must(t, namespace.EnsureRoutes(name, namespace.Route{
		To: netip.MustParsePrefix(to), Via: netip.MustParseAddr(gateway), Interface: labid.VPCInterface}))
}

// Must ends the test if one of the errors is not nil.
func Must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// Sink accepts connections, echoes what it receives, and closes when the client did.
type Sink struct {
	listener net.Listener
	mu       sync.Mutex
	sources  map[string]int // connections by source IP
	open     map[net.Conn]bool
}

// Serve starts a Sink at "address:port" in a namespace; it stops at the end of the test.
func Serve(t *testing.T, name, address string) *Sink {
	t.Helper()
	listener, err := namespace.Listen(context.Background(), name, "tcp4", address)
	Must(t, err)
	s := &Sink{listener: listener, sources: map[string]int{}, open: map[net.Conn]bool{}}
	go s.accept()
	t.Cleanup(s.stop)
	return s
}

func (s *Sink) stop() {
	s.listener.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.open {
		conn.Close()
	}
}

func (s *Sink) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		source, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
		s.mu.Lock()
		s.sources[source]++
		s.open[conn] = true
		s.mu.Unlock()
		go func() {
			buffer := make([]byte, 64)
			for {
				n, err := conn.Read(buffer)
				if err != nil {
					break
				}
				if _, err := conn.Write(buffer[:n]); err != nil {
					break
				}
			}
			conn.Close()
			s.mu.Lock()
			delete(s.open, conn)
			s.mu.Unlock()
		}()
	}
}

// WaitFor waits up to two seconds until n connections were accepted, and returns the connections by source IP.
func (s *Sink) WaitFor(n int) map[string]int {
	for deadline := time.Now().Add(2 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		total := 0
		sources := s.Sources()
		for _, count := range sources {
			total += count
		}
		if total >= n || time.Now().After(deadline) {
			return sources
		}
	}
}

// Sources returns the connections accepted so far by source IP.
func (s *Sink) Sources() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	sources := map[string]int{}
	for source, n := range s.sources {
		sources[source] = n
	}
	return sources
}

// Group is a set of client connections that are held open.
type Group struct{ fds []int }

// Connect opens n connections at once from a namespace and waits until all are decided or the time is over. Connections
// without answer by then are given up. A wait below 1 s means that no SYN is sent twice. source may be empty. Established ones are
// closed at the end of the test.
func Connect(t *testing.T, name, source, target string, n int, wait time.Duration) (g *Group, refused, unanswered int) {
	t.Helper()
	var pending []int
	Must(t, namespace.Do(name, func() error {
		for range n {
			fd, err := start(source, netip.MustParseAddrPort(target))
			if err != nil {
				return err
			}
			pending = append(pending, fd)
		}
		return nil
	}))
	g = &Group{}
	t.Cleanup(g.Close)
	for deadline := time.Now().Add(wait); len(pending) > 0 && time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		var still []int
		for _, fd := range pending {
			switch done, err := decided(fd); {
			case !done:
				still = append(still, fd)
			case err != nil:
				refused++
				unix.Close(fd)
			default:
				g.fds = append(g.fds, fd)
			}
		}
		pending = still
	}
	for _, fd := range pending {
		unix.Close(fd)
	}
	return g, refused, len(pending)
}

func start(source string, target netip.AddrPort) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if source != "" {
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: netip.MustParseAddr(source).As4()}); err != nil {
			return -1, errors.Join(err, unix.Close(fd))
		}
	}
	err = unix.Connect(fd, &unix.SockaddrInet4{Addr: target.Addr().As4(), Port: int(target.Port())})
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return -1, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

func decided(fd int) (bool, error) {
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	if n, err := unix.Poll(poll, 0); n == 0 || err != nil {
		return false, nil
	}
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = unix.Errno(code)
	}
	return true, err
}

// Len returns the number of connections.
func (g *Group) Len() int { return len(g.fds) }

// Alive sends a byte on each connection and returns how many came back within a second.
func (g *Group) Alive() int {
	for _, fd := range g.fds {
		_, _ = unix.Write(fd, []byte{1}) // a dead connection sends nothing back
	}
	alive := 0
	deadline := time.Now().Add(time.Second)
	for _, fd := range g.fds {
		for buffer := make([]byte, 1); ; time.Sleep(time.Millisecond) {
			n, err := unix.Read(fd, buffer)
			if n == 1 {
				alive++
				break
			}
			if !errors.Is(err, unix.EAGAIN) || time.Now().After(deadline) {
				break
			}
		}
	}
	return alive
}

// Close closes the connections; the client is the one that closes first.
func (g *Group) Close() {
	for _, fd := range g.fds {
		unix.Close(fd)
	}
	g.fds = nil
}
