package agent_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netns"

	"github.com/sallyport/sallyport/proxyimage/routes"
	"github.com/sallyport/sallyport/proxyimage/testnet"
)

// requests is the load of a client that goes by the resolver's answers for as long as they live, which is a second.
type requests struct {
	l    *lab
	stop chan struct{}

	mu      sync.Mutex
	answer  string
	until   time.Time
	byProxy map[string]int
	done    atomic.Int64
	failed  atomic.Int64
}

// proxy returns the first address of an answer that is not older than its TTL.
func (r *requests) proxy() (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now(); now.After(r.until) {
		answer, err := r.l.lookup("api.example.com")
		if err != nil {
			return "", err
		}
		r.answer, r.until = answer, now.Add(time.Second)
	}
	all := strings.Fields(r.answer)
	return all[rand.IntN(len(all))], nil
}

// request opens a connection, sends a request in parts over a while, and expects all of it back.
func (r *requests) request() error {
	proxy, err := r.proxy()
	if err != nil {
		return err
	}
	conn, _, err := r.l.askAt(net.JoinHostPort(proxy, "443"), "api.example.com")
	if err != nil {
		return fmt.Errorf("new connection to %s: %w", proxy, err)
	}
	defer conn.Close()
	r.mu.Lock()
	r.byProxy[proxy]++
	r.mu.Unlock()
	buffer := make([]byte, 1000)
	for range rand.IntN(20) { // up to 3 s, well within the drain
		time.Sleep(150 * time.Millisecond)
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := conn.Write(buffer); err != nil {
			return fmt.Errorf("in flight through %s: %w", proxy, err)
		}
		if _, err := io.ReadFull(conn, buffer); err != nil {
			return fmt.Errorf("in flight through %s: %w", proxy, err)
		}
	}
	return nil
}

// run sends requests from n clients until stop is closed.
func (r *requests) run(n int, group *sync.WaitGroup) {
	for range n {
		group.Go(func() {
			for {
				select {
				case <-r.stop:
					return
				default:
				}
				r.done.Add(1)
				if err := r.request(); err != nil {
					r.failed.Add(1)
					r.l.t.Logf("%s: %v", time.Now().UTC().Format(time.RFC3339Nano), err)
				}
			}
		})
	}
}

// taken returns how many connections a proxy has had.
func (r *requests) taken(proxy string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byProxy[proxy]
}

// secondIP is the address of a second proxy, and secondSource where its connections come from.
const (
	secondIP     = "10.0.0.9"
	secondSource = "198.51.100.9"
)

// secondProxy makes a namespace for a second proxy with a cable of its own.
func (l *lab) secondProxy() netns.NsHandle {
	l.t.Helper()
	second := testnet.Namespace(l.t)
	l.must(testnet.Cable(
		testnet.End{Namespace: l.outside, Name: "out1", Networks: []string{secondIP + "/32", secondSource + "/32"}},
		testnet.End{
			Namespace: second, Name: "px1", Networks: []string{"10.0.0.0/24", "203.0.113.0/24"},
			Addresses: []string{secondIP + "/32", secondSource + "/32"},
		},
	))
	return second
}

// Two proxies are stopped one after the other while clients send requests: nothing in flight fails, nobody is refused.
func TestStoppingProxiesUnderLoadFailsNothing(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.env = append(l.env, "SALLYPORT_DRAIN=20s")
	l.zone.set("api.example.com", "203.0.113.10", "203.0.113.11")
	doc := document(1, "api.example.com")
	doc.Proxies = append(doc.Proxies, routes.Proxy{Name: "proxy-b-1", Zone: "b", Address: netip.MustParseAddr(secondIP)})
	l.publish(doc)
	state := 0
	start := func(where netns.NsHandle, more ...string) *exec.Cmd {
		state++
		return l.agent(where, append(more, fmt.Sprintf("SALLYPORT_STATE_DIR=%s/state-%d", l.dir, state), fmt.Sprintf("SALLYPORT_RUN_DIR=%s/run-%d", l.dir, state))...)
	}
	resolver := start(l.outside, "SALLYPORT_MODE=resolver")
	t.Cleanup(func() { _ = syscall.Kill(-resolver.Process.Pid, syscall.SIGKILL); _ = resolver.Wait() })
	other := start(l.secondProxy(), "SALLYPORT_LISTEN="+secondIP, "SALLYPORT_SOURCE_IPS="+secondSource)
	t.Cleanup(func() { _ = syscall.Kill(-other.Process.Pid, syscall.SIGKILL); _ = other.Wait() })
	l.up()
	// The answer alone does not tell: with no healthy proxy it names both.
	healthy := func(n int) func() error {
		return func() error {
			if got := strings.Count(l.log.String(), `"msg":"proxy is healthy"`); got != n {
				return fmt.Errorf("%d times a proxy became healthy, want %d", got, n)
			}
			return nil
		}
	}
	l.eventually(5*time.Second, "both proxies healthy", healthy(2))

	load := &requests{l: l, stop: make(chan struct{}), byProxy: map[string]int{}}
	var group sync.WaitGroup
	load.run(60, &group)
	time.Sleep(1500 * time.Millisecond)
	began := time.Now()
	l.must(l.command.Process.Signal(syscall.SIGTERM))
	<-l.ended
	t.Logf("the first proxy ended %s after SIGTERM: %v", time.Since(began).Round(time.Millisecond), l.exit)
	if l.exit != nil || time.Since(began) > 19*time.Second {
		t.Errorf("it ended with %v after %s of a drain of 20s", l.exit, time.Since(began))
	}
	without := load.taken(proxyIP)
	time.Sleep(time.Second)
	if got := load.taken(proxyIP); got != without {
		t.Errorf("%d connections through a proxy that has ended", got-without)
	}
	l.env = append(l.env, "SALLYPORT_STATE_DIR="+filepath.Join(l.dir, "state-again"), "SALLYPORT_RUN_DIR="+filepath.Join(l.dir, "run-again"))
	l.up()
	l.eventually(5*time.Second, "both proxies healthy again", healthy(3))
	time.Sleep(1500 * time.Millisecond)
	l.must(other.Process.Signal(syscall.SIGTERM))
	if err := other.Wait(); err != nil {
		t.Errorf("exit of the second proxy: %v", err)
	}
	close(load.stop)
	group.Wait()
	t.Logf("%d requests, %d failed; by proxy %v", load.done.Load(), load.failed.Load(), load.byProxy)
	if load.failed.Load() > 0 || load.done.Load() < 300 || load.taken(proxyIP) < 50 || load.taken(secondIP) < 50 {
		t.Errorf("%d of %d requests failed, by proxy %v", load.failed.Load(), load.done.Load(), load.byProxy)
	}
}
