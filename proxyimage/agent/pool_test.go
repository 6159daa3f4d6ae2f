package agent_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/proxyimage/routes"
)

func TestPoolSharesConnectionsBetweenClients(t *testing.T) {
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
