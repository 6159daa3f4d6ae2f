package incluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/sallyport/sallyport/components/manifests"
	"github.com/sallyport/sallyport/components/poolcontroller"
	"github.com/sallyport/sallyport/lab/container"
	"github.com/sallyport/sallyport/lab/daemon"
	"github.com/sallyport/sallyport/lab/labtest"
	"github.com/sallyport/sallyport/lab/namespace"
	"github.com/sallyport/sallyport/lab/pki"
	"github.com/sallyport/sallyport/proxyimage/routes"
)

const (
	pooledHost   = "api.ledger.example.net"
	partnerIP    = "203.0.113.10"
	poolDNS      = "203.0.113.53"
	clientIP     = "10.0.0.9"
	requestsEach = 20 // per client connection; 1,000 by default, which spreads as well after fifty times as many requests
)

// cluster is a cluster with a pooling controller, a partner, and an application that calls it.
type cluster struct {
	t       *testing.T
	lab     *labtest.Lab
	objects []manifests.Object
	roots   string // authorities that the controllers trust
	routes  string // directory with the document
	client  string // namespace of the application
	partner *web
	service service
	made    int
}

// web is the partner: it counts requests by the address they come from.
type web struct {
	mu      sync.Mutex
	sources map[string]int
}

// ServeHTTP implements http.Handler.
func (w *web) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	_, _ = io.Copy(io.Discard, r.Body)
	w.mu.Lock()
	w.sources[host]++
	w.mu.Unlock()
	_, _ = io.WriteString(out, "ok\n")
}

// reset returns the counts and begins again.
func (w *web) reset() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	counts := w.sources
	w.sources = map[string]int{}
	return counts
}

// service is what kube-proxy makes of the Service: a new connection goes to a random endpoint.
type service struct {
	mu        sync.Mutex
	endpoints []netip.Addr
}

func (s *service) pick() (netip.Addr, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.endpoints) == 0 {
		return netip.Addr{}, errors.New("no endpoint")
	}
	return s.endpoints[rand.IntN(len(s.endpoints))], nil
}

func (s *service) change(change func([]netip.Addr) []netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endpoints = change(s.endpoints)
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	if _, err := os.Stat("../../.build/image/rootfs"); err != nil {
		t.Fatalf("%v: run make image-local", err)
	}
	c := &cluster{t: t, lab: labtest.New(t), routes: t.TempDir(), partner: &web{sources: map[string]int{}}}
	c.client = c.lab.Host(t, "app", clientIP)
	outside := c.lab.Host(t, "partner", partnerIP, poolDNS)
	c.startPartner(outside)
	c.startDNS(outside)

	document, err := routes.Encode(&routes.Document{
		Version: routes.Version, Serial: 1, Clients: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")},
		Routes: []routes.Route{{Name: "ledger", Hosts: []string{pooledHost}, Port: 443, Mode: routes.ModePool}},
	})
	labtest.Must(t, err)
	c.objects, err = poolcontroller.Settings{
		Namespace: "egress", ClusterDomain: "cluster.local", Names: []string{"ledger"}, Ports: []int{443}, Zones: 1, MinReplicas: 3, MaxReplicas: 4,
		CPUMillis: 500, MemoryMiB: 256, DrainSeconds: 15, RequestsPerConnection: requestsEach,
	}.Objects(poolcontroller.Found{Image: "sallyport@sha256:" + strings.Repeat("0", 64), Routes: string(document), DNS: poolDNS})
	labtest.Must(t, err)
	labtest.Must(t, os.Chmod(c.routes, 0o755), os.WriteFile(filepath.Join(c.routes, "routes.json"), document, 0o644))
	return c
}

func (c *cluster) startPartner(space string) {
	c.t.Helper()
	dir := c.t.TempDir()
	labtest.Must(c.t, os.Chmod(dir, 0o755), os.Chmod(filepath.Dir(dir), 0o755))
	authority, err := pki.Open(dir, "incluster")
	labtest.Must(c.t, err)
	certificate, key, err := authority.Leaf(dir, "partner", []string{pooledHost})
	labtest.Must(c.t, err)
	c.roots = filepath.Join(dir, pki.CertificateFile)
	listener, err := namespace.Listen(context.Background(), space, "tcp4", partnerIP+":443")
	labtest.Must(c.t, err)
	server := &http.Server{Handler: c.partner, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: 10 * time.Second}
	pair, err := tls.LoadX509KeyPair(certificate, key)
	labtest.Must(c.t, err)
	server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}}
	go func() { _ = server.ServeTLS(listener, "", "") }()
	c.t.Cleanup(func() { _ = server.Close() })
}

func (c *cluster) startDNS(space string) {
	c.t.Helper()
	packets, err := namespace.ListenPacket(context.Background(), space, "udp4", poolDNS+":53")
	labtest.Must(c.t, err)
	server := &dns.Server{PacketConn: packets, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) {
		reply := new(dns.Msg).SetReply(query)
		if q := query.Question[0]; q.Qtype == dns.TypeA && q.Name == pooledHost+"." {
			reply.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.ParseIP(partnerIP).To4()}}
		}
		_ = w.WriteMsg(reply)
	})}
	go func() { _ = server.ActivateAndServe() }()
	c.t.Cleanup(func() { _ = server.Shutdown() })
}

// controller is one pod.
type controller struct {
	daemon.Daemon
	private, public netip.Addr
}

func (c *cluster) deployment() manifests.Object {
	for _, o := range c.objects {
		if o.Kind() == "Deployment" {
			return o
		}
	}
	c.t.Fatal("no Deployment was rendered")
	return nil
}

// start makes a pod of the rendered Deployment, waits until its readiness probe succeeds, and puts it into the Service.
func (c *cluster) start() *controller {
	c.t.Helper()
	c.made++
	k := &controller{private: netip.AddrFrom4([4]byte{10, 0, 1, byte(c.made)}), public: netip.AddrFrom4([4]byte{198, 51, 100, byte(c.made)})}
	name := fmt.Sprintf("pool-%d", c.made)
	space := c.lab.Host(c.t, name, k.private.String(), k.public.String())
	state := c.t.TempDir()
	rootfs, err := filepath.Abs("../../.build/image/rootfs")
	labtest.Must(c.t, err)
	k.Daemon, err = container.Start(program("labd"), container.Spec{
		Name: name, StateDir: state, Namespace: space, Rootfs: rootfs, Args: []string{"/sallyport-agent"}, UID: 65532, GID: 65532,
		Env: environmentOf(c.deployment()),
		Mounts: []container.Mount{
			{Source: c.routes, Target: "/etc/sallyport/routes", ReadOnly: true},
			{Source: c.roots, Target: "/etc/ssl/certs/ca-certificates.crt", ReadOnly: true},
		},
		Tmpfs: []container.Tmpfs{{Target: "/run/sallyport"}, {Target: "/var/lib/sallyport"}},
	})
	labtest.Must(c.t, err)
	c.t.Cleanup(func() {
		_ = k.Stop(context.Background(), 0)
		if c.t.Failed() {
			text, _ := os.ReadFile(filepath.Join(state, name+".log"))
			c.t.Logf("%s:\n%s", name, text[max(0, len(text)-4096):])
		}
	})
	deadline := time.Now().Add(40 * time.Second)
	for {
		response, err := namespace.HTTPClient(c.client, time.Second).Get(fmt.Sprintf("http://%s:%d/readyz", k.private, poolcontroller.HealthPort))
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				break
			}
			err = errors.New(response.Status)
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%s is not ready: %v", name, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	c.service.change(func(all []netip.Addr) []netip.Addr { return append(all, k.private) })
	return k
}

// remove does what Kubernetes does with a pod that is deleted: the nodes hear of it, some a second later, while preStop sleeps; then
// SIGTERM, and SIGKILL when the grace period is over.
func (c *cluster) remove(k *controller) {
	c.t.Helper()
	pod := c.deployment()["spec"].(manifests.Map)["template"].(manifests.Map)["spec"].(manifests.Map)
	container := pod["containers"].([]any)[0].(manifests.Map)
	sleep := container["lifecycle"].(manifests.Map)["preStop"].(manifests.Map)["sleep"].(manifests.Map)["seconds"].(int)
	grace := pod["terminationGracePeriodSeconds"].(int)
	began := time.Now()
	time.AfterFunc(time.Second, func() {
		c.service.change(func(all []netip.Addr) []netip.Addr {
			var left []netip.Addr
			for _, ip := range all {
				if ip != k.private {
					left = append(left, ip)
				}
			}
			return left
		})
	})
	time.Sleep(time.Duration(sleep) * time.Second)
	labtest.Must(c.t, k.Signal(syscall.SIGTERM))
	for k.Alive() {
		if time.Since(began) > time.Duration(grace)*time.Second {
			c.t.Errorf("the controller did not end within the grace period of %d s", grace)
			labtest.Must(c.t, k.Signal(syscall.SIGKILL))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// traffic is the application: so many requests a second over keep-alive connections. POST requests are not repeated by Go's client.
type traffic struct {
	sent, failed atomic.Int64
	stop         chan struct{}
	done         sync.WaitGroup
	mu           sync.Mutex
	reasons      map[string]int
}

func (c *cluster) call(perSecond, clients int) *traffic {
	c.t.Helper()
	tr := &traffic{stop: make(chan struct{}), reasons: map[string]int{}}
	work := make(chan struct{}, perSecond*5)
	for range clients {
		transport := &http.Transport{
			MaxIdleConnsPerHost: 1, MaxConnsPerHost: 1,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				endpoint, err := c.service.pick()
				if err != nil {
					return nil, err
				}
				return namespace.Dial(ctx, c.client, "tcp4", netip.AddrPortFrom(endpoint, poolcontroller.Port).String())
			},
		}
		client := &http.Client{Transport: transport, Timeout: 20 * time.Second}
		tr.done.Go(func() {
			defer transport.CloseIdleConnections()
			for range work {
				tr.one(client)
			}
		})
	}
	tr.done.Go(func() {
		defer close(work)
		began, sent := time.Now(), 0
		for ticker := time.NewTicker(2 * time.Millisecond); ; {
			select {
			case <-tr.stop:
				ticker.Stop()
				return
			case <-ticker.C:
				for due := int(time.Since(began).Seconds() * float64(perSecond)); sent < due; sent++ {
					work <- struct{}{}
				}
			}
		}
	})
	return tr
}

func (tr *traffic) one(client *http.Client) {
	tr.sent.Add(1)
	response, err := client.Post("http://ledger.egress.svc/pay", "text/plain", strings.NewReader("1"))
	if err == nil {
		_, err = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if err == nil && response.StatusCode != http.StatusOK {
			err = errors.New(response.Status + " " + response.Header.Get("Sallyport-Error"))
		}
	}
	if err != nil {
		tr.failed.Add(1)
		tr.mu.Lock()
		tr.reasons[err.Error()]++
		tr.mu.Unlock()
	}
}

// end stops the traffic and waits for the last answer.
func (tr *traffic) end() {
	close(tr.stop)
	tr.done.Wait()
}

func TestThePoolLosesNoRequest(t *testing.T) {
	c := newCluster(t)
	const perSecond, clients = 500, 25
	running := []*controller{c.start(), c.start(), c.start()}

	t.Run("rolling restart of three", func(t *testing.T) {
		tr := c.call(perSecond, clients)
		time.Sleep(2 * time.Second)
		for i := range running { // as the Deployment does it: the new one is ready before the old one goes
			next := c.start()
			c.remove(running[i])
			running[i] = next
		}
		time.Sleep(time.Second)
		tr.end()
		t.Logf("%d requests, %d failed %v", tr.sent.Load(), tr.failed.Load(), tr.reasons)
		if tr.failed.Load() > 0 {
			t.Errorf("%d of %d requests failed", tr.failed.Load(), tr.sent.Load())
		}
	})

	c.remove(running[2])
	running = running[:2]
	t.Run("from two to four", func(t *testing.T) {
		tr := c.call(perSecond, clients)
		time.Sleep(2 * time.Second)
		running = append(running, c.start(), c.start())
		time.Sleep(time.Duration(clients*requestsEach) * time.Second / perSecond) // every connection has ended once
		c.partner.reset()
		before := tr.sent.Load()
		time.Sleep(30 * time.Second)
		counts := c.partner.reset()
		requests := tr.sent.Load() - before
		tr.end()
		total := 0
		for _, n := range counts {
			total += n
		}
		worst := 0.0
		for _, k := range running {
			share := float64(counts[k.public.String()]) / float64(total) * float64(len(running))
			worst = max(worst, max(share-1, 1-share))
		}
		t.Logf("%d requests, %d failed; of the %d after the new ones were known, each of %d controllers had a share within %.0f %% of even: %v",
			tr.sent.Load(), tr.failed.Load(), requests, len(running), 100*worst, counts)
		if tr.failed.Load() > 0 {
			t.Errorf("%d failed: %v", tr.failed.Load(), tr.reasons)
		}
		if worst > 0.15 {
			t.Errorf("a controller is %.0f %% off its share: %v", 100*worst, counts)
		}
	})
}
