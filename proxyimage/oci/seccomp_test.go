package oci

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/proxyimage/routes"
	"github.com/sallyport/sallyport/proxyimage/testnet"
)

// profilePath is the seccomp profile that the project ships.
const profilePath = "../seccomp.json"

// environment variables of runInside
const (
	envRoot   = "SALLYPORT_TEST_ROOT"
	envFilter = "SALLYPORT_TEST_SECCOMP" // a file with the profile as the kernel wants it; none if empty
	// envTrace names a file: the program then runs without the profile, and strace writes there what it calls.
	envTrace = "SALLYPORT_TEST_STRACE"
)

// runInside turns the test's program into the agent: process 1 in the image's root, as the image's user, under the seccomp
// profile. It does not return unless it failed; false if it was not asked to.
func runInside() bool {
	root := os.Getenv(envRoot)
	if root == "" {
		return false
	}
	runtime.LockOSThread() // the filter is the thread's, and the thread becomes the program
	err := func() error {
		if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
			return err
		}
		if err := unix.Mount("proc", filepath.Join(root, "proc"), "proc", 0, ""); err != nil {
			return err
		}
		if err := unix.Mount("/dev/null", filepath.Join(root, "dev/null"), "", unix.MS_BIND, ""); err != nil {
			return err
		}
		var filter []unix.SockFilter
		if path := os.Getenv(envFilter); path != "" {
			file, err := os.Open(path)
			if err != nil {
				return err
			}
			for err == nil {
				var one unix.SockFilter
				if err = binary.Read(file, binary.NativeEndian, &one); err == nil {
					filter = append(filter, one)
				}
			}
			if !errors.Is(err, io.EOF) {
				return err
			}
			file.Close()
		}
		if err := errors.Join(unix.Chroot(root), unix.Chdir("/"), syscall.Setgroups(nil), syscall.Setgid(User), syscall.Setuid(User)); err != nil {
			return err
		}
		if err := install(filter); err != nil {
			return err
		}
		return syscall.Exec("/sallyport-agent", []string{"/sallyport-agent"}, os.Environ())
	}()
	fmt.Fprintln(os.Stderr, "inside:", err)
	return true
}

// TestImageServesUnderItsSeccompProfile runs the real image under the profile: start, traffic, a new routes document, the death of
// HAProxy, the end by SIGTERM.
func TestImageServesUnderItsSeccompProfile(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to make network namespaces")
	}
	if trace := os.Getenv(envTrace); trace != "" {
		if err := newSurroundings(t).live("", trace); err != nil {
			t.Fatal(err)
		}
		return
	}
	s := newSurroundings(t)
	profile, err := readProfile(profilePath)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.live(compiled(t, profile), ""); err != nil {
		t.Error(err)
	}
}

// compiled returns a file with the profile for this machine.
func compiled(t *testing.T, profile seccompProfile) string {
	t.Helper()
	filter, err := profile.compile(syscallNumbers(t, runtime.GOARCH))
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	for _, one := range filter {
		if err := binary.Write(&text, binary.NativeEndian, one); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "filter")
	if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// surroundings are two network namespaces without a name and a cable between them:
//
//	outside: client 10.0.0.2, partner 203.0.113.10, DNS 203.0.113.53
//	proxy:   10.0.0.1 and source address 198.51.100.1
type surroundings struct {
	t              *testing.T
	outside, proxy netns.NsHandle
	root           string
}

func newSurroundings(t *testing.T) *surroundings {
	t.Helper()
	s := &surroundings{t: t, outside: testnet.Namespace(t), proxy: testnet.Namespace(t), root: copyOfRoot(t)}
	agent, err := os.ReadFile(realAgent(t))
	s.must(err)
	s.must(os.WriteFile(filepath.Join(s.root, agentPath), agent, 0o755))
	s.must(os.WriteFile(filepath.Join(s.root, "dev/null"), nil, 0o644))
	s.must(os.Chmod(filepath.Join(s.root, ".."), 0o755))
	for _, dir := range []string{"run/sallyport", "var/lib/sallyport"} {
		s.must(os.Chown(filepath.Join(s.root, dir), User, User))
	}
	s.cable()
	s.serveDNS()
	s.servePartner()
	return s
}

func (s *surroundings) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *surroundings) cable() {
	s.t.Helper()
	s.must(testnet.Cable(
		testnet.End{
			Namespace: s.outside, Name: "out0", Networks: []string{"198.51.100.0/24"},
			Addresses: []string{"10.0.0.2/24", "203.0.113.10/24", "203.0.113.53/24"},
		},
		testnet.End{
			Namespace: s.proxy, Name: "px0", Networks: []string{"203.0.113.0/24"}, Addresses: []string{"10.0.0.1/24", "198.51.100.1/24"},
		},
	))
	s.must(testnet.In(s.proxy, func() error {
		return os.WriteFile("/proc/sys/net/ipv4/ip_unprivileged_port_start", []byte("0"), 0o644)
	}))
}

func (s *surroundings) serveDNS() {
	s.t.Helper()
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) {
		answer := new(dns.Msg).SetReply(query)
		if q := query.Question[0]; q.Qtype == dns.TypeA {
			header := dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}
			answer.Answer = []dns.RR{&dns.A{Hdr: header, A: net.ParseIP("203.0.113.10")}}
		}
		w.WriteMsg(answer) //nolint:errcheck // the agent asks again
	})
	s.must(testnet.In(s.outside, func() error {
		packets, err := net.ListenPacket("udp", "203.0.113.53:53")
		if err != nil {
			return err
		}
		server := &dns.Server{PacketConn: packets, Handler: handler}
		go server.ActivateAndServe() //nolint:errcheck // ends with the test
		s.t.Cleanup(func() { server.ShutdownContext(context.Background()) })
		return nil
	}))
}

func (s *surroundings) servePartner() {
	s.t.Helper()
	both := certificate(s.t)
	pair, err := tls.X509KeyPair(both, both)
	s.must(err)
	s.must(testnet.In(s.outside, func() error {
		listener, err := tls.Listen("tcp", "203.0.113.10:443", &tls.Config{Certificates: []tls.Certificate{pair}})
		if err != nil {
			return err
		}
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RemoteAddr) })}
		go server.Serve(listener) //nolint:errcheck // ends with the test
		s.t.Cleanup(func() { server.Close() })
		return nil
	}))
}

func (s *surroundings) publish(serial uint64, hosts ...string) error {
	document := routes.Document{
		Version: routes.Version, Serial: serial,
		Routes:  []routes.Route{{Name: "partner", Hosts: hosts, Port: 443}},
		Proxies: []routes.Proxy{{Name: "proxy-a-1", Zone: "a", Address: netip.MustParseAddr("10.0.0.1")}},
		Clients: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/32")},
	}
	text, err := routes.Encode(&document)
	if err != nil {
		return err
	}
	path := filepath.Join(s.root, "etc/sallyport/routes/routes.json")
	if err := os.WriteFile(path+".new", text, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// live runs the image from start to end and returns what went wrong.
func (s *surroundings) live(filter, trace string) error {
	if err := s.publish(1, "api.example.com"); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	command := exec.Command(self)
	if trace != "" {
		command = exec.Command("strace", "-f", "-qq", "-o", trace, self)
	}
	log, err := os.CreateTemp(s.t.TempDir(), "log")
	if err != nil {
		return err
	}
	defer log.Close()
	command.Stdout, command.Stderr = log, log
	command.Env = []string{
		envRoot + "=" + s.root, envFilter + "=" + filter, "PATH=/usr/sbin", "SALLYPORT_MODE=passthrough",
		"SALLYPORT_ROUTES=file:///etc/sallyport/routes/routes.json", "SALLYPORT_DNS_SERVERS=203.0.113.53",
		"SALLYPORT_SOURCE_IPS=198.51.100.1", "SALLYPORT_LISTEN=10.0.0.1", "SALLYPORT_DRAIN=1s",
	}
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID}
	if err := testnet.In(s.proxy, command.Start); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	defer command.Process.Kill() //nolint:errcheck // it has ended if all went well
	err = s.use(command.Process.Pid, filter != "")
	if err == nil {
		err = s.end(command.Process.Pid, ended)
	}
	if err != nil {
		text, _ := os.ReadFile(log.Name())
		return fmt.Errorf("%w; log:\n%s", err, text)
	}
	return nil
}

// use sends requests in every state that the image goes through.
func (s *surroundings) use(pid int, filtered bool) error {
	if err := s.eventually("api.example.com"); err != nil {
		return err
	}
	if err := s.publish(2, "api.example.com", "*.example.org"); err != nil {
		return err
	}
	if err := s.eventually("tenant.example.org"); err != nil {
		return err
	}
	for range 50 {
		if err := s.request("api.example.com"); err != nil {
			return err
		}
	}
	haproxy, err := programs(pid, "haproxy")
	if err != nil || len(haproxy) == 0 {
		return fmt.Errorf("processes of HAProxy: %v, %w", haproxy, err)
	}
	for _, p := range haproxy {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p))
		if err != nil {
			return err
		}
		if filtered && !strings.Contains(string(status), "\nNoNewPrivs:\t1\nSeccomp:\t2\n") {
			return fmt.Errorf("the profile must be in force, got %s", status)
		}
		if err := syscall.Kill(p, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	return s.eventually("api.example.com")
}

// end asks for the end of the agent and waits for it.
func (s *surroundings) end(pid int, ended <-chan error) error {
	agents, err := programs(pid, "sallyport-agent")
	if err != nil || len(agents) != 1 {
		return fmt.Errorf("agents: %v, %w", agents, err)
	}
	if err := syscall.Kill(agents[0], syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case err := <-ended:
		return err
	case <-time.After(20 * time.Second):
		return errors.New("SIGTERM: the agent must end within the drain window, still runs")
	}
}

// programs returns the processes at and below pid that run the named program.
func programs(pid int, name string) ([]int, error) {
	var found []int
	if target, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err == nil && strings.HasPrefix(name, strings.TrimSpace(string(target))) {
		found = append(found, pid)
	}
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return nil, err
	}
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			continue // the thread has ended
		}
		for _, field := range strings.Fields(string(text)) {
			child, err := strconv.Atoi(field)
			if err != nil {
				return nil, err
			}
			below, err := programs(child, name)
			if err != nil {
				return nil, err
			}
			found = append(found, below...)
		}
	}
	return found, nil
}

func (s *surroundings) eventually(host string) error {
	var err error
	for end := time.Now().Add(8 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err = s.request(host); err == nil {
			return nil
		}
	}
	return err
}

// request connects to the partner through the proxy: nobody but the proxy's source address may arrive there.
func (s *surroundings) request(host string) error {
	return testnet.In(s.outside, func() error {
		dialer := &tls.Dialer{NetDialer: &net.Dialer{Timeout: time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 2)}},
			Config: &tls.Config{ServerName: host, InsecureSkipVerify: true}}
		connection, err := dialer.Dial("tcp", "10.0.0.1:443")
		if err != nil {
			return err
		}
		defer connection.Close()
		if err := connection.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(connection, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host); err != nil {
			return err
		}
		answer, err := io.ReadAll(connection)
		if err == nil && !strings.Contains(string(answer), "198.51.100.1:") {
			err = fmt.Errorf("partner saw %q, want source 198.51.100.1", answer)
		}
		return err
	})
}
