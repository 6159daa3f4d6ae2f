package agent_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/proxyimage/routes"
	"github.com/sallyport/sallyport/proxyimage/testnet"
)

// hold opens n connections to a host at once and returns those that are forwarded.
func (l *lab) hold(host string, n int) []net.Conn {
	l.t.Helper()
	var mu sync.Mutex
	var group sync.WaitGroup
	var held []net.Conn
	turns := make(chan struct{}, 16)
	for range n {
		group.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			conn, _, err := l.ask(host, 443)
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			held = append(held, conn)
		})
	}
	group.Wait()
	l.t.Cleanup(func() { release(held) })
	return held
}

func release(held []net.Conn) {
	for _, conn := range held {
		conn.Close()
	}
}

// counts checks that a metric reaches a value.
func (l *lab) counts(metric, want string) {
	l.t.Helper()
	l.eventually(5*time.Second, metric, func() error {
		if got := l.metric(metric); got != want {
			return fmt.Errorf("is %s, want %s", got, want)
		}
		return nil
	})
}

func TestClientLimitRefusesLaterConnectionsAndCutsNone(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.env = append(l.env, "SALLYPORT_CLIENT_CONNECTIONS=20")
	l.zone.set("api.example.com", "203.0.113.10")
	l.publish(document(1, "api.example.com"))
	l.up()
	held := l.hold("api.example.com", 25)
	if len(held) != 20 {
		t.Fatalf("%d of 25 connections were forwarded, want 20", len(held))
	}
	l.counts(`sallyport_refusals_total{destination="",reason="client-limit"}`, "5")
	for i, conn := range held {
		_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
		if _, err := conn.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			t.Errorf("held connection %d was cut: %v", i, err)
		}
	}
	release(held[:1])
	l.eventually(time.Second, "a place is free", func() error { return l.served("api.example.com", 443) })
	// Those that wait with a ClientHello count too, and the limit does not turn on them when they speak at last.
	release(held)
	l.eventually(time.Second, "all places are free", func() error {
		if got := l.haproxySessions(); got != 0 {
			return fmt.Errorf("%d sessions", got)
		}
		return nil
	})
	var waiting []net.Conn
	for range 20 {
		conn, err := l.dial(clientIP, proxyIP+":443", time.Second)
		l.must(err)
		waiting = append(waiting, conn)
	}
	defer release(waiting)
	l.must(l.refused("api.example.com", 443))
	for i, conn := range waiting {
		_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
		_, err := conn.Write(hello(t, "api.example.com"))
		l.must(err)
		if _, err := conn.Read(make([]byte, 10)); err != nil {
			t.Errorf("connection %d waited within the limit and was refused: %v", i, err)
		}
	}
}

// haproxySessions counts the connections of clients that HAProxy has open.
func (l *lab) haproxySessions() int {
	conn, err := net.Dial("unix", filepath.Join(l.dir, "run", "admin.sock"))
	l.must(err)
	defer conn.Close()
	_, err = conn.Write([]byte("show table clients\n"))
	l.must(err)
	text := make([]byte, 4096)
	n, _ := conn.Read(text)
	open := 0
	for field := range strings.FieldsSeq(string(text[:n])) {
		_, _ = fmt.Sscanf(field, "conn_cur=%d", &open)
	}
	return open
}

func TestDestinationLimitHoldsForAllHostsOfARoute(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for _, host := range []string{"api.example.com", "www.example.com", "a.wild.example.net", "b.wild.example.net", "a.deep.wild.example.net", "free.example.org"} {
		l.zone.set(host, "203.0.113.10")
	}
	doc := document(1, "api.example.com", "www.example.com", "*.wild.example.net")
	doc.Routes[0].MaxConnections = 10
	doc.Routes = append(doc.Routes,
		routes.Route{Name: "free", Hosts: []string{"free.example.org"}, Port: 443},
		routes.Route{Name: "deep", Hosts: []string{"*.deep.wild.example.net"}, Port: 443})
	l.publish(doc)
	l.up()
	held := l.hold("api.example.com", 5)
	held = append(held, l.hold("a.wild.example.net", 3)...)
	held = append(held, l.hold("www.example.com", 12)...)
	if len(held) != 10 {
		t.Fatalf("%d connections were forwarded to a route limited to 10", len(held))
	}
	l.counts(`sallyport_refusals_total{destination="partner",reason="destination-limit"}`, "10")
	l.must(l.refused("b.wild.example.net", 443))
	l.must(l.served("free.example.org", 443))
	l.must(l.served("a.deep.wild.example.net", 443)) // the longer suffix is another route's
	doc.Serial, doc.Routes[0].MaxConnections = 2, 12
	l.publish(doc)
	more := 0
	l.eventually(2*time.Second, "a higher limit", func() error {
		if more += len(l.hold("api.example.com", 1)); more < 2 {
			return fmt.Errorf("%d more connections", more)
		}
		return nil
	})
	if again := l.hold("api.example.com", 5); len(again) > 0 {
		t.Errorf("%d more connections after the limit rose from 10 to 12", more+len(again))
	}
	doc.Serial, doc.Routes[0].MaxConnections = 3, 0
	l.publish(doc)
	l.eventually(time.Second, "no limit", func() error { return l.served("a.wild.example.net", 443) })
	if more := l.hold("www.example.com", 30); len(more) != 30 {
		t.Errorf("%d of 30 connections without a limit", len(more))
	}
	if got := l.metric(`sallyport_haproxy_reloads_total{result="ok"}`); got != "0" {
		t.Errorf("%s reloads for changes of limits", got)
	}
}

func TestAuditForwardsWhatTheListAndLimitsRefuseAndNothingElse(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.env = append(l.env, "SALLYPORT_AUDIT=true", "SALLYPORT_CLIENT_CONNECTIONS=30", "SALLYPORT_ACCESS_LOG_SAMPLE=1")
	l.zone.set("api.example.com", "203.0.113.10")
	l.zone.set("new.example.org", "203.0.113.11")
	l.zone.set("inside.example.org", "10.0.0.2")
	l.zone.set("metadata.example.org", "169.254.169.254")
	l.zone.set("self.example.org", "198.51.100.1")
	doc := document(1, "api.example.com")
	doc.Routes[0].MaxConnections = 10
	l.publish(doc)
	l.up()
	for range 3 {
		l.must(l.served("new.example.org", 443))
	}
	l.counts(`sallyport_would_refuse_total{destination="",reason="unlisted"}`, "3")
	held := l.hold("api.example.com", 12)
	if len(held) != 12 {
		t.Errorf("%d of 12 connections were forwarded beyond a limit of 10", len(held))
	}
	more := l.hold("new.example.org", 20)
	if len(more) != 20 {
		t.Errorf("%d of 20 connections were forwarded beyond a limit of 30", len(more))
	}
	release(append(held, more...))
	l.counts(`sallyport_would_refuse_total{destination="partner",reason="destination-limit"}`, "2")
	l.counts(`sallyport_would_refuse_total{destination="",reason="client-limit"}`, "2")
	l.counts(`sallyport_would_refuse_total{destination="",reason="unlisted"}`, "21") // the first reason counts
	reached := l.partners.count()
	for _, input := range []hostile{
		{name: "private address", chunks: one(named("inside.example.org")), want: "private-address"},
		{name: "metadata address", chunks: one(named("metadata.example.org")), want: "private-address"},
		{name: "own address", chunks: one(named("self.example.org")), want: "private-address"},
		{name: "name that DNS does not know", chunks: one(named("missing.example.org")), want: "no-address"},
		{name: "IP address", chunks: one(named("203.0.113.11")), want: "unlisted"},
		{name: "name with a NUL", chunks: one(named("new.example.org\x00.x.example")), want: "unlisted"},
		{name: "no name", chunks: one(hello(t, "")), want: "no-sni"},
		{name: "no TLS", chunks: one([]byte("GET / HTTP/1.1\r\nHost: new.example.org\r\n\r\n")), want: "not-tls"},
		{name: "client that is not listed", chunks: one(named("new.example.org")), from: strangerIP, want: "client-not-allowed"},
	} {
		before := l.refusals()[input.want]
		if forwarded, err := l.send(input); err != nil || forwarded {
			t.Errorf("%s: forwarded %v, %v", input.name, forwarded, err)
		}
		l.eventually(3*time.Second, input.name+" is counted", func() error {
			if got := l.refusals()[input.want]; got != before+1 {
				return fmt.Errorf("%d", got-before)
			}
			return nil
		})
	}
	if got := l.partners.count(); got != reached {
		t.Errorf("partners saw %d connections more", got-reached)
	}
	log := l.log.String()
	if got := strings.Count(log, `"msg":"connection would be refused","reason":"would-refuse unlisted","host":"new.example.org"`); got != 1 {
		t.Errorf("what would be refused was logged %d times", got)
	}
	if got := strings.Count(log, `"msg":"connection","host":"new.example.org"`); got != 23 {
		t.Errorf("%d lines in a full access log of 23 connections", got)
	}
}

// Four source addresses hold four times the connections of one, to one destination and to a second one at the same time.
func TestSourceAddressesMultiplyThePorts(t *testing.T) {
	t.Parallel()
	const (
		ports = 200
		least = ports * 98 / 100 // of each source: Linux 6.18 leaves a port or two of a range unused
	)
	var total [5]atomic.Int64
	t.Run("lab", func(t *testing.T) {
		for _, sources := range []int{1, 4} {
			t.Run(fmt.Sprintf("%d sources", sources), func(t *testing.T) {
				t.Parallel()
				l := newLab(t)
				var list []string
				for i := range sources {
					list = append(list, fmt.Sprintf("198.51.100.%d", i+1))
				}
				l.addSources(list[min(2, sources):]) // the lab has two
				l.env = append(l.env, "SALLYPORT_SOURCE_IPS="+strings.Join(list, ","))
				l.must(testnet.In(l.proxy, func() error {
					return os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", fmt.Appendf(nil, "20000 %d", 20000+ports-1), 0o644)
				}))
				l.zone.set("api.example.com", "203.0.113.10")
				l.zone.set("other.example.com", "203.0.113.11")
				doc := document(1, "api.example.com")
				doc.Routes = append(doc.Routes, routes.Route{Name: "other", Hosts: []string{"other.example.com"}, Port: 443})
				l.publish(doc)
				l.up()
				held, bySource, failed := l.fill("api.example.com", ports*sources+20)
				t.Logf("%d connections held, by source %v, the first failure at %d", held, bySource, failed)
				total[sources].Store(int64(held))
				if failed < least*sources {
					t.Errorf("a connection failed when only %d of %d ports were in use", failed, ports*sources)
				}
				for source, n := range bySource {
					if n < least || n > ports {
						t.Errorf("source %s holds %d connections with %d ports", source, n, ports)
					}
				}
				if len(bySource) != sources {
					t.Errorf("%d sources in use, want %d", len(bySource), sources)
				}
				// The ports are taken for one destination only: the kernel chose them when it connected.
				if other, _, _ := l.fill("other.example.com", ports*sources); other < least*sources {
					t.Errorf("%d connections to a second destination, want %d: IP_BIND_ADDRESS_NO_PORT is not in effect", other, least*sources)
				}
				for _, source := range list {
					l.counts(fmt.Sprintf(`sallyport_source_ports_in_use{destination="partner",source=%q}`, source), fmt.Sprint(bySource[source]))
				}
				l.counts(`sallyport_source_ports_ceiling`, fmt.Sprint(ports))
			})
		}
	})
	if ratio := float64(total[4].Load()) / float64(max(total[1].Load(), 1)); ratio < 3.95 || ratio > 4.05 {
		t.Errorf("4 sources hold %d connections, 1 holds %d: ratio %.2f, want 4", total[4].Load(), total[1].Load(), ratio)
	}
}

// fill holds connections one after another and returns how many there are, where they come from, and how many there were
// when one failed first.
func (l *lab) fill(host string, n int) (held int, bySource map[string]int, firstFailure int) {
	l.t.Helper()
	bySource = map[string]int{}
	firstFailure = n
	for range n {
		conn, g, err := l.ask(host, 443)
		if err != nil {
			firstFailure = min(firstFailure, held)
			continue
		}
		l.t.Cleanup(func() { conn.Close() })
		bySource[g.From]++
		held++
	}
	return held, bySource, firstFailure
}

// addSources gives the proxy more addresses.
func (l *lab) addSources(addresses []string) {
	l.t.Helper()
	for _, address := range addresses {
		l.must(testnet.In(l.proxy, func() error { return testnet.AddAddresses("px0", address+"/24") }))
	}
}
