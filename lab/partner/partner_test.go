package partner

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/lab/pki"
)

// running is a partner on 127.0.0.1.
type running struct {
	t      *testing.T
	config Config
	file   string
	roots  *x509.CertPool
}

func start(t *testing.T, allow ...string) *running {
	t.Helper()
	dir := t.TempDir()
	authority, err := pki.Open(dir, "t")
	if err != nil {
		t.Fatal(err)
	}
	certificate, key, err := authority.Leaf(dir, "partner", []string{"api.example.com", "*.example.net"})
	if err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	free.Close()
	r := &running{t: t, file: filepath.Join(dir, "partner.json"), roots: x509.NewCertPool(), config: Config{
		Name: "p", Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, Port: port, Certificate: certificate, Key: key,
		Enforce: true, Control: filepath.Join(dir, "control.sock"),
	}}
	r.roots.AppendCertsFromPEM(authority.PEM())
	r.write(allow...)
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan bool), make(chan error, 1)
	go func() { done <- Run(ctx, r.file, nil, func() { close(ready) }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-ready:
	case err := <-done:
		t.Fatal(err)
	case <-time.After(5 * time.Second):
		t.Fatal("never ready")
	}
	return r
}

// write replaces the configuration file.
func (r *running) write(allow ...string) {
	r.t.Helper()
	r.config.Allow = nil
	for _, cidr := range allow {
		r.config.Allow = append(r.config.Allow, netip.MustParsePrefix(cidr))
	}
	content, err := json.Marshal(r.config)
	if err != nil {
		r.t.Fatal(err)
	}
	temporary := r.file + ".new"
	if err := os.WriteFile(temporary, content, 0o644); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(temporary, r.file); err != nil {
		r.t.Fatal(err)
	}
}

func (r *running) address() string { return fmt.Sprintf("127.0.0.1:%d", r.config.Port) }

func (r *running) client(host string) *http.Client {
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: r.roots, ServerName: host},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp4", r.address())
		},
	}}
}

func (r *running) get(client *http.Client, url string) (int, Answer) {
	r.t.Helper()
	response, err := client.Get(url)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	var answer Answer
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		r.t.Fatal(err)
	}
	return response.StatusCode, answer
}

// statistics waits until want holds or two seconds are over.
func (r *running) statistics(want func(Statistics) bool) Statistics {
	r.t.Helper()
	for deadline := time.Now().Add(2 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		stats, err := Stats(r.config.Control)
		if err != nil {
			r.t.Fatal(err)
		}
		if want(stats) || time.Now().After(deadline) {
			return stats
		}
	}
}

func TestTheCallerLearnsItsSource(t *testing.T) {
	r := start(t, "127.0.0.0/8")
	client := r.client("api.example.com")
	for i := 1; i <= 3; i++ {
		status, answer := r.get(client, "https://api.example.com/x")
		want := Answer{Partner: "p", Source: "127.0.0.1", SourcePort: answer.SourcePort, Host: "api.example.com", Path: "/x", Allowed: true, Request: i}
		if status != 200 || answer != want || answer.SourcePort == 0 {
			t.Errorf("request %d: %d %+v", i, status, answer)
		}
	}
	if status, answer := r.get(r.client("a.example.net"), "https://a.example.net/"); status != 200 || answer.Host != "a.example.net" {
		t.Errorf("wildcard: %d %+v", status, answer)
	}
	if status, answer := r.get(http.DefaultClient, "http://"+r.address()+"/plain"); status != 200 || answer.Host != r.address() {
		t.Errorf("in the clear: %d %+v", status, answer)
	}
	http.DefaultClient.CloseIdleConnections()
	stats := r.statistics(func(Statistics) bool { return true })
	if stats.Connections != 3 || stats.Handshakes != 2 || stats.Requests != 5 || stats.Refused != 0 ||
		!reflect.DeepEqual(stats.Sources, map[string]Source{"127.0.0.1": {Connections: 3, Requests: 5}}) {
		t.Errorf("statistics: %+v", stats)
	}
	if err := Reset(r.config.Control); err != nil {
		t.Fatal(err)
	}
	if stats, _ := Stats(r.config.Control); stats.Requests != 0 || len(stats.Sources) != 0 || stats.Sources == nil {
		t.Errorf("after reset: %+v", stats)
	}
}

func TestTheAllowListIsEnforcedAndReloaded(t *testing.T) {
	r := start(t) // empty: refuses everybody
	client := r.client("api.example.com")
	if status, answer := r.get(client, "https://api.example.com/"); status != 403 || answer.Allowed || answer.Source != "127.0.0.1" {
		t.Errorf("empty list: %d %+v", status, answer)
	}
	becomes := func(what string, want int) {
		t.Helper()
		for deadline := time.Now().Add(2 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			status, answer := r.get(client, "https://api.example.com/")
			if status == want {
				if answer.Request < 2 {
					t.Errorf("%s: the connection was cut", what)
				}
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: status %d, want %d", what, status, want)
			}
		}
	}
	r.write("127.0.0.1/32")
	becomes("listed", 200)
	r.write("198.51.100.0/24")
	becomes("another range", 403)
	r.config.Enforce = false
	r.write()
	becomes("not enforced", 200)
	if err := os.WriteFile(r.file, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * watchInterval)
	becomes("a broken file", 200)
}

func TestHeldConnectionsEchoAndSurviveAReload(t *testing.T) {
	r := start(t, "127.0.0.0/8")
	secure, err := tls.Dial("tcp4", r.address(), &tls.Config{RootCAs: r.roots, ServerName: "api.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	defer secure.Close()
	io.WriteString(secure, "GET /hold HTTP/1.1\r\nHost: api.example.com\r\n\r\n")
	reader := bufio.NewReader(secure)
	secure.SetDeadline(time.Now().Add(5 * time.Second))
	response, err := http.ReadResponse(reader, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", response, err)
	}
	cheap, err := net.Dial("tcp4", r.address())
	if err != nil {
		t.Fatal(err)
	}
	defer cheap.Close()
	cheap.SetDeadline(time.Now().Add(5 * time.Second))
	cheap.Write([]byte{Ping})
	line, err := bufio.NewReader(cheap).ReadString('\n')
	if want := fmt.Sprintf("127.0.0.1 %d allowed\n", cheap.LocalAddr().(*net.TCPAddr).Port); err != nil || line != want {
		t.Fatalf("got %q, %v, want %q", line, err, want)
	}
	r.write()
	time.Sleep(2 * watchInterval)
	for _, conn := range []struct {
		io.Reader
		io.Writer
	}{{reader, secure}, {cheap, cheap}} {
		if _, err := conn.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if stats := r.statistics(func(s Statistics) bool { return s.Held == 1 }); stats.Held != 1 || stats.Open != 2 {
		t.Errorf("statistics: %+v", stats)
	}
	secure.Close()
	cheap.Close()
	if stats := r.statistics(func(s Statistics) bool { return s.Open == 0 }); stats.Held != 0 || stats.Open != 0 {
		t.Errorf("after close: %+v", stats)
	}
}

func TestBadConfigurationsAreRefused(t *testing.T) {
	dir := t.TempDir()
	tests := map[string]struct{ text, problem string }{
		"not JSON":     {"{", "unexpected end"},
		"nothing":      {"{}", "addresses: needs at least 1"},
		"IPv6":         {`{"addresses":["2001:db8::1"],"port":443,"control":"x"}`, "must be IPv4"},
		"a bad port":   {`{"addresses":["127.0.0.1"],"port":70000,"control":"x"}`, "1 to 65535, got 70000"},
		"a long path":  {`{"addresses":["127.0.0.1"],"port":443,"control":"` + strings.Repeat("x", 108) + `"}`, "1 to 107"},
		"no key":       {`{"addresses":["127.0.0.1"],"port":443,"control":"x"}`, "certificate"},
		"a bad prefix": {`{"allow":["10.0.0.0"]}`, "10.0.0.0"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(dir, "c.json")
			if err := os.WriteFile(file, []byte(tt.text), 0o644); err != nil {
				t.Fatal(err)
			}
			err := Run(context.Background(), file, nil, nil)
			if err == nil || !strings.Contains(err.Error(), tt.problem) {
				t.Errorf("got %v, want %q", err, tt.problem)
			}
		})
	}
}
