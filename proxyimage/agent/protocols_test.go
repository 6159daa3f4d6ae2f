package agent_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/proxyimage/routes"
	"github.com/sallyport/sallyport/proxyimage/testnet"
)

// plainWeb starts a plain HTTP partner that says which address it has and what it was asked.
func (l *lab) plainWeb(address string) *atomic.Int64 {
	l.t.Helper()
	requests := &atomic.Int64{}
	host, _, err := net.SplitHostPort(address)
	l.must(err)
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		fmt.Fprintf(w, "%s %s %s%s", host, r.Host, r.RequestURI, r.Header.Get("X-Forwarded-For"))
	})}
	var listener net.Listener
	l.must(testnet.In(l.outside, func() (err error) {
		listener, err = net.Listen("tcp", address)
		return err
	}))
	go func() { _ = server.Serve(listener) }()
	l.t.Cleanup(func() { server.Close() })
	return requests
}

// httpDocument serves hosts as plain HTTP on port 80.
func httpDocument(serial uint64, hosts ...string) routes.Document {
	doc := document(serial, hosts...)
	doc.Routes[0].Port, doc.Routes[0].Protocol = 80, routes.ProtocolHTTP
	return doc
}

// exchange sends one request on a connection and returns status and body.
func exchange(conn net.Conn, reader *bufio.Reader, request string) (int, string, error) {
	_ = conn.SetDeadline(time.Now().Add(7 * time.Second))
	if _, err := io.WriteString(conn, strings.ReplaceAll(request, "\n", "\r\n")); err != nil {
		return 0, "", err
	}
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

func TestPlainHTTPJudgesEveryRequestOfAConnection(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	first, second := l.plainWeb("203.0.113.10:80"), l.plainWeb("203.0.113.11:80")
	l.zone.set("a.example.com", "203.0.113.10")
	l.zone.set("b.example.com", "203.0.113.11")
	l.zone.set("x.wild.example.net", "203.0.113.11")
	l.zone.set("inside.example.com", "10.0.0.2")
	l.publish(httpDocument(1, "a.example.com", "b.example.com", "inside.example.com", "missing.example.com", "*.wild.example.net"))
	l.up()
	conn, err := l.dial(clientIP, proxyIP+":80", 2*time.Second)
	l.must(err)
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for round := range 3 {
		for _, test := range []struct {
			name, request string
			status        int
			body          string
		}{
			{"host", "GET /1 HTTP/1.1\nHost: a.example.com\n\n", 200, "203.0.113.10 a.example.com /1"},
			{"another host", "GET /2 HTTP/1.1\nHost: B.example.com:80\n\n", 200, "203.0.113.11 B.example.com:80 /2"},
			{"unlisted host", "GET /3 HTTP/1.1\nHost: evil.example.org\n\n", 403, "sallyport: unlisted\n"},
			{"another port", "GET /4 HTTP/1.1\nHost: a.example.com:8080\n\n", 403, "sallyport: unlisted\n"},
			{"name below a wildcard", "GET /5 HTTP/1.1\nHost: x.wild.example.net\n\n", 200, "203.0.113.11 x.wild.example.net /5"},
			{"private address", "GET /6 HTTP/1.1\nHost: inside.example.com\n\n", 503, "sallyport: private-address\n"},
			{"no address", "GET /7 HTTP/1.1\nHost: missing.example.com\n\n", 503, "sallyport: no-address\n"},
			{"upload", "POST /8 HTTP/1.1\nHost: a.example.com\nContent-Length: 3\n\nabc", 200, "203.0.113.10 a.example.com /8"},
			{"whole URL", "GET http://a.example.com/9 HTTP/1.1\nHost: a.example.com\n\n", 200, "203.0.113.10 a.example.com /9"},
		} {
			status, body, err := exchange(conn, reader, test.request)
			if err != nil || status != test.status || body != test.body {
				t.Fatalf("round %d, %s: status %d, %q, %v", round, test.name, status, body, err)
			}
		}
	}
	if a, b := first.Load(), second.Load(); a != 9 || b != 6 {
		t.Errorf("the partners had %d and %d requests, want 9 and 6", a, b)
	}
	// A second request that hides behind the first one of another host is judged as well.
	smuggler, err := l.dial(clientIP, proxyIP+":80", 2*time.Second)
	l.must(err)
	defer smuggler.Close()
	_, err = io.WriteString(smuggler, "GET /a HTTP/1.1\r\nHost: a.example.com\r\n\r\nGET /b HTTP/1.1\r\nHost: evil.example.org\r\nConnection: close\r\n\r\n")
	l.must(err)
	_ = smuggler.SetDeadline(time.Now().Add(5 * time.Second))
	text, err := io.ReadAll(smuggler)
	if err != nil || strings.Count(string(text), "HTTP/1.1 200") != 1 || strings.Count(string(text), "HTTP/1.1 403") != 1 {
		t.Errorf("two requests at once: %v\n%s", err, text)
	}
	garbage, err := l.dial(clientIP, proxyIP+":80", 2*time.Second)
	l.must(err)
	defer garbage.Close()
	if status, _, err := exchange(garbage, bufio.NewReader(garbage), "\x16\x03\x01\x02\n\n"); err != nil || status != 400 {
		t.Errorf("a ClientHello: status %d, %v", status, err)
	}
	l.eventually(5*time.Second, "figures", func() error {
		for name, want := range map[string]string{
			`sallyport_connections_total{destination="partner"}`:                       "16",
			`sallyport_refusals_total{destination="",reason="unlisted"}`:               "4", // three rounds and the hidden one
			`sallyport_refusals_total{destination="partner",reason="unlisted"}`:        "3", // the host is listed, on another port
			`sallyport_refusals_total{destination="partner",reason="private-address"}`: "3",
			`sallyport_refusals_total{destination="partner",reason="no-address"}`:      "3",
			`sallyport_refusals_total{destination="",reason="bad-request"}`:            "1",
		} {
			if got := l.metric(name); got != want {
				return fmt.Errorf("%s: %q, want %s", name, got, want)
			}
		}
		return nil
	})
}

func TestPlainHTTPFollowsTheDocument(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.plainWeb("203.0.113.10:80")
	l.zone.set("a.example.com", "203.0.113.10")
	l.zone.set("gone.example.com", "203.0.113.10")
	l.publish(httpDocument(1, "a.example.com", "gone.example.com"))
	l.up()
	conn, err := l.dial(clientIP, proxyIP+":80", 2*time.Second)
	l.must(err)
	defer conn.Close()
	reader := bufio.NewReader(conn)
	ask := func(host string, want int) error {
		status, _, err := exchange(conn, reader, "GET / HTTP/1.1\nHost: "+host+"\n\n")
		if err == nil && status != want {
			err = fmt.Errorf("%s: status %d", host, status)
		}
		return err
	}
	l.must(ask("gone.example.com", 200))
	l.publish(httpDocument(2, "a.example.com"))
	l.eventually(time.Second, "host removed", func() error { return ask("gone.example.com", 403) })
	l.must(ask("a.example.com", 200)) // on the connection that was there
	if status, err := l.dial(strangerIP, proxyIP+":80", time.Second); err == nil {
		_, err := status.Read(make([]byte, 1))
		if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("a client that is not listed: %v", err)
		}
		status.Close()
	}
}

func TestPlainTCPHasAPortOfItsOwn(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for _, address := range []string{"203.0.113.10:25", "203.0.113.11:25"} {
		var listener net.Listener
		l.must(testnet.In(l.outside, func() (err error) {
			listener, err = net.Listen("tcp", address)
			return err
		}))
		t.Cleanup(func() { listener.Close() })
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				go func() { // the server speaks first, then echoes
					defer conn.Close()
					_, _ = io.WriteString(conn, "220 "+address+"\n")
					_, _ = io.Copy(conn, conn)
				}()
			}
		}()
	}
	l.zone.set("mail.example.org", "203.0.113.10")
	l.zone.set("relay.example.org", "203.0.113.11")
	l.zone.set("api.example.com", "203.0.113.10")
	l.zone.set("inside.example.org", "10.0.0.2")
	doc := document(1, "api.example.com")
	tcp := func(name, host string, listen int) routes.Route {
		return routes.Route{Name: name, Hosts: []string{host}, Port: 25, Protocol: routes.ProtocolTCP, Listen: listen}
	}
	doc.Routes = append(doc.Routes, tcp("mail", "mail.example.org", 10025), tcp("relay", "relay.example.org", 10026), tcp("inside", "inside.example.org", 10027))
	l.publish(doc)
	l.up()
	speak := func(port int) (string, error) {
		conn, err := l.dial(clientIP, fmt.Sprintf("%s:%d", proxyIP, port), time.Second)
		if err != nil {
			return "", err
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
		reader := bufio.NewReader(conn)
		greeting, err := reader.ReadString('\n')
		if err != nil {
			return "", err
		}
		if _, err := io.WriteString(conn, "QUIT\n"); err != nil {
			return "", err
		}
		_, err = reader.ReadString('\n')
		return strings.TrimSpace(greeting), err
	}
	for port, want := range map[int]string{10025: "220 203.0.113.10:25", 10026: "220 203.0.113.11:25"} {
		if got, err := speak(port); err != nil || got != want {
			t.Errorf("port %d: %q, %v", port, got, err)
		}
	}
	if got, err := speak(10027); err == nil {
		t.Errorf("a private address was reached: %q", got)
	}
	l.must(l.served("api.example.com", 443)) // TLS goes on beside it
	// DNS moves the destination without a reload; a removed route's port closes.
	l.zone.set("mail.example.org", "203.0.113.11")
	l.eventually(3*time.Second, "other address", func() error {
		got, err := speak(10025)
		if err == nil && got != "220 203.0.113.11:25" {
			err = errors.New(got)
		}
		return err
	})
	if got := l.metric(`sallyport_haproxy_reloads_total{result="ok"}`); got != "0" {
		t.Errorf("%s reloads for a change of DNS", got)
	}
	l.eventually(5*time.Second, "figures", func() error {
		for name, want := range map[string]string{
			`sallyport_connections_total{destination="relay"}`:                        "1",
			`sallyport_refusals_total{destination="inside",reason="private-address"}`: "1",
		} {
			if got := l.metric(name); got != want {
				return fmt.Errorf("%s: %q, want %s", name, got, want)
			}
		}
		return nil
	})
	doc.Serial, doc.Routes = 2, doc.Routes[:2]
	l.publish(doc)
	l.eventually(3*time.Second, "port closed", func() error {
		conn, err := l.dial(clientIP, proxyIP+":10026", time.Second)
		if err == nil {
			conn.Close()
			return errors.New("open")
		}
		return nil
	})
	if got, err := speak(10025); err != nil {
		t.Errorf("the port that stays: %q, %v", got, err)
	}
}
