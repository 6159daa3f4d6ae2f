package agent_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/vishvananda/netns"

	"github.com/sallyport/sallyport/proxyimage/agent"
	"github.com/sallyport/sallyport/proxyimage/agent/atomicfile"
	"github.com/sallyport/sallyport/proxyimage/routes"
	"github.com/sallyport/sallyport/proxyimage/testnet"
)

// The lab of these tests: two network namespaces without a name, which vanish with the test, and a cable between them.
//
//	outside: client 10.0.0.2, stranger 10.0.0.3, partners 203.0.113.10 and .11, DNS 203.0.113.53
//	proxy:   10.0.0.1, source addresses 198.51.100.1 and .2; the agent and HAProxy
const (
	proxyIP    = "10.0.0.1"
	clientIP   = "10.0.0.2"
	strangerIP = "10.0.0.3"
	dnsIP      = "203.0.113.53"
)

// TestMain turns the test's program into the agent when the lab starts it as one.
func TestMain(m *testing.M) {
	if os.Getenv("SALLYPORT_TEST_RUN_AGENT") == "" {
		flag.Parse()
		// The tests wait for timers most of the time: as many at once as there are processors would be too few.
		if flag.Lookup("test.parallel").Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
			if err := flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0))); err != nil {
				panic(err) // the flag is there, and takes numbers
			}
		}
		os.Exit(m.Run())
	}
	if err := agent.Run(os.LookupEnv, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type lab struct {
	t              *testing.T
	outside, proxy netns.NsHandle
	dir            string
	zone           *zone
	partners       *partners
	command        *exec.Cmd
	log            *logBuffer
	ended          chan struct{}
	exit           error
	env            []string
}

// haproxyPath returns HAProxy of the image, or the one SALLYPORT_TEST_HAPROXY names.
func haproxyPath(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("SALLYPORT_TEST_HAPROXY"); path != "" {
		return path
	}
	root, err := filepath.Abs("../../.build/image/rootfs")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(root, "usr/sbin/haproxy")
	if _, err := os.Stat(program); err != nil {
		t.Skip("image not built: run make image")
	}
	loaders, _ := filepath.Glob(filepath.Join(root, "lib64/ld-linux*.so*"))
	if len(loaders) == 0 {
		t.Fatalf("%s holds no dynamic loader", root)
	}
	libraries, _ := filepath.Glob(filepath.Join(root, "usr/lib/*-linux-gnu*"))
	more, _ := filepath.Glob(filepath.Join(root, "lib/*-linux-gnu*"))
	wrapper := filepath.Join(t.TempDir(), "haproxy")
	// A reload starts argv[0] again, so that must be the wrapper.
	script := fmt.Sprintf("#!/bin/sh\nexec %s --argv0 %s --library-path %s %s \"$@\"\n",
		loaders[0], wrapper, strings.Join(append(libraries, more...), ":"), program)
	if err := os.WriteFile(wrapper, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return wrapper
}

// newLab builds the lab; nothing runs in it yet but DNS and the partners.
func newLab(t *testing.T) *lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to make network namespaces")
	}
	program := haproxyPath(t)
	dir, err := os.MkdirTemp("", "sp") //nolint:usetesting // must be short: the paths of sockets are limited
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l := &lab{t: t, dir: dir, log: &logBuffer{}}
	l.outside, l.proxy = testnet.Namespace(t), testnet.Namespace(t)
	l.cable()
	l.zone = newZone(l)
	l.partners = newPartners(l)
	if err := os.MkdirAll(filepath.Join(dir, "routes"), 0o755); err != nil {
		t.Fatal(err)
	}
	l.env = append(os.Environ(),
		"SALLYPORT_TEST_RUN_AGENT=1", "SALLYPORT_ROUTES=file://"+l.routesPath(), "SALLYPORT_STATE_DIR="+filepath.Join(dir, "state"),
		"SALLYPORT_RUN_DIR="+filepath.Join(dir, "run"), "SALLYPORT_DNS_SERVERS="+dnsIP, "SALLYPORT_HAPROXY="+program,
		"SALLYPORT_SOURCE_IPS=198.51.100.1,198.51.100.2", "SALLYPORT_LISTEN="+proxyIP, "SALLYPORT_DRAIN=10s", "SALLYPORT_PROBE_INTERVAL=200ms",
	)
	t.Cleanup(func() {
		l.stop()
		if t.Failed() {
			t.Logf("agent's log:\n%s", l.log)
		}
	})
	return l
}

func (l *lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// cable joins the namespaces and gives the addresses out.
func (l *lab) cable() {
	l.t.Helper()
	l.must(testnet.Cable(
		testnet.End{
			Namespace: l.outside, Name: "out0", Networks: []string{"198.51.100.0/24"},
			Addresses: []string{clientIP + "/24", strangerIP + "/24", "203.0.113.10/24", "203.0.113.11/24", dnsIP + "/24"},
		},
		testnet.End{
			Namespace: l.proxy, Name: "px0", Networks: []string{"203.0.113.0/24"},
			Addresses: []string{proxyIP + "/24", "198.51.100.1/24", "198.51.100.2/24"},
		},
	))
}

func (l *lab) routesPath() string { return filepath.Join(l.dir, "routes", "routes.json") }

// document returns a document that serves the hosts on port 443.
func document(serial uint64, hosts ...string) routes.Document {
	return routes.Document{
		Version: routes.Version, Serial: serial,
		Routes:  []routes.Route{{Name: "partner", Hosts: hosts, Port: 443}},
		Proxies: []routes.Proxy{{Name: "proxy-a-1", Zone: "a", Address: netip.MustParseAddr(proxyIP)}},
		Clients: []netip.Prefix{netip.MustParsePrefix(clientIP + "/32")},
	}
}

// publish puts a document where the agent looks.
func (l *lab) publish(doc routes.Document) {
	l.t.Helper()
	data, err := routes.Encode(&doc)
	l.must(err)
	l.must(atomicfile.Write(l.routesPath(), data))
}

// start starts the agent.
func (l *lab) start() {
	l.t.Helper()
	l.command = l.agent(l.proxy)
	l.ended = make(chan struct{})
	go func(command *exec.Cmd, ended chan struct{}) {
		l.exit = command.Wait()
		close(ended)
	}(l.command, l.ended)
}

// agent starts an agent in a namespace, with the lab's environment and more.
func (l *lab) agent(where netns.NsHandle, more ...string) *exec.Cmd {
	l.t.Helper()
	self, err := os.Executable()
	l.must(err)
	command := exec.Command(self)
	command.Env, command.Stderr = append(slices.Clone(l.env), more...), l.log
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	l.must(testnet.In(where, command.Start))
	return command
}

// stop kills the agent and everything it started.
func (l *lab) stop() {
	if l.command == nil {
		return
	}
	_ = syscall.Kill(-l.command.Process.Pid, syscall.SIGKILL)
	<-l.ended
	l.command = nil
}

// patience returns a limit as it is on a machine with processors to spare, and more on one where others wait for them as well:
// what then takes long is not the agent's doing. The average is the last minute's.
func patience(limit time.Duration) time.Duration {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return limit
	}
	first, _, _ := strings.Cut(string(text), " ")
	load, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return limit
	}
	return time.Duration(float64(limit) * min(max(load/float64(runtime.NumCPU()), 1), 10))
}

// eventually waits until f is content.
func (l *lab) eventually(limit time.Duration, what string, f func() error) time.Duration {
	l.t.Helper()
	limit = patience(limit)
	began := time.Now()
	for {
		err := f()
		if err == nil {
			return time.Since(began)
		}
		if time.Since(began) > limit {
			l.t.Fatalf("%s: not within %s: %v", what, limit, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// dial connects from an address of the outside.
func (l *lab) dial(from, to string, timeout time.Duration) (net.Conn, error) {
	var conn net.Conn
	err := testnet.In(l.outside, func() error {
		dialer := net.Dialer{Timeout: timeout, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		var err error
		conn, err = dialer.Dial("tcp", to)
		return err
	})
	return conn, err
}

// hello returns the ClientHello for a server name; empty sends none.
func hello(t testing.TB, name string) []byte {
	t.Helper()
	return helloOf(t, &tls.Config{ServerName: name, InsecureSkipVerify: true})
}

// helloOf returns the ClientHello of a configuration.
func helloOf(t testing.TB, config *tls.Config) []byte {
	t.Helper()
	client, server := net.Pipe()
	defer server.Close()
	defer client.Close()
	go func() { _ = tls.Client(client, config).Handshake() }()
	buffer := make([]byte, 16<<10)
	_ = server.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, err := io.ReadAtLeast(server, buffer, 5)
	if err != nil {
		t.Fatal(err)
	}
	for want := 5 + int(buffer[3])<<8 + int(buffer[4]); n < want; {
		more, err := server.Read(buffer[n:])
		if err != nil {
			t.Fatal(err)
		}
		n += more
	}
	return buffer[:n]
}

// greeting is what a partner says of a connection: the address it was reached at and the address it comes from.
type greeting struct{ To, From string }

// ask connects to the proxy with a server name and returns what the partner said. The connection stays open.
func (l *lab) ask(name string, port int) (net.Conn, greeting, error) {
	return l.askAt(fmt.Sprintf("%s:%d", proxyIP, port), name)
}

// askAt is ask at the proxy with an address.
func (l *lab) askAt(proxy, name string) (net.Conn, greeting, error) {
	conn, err := l.dial(clientIP, proxy, 10*time.Second)
	if err != nil {
		return nil, greeting{}, err
	}
	_ = conn.SetDeadline(time.Now().Add(7 * time.Second))
	if _, err := conn.Write(hello(l.t, name)); err != nil {
		conn.Close()
		return nil, greeting{}, err
	}
	var g greeting
	if err := json.NewDecoder(conn).Decode(&g); err != nil {
		conn.Close()
		return nil, greeting{}, err
	}
	return conn, g, nil
}

// served returns nil if a host is forwarded.
func (l *lab) served(name string, port int) error {
	conn, _, err := l.ask(name, port)
	if err == nil {
		conn.Close()
	}
	return err
}

// refused returns nil if a host is not forwarded.
func (l *lab) refused(name string, port int) error {
	if err := l.served(name, port); err == nil {
		return fmt.Errorf("%s is served", name)
	}
	return nil
}

// get fetches a page of the agent.
func (l *lab) get(path string) (int, string, error) {
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, Dial: func(_, address string) (net.Conn, error) { return l.dial(clientIP, address, time.Second) },
	}}
	response, err := client.Get("http://" + proxyIP + ":8404" + path)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

// ready returns nil if the agent says it is.
func (l *lab) ready() error {
	code, body, err := l.get("/readyz")
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("status %d: %s", code, body)
	}
	return err
}

// up starts the agent and waits until it is ready.
func (l *lab) up() {
	l.t.Helper()
	l.start()
	l.eventually(10*time.Second, "ready", l.ready)
}

// metric returns the value of a metric as /metrics shows it, or "".
func (l *lab) metric(name string) string {
	_, body, err := l.get("/metrics")
	l.must(err)
	for line := range strings.Lines(body) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// haproxy returns the HAProxy processes: the master and its workers.
func (l *lab) haproxy() (master int, workers []int) {
	l.t.Helper()
	masters := childrenOf(l.command.Process.Pid)
	if len(masters) == 0 {
		return 0, nil
	}
	return masters[0], childrenOf(masters[0])
}

func childrenOf(parent int) []int {
	var all []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		var ppid, pid int
		var state string
		_, _ = fmt.Sscanf(string(text[bytes.LastIndexByte(text, ')')+1:]), " %s %d", &state, &ppid)
		_, _ = fmt.Sscanf(filepath.Base(filepath.Dir(path)), "%d", &pid)
		if ppid == parent && state != "Z" {
			all = append(all, pid)
		}
	}
	return all
}

// zone is the public DNS.
type zone struct {
	mu      sync.Mutex
	answers map[string][]string // by name; "*" labels are not known here
	lies    map[string]func(reply *dns.Msg)
	queries map[string]int
	dead    bool
	delay   time.Duration
	server  *dns.Server
}

func newZone(l *lab) *zone {
	z := &zone{answers: map[string][]string{}, lies: map[string]func(*dns.Msg){}, queries: map[string]int{}}
	var packets net.PacketConn
	l.must(testnet.In(l.outside, func() error {
		var err error
		packets, err = net.ListenPacket("udp", dnsIP+":53")
		return err
	}))
	z.server = &dns.Server{PacketConn: packets, Handler: dns.HandlerFunc(z.serve)}
	go func() { _ = z.server.ActivateAndServe() }()
	l.t.Cleanup(func() { packets.Close() })
	return z
}

func (z *zone) serve(w dns.ResponseWriter, query *dns.Msg) {
	z.mu.Lock()
	delay := z.delay
	z.mu.Unlock()
	time.Sleep(delay)
	z.mu.Lock()
	defer z.mu.Unlock()
	name := strings.TrimSuffix(strings.ToLower(query.Question[0].Name), ".")
	z.queries[name]++
	if z.dead {
		return
	}
	reply := new(dns.Msg)
	reply.SetReply(query)
	answers, ok := z.answers[name]
	if !ok {
		reply.Rcode = dns.RcodeNameError
	}
	for _, ip := range answers {
		reply.Answer = append(reply.Answer, &dns.A{
			Hdr: dns.RR_Header{Name: query.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: net.ParseIP(ip),
		})
	}
	if lie := z.lies[name]; lie != nil {
		reply.Rcode = dns.RcodeSuccess
		lie(reply)
	}
	_ = w.WriteMsg(reply)
}

func (z *zone) set(name string, answers ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.answers[name] = answers
}

func (z *zone) kill(dead bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.dead = dead
}

// partners greet whoever connects and then echo.
type partners struct {
	mu   sync.Mutex
	seen int
}

func newPartners(l *lab) *partners {
	p := &partners{}
	for _, address := range []string{"203.0.113.10:443", "203.0.113.11:443", "203.0.113.10:8443"} {
		var listener net.Listener
		l.must(testnet.In(l.outside, func() error {
			var err error
			listener, err = net.Listen("tcp", address)
			return err
		}))
		l.t.Cleanup(func() { listener.Close() })
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				go p.greet(conn)
			}
		}()
	}
	return p
}

func (p *partners) greet(conn net.Conn) {
	defer conn.Close()
	p.mu.Lock()
	p.seen++
	p.mu.Unlock()
	buffer := make([]byte, 64<<10)
	if _, err := conn.Read(buffer); err != nil {
		return
	}
	from, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
	to, _, _ := net.SplitHostPort(conn.LocalAddr().String())
	if err := json.NewEncoder(conn).Encode(greeting{To: to, From: from}); err != nil {
		return
	}
	_, _ = io.Copy(conn, conn)
}

// count returns how many connections have arrived.
func (p *partners) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen
}

// logBuffer holds the agent's log.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
