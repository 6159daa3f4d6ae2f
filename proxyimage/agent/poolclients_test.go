package agent_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/proxyimage/routes"
	"github.com/sallyport/sallyport/proxyimage/testnet"
)

// another starts a further agent at secondIP, in the namespace of the lab's own, and waits until it is ready.
func (l *lab) another(environment ...string) {
	l.t.Helper()
	l.must(testnet.In(l.proxy, func() error { return testnet.AddAddresses("px0", secondIP+"/24") }))
	command := l.agent(l.proxy, append([]string{
		"SALLYPORT_LISTEN=" + secondIP, "SALLYPORT_HTTP_LISTEN=" + secondIP + ":8404", "SALLYPORT_SOURCE_IPS=198.51.100.2",
		"SALLYPORT_STATE_DIR=" + filepath.Join(l.dir, "second"), "SALLYPORT_RUN_DIR=" + filepath.Join(l.dir, "run2"),
	}, environment...)...)
	l.t.Cleanup(func() { _ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL); _ = command.Wait() })
	l.eventually(10*time.Second, "the second agent ready", func() error {
		client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(context.Context, string, string) (net.Conn, error) {
				return l.dial(clientIP, secondIP+":8404", 2*time.Second)
			},
		}}
		response, err := client.Get("http://second/readyz")
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("status %s", response.Status)
		}
		return nil
	})
}

// newPairLab is a pool lab whose own agent leaves the second address to another one.
func newPairLab(t *testing.T) (*lab, *authority) {
	t.Helper()
	l, ca := newPoolLab(t)
	l.env = append(l.env, "SALLYPORT_HTTP_LISTEN="+proxyIP+":8404")
	return l, ca
}

// A persistent client meets a controller that was added within its next 1,000 requests: its connections end by then, and new ones
// go wherever the Service sends them, here to each in turn.
func TestPoolRequestsSpreadOverANewController(t *testing.T) {
	t.Parallel()
	l, ca := newPairLab(t)
	w := l.servePool(ca, poolRoute("payments", "api.example.com"), webOptions{})
	controllers := []string{proxyIP}
	var dials, second atomic.Int64
	client := &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			to := controllers[int(dials.Add(1))%len(controllers)]
			if to == secondIP {
				second.Add(1)
			}
			return l.dial(clientIP, to+":8080", 2*time.Second)
		},
	}}
	t.Cleanup(client.CloseIdleConnections)
	request := func() {
		if code, _, _, err := call(client, http.MethodPost, "http://api.example.com/", "x"); err != nil || code != http.StatusOK {
			t.Fatalf("status %d, %v", code, err)
		}
	}
	request() // the connection is there before the second controller
	l.another()
	controllers = []string{secondIP, proxyIP} // the second dial is the new one's
	dials.Store(1)
	needed := 0
	for ; second.Load() == 0 && needed < 1000; needed++ {
		request()
	}
	t.Logf("the new controller had its first request after %d", needed)
	if second.Load() == 0 || needed < 500 {
		t.Errorf("%d requests until the new controller had one, want 750 to 1000", needed)
	}
	if got := w.connections.Load(); got > 4 {
		t.Errorf("the partner saw %d connections", got)
	}
}

// HAProxy 2.6 ends no HTTP/2 connection by itself; the agent has it reloaded instead. Nothing that is under way fails.
func TestPoolRecyclesHTTP2Clients(t *testing.T) {
	t.Parallel()
	l, ca := newPoolLab(t, "SALLYPORT_REQUESTS_PER_CONNECTION=100")
	l.servePool(ca, poolRoute("payments", "api.example.com"), webOptions{})
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	client, dials := l.poolClient(&protocols)
	done := 0
	for deadline := time.Now().Add(40 * time.Second); dials.Load() < 3 && time.Now().Before(deadline); done++ {
		if code, _, _, err := call(client, http.MethodPost, "http://api.example.com/", "x"); err != nil || code != http.StatusOK {
			t.Fatalf("request %d: status %d, %v", done, code, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Logf("%d requests over %d connections", done, dials.Load())
	if dials.Load() < 3 {
		t.Errorf("%d requests over %d connections, want at least 3", done, dials.Load())
	}
	if got := l.metric("sallyport_pool_recycles_total"); got == "" || got == "0" {
		t.Errorf("%q recyclings are counted", got)
	}
}

// The pool reaches destinations through the proxies of the document, although their addresses are private, and asks no DNS.
func TestPoolGoesThroughTheFleet(t *testing.T) {
	t.Parallel()
	l, ca := newPairLab(t)
	w := l.web("203.0.113.10", ca.leaf(t, "api.example.com", "x.wild.example.net"), webOptions{})
	l.zone.set("api.example.com", "203.0.113.10")
	l.zone.set("x.wild.example.net", "203.0.113.10")
	fleetRoute := routes.Route{Name: "fleet", Hosts: []string{"api.example.com", "*.wild.example.net"}, Port: poolPort}
	fleetDocument := poolDocument(1, fleetRoute)
	fleetDocument.Clients = []netip.Prefix{netip.MustParsePrefix(secondIP + "/32"), netip.MustParsePrefix(proxyIP + "/32")}
	text, err := routes.Encode(&fleetDocument)
	l.must(err)
	file := filepath.Join(l.dir, "fleet.json")
	l.must(os.WriteFile(file, text, 0o600))
	l.another("SALLYPORT_MODE=passthrough", "SALLYPORT_ROUTES=file://"+file)
	doc := poolDocument(1, poolRoute("payments", "api.example.com"), poolRoute("wild", "*.wild.example.net"))
	doc.Proxies = []routes.Proxy{
		{Name: "proxy-a-1", Zone: "a", Address: netip.MustParseAddr(secondIP)},
		{Name: "proxy-a-2", Zone: "a", Address: netip.MustParseAddr("10.0.0.77")}, // nobody is there
	}
	l.publish(doc)
	l.env = append(l.env, "SALLYPORT_POOL_UPSTREAM=fleet", "SALLYPORT_DNS_SERVERS=203.0.113.99")
	l.up()
	l.eventually(5*time.Second, "the absent proxy found out", func() error {
		if strings.Count(l.log.String(), `"msg":"proxy is healthy"`) == 0 {
			return fmt.Errorf("no proxy is healthy yet")
		}
		return nil
	})
	client, _ := l.poolClient(nil)
	for i := range 20 {
		for _, host := range []string{"api.example.com", "x.wild.example.net"} {
			code, a, _, err := call(client, http.MethodPost, "http://"+host+"/", "x")
			if err != nil || code != http.StatusOK || a.Name != host || a.Host != fmt.Sprintf("%s:%d", host, poolPort) {
				t.Fatalf("request %d to %s: status %d, %+v, %v", i, host, code, a, err)
			}
		}
	}
	if w.requests.Load() != 40 || w.connections.Load() > 8 {
		t.Errorf("%d requests over %d connections", w.requests.Load(), w.connections.Load())
	}
	// A document without proxies leaves no way, and says so.
	doc.Serial, doc.Proxies = 2, nil
	l.publish(doc)
	l.eventually(5*time.Second, "no way", func() error {
		code, _, header, err := call(client, http.MethodGet, "http://api.example.com/", "")
		if err == nil && (code != http.StatusServiceUnavailable || header.Get("Sallyport-Error") != "no-proxy") {
			err = fmt.Errorf("status %d, %q", code, header.Get("Sallyport-Error"))
		}
		return err
	})
}
