package incluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/sallyport/sallyport/components/manifests"
	"github.com/sallyport/sallyport/components/nodelocaldns"
	"github.com/sallyport/sallyport/lab/delay"
	"github.com/sallyport/sallyport/lab/labtest"
	"github.com/sallyport/sallyport/lab/namespace"
)

const (
	nodeIP   = "10.0.0.1"
	farDNS   = "10.0.0.53" // plays the cluster's DNS and the network's resolver
	farDelay = time.Millisecond
)

var cacheServer = nodelocaldns.DefaultAddress + ":53"

// node is a node with its DNS cache, and a name server 2 ms away.
type node struct {
	t      *testing.T
	name   string // namespace of the node, and of its pods: both are one hop from the cache
	far    *farServer
	config string // path of the Corefile
}

// newNode makes the node; the cache is started by start.
func newNode(t *testing.T, settings nodelocaldns.Settings, change func(corefile string) string) *node {
	t.Helper()
	if _, err := os.Stat(program("coredns")); err != nil {
		t.Fatalf("%v: run make tools", err)
	}
	n := &node{t: t, name: labtest.Namespace(t)}
	farSpace := labtest.Namespace(t)
	labtest.Must(t, namespace.EnsureBridge(n.name, "nodelocaldns", netip.MustParsePrefix(nodelocaldns.DefaultAddress+"/32")))
	link, err := delay.Start(farDelay, [2]delay.End{
		{Namespace: n.name, Address: netip.MustParseAddr(nodeIP), Peer: netip.MustParsePrefix(farDNS + "/32")},
		{Namespace: farSpace, Address: netip.MustParseAddr(farDNS), Peer: netip.MustParsePrefix(nodeIP + "/32")},
	})
	labtest.Must(t, err)
	t.Cleanup(func() { _ = link.Close() })
	n.far = newFarServer(t, farSpace)

	objects, err := settings.Objects(nodelocaldns.Found{ClusterDNS: farDNS})
	labtest.Must(t, err)
	resolvConf := filepath.Join(t.TempDir(), "resolv.conf") // the node's own, which the cache asks for names outside
	labtest.Must(t, os.WriteFile(resolvConf, []byte("nameserver "+farDNS+"\n"), 0o644))
	corefile := strings.ReplaceAll(corefileOf(t, objects), "/etc/resolv.conf", resolvConf)
	if change != nil {
		corefile = change(corefile)
	}
	n.config = filepath.Join(t.TempDir(), "Corefile")
	labtest.Must(t, os.WriteFile(n.config, []byte(corefile), 0o644))
	return n
}

// linkLocal are the settings of most tests.
func linkLocal() nodelocaldns.Settings {
	return nodelocaldns.Settings{
		Mode: nodelocaldns.LinkLocal, Namespace: "kube-system", ClusterDomain: "cluster.local", Image: nodelocaldns.Image,
		ServeStale: time.Hour, MaxConcurrent: 1000, MemoryMiB: 256,
	}
}

func corefileOf(t *testing.T, objects []manifests.Object) string {
	t.Helper()
	for _, o := range objects {
		if o.Kind() == "ConfigMap" {
			return o["data"].(manifests.Map)["Corefile.base"].(string)
		}
	}
	t.Fatal("no ConfigMap was rendered")
	return ""
}

// program is what make has built.
func program(name string) string {
	path, err := filepath.Abs(filepath.Join("../../.build/bin", name))
	if err != nil {
		panic(err)
	}
	return path
}

// run starts a program in the node's network. It is killed at the end of the test.
func (n *node) run(name string, environment []string, arguments ...string) *exec.Cmd {
	n.t.Helper()
	command := exec.Command(program(name), arguments...)
	command.Env = append(os.Environ(), environment...)
	log := &tail{}
	command.Stdout, command.Stderr = log, log
	labtest.Must(n.t, namespace.Start(n.name, command))
	n.t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		if n.t.Failed() {
			n.t.Logf("%s %v:\n%s", name, arguments, log)
		}
	})
	return command
}

// start starts a cache and waits until it, and not an older one, answers.
func (n *node) start() *exec.Cmd {
	n.t.Helper()
	command := n.run("coredns", nil, "-conf", n.config)
	n.eventually(30*time.Second, "the cache listens", func() error {
		return listens(command.Process.Pid, n.name)
	})
	n.eventually(10*time.Second, "the cache is healthy", func() error {
		response, err := namespace.HTTPClient(n.name, time.Second).Get(fmt.Sprintf("http://%s:%d/health", nodelocaldns.DefaultAddress, nodelocaldns.HealthPort))
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return errors.New(response.Status)
		}
		return nil
	})
	return command
}

// listens reports whether a process has the UDP socket of port 53.
func listens(pid int, space string) error {
	var sockets []string
	err := namespace.Do(space, func() error {
		text, err := os.ReadFile("/proc/thread-self/net/udp")
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if len(fields) > 9 && strings.HasSuffix(fields[1], ":0035") {
				sockets = append(sockets, "socket:["+fields[9]+"]")
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		return err
	}
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && slices.Contains(sockets, target) {
			return nil
		}
	}
	return fmt.Errorf("process %d does not listen yet", pid)
}

// stop tells a program to stop, as the kubelet does, and waits for its end.
func stop(t *testing.T, command *exec.Cmd) {
	t.Helper()
	labtest.Must(t, command.Process.Signal(syscall.SIGTERM))
	_ = command.Wait()
}

func (n *node) eventually(limit time.Duration, what string, check func() error) {
	n.t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("%s: not within %s: %v", what, limit, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// metric sums a figure of the cache over all series that contain the text.
func (n *node) metric(name, containing string) float64 {
	n.t.Helper()
	response, err := namespace.HTTPClient(n.name, 5*time.Second).Get(fmt.Sprintf("http://%s:%d/metrics", nodelocaldns.DefaultAddress, nodelocaldns.MetricsPort))
	labtest.Must(n.t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	labtest.Must(n.t, err)
	sum := 0.0
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, name+"{") && strings.Contains(line, containing) {
			fields := strings.Fields(line)
			value, err := strconv.ParseFloat(fields[len(fields)-1], 64)
			labtest.Must(n.t, err)
			sum += value
		}
	}
	return sum
}

// asked is the result of a run of queries.
type asked struct {
	mu     sync.Mutex
	total  int
	failed map[string]int // by error or response code
	took   []time.Duration
}

func (a *asked) note(reply *dns.Msg, err error, took time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.total++
	a.took = append(a.took, took)
	switch {
	case err != nil:
		switch reason := err.Error(); {
		case errors.Is(err, os.ErrDeadlineExceeded):
			a.failed["timeout"]++
		case errors.Is(err, syscall.ECONNREFUSED):
			a.failed["refused"]++
		default:
			a.failed[reason]++
		}
	case reply.Rcode != dns.RcodeSuccess:
		a.failed[dns.RcodeToString[reply.Rcode]]++
	}
}

func (a *asked) failures() int {
	total := 0
	for _, n := range a.failed {
		total += n
	}
	return total
}

// quantile of the times, 0 to 1.
func (a *asked) quantile(q float64) time.Duration {
	slices.Sort(a.took)
	return a.took[min(len(a.took)-1, int(q*float64(len(a.took))))]
}

// load asks a server at a rate, each query from a socket of its own as pods do, until stop is closed. One try, two seconds.
func (n *node) load(server string, perSecond int, names []string, stop <-chan struct{}) *asked {
	a := &asked{failed: map[string]int{}}
	queries := make(chan string, perSecond*5)
	var workers sync.WaitGroup
	for range 64 {
		workers.Go(func() {
			err := namespace.Do(n.name, func() error { // sockets belong to the thread's namespace
				client := &dns.Client{Timeout: 2 * time.Second}
				for name := range queries {
					began := time.Now()
					reply, _, err := client.Exchange(new(dns.Msg).SetQuestion(name, dns.TypeA), server)
					a.note(reply, err, time.Since(began))
				}
				return nil
			})
			if err != nil {
				a.note(nil, err, 0)
			}
		})
	}
	began, sent := time.Now(), 0
	for ticker := time.NewTicker(2 * time.Millisecond); ; {
		select {
		case <-stop:
			ticker.Stop()
			close(queries)
			workers.Wait()
			return a
		case <-ticker.C:
			for due := int(time.Since(began).Seconds() * float64(perSecond)); sent < due; sent++ {
				queries <- names[sent%len(names)]
			}
		}
	}
}

// during runs the load while something happens.
func (n *node) during(perSecond int, names []string, event func()) *asked {
	stop, done := make(chan struct{}), make(chan *asked, 1)
	go func() { done <- n.load(cacheServer, perSecond, names, stop) }()
	event()
	close(stop)
	return <-done
}

// farServer is the name server 2 ms away. It knows every name below example.com, example.org and proxied.example.net, and nothing else.
type farServer struct {
	queries atomic.Int64
	silent  atomic.Bool // receives and does not answer, as behind a dead link
	ttl     atomic.Int64
	servers []*dns.Server
}

func newFarServer(t *testing.T, space string) *farServer {
	t.Helper()
	f := &farServer{}
	f.ttl.Store(30)
	packets, err := namespace.ListenPacket(context.Background(), space, "udp4", farDNS+":53")
	labtest.Must(t, err)
	stream, err := namespace.Listen(context.Background(), space, "tcp4", farDNS+":53")
	labtest.Must(t, err)
	f.servers = []*dns.Server{{PacketConn: packets, Handler: f}, {Listener: stream, Handler: f}}
	for _, server := range f.servers {
		go func() { _ = server.ActivateAndServe() }()
	}
	t.Cleanup(f.close)
	return f
}

// close ends the server: connections are refused then.
func (f *farServer) close() {
	for _, server := range f.servers {
		_ = server.Shutdown()
	}
}

// ServeDNS implements dns.Handler.
func (f *farServer) ServeDNS(w dns.ResponseWriter, query *dns.Msg) {
	f.queries.Add(1)
	if f.silent.Load() {
		return
	}
	q := query.Question[0]
	reply := new(dns.Msg).SetReply(query)
	ttl := uint32(f.ttl.Load())
	known := strings.HasSuffix(q.Name, ".example.com.") || strings.HasSuffix(q.Name, ".example.org.") || strings.HasSuffix(q.Name, ".example.net.")
	switch {
	case !known:
		reply.Rcode = dns.RcodeNameError
	case q.Qtype == dns.TypeA:
		reply.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: ttl}, A: []byte{203, 0, 113, 10}}}
	}
	if len(reply.Answer) == 0 {
		reply.Ns = []dns.RR{&dns.SOA{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: ttl}, Ns: "a.", Mbox: "b.", Serial: 1, Refresh: 1, Retry: 1, Expire: 1, Minttl: ttl}}
	}
	_ = w.WriteMsg(reply)
}

// tail keeps the end of a program's output.
type tail struct {
	mu   sync.Mutex
	text []byte
}

// Write implements io.Writer.
func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	if surplus := len(l.text) - 8192; surplus > 0 {
		l.text = l.text[surplus:]
	}
	return len(p), nil
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}
