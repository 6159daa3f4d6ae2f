package agent_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/proxyimage/routes"
	"github.com/sallyport/sallyport/proxyimage/testnet"
)

// poolPort is where web partners of the pool tests listen: the greeting partners of the lab have 443.
const poolPort = 9443

// authority signs the certificates of a test.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{}
	a.certificate, a.key = a.sign(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	return a
}

// sign completes and signs a template; an authority without certificate signs itself.
func (a *authority) sign(t *testing.T, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, parentKey := a.certificate, a.key
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, key
}

func (a *authority) leaf(t *testing.T, names ...string) tls.Certificate {
	t.Helper()
	certificate, key := a.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}})
	return tls.Certificate{Certificate: [][]byte{certificate.Raw}, PrivateKey: key, Leaf: certificate}
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

func writeCertificate(t *testing.T, path string, der []byte, key *ecdsa.PrivateKey) {
	t.Helper()
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if key != nil {
		raw, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})...)
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// web is an HTTPS partner.
type web struct {
	connections, requests atomic.Int64
	last                  atomic.Pointer[http.Request]
}

// answer is what a web partner says of a request.
type answer struct{ To, From, Protocol, Host, Name, URI, Method, Body, Client string }

// webOptions change a web partner from the default: both protocols, every request answered.
type webOptions struct {
	protocols []string
	clients   *x509.CertPool // client certificates are required
	handler   http.HandlerFunc
}

// web starts a partner at an address of the outside.
func (l *lab) web(address string, certificate tls.Certificate, o webOptions) *web {
	l.t.Helper()
	w := &web{}
	if o.protocols == nil {
		o.protocols = []string{"h2", "http/1.1"}
	}
	if o.handler == nil {
		o.handler = w.answer
	}
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: o.protocols}
	if o.clients != nil {
		config.ClientCAs, config.ClientAuth = o.clients, tls.RequireAndVerifyClientCert
	}
	server := &http.Server{
		TLSConfig: config, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: 10 * time.Second,
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				w.connections.Add(1)
			}
		},
		Handler: http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
			w.requests.Add(1)
			w.last.Store(r)
			o.handler(out, r)
		}),
	}
	var listener net.Listener
	l.must(testnet.In(l.outside, func() (err error) {
		listener, err = net.Listen("tcp", fmt.Sprintf("%s:%d", address, poolPort))
		return err
	}))
	go func() { _ = server.ServeTLS(listener, "", "") }()
	l.t.Cleanup(func() { server.Close() })
	return w
}

func (w *web) answer(out http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	local := r.Context().Value(http.LocalAddrContextKey).(net.Addr).String()
	to, _, _ := net.SplitHostPort(local)
	a := answer{To: to, From: r.RemoteAddr, Protocol: r.Proto, Host: r.Host, Name: r.TLS.ServerName, URI: r.RequestURI, Method: r.Method, Body: string(body)}
	if len(r.TLS.PeerCertificates) > 0 {
		a.Client = r.TLS.PeerCertificates[0].Subject.CommonName
	}
	_ = json.NewEncoder(out).Encode(a)
}

// newPoolLab is a lab whose agent pools; authorities of the image are the test's.
func newPoolLab(t *testing.T, environment ...string) (*lab, *authority) {
	t.Helper()
	l := newLab(t)
	ca := newAuthority(t, "public")
	file := filepath.Join(l.dir, "ca.pem")
	writeCertificate(t, file, ca.certificate.Raw, nil)
	l.env = append(l.env, "SALLYPORT_MODE=pool", "SALLYPORT_SOURCE_IPS=", "SALLYPORT_CA_FILE="+file)
	l.env = append(l.env, environment...)
	return l, ca
}

// poolRoute returns a route to web partners.
func poolRoute(name string, hosts ...string) routes.Route {
	return routes.Route{Name: name, Hosts: hosts, Port: poolPort, Mode: routes.ModePool}
}

func poolDocument(serial uint64, all ...routes.Route) routes.Document {
	return routes.Document{Version: routes.Version, Serial: serial, Routes: all, Clients: []netip.Prefix{netip.MustParsePrefix(clientIP + "/32")}}
}

// poolClient is an application in the cluster.
func (l *lab) poolClient(protocols *http.Protocols) (client *http.Client, dials *atomic.Int64) {
	dials = &atomic.Int64{}
	transport := &http.Transport{
		Protocols: protocols, MaxIdleConnsPerHost: 100,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			dials.Add(1)
			return l.dial(clientIP, proxyIP+":8080", 2*time.Second)
		},
	}
	l.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 15 * time.Second}, dials
}

// call sends one request through the pool.
func call(client *http.Client, method, url, body string) (int, answer, http.Header, error) {
	request, err := http.NewRequest(method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return 0, answer{}, nil, err
	}
	return send(client, request)
}

func send(client *http.Client, request *http.Request) (int, answer, http.Header, error) {
	response, err := client.Do(request)
	if err != nil {
		return 0, answer{}, nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	var a answer
	if err == nil && response.StatusCode == http.StatusOK {
		err = json.Unmarshal(text, &a)
	}
	return response.StatusCode, a, response.Header, err
}

// raw sends bytes and returns the whole answer.
func (l *lab) raw(text string) string {
	l.t.Helper()
	conn, err := l.dial(clientIP, proxyIP+":8080", 2*time.Second)
	l.must(err)
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	_, err = io.WriteString(conn, strings.ReplaceAll(text, "\n", "\r\n"))
	l.must(err)
	reply, _ := io.ReadAll(conn)
	return string(reply)
}
