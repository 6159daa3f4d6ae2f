package agent_test

import (
	"crypto/ecdsa"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/proxyimage/routes"
)

func TestPoolSharesConnectionsBetweenClients(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		alpn     []routes.ALPN
		protocol string
		most     int64 // connections
	}{
		"HTTP/1.1": {[]routes.ALPN{routes.ALPNHTTP11}, "HTTP/1.1", 8},
		"HTTP/2":   {[]routes.ALPN{routes.ALPNHTTP2}, "HTTP/2.0", 2},
	} {
		t.Run(name, func(t *testing.T) {
			l, ca := newPoolLab(t)
			w := l.web("203.0.113.10", ca.leaf(t, "api.example.com"), webOptions{})
			l.zone.set("api.example.com", "203.0.113.10")
			route := poolRoute("payments", "api.example.com")
			route.Pool = &routes.Pool{ALPN: test.alpn}
			l.publish(poolDocument(1, route))
			l.up()
			warm, _ := l.poolClient(nil) // clients that come all at once while there is no connection get one each
			if code, _, _, err := call(warm, http.MethodGet, "http://api.example.com/", ""); err != nil || code != http.StatusOK {
				t.Fatalf("status %d, %v", code, err)
			}
			var group sync.WaitGroup
			for range 8 {
				group.Go(func() {
					for range 5 { // a new client each time: nobody's connection is kept but the pool's
						client, _ := l.poolClient(nil)
						for range 10 {
							code, a, _, err := call(client, http.MethodGet, "http://api.example.com/a?b=c", "")
							if err != nil || code != http.StatusOK || a.Host != "api.example.com:9443" || a.Name != "api.example.com" || a.URI != "/a?b=c" || a.Protocol != test.protocol {
								t.Errorf("status %d, %+v, %v", code, a, err)
								return
							}
						}
						client.CloseIdleConnections()
					}
				})
			}
			group.Wait()
			if got := w.connections.Load(); w.requests.Load() != 401 || got > test.most {
				t.Errorf("%d requests came over %d connections, want at most %d", w.requests.Load(), got, test.most)
			}
			l.eventually(5*time.Second, "figures", func() error {
				requests, opened := l.metric(`sallyport_pool_requests_total{code="2xx",destination="payments"}`), l.metric(`sallyport_pool_connections_total{destination="payments"}`)
				if requests != "401" || opened != fmt.Sprint(w.connections.Load()) {
					return fmt.Errorf("%s requests, %s connections counted", requests, opened)
				}
				return nil
			})
		})
	}
}

// serve starts a pool with one exact host on one address and returns its partner.
func (l *lab) servePool(ca *authority, route routes.Route, o webOptions) *web {
	l.t.Helper()
	w := l.web("203.0.113.10", ca.leaf(l.t, route.Hosts...), o)
	for _, host := range route.Hosts {
		l.zone.set(host, "203.0.113.10")
	}
	l.publish(poolDocument(1, route))
	l.up()
	return w
}

func TestPoolKeepsHostsOnOneAddressApart(t *testing.T) {
	t.Parallel()
	l, ca := newPoolLab(t)
	hosts := []string{"a.example.com", "b.example.com", "c.wild.example.net", "d.wild.example.net"}
	l.web("203.0.113.10", ca.leaf(t, hosts...), webOptions{})
	for _, host := range hosts {
		l.zone.set(host, "203.0.113.10")
	}
	l.publish(poolDocument(1, poolRoute("both", hosts[0], hosts[1]), poolRoute("wild", "*.wild.example.net")))
	l.up()
	client, _ := l.poolClient(nil)
	for i := range 40 {
		host := hosts[i%len(hosts)]
		code, a, _, err := call(client, http.MethodGet, "http://"+host+"/", "")
		if err != nil || code != http.StatusOK || a.Host != host+":9443" || a.Name != host {
			t.Fatalf("%s: status %d, %+v, %v", host, code, a, err)
		}
	}
}

func TestPoolVerifiesCertificates(t *testing.T) {
	t.Parallel()
	l, ca := newPoolLab(t)
	other := newAuthority(t, "private")
	client := other.leaf(t, "sallyport client")
	caFile, certFile := filepath.Join(l.dir, "private.pem"), filepath.Join(l.dir, "client.pem")
	writeCertificate(t, caFile, other.certificate.Raw, nil)
	writeCertificate(t, certFile, client.Certificate[0], client.PrivateKey.(*ecdsa.PrivateKey))
	wrong := l.web("203.0.113.10", ca.leaf(t, "other.example.com"), webOptions{})
	private := l.web("203.0.113.11", other.leaf(t, "bank.example.com", "public.example.com", "anonymous.example.com"), webOptions{clients: other.pool()})
	l.zone.set("wrong.example.com", "203.0.113.10")
	for _, host := range []string{"bank.example.com", "public.example.com", "anonymous.example.com"} {
		l.zone.set(host, "203.0.113.11")
	}
	bank, anonymous, absent := poolRoute("bank", "bank.example.com"), poolRoute("anonymous", "anonymous.example.com"), poolRoute("absent", "absent.example.com")
	bank.Pool = &routes.Pool{CAFile: caFile, CertFile: certFile}
	anonymous.Pool = &routes.Pool{CAFile: caFile}
	absent.Pool = &routes.Pool{CAFile: filepath.Join(l.dir, "absent.pem")}
	l.publish(poolDocument(1, poolRoute("wrong", "wrong.example.com"), poolRoute("public", "public.example.com"), bank, anonymous, absent))
	l.up()
	app, _ := l.poolClient(nil)
	code, a, _, err := call(app, http.MethodGet, "http://bank.example.com/", "")
	if err != nil || code != http.StatusOK || a.Client != "sallyport client" {
		t.Errorf("private authority and client certificate: status %d, %+v, %v", code, a, err)
	}
	for name, test := range map[string]struct{ host, reason string }{
		"certificate for another name":    {"wrong.example.com", "connect-failed"},
		"authority that is not trusted":   {"public.example.com", "connect-failed"},
		"no client certificate":           {"anonymous.example.com", ""},
		"authorities that cannot be read": {"absent.example.com", "bad-file"},
	} {
		code, _, header, err := call(app, http.MethodGet, "http://"+test.host+"/", "")
		if err != nil || code != http.StatusServiceUnavailable && code != http.StatusBadGateway || test.reason != "" && header.Get("Sallyport-Error") != test.reason {
			t.Errorf("%s: status %d, header %v, %v", name, code, header, err)
		}
	}
	if wrong.requests.Load() != 0 || private.requests.Load() != 1 {
		t.Errorf("requests reached %d and %d", wrong.requests.Load(), private.requests.Load())
	}
	if _, body, err := l.get("/readyz"); err != nil || !strings.Contains(body, `route \"absent\" is not served: caFile: open `) {
		t.Errorf("the page does not tell: %v\n%s", err, body)
	}
	// A file that comes later is used without a new document.
	writeCertificate(t, filepath.Join(l.dir, "absent.pem"), ca.certificate.Raw, nil)
	l.eventually(10*time.Second, "file used", func() error {
		_, _, header, err := call(app, http.MethodGet, "http://absent.example.com/", "")
		if err == nil && header.Get("Sallyport-Error") == "bad-file" {
			err = errors.New("still refused")
		}
		return err
	})
}

func TestPoolFindsTheDestinationAndRefusesTheRest(t *testing.T) {
	t.Parallel()
	l, ca := newPoolLab(t)
	w := l.web("203.0.113.10", ca.leaf(t, "api.example.com"), webOptions{})
	l.zone.set("api.example.com", "203.0.113.10")
	l.zone.set("inside.example.com", "10.0.0.2")
	l.zone.set("x.wild.example.net", "192.168.0.1")
	l.publish(poolDocument(1, poolRoute("payments", "api.example.com"), poolRoute("two", "inside.example.com", "missing.example.com"), poolRoute("wild", "*.wild.example.net")))
	l.up()
	served := 0
	for _, test := range []struct {
		name, request, status, reason string
	}{
		{"host", "GET /x HTTP/1.1\nHost: api.example.com\nConnection: close\n\n", "200", ""},
		{"host in capitals", "GET /x HTTP/1.1\nHost: API.Example.com\nConnection: close\n\n", "200", ""},
		{"host and listening port", "GET /x HTTP/1.1\nHost: api.example.com:8080\nConnection: close\n\n", "200", ""},
		{"host and its own port", "GET /x HTTP/1.1\nHost: api.example.com:9443\nConnection: close\n\n", "200", ""},
		{"name of the destination", "GET /x HTTP/1.1\nHost: payments\nConnection: close\n\n", "200", ""},
		{"name in the namespace", "GET /x HTTP/1.1\nHost: payments.egress\nConnection: close\n\n", "200", ""},
		{"name of the service", "GET /x HTTP/1.1\nHost: payments.egress.svc:8080\nConnection: close\n\n", "200", ""},
		{"full name of the service", "GET /x HTTP/1.1\nHost: payments.egress.svc.cluster.local\nConnection: close\n\n", "200", ""},
		{"request to a proxy", "GET http://api.example.com/x HTTP/1.1\nHost: api.example.com\nConnection: close\n\n", "200", ""},
		{"HTTP/1.0", "GET /x HTTP/1.0\nHost: api.example.com\n\n", "200", ""},
		{"unlisted host", "GET /x HTTP/1.1\nHost: evil.example.org\nConnection: close\n\n", "403", "unlisted"},
		{"host below an exact one", "GET /x HTTP/1.1\nHost: x.api.example.com\nConnection: close\n\n", "403", "unlisted"},
		{"another port", "GET /x HTTP/1.1\nHost: api.example.com:22\nConnection: close\n\n", "403", "unlisted"},
		{"name of a route with two hosts", "GET /x HTTP/1.1\nHost: two\nConnection: close\n\n", "403", "unlisted"},
		{"name in another namespace", "GET /x HTTP/1.1\nHost: payments.default\nConnection: close\n\n", "403", "unlisted"},
		{"no host", "GET /x HTTP/1.0\n\n", "403", "unlisted"},
		{"backend for a host", "GET /x HTTP/1.1\nHost: payments:api.example.com\nConnection: close\n\n", "", ""},
		{"reason for a host", "GET /x HTTP/1.1\nHost: no-address\nConnection: close\n\n", "403", "unlisted"},
		{"address for a host", "GET /x HTTP/1.1\nHost: 203.0.113.10:9443\nConnection: close\n\n", "403", "unlisted"},
		{"user before the host", "GET http://api.example.com@evil.example.org/ HTTP/1.1\nHost: api.example.com@evil.example.org\nConnection: close\n\n", "", ""},
		{"first line against host", "GET http://evil.example.org/x HTTP/1.1\nHost: api.example.com\nConnection: close\n\n", "", ""},
		{"tunnel", "CONNECT api.example.com:443 HTTP/1.1\nHost: api.example.com:443\nConnection: close\n\n", "405", "bad-request"},
		{"host that DNS does not know", "GET /x HTTP/1.1\nHost: missing.example.com\nConnection: close\n\n", "503", "no-address"},
		{"host with a private address", "GET /x HTTP/1.1\nHost: inside.example.com\nConnection: close\n\n", "503", "private-address"},
		{"name below a wildcard with a private address", "GET /x HTTP/1.1\nHost: x.wild.example.net\nConnection: close\n\n", "503", "private-address"},
		{"name below a wildcard that DNS does not know", "GET /x HTTP/1.1\nHost: y.wild.example.net\nConnection: close\n\n", "503", "no-address"},
		{"wildcard's own name", "GET /x HTTP/1.1\nHost: wild.example.net\nConnection: close\n\n", "403", "unlisted"},
		{"not HTTP", "\x16\x03\x01\x02\x00\x01\n\n", "400", ""},
		{"headers beyond the limit", "GET /x HTTP/1.1\nHost: api.example.com\nX: " + strings.Repeat("x", 40000) + "\n\n", "400", ""},
		{"too many headers", "GET /x HTTP/1.1\nHost: api.example.com\n" + strings.Repeat("X: x\n", 200) + "\n", "400", ""},
		{"length twice", "POST /x HTTP/1.1\nHost: api.example.com\nContent-Length: 1\nContent-Length: 2\n\nab", "400", ""},
		{"length and chunks", "POST /x HTTP/1.1\nHost: api.example.com\nConnection: close\nContent-Length: 4\nTransfer-Encoding: chunked\n\n0\n\n", "200", ""},
	} {
		reply := l.raw(test.request)
		status, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(reply, "HTTP/1.1 "), "HTTP/1.0 "), " ")
		switch test.status {
		case "200":
			served++
		case "": // any refusal
			test.status = status
			if status != "400" && status != "403" {
				t.Errorf("%s: %.200q", test.name, reply)
			}
		}
		if status != test.status || test.reason != "" && !strings.Contains(strings.ToLower(reply), "sallyport-error: "+test.reason) {
			t.Errorf("%s: want %s %s, got %.300q", test.name, test.status, test.reason, reply)
		}
	}
	if got := w.requests.Load(); got != int64(served) {
		t.Errorf("%d requests reached the partner, want %d", got, served)
	}
	if conn, err := l.dial(strangerIP, proxyIP+":8080", 2*time.Second); err == nil {
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Error("a client that is not listed is answered")
		}
		conn.Close()
	}
	l.eventually(5*time.Second, "figures", func() error {
		for reason, destination := range map[string]string{"unlisted": "", "no-address": "two", "private-address": "two", "bad-request": "", "client-not-allowed": ""} {
			if got := l.metric(fmt.Sprintf("sallyport_refusals_total{destination=%q,reason=%q}", destination, reason)); got == "" || got == "0" {
				return fmt.Errorf("%s is not counted", reason)
			}
		}
		return nil
	})
}

func TestPoolSendsWhatTheDestinationShouldSee(t *testing.T) {
	t.Parallel()
	for name, forwarded := range map[string]bool{"by default": false, "with forwarded headers": true} {
		t.Run(name, func(t *testing.T) {
			l, ca := newPoolLab(t, fmt.Sprintf("SALLYPORT_FORWARDED_HEADERS=%v", forwarded))
			w := l.servePool(ca, poolRoute("payments", "api.example.com"), webOptions{})
			client, _ := l.poolClient(nil)
			request, err := http.NewRequest(http.MethodGet, "http://payments.egress.svc/v1/x?y=%20z", nil)
			l.must(err)
			for _, header := range []string{"X-Forwarded-For", "X-Forwarded-Host", "Forwarded", "X-Real-Ip", "Proxy-Authorization", "Proxy-Connection", "Keep-Alive"} {
				request.Header.Set(header, "inside")
			}
			request.Header.Set("X-Request-Id", "42")
			code, a, _, err := send(client, request)
			if err != nil || code != http.StatusOK || a.URI != "/v1/x?y=%20z" || a.Host != "api.example.com:9443" {
				t.Fatalf("status %d, %+v, %v", code, a, err)
			}
			got := w.last.Load().Header
			if got.Get("X-Request-Id") != "42" || got.Get("Proxy-Authorization") != "" || got.Get("Proxy-Connection") != "" || got.Get("Keep-Alive") != "" {
				t.Errorf("headers %v", got)
			}
			if sent := got.Values("X-Forwarded-For"); forwarded != slices.Contains(sent, clientIP) || !forwarded && len(sent)+len(got["Forwarded"])+len(got["X-Real-Ip"])+len(got["X-Forwarded-Host"]) > 0 {
				t.Errorf("forwarded %v: headers %v", forwarded, got)
			}
		})
	}
}

func TestPoolRepeatsOnlyWhatMayBeRepeated(t *testing.T) {
	t.Parallel()
	l, ca := newPoolLab(t)
	var hang atomic.Int64 // requests to hang up on
	var w *web
	w = l.servePool(ca, poolRoute("payments", "api.example.com"), webOptions{handler: func(out http.ResponseWriter, r *http.Request) {
		if hang.Add(-1) >= 0 {
			panic(http.ErrAbortHandler) // closes the connection without an answer
		}
		w.answer(out, r)
	}})
	for _, test := range []struct {
		method   string
		requests int64
		repeated bool
	}{{http.MethodGet, 2, true}, {http.MethodPut, 2, true}, {http.MethodDelete, 2, true}, {http.MethodPost, 1, false}, {http.MethodPatch, 1, false}} {
		before := w.requests.Load()
		hang.Store(1)
		// On a connection that had a request before, HAProxy closes instead of answering 502: so does a server of its own.
		client, _ := l.poolClient(nil)
		code, a, header, err := call(client, test.method, "http://api.example.com/", "body")
		if err != nil || (code == http.StatusOK) != test.repeated {
			t.Errorf("%s: status %d, %v", test.method, code, err)
		}
		if got := w.requests.Load() - before; got != test.requests {
			t.Errorf("%s was sent %d times", test.method, got)
		}
		if test.repeated && a.Body != "body" {
			t.Errorf("%s: body %q came the second time", test.method, a.Body)
		}
		if !test.repeated && header.Get("Sallyport-Error") != "bad-answer" {
			t.Errorf("%s: %v", test.method, header)
		}
	}
	l.eventually(5*time.Second, "figures", func() error {
		if got := l.metric(`sallyport_pool_retries_total{destination="payments"}`); got != "3" {
			return fmt.Errorf("%s retries counted", got)
		}
		return nil
	})
}

func TestPoolTakesHTTP2WithPriorKnowledge(t *testing.T) {
	t.Parallel()
	l, ca := newPoolLab(t)
	route := poolRoute("payments", "api.example.com")
	for serial, alpn := range []routes.ALPN{routes.ALPNHTTP11, routes.ALPNHTTP2} {
		route.Pool = &routes.Pool{ALPN: []routes.ALPN{alpn}}
		if serial == 0 {
			l.servePool(ca, route, webOptions{})
		} else {
			l.publish(poolDocument(2, route))
			l.eventually(3*time.Second, "reload", func() error {
				if got := l.metric(`sallyport_haproxy_reloads_total{result="ok"}`); got != "1" {
					return fmt.Errorf("%s reloads", got)
				}
				return nil
			})
		}
		protocols := new(http.Protocols)
		protocols.SetUnencryptedHTTP2(true)
		client, dials := l.poolClient(protocols)
		if code, _, _, err := call(client, http.MethodGet, "http://api.example.com/", ""); err != nil || code != http.StatusOK {
			t.Fatalf("%s: status %d, %v", alpn, code, err)
		}
		var group sync.WaitGroup
		for i := range 20 {
			group.Go(func() {
				body := strings.Repeat("x", i*5000)
				code, a, _, err := call(client, http.MethodPost, "http://api.example.com/upload?x=1", body)
				if err != nil || code != http.StatusOK || a.Body != body || a.Host != "api.example.com:9443" || a.URI != "/upload?x=1" {
					t.Errorf("%s: status %d, %d bytes, %s %s, %v", alpn, code, len(a.Body), a.Host, a.URI, err)
				}
			})
		}
		group.Wait()
		if dials.Load() != 1 {
			t.Errorf("%s: the client made %d connections", alpn, dials.Load())
		}
	}
}

func TestPoolRecyclesClientConnections(t *testing.T) {
	t.Parallel()
	l, ca := newPoolLab(t, "SALLYPORT_REQUESTS_PER_CONNECTION=20")
	w := l.servePool(ca, poolRoute("payments", "api.example.com"), webOptions{})
	client, dials := l.poolClient(nil)
	for i := range 200 {
		if code, _, _, err := call(client, http.MethodGet, "http://api.example.com/", ""); err != nil || code != http.StatusOK {
			t.Fatalf("request %d: status %d, %v", i, code, err)
		}
	}
	if got := dials.Load(); got < 9 || got > 13 {
		t.Errorf("200 requests were sent over %d connections, want about 10", got)
	}
	if got := w.connections.Load(); got > 2 {
		t.Errorf("the partner saw %d connections: its own must not be recycled", got)
	}
}

func TestPoolFollowsDNSWithoutReload(t *testing.T) {
	t.Parallel()
	l, ca := newPoolLab(t)
	l.servePool(ca, poolRoute("payments", "api.example.com"), webOptions{})
	l.web("203.0.113.11", ca.leaf(t, "api.example.com"), webOptions{})
	client, _ := l.poolClient(nil)
	follows := func(want ...string) {
		t.Helper()
		l.eventually(4*time.Second, "addresses "+strings.Join(want, " and "), func() error {
			seen := map[string]bool{}
			for range 10 {
				code, a, _, err := call(client, http.MethodGet, "http://api.example.com/", "")
				if err != nil || code != http.StatusOK {
					t.Fatalf("during the change: status %d, %v", code, err)
				}
				seen[a.To] = true
			}
			if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, want) {
				return fmt.Errorf("requests went to %v", got)
			}
			return nil
		})
	}
	follows("203.0.113.10")
	l.zone.set("api.example.com", "203.0.113.10", "203.0.113.11")
	follows("203.0.113.10", "203.0.113.11")
	l.zone.set("api.example.com", "203.0.113.11")
	follows("203.0.113.11")
	l.zone.set("api.example.com", "203.0.113.11", "10.0.0.2")
	time.Sleep(1500 * time.Millisecond) // beyond the TTL
	follows("203.0.113.11")
	l.zone.set("api.example.com", "10.0.0.2")
	l.eventually(4*time.Second, "private answer refused", func() error {
		code, _, header, err := call(client, http.MethodGet, "http://api.example.com/", "")
		if err == nil && (code != http.StatusServiceUnavailable || header.Get("Sallyport-Error") != "private-address") {
			err = fmt.Errorf("status %d, %v", code, header)
		}
		return err
	})
	l.zone.set("api.example.com", "203.0.113.10")
	l.eventually(4*time.Second, "public answer", func() error {
		code, _, _, err := call(client, http.MethodGet, "http://api.example.com/", "")
		if err == nil && code != http.StatusOK {
			err = fmt.Errorf("status %d", code)
		}
		return err
	})
	if got := l.metric(`sallyport_haproxy_reloads_total{result="ok"}`); got != "0" {
		t.Errorf("%s reloads", got)
	}
	// A HAProxy that dies comes back with the addresses of now.
	master, _ := l.haproxy()
	l.must(syscall.Kill(master, syscall.SIGKILL))
	fresh, _ := l.poolClient(nil)
	l.eventually(3*time.Second, "serving after a crash", func() error {
		code, a, _, err := call(fresh, http.MethodGet, "http://api.example.com/", "")
		if err == nil && (code != http.StatusOK || a.To != "203.0.113.10") {
			err = fmt.Errorf("status %d from %s", code, a.To)
		}
		return err
	})
}

func TestPoolReloadsLoseNoRequest(t *testing.T) {
	t.Parallel()
	l, ca := newPoolLab(t)
	w := l.web("203.0.113.10", ca.leaf(t, "api.example.com", "new.example.com"), webOptions{})
	for _, host := range []string{"api.example.com", "new.example.com"} {
		l.zone.set(host, "203.0.113.10")
	}
	first, second := poolRoute("payments", "api.example.com"), poolRoute("new", "new.example.com")
	l.publish(poolDocument(1, first))
	l.up()
	stop := make(chan struct{})
	var group sync.WaitGroup
	var done atomic.Int64
	for range 4 {
		client, _ := l.poolClient(nil)
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
				}
				// A POST is repeated neither by the pool nor by the client.
				if code, _, _, err := call(client, http.MethodPost, "http://api.example.com/", "x"); err != nil || code != http.StatusOK {
					t.Errorf("during reloads: status %d, %v", code, err)
				}
				done.Add(1)
			}
		})
	}
	client, _ := l.poolClient(nil)
	status := func(want int) func() error {
		return func() error {
			code, _, _, err := call(client, http.MethodGet, "http://new.example.com/", "")
			if err == nil && code != want {
				err = fmt.Errorf("status %d", code)
			}
			return err
		}
	}
	for serial := uint64(2); serial < 8; serial += 2 {
		l.publish(poolDocument(serial, first, second))
		took := l.eventually(3*time.Second, "new backend", status(http.StatusOK))
		t.Logf("a new destination is served after %s", took)
		l.publish(poolDocument(serial+1, first))
		l.eventually(3*time.Second, "backend removed", status(http.StatusForbidden))
	}
	close(stop)
	group.Wait()
	t.Logf("%d requests, %d upstream connections", done.Load(), w.connections.Load())
	if done.Load() < 200 {
		t.Errorf("only %d requests were made", done.Load())
	}
}
