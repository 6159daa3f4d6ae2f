package agent_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/sallyport/sallyport/proxyimage/routes"
	"github.com/sallyport/sallyport/proxyimage/testnet"
)

// listen serves on an address of the outside until the test ends.
func (l *lab) listen(address string, serve func(net.Listener)) {
	l.t.Helper()
	var listener net.Listener
	l.must(testnet.In(l.outside, func() (err error) {
		listener, err = net.Listen("tcp", address)
		return err
	}))
	l.t.Cleanup(func() { listener.Close() })
	go serve(listener)
}

// limitLab has a web partner whose answers wait for answer to be closed, and a TCP partner that greets: at most 3 requests to one and
// 2 connections to the other, 10 connections of one client.
func limitLab(t *testing.T) (l *lab, asked chan struct{}, answer chan struct{}) {
	t.Helper()
	l, asked, answer = newLab(t), make(chan struct{}, 100), make(chan struct{})
	web := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		<-answer
		_, _ = io.WriteString(w, "done")
	})}
	l.listen("203.0.113.10:80", func(on net.Listener) { _ = web.Serve(on) })
	l.listen("203.0.113.10:25", func(on net.Listener) {
		for conn, err := on.Accept(); err == nil; conn, err = on.Accept() {
			_, _ = io.WriteString(conn, "220\n")
			go func() { _, _ = io.Copy(io.Discard, conn); conn.Close() }()
		}
	})
	l.env = append(l.env, "SALLYPORT_CLIENT_CONNECTIONS=10")
	l.zone.set("web.example.com", "203.0.113.10")
	l.zone.set("mail.example.org", "203.0.113.10")
	doc := httpDocument(1, "web.example.com")
	doc.Routes[0].Name, doc.Routes[0].MaxConnections = "web", 3
	doc.Routes = append(doc.Routes, routes.Route{
		Name: "mail", Hosts: []string{"mail.example.org"}, Port: 25, Protocol: routes.ProtocolTCP, Listen: 10025, MaxConnections: 2,
	})
	l.publish(doc)
	l.up()
	return l, asked, answer
}

// connect opens a connection that is closed at the end of the test.
func (l *lab) connect(port int) net.Conn {
	l.t.Helper()
	conn, err := l.dial(clientIP, fmt.Sprintf("%s:%d", proxyIP, port), 2*time.Second)
	l.must(err)
	l.t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	return conn
}

func TestDestinationLimitsHoldForPlainHTTPAndTCP(t *testing.T) {
	t.Parallel()
	l, asked, answer := limitLab(t)
	const get = "GET / HTTP/1.1\nHost: web.example.com\n\n"
	answers := make(chan int, 3)
	for range 3 {
		conn := l.connect(80)
		go func() {
			status, _, _ := exchange(conn, bufio.NewReader(conn), get)
			answers <- status
		}()
	}
	for range 3 {
		<-asked
	}
	// What is limited is requests under way; connections that wait do not count.
	conn := l.connect(80)
	reader := bufio.NewReader(conn)
	if status, body, err := exchange(conn, reader, get); err != nil || status != 503 || body != "sallyport: destination-limit\n" {
		t.Errorf("the fourth request: status %d, %q, %v", status, body, err)
	}
	close(answer)
	for range 3 {
		if status := <-answers; status != 200 {
			t.Errorf("a request within the limit: status %d", status)
		}
	}
	if status, _, err := exchange(conn, reader, get); err != nil || status != 200 {
		t.Errorf("the refused client's next request: status %d, %v", status, err)
	}

	greeted := func() (net.Conn, error) {
		conn := l.connect(10025)
		_, err := io.ReadFull(conn, make([]byte, 4))
		return conn, err
	}
	first, err := greeted()
	l.must(err)
	_, err = greeted()
	l.must(err)
	if _, err := greeted(); err == nil {
		t.Error("a third connection was forwarded to a route limited to 2")
	}
	first.Close()
	l.eventually(2*time.Second, "a place is free", func() error { _, err := greeted(); return err })
	l.counts(`sallyport_refusals_total{destination="web",reason="destination-limit"}`, "1")
}

func TestClientLimitHoldsForPlainHTTPAndTCP(t *testing.T) {
	t.Parallel()
	l, _, answer := limitLab(t)
	close(answer)
	var waiting []net.Conn
	for range 10 { // whatever they speak, they count together
		waiting = append(waiting, l.connect(80))
	}
	web := l.connect(80)
	status, body, err := exchange(web, bufio.NewReader(web), "GET / HTTP/1.1\nHost: web.example.com\n\n")
	if err != nil || status != 429 || body != "sallyport: client-limit\n" {
		t.Errorf("HTTP beyond the limit: status %d, %q, %v", status, body, err)
	}
	if n, err := web.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the connection must end after that: %d bytes, %v", n, err)
	}
	if n, err := l.connect(10025).Read(make([]byte, 4)); err == nil {
		t.Errorf("TCP beyond the limit: %d bytes came", n)
	}
	for i, conn := range waiting {
		if status, _, err := exchange(conn, bufio.NewReader(conn), "GET / HTTP/1.1\nHost: web.example.com\n\n"); err != nil || status != 200 {
			t.Errorf("connection %d within the limit: status %d, %v", i, status, err)
		}
	}
	release(waiting)
	l.eventually(2*time.Second, "places are free", func() error {
		_, err := l.connect(10025).Read(make([]byte, 4))
		return err
	})
	l.counts(`sallyport_refusals_total{destination="web",reason="client-limit"}`, "1")
}

func TestPoolClientLimit(t *testing.T) {
	t.Parallel()
	l, ca := newPoolLab(t, "SALLYPORT_CLIENT_CONNECTIONS=3")
	l.servePool(ca, poolRoute("payments", "api.example.com"), webOptions{})
	const get = "GET / HTTP/1.1\nHost: api.example.com\n\n"
	held := []net.Conn{l.connect(8080), l.connect(8080), l.connect(8080)}
	more := l.connect(8080)
	status, body, err := exchange(more, bufio.NewReader(more), get)
	if err != nil || status != 429 || body != "sallyport: the client has too many connections open\n" {
		t.Errorf("beyond the limit: status %d, %q, %v", status, body, err)
	}
	if n, err := more.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the connection must end after that: %d bytes, %v", n, err)
	}
	for i, conn := range held {
		if status, _, err := exchange(conn, bufio.NewReader(conn), get); err != nil || status != 200 {
			t.Errorf("connection %d within the limit: status %d, %v", i, status, err)
		}
	}
	l.counts(`sallyport_refusals_total{destination="",reason="client-limit"}`, "1")
}
