package agent_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/sallyport/sallyport/proxyimage/routes"
	"github.com/sallyport/sallyport/proxyimage/testnet"
)

// lookup asks the resolver agent, which runs outside, and returns the addresses in sorted order.
func (l *lab) lookup(name string) (string, error) {
	var reply *dns.Msg
	err := testnet.In(l.outside, func() error {
		query := new(dns.Msg)
		query.SetQuestion(dns.Fqdn(name), dns.TypeA)
		conn, err := dns.DialTimeout("udp", "127.0.0.1:9053", time.Second)
		if err != nil {
			return err
		}
		defer conn.Close()
		reply, _, err = (&dns.Client{Timeout: 2 * time.Second}).ExchangeWithConn(query, conn)
		return err
	})
	if err != nil {
		return "", err
	}
	var all []string
	for _, record := range reply.Answer {
		if a, ok := record.(*dns.A); ok {
			all = append(all, a.A.String())
		}
	}
	if len(all) == 0 {
		return dns.RcodeToString[reply.Rcode], nil
	}
	if len(all) == 2 && all[0] > all[1] {
		all[0], all[1] = all[1], all[0]
	}
	return strings.Join(all, " "), nil
}

func TestResolverAnswersWithHealthyProxies(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.zone.set("api.example.com", "203.0.113.10")
	l.zone.set("www.example.org", "203.0.113.11")
	doc := document(1, "api.example.com", "*.wild.example.net")
	doc.Proxies = append(doc.Proxies, routes.Proxy{Name: "proxy-b-1", Zone: "b", Address: netip.MustParseAddr("10.0.0.9")}) // nobody there
	resolver := l.agent(l.outside, "SALLYPORT_MODE=resolver", "SALLYPORT_STATE_DIR="+filepath.Join(l.dir, "state2"), "SALLYPORT_RUN_DIR="+filepath.Join(l.dir, "run2"))
	t.Cleanup(func() { _ = syscall.Kill(-resolver.Process.Pid, syscall.SIGKILL); _ = resolver.Wait() })
	is := func(name, want string, limit time.Duration) {
		t.Helper()
		took := l.eventually(limit, name+" = "+want, func() error {
			got, err := l.lookup(name)
			if err == nil && got != want {
				err = fmt.Errorf("got %s", got)
			}
			return err
		})
		t.Logf("%s = %s after %s", name, want, took)
	}
	is("www.example.org", "SERVFAIL", 5*time.Second) // no document yet: nobody may slip past the proxies
	l.publish(doc)
	is("api.example.com", "10.0.0.1 10.0.0.9", 2*time.Second) // none is healthy: all
	l.up()
	is("api.example.com", "10.0.0.1", 2*time.Second)
	is("a.b.wild.example.net", "10.0.0.1", time.Second)
	is("www.example.org", "203.0.113.11", time.Second)
	is("missing.example.org", "NXDOMAIN", time.Second)

	doc.Serial, doc.Proxies[1].Address = 2, netip.MustParseAddr(strangerIP)
	second := l.agent(l.outside, "SALLYPORT_STATE_DIR="+filepath.Join(l.dir, "state3"), "SALLYPORT_RUN_DIR="+filepath.Join(l.dir, "run3"),
		"SALLYPORT_LISTEN="+strangerIP, "SALLYPORT_SOURCE_IPS=", "SALLYPORT_HTTP_LISTEN="+strangerIP+":8404")
	t.Cleanup(func() { _ = syscall.Kill(-second.Process.Pid, syscall.SIGKILL); _ = second.Wait() })
	l.publish(doc)
	is("api.example.com", "10.0.0.1 10.0.0.3", 5*time.Second)
	l.must(l.command.Process.Signal(syscall.SIGTERM)) // drains
	is("api.example.com", "10.0.0.3", 600*time.Millisecond)

	var conn net.Conn
	l.must(testnet.In(l.outside, func() (err error) {
		conn, err = net.DialTimeout("tcp", "127.0.0.1:8405", time.Second)
		return err
	}))
	defer conn.Close()
	_, _ = fmt.Fprint(conn, "GET /readyz HTTP/1.0\r\n\r\n")
	page := make([]byte, 4096)
	n, err := conn.Read(page)
	if err != nil || !strings.Contains(string(page[:n]), "200 OK") {
		t.Errorf("the resolver is not ready: %v\n%s", err, page[:n])
	}
	l.must(resolver.Process.Signal(syscall.SIGTERM))
	l.eventually(2*time.Second, "resolver ends", func() error {
		if _, err := l.lookup("api.example.com"); err == nil {
			return errors.New("it answers")
		}
		return nil
	})
}
