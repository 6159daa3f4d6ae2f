package agent_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/sallyport/sallyport/proxyimage/routes"
)

// u16 is data with its length before it, in two bytes.
func u16(data []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(data))), data...)
}

// serverName is a server_name extension with the given names, each of a type.
func serverName(kind byte, names ...string) []byte {
	var list []byte
	for _, name := range names {
		list = append(append(list, kind), u16([]byte(name))...)
	}
	return append([]byte{0, 0}, u16(u16(list))...)
}

// padding is an extension that makes a ClientHello larger.
func padding(n int) []byte { return append([]byte{0, 21}, u16(make([]byte, n))...) }

// rawHello is a ClientHello of a version with the given extensions, nil for none at all, as one record.
func rawHello(version uint16, extensions ...[]byte) []byte {
	body := binary.BigEndian.AppendUint16(nil, version)
	body = append(body, bytes.Repeat([]byte{7}, 32)...) // random
	body = append(body, 0)                              // no session
	body = append(body, u16([]byte{0xc0, 0x2f, 0x00, 0x2f})...)
	body = append(body, 1, 0) // no compression
	if extensions != nil {
		body = append(body, u16(bytes.Join(extensions, nil))...)
	}
	message := append([]byte{1, byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body))}, body...)
	return record(22, message)
}

// record is a TLS record.
func record(kind byte, data []byte) []byte { return append([]byte{kind, 3, 1}, u16(data)...) }

// named is a ClientHello for a name, which may be any bytes.
func named(name string) []byte { return rawHello(0x0303, serverName(0, name)) }

// echHello is a ClientHello with an encrypted inner one.
func echHello(t *testing.T, outer, inner string) []byte {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	config := []byte{1, 0, 32} // identity, X25519 with HKDF-SHA256
	config = append(config, u16(key.PublicKey().Bytes())...)
	config = append(config, u16([]byte{0, 1, 0, 1})...) // HKDF-SHA256, AES-128-GCM
	config = append(config, 64, byte(len(outer)))
	config = append(append(config, outer...), 0, 0)
	list := u16(append([]byte{0xfe, 0x0d}, u16(config)...))
	return helloOf(t, &tls.Config{ServerName: inner, EncryptedClientHelloConfigList: list, MinVersion: tls.VersionTLS13})
}

// hostile is an input and what becomes of it.
type hostile struct {
	name   string
	chunks [][]byte      // what the client sends, each in a segment of its own; nil: it leaves at once
	pause  time.Duration // between chunks
	from   string        // the client's address, default clientIP
	want   string        // reason of the refusal; empty: it is forwarded
}

func one(data []byte) [][]byte { return [][]byte{data} }

func each(data []byte) [][]byte {
	var all [][]byte
	for i := range data {
		all = append(all, data[i:i+1])
	}
	return all
}

// notTLS are inputs that are no TLS.
func notTLS() []hostile {
	good := named("api.example.com")
	return []hostile{
		{name: "plain HTTP/1.1 with a listed Host", chunks: one([]byte("GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n")), want: "not-tls"},
		{name: "CONNECT as to a forward proxy", chunks: one([]byte("CONNECT api.example.com:443 HTTP/1.1\r\n\r\n")), want: "not-tls"},
		{name: "HTTP/2 with prior knowledge", chunks: one([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")), want: "not-tls"},
		{name: "SSH banner", chunks: one([]byte("SSH-2.0-OpenSSH_9.2p1\r\n")), want: "not-tls"},
		{name: "SMTP greeting", chunks: one([]byte("EHLO client.example.com\r\n")), want: "not-tls"},
		{name: "SMTP server's banner", chunks: one([]byte("220 mail.example.com ESMTP\r\n")), want: "not-tls"},
		{name: "SOCKS5 greeting", chunks: one([]byte{5, 1, 0}), want: "not-tls"},
		{name: "PROXY header before a good ClientHello", chunks: one(append([]byte("PROXY TCP4 192.0.2.1 10.0.0.1 1 443\r\n"), good...)), want: "not-tls"},
		{name: "binary PROXY header before a good ClientHello", chunks: one(append([]byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\x0a\x00\x00\x01\x00\x01\x01\xbb"), good...)), want: "not-tls"},
		{name: "random bytes", chunks: one(bytes.Repeat([]byte{0xa5, 0x5a}, 4000)), want: "not-tls"},
		{name: "300 KB of zeros", chunks: one(make([]byte, 300<<10)), want: "not-tls"},
		{name: "a single line break", chunks: one([]byte("\n")), want: "not-tls"},
		{name: "ServerHello", chunks: one(record(22, []byte{2, 0, 0, 4, 1, 2, 3, 4})), want: "not-tls"},
		{name: "TLS application data", chunks: one(record(23, make([]byte, 100))), want: "not-tls"},
		{name: "DTLS ClientHello", chunks: one(append([]byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0}, u16(make([]byte, 60))...)), want: "not-tls"},
		{name: "SSLv2 ClientHello", chunks: one(append([]byte{0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10}, make([]byte, 0x15+0x10)...)), want: "not-tls"},
	}
}

// badHellos are TLS, but not as it should be.
func badHellos(t *testing.T) []hostile {
	good, modern := named("api.example.com"), hello(t, "api.example.com")
	lying := bytes.Clone(good)
	copy(lying[len(lying)-17:], []byte{0xff, 0xff}) // the length of the name
	return []hostile{
		{name: "ClientHello in one piece", chunks: one(modern)},
		{name: "ClientHello in four segments", chunks: [][]byte{modern[:3], modern[3:60], modern[60:900], modern[900:]}, pause: 30 * time.Millisecond},
		{name: "ClientHello byte by byte", chunks: each(good), pause: time.Millisecond},
		{name: "ClientHello of TLS 1.0", chunks: one(rawHello(0x0301, serverName(0, "api.example.com")))},
		{name: "ClientHello of 16 KB, the most a record holds", chunks: one(rawHello(0x0303, padding(16<<10-150), serverName(0, "api.example.com")))},
		{name: "encrypted ClientHello with a listed outer name", chunks: one(echHello(t, "api.example.com", "evil.example.org"))},
		{name: "encrypted ClientHello with an unlisted outer name", chunks: one(echHello(t, "evil.example.org", "api.example.com")), want: "unlisted"},
		{name: "ClientHello of SSLv3, without extensions", chunks: one(rawHello(0x0300)), want: "no-sni"},
		{name: "ClientHello without a server name", chunks: one(hello(t, "")), want: "no-sni"},
		{name: "server name of an unknown type", chunks: one(rawHello(0x0303, serverName(1, "api.example.com"))), want: "no-sni"},
		{name: "empty list of server names", chunks: one(rawHello(0x0303, serverName(0))), want: "no-sni"},
		{name: "length of the name beyond the message", chunks: one(lying), want: "unlisted"},
		{name: "ClientHello over two records", chunks: one(append(record(22, good[5:40]), record(22, good[40:])...)), want: "no-sni"},
		{name: "two names, the first listed", chunks: one(rawHello(0x0303, serverName(0, "api.example.com", "evil.example.org")))},
		{name: "two names, the first unlisted", chunks: one(rawHello(0x0303, serverName(0, "evil.example.org", "api.example.com"))), want: "unlisted"},
		{name: "two extensions, the first unlisted", chunks: one(rawHello(0x0303, serverName(0, "evil.example.org"), serverName(0, "api.example.com"))), want: "unlisted"},
		{name: "2,000 unlisted names", chunks: one(rawHello(0x0303, serverName(0, strings.Split(strings.Repeat("a.example ", 1300), " ")...))), want: "unlisted"},
	}
}

// badNames are ClientHellos for names that are not served.
func badNames() []hostile {
	var all []hostile
	for what, name := range map[string]string{
		"unlisted name":                    "evil.example.org",
		"name below an exact host":         "x.api.example.com",
		"listed name with a trailing dot":  "api.example.com.",
		"listed name with a leading dot":   ".api.example.com",
		"wildcard's own name":              "wild.example.net",
		"wildcard's suffix without a dot":  "notwild.example.net",
		"asterisk below a wildcard":        "*.wild.example.net",
		"empty label below a wildcard":     "x..wild.example.net",
		"space below a wildcard":           "x y.wild.example.net",
		"listed name with a slot appended": "api.example.com|0",
		"NUL within a listed name":         "api.example\x00com",
		"NUL after a listed name":          "api.example.com\x00.evil.example.org",
		"quotes and line breaks":           "a\"}\n{\"x\":\"y.com",
		"bytes that are not UTF-8":         "\xff\xfe\xc0\x80.example.com",
		"name of another script":           "ápi.example.com",
		"sample fetch of HAProxy":          "%[src].wild.example.net",
		"command of the admin socket":      "a;shutdown sessions server out/any-1.wild.example.net",
		"regular expression":               ".*",
		"IP address":                       "203.0.113.10",
		"IPv6 address":                     "2001:db8::1",
		"proxy's own address":              proxyIP,
		"localhost":                        "localhost",
		"metadata service by name":         "metadata.google.internal",
		"name in the cluster":              "kubernetes.default.svc.cluster.local",
		"name of 255 bytes":                strings.Repeat("a", 243) + ".example.com",
		"name of 300 bytes":                strings.Repeat("a.", 144) + "example.com",
		"name of 15,000 bytes":             strings.Repeat("a", 15000),
		"label of 64 bytes":                strings.Repeat("a", 64) + ".example.com",
	} {
		all = append(all, hostile{name: what, chunks: one(named(name)), want: "unlisted"})
	}
	return append(all,
		hostile{name: "listed name in upper case", chunks: one(named("API.Example.COM"))},
		hostile{name: "empty name", chunks: one(named("")), want: "no-sni"},
	)
}

// badAnswers are listed hosts whose DNS is hostile, and the answers.
func badAnswers(z *zone) []hostile {
	var all []hostile
	add := func(what, host, want string) {
		z.set(host)
		all = append(all, hostile{name: what, chunks: one(named(host)), want: want})
	}
	for i, address := range []string{
		"10.0.0.2", "172.16.0.1", "172.31.255.254", "192.168.1.1", "100.64.0.1", "127.0.0.1", "169.254.169.254", "169.254.170.2", "169.254.20.10",
		"0.0.0.0", "0.0.0.1", "192.0.0.9", "192.88.99.1", "198.18.0.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
		proxyIP, "198.51.100.1", "198.51.100.2", "198.51.100.77", "203.0.113.200",
	} {
		exact, below := fmt.Sprintf("private-%d.example.com", i), fmt.Sprintf("private-%d.wild.example.net", i)
		add("host with address "+address, exact, "private-address")
		add("host below a wildcard with address "+address, below, "private-address")
		z.set(exact, address)
		z.set(below, address)
	}
	add("host with a private address beside a public one", "mixed.example.com", "")
	z.set("mixed.example.com", "10.0.0.2", "203.0.113.10", "169.254.169.254")
	record := func(text string) dns.RR {
		rr, err := dns.NewRR(text)
		if err != nil {
			panic(err)
		}
		return rr
	}
	records := func(rcode int, texts ...string) func(*dns.Msg) {
		return func(reply *dns.Msg) {
			reply.Rcode = rcode
			for _, text := range texts {
				reply.Answer = append(reply.Answer, record(text))
			}
		}
	}
	lies := []struct {
		what, want string
		lie        func(*dns.Msg)
	}{
		{"address of another name", "no-address", records(0, "other.example.org. 60 A 203.0.113.10")},
		{"alias that leads to a private address", "private-address", records(0, "NAME 60 CNAME a.example.org.", "a.example.org. 60 A 10.0.0.2")},
		{"aliases in a circle", "no-address", records(0, "NAME 60 CNAME a.example.org.", "a.example.org. 60 CNAME NAME", "b.example.org. 60 A 203.0.113.10")},
		{"two aliases of one name", "no-address", records(0, "NAME 60 CNAME a.example.org.", "NAME 60 CNAME b.example.org.", "a.example.org. 60 A 203.0.113.10")},
		{"an address beside NXDOMAIN", "no-address", records(dns.RcodeNameError, "NAME 60 A 203.0.113.10")},
		{"an address beside SERVFAIL", "no-address", records(dns.RcodeServerFailure, "NAME 60 A 203.0.113.10")},
		{"an IPv6 address only", "no-address", records(0, "NAME 60 AAAA 2001:db8::1")},
		{"an IPv4 address within IPv6", "no-address", records(0, "NAME 60 AAAA ::ffff:203.0.113.10")},
		{"an address of class CHAOS", "no-address", records(0, "NAME 60 CH A 203.0.113.10")},
		{"the answer to another question", "no-address", func(reply *dns.Msg) {
			reply.Question[0].Name = "other.example.org."
			reply.Answer = append(reply.Answer, record("other.example.org. 60 A 203.0.113.10"))
		}},
		{"no question", "no-address", func(reply *dns.Msg) { reply.Question = nil }},
		{"a query instead of an answer", "no-address", func(reply *dns.Msg) { reply.Response = false }},
	}
	for i, test := range lies {
		for _, host := range []string{fmt.Sprintf("lie-%d.example.com", i), fmt.Sprintf("lie-%d.wild.example.net", i)} {
			add("DNS answers "+host+" with "+test.what, host, test.want)
			z.lies[host] = func(reply *dns.Msg) {
				test.lie(reply)
				for j, rr := range reply.Answer { // the name of the question stands as NAME
					reply.Answer[j] = record(strings.ReplaceAll(rr.String(), "NAME.", host+"."))
				}
			}
		}
	}
	add("host that DNS does not know", "missing.example.com", "no-address")
	add("host below a wildcard that DNS does not know", "missing.wild.example.net", "no-address")
	z.mu.Lock()
	defer z.mu.Unlock()
	delete(z.answers, "missing.example.com")
	delete(z.answers, "missing.wild.example.net")
	return all
}

// slow are inputs that take as long as the proxy lets them.
func slow() []hostile {
	good := named("api.example.com")
	var empty [][]byte
	for range 9 {
		empty = append(empty, record(22, nil))
	}
	large := record(22, nil)
	binary.BigEndian.PutUint16(large[3:], 0xffff)
	return []hostile{
		{name: "client that is not listed", chunks: one(good), from: strangerIP, want: "client-not-allowed"},
		{name: "client that leaves at once", want: "closed-early"},
		{name: "client that sends nothing", chunks: [][]byte{{}}, want: "slow"},
		{name: "client that sends the first byte", chunks: one(good[:1]), want: "slow"},
		{name: "client that sends half a ClientHello", chunks: one(good[:40]), want: "slow"},
		{name: "client that sends all but the last byte", chunks: one(good[:len(good)-1]), want: "slow"},
		{name: "slow loris, a byte every 200 ms", chunks: each(good), pause: 200 * time.Millisecond, want: "slow"},
		{name: "empty records without end", chunks: empty, pause: 100 * time.Millisecond, want: "not-tls"},
		{name: "TLS alert and then nothing", chunks: one(record(21, []byte{2, 40})), want: "slow"},
		{name: "record that claims 65,535 bytes and then nothing", chunks: one(large), want: "slow"},
	}
}

var refusalLine = regexp.MustCompile(`(?m)^sallyport_refusals_total\{destination="[^"]*",reason="([^"]*)"\} (\d+)$`)

// refusals returns the refusals counted, by reason.
func (l *lab) refusals() map[string]int {
	_, body, err := l.get("/metrics")
	l.must(err)
	counts := map[string]int{}
	for _, match := range refusalLine.FindAllStringSubmatch(body, -1) {
		var n int
		_, _ = fmt.Sscan(match[2], &n)
		counts[match[1]] += n
	}
	return counts
}

// send sends an input and reports whether it was forwarded.
func (l *lab) send(input hostile) (forwarded bool, err error) {
	from := input.from
	if from == "" {
		from = clientIP
	}
	conn, err := l.dial(from, proxyIP+":443", 2*time.Second)
	if errors.Is(err, syscall.ECONNRESET) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	defer conn.Close()
	if input.chunks == nil {
		return false, nil
	}
	for i, chunk := range input.chunks {
		if i > 0 {
			time.Sleep(input.pause)
		}
		if _, err := conn.Write(chunk); err != nil {
			break // refused before all was sent
		}
	}
	_ = conn.SetReadDeadline(time.Now().Add(8 * time.Second))
	reply, err := io.ReadAll(io.LimitReader(conn, 20))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return false, errors.New("the proxy keeps the connection")
	}
	var broken *net.OpError
	if err != nil && !errors.As(err, &broken) {
		return false, err
	}
	return len(reply) > 0, nil
}

// hostileLab is a lab that lists the hosts of the inputs.
func hostileLab(t *testing.T) (*lab, []hostile) {
	l := newLab(t)
	l.zone.set("api.example.com", "203.0.113.10")
	inputs := append(append(append(notTLS(), badHellos(t)...), badNames()...), badAnswers(l.zone)...)
	hosts := []string{"api.example.com", "*.wild.example.net"}
	for name := range l.zone.answers {
		if strings.HasSuffix(name, ".example.com") && name != "api.example.com" {
			hosts = append(hosts, name)
		}
	}
	hosts = append(hosts, "missing.example.com")
	doc := document(1, hosts...)
	doc.Proxies = append(doc.Proxies, routes.Proxy{
		Name: "proxy-b-1", Zone: "b", Address: netip.MustParseAddr("10.0.0.9"), PublicIPs: []netip.Addr{netip.MustParseAddr("198.51.100.77")},
	})
	doc.Refused = []netip.Prefix{netip.MustParsePrefix("203.0.113.200/32")}
	l.publish(doc)
	l.up()
	return l, inputs
}

// Every input is judged by itself: the reason counted is the documented one, once, and the proxy serves as before.
func TestHostileInputIsRefusedCountedAndLeaksNothing(t *testing.T) {
	t.Parallel()
	l, inputs := hostileLab(t)
	before, reached := l.refusals(), l.partners.count()
	for _, input := range inputs {
		forwarded, err := l.send(input)
		if err != nil {
			t.Errorf("%s: %v", input.name, err)
		}
		if want := input.want == ""; forwarded != want {
			t.Errorf("%s: forwarded %v, want %v", input.name, forwarded, want)
		}
		want := maps.Clone(before)
		if input.want == "" {
			reached++
		} else {
			want[input.want]++
		}
		deadline := time.Now().Add(2 * time.Second)
		for before = l.refusals(); !maps.Equal(before, want) && time.Now().Before(deadline); before = l.refusals() {
			time.Sleep(5 * time.Millisecond)
		}
		if !maps.Equal(before, want) {
			t.Errorf("%s: counted %v, want %v", input.name, before, want)
		}
		reached++
		if err := l.served("api.example.com", 443); err != nil {
			t.Fatalf("after %s the proxy does not serve: %v", input.name, err)
		}
		if got := l.partners.count(); got != reached {
			t.Errorf("%s: partners saw %d connections, want %d", input.name, got, reached)
			reached = got
		}
	}
	t.Logf("%d inputs", len(inputs))
	l.leaksNothing()
}

func TestSlowHostileInputIsRefusedWhileOthersAreServed(t *testing.T) {
	t.Parallel()
	l, _ := hostileLab(t)
	before, inputs := l.refusals(), slow()
	var group sync.WaitGroup
	want := maps.Clone(before)
	for _, input := range inputs {
		want[input.want]++
		group.Go(func() {
			if forwarded, err := l.send(input); err != nil || forwarded {
				t.Errorf("%s: forwarded %v, %v", input.name, forwarded, err)
			}
		})
	}
	l.must(l.served("api.example.com", 443))
	group.Wait()
	l.must(l.served("api.example.com", 443))
	l.eventually(5*time.Second, "figures", func() error {
		if got := l.refusals(); !maps.Equal(got, want) {
			return fmt.Errorf("counted %v, want %v", got, want)
		}
		return nil
	})
	l.leaksNothing()
}

// leaksNothing checks that no name a client made up is a label, and that the log is readable.
func (l *lab) leaksNothing() {
	l.t.Helper()
	_, metrics, err := l.get("/metrics")
	l.must(err)
	if strings.Contains(metrics, "evil") {
		l.t.Error("a name that a client sent became a label")
	}
	for line := range strings.Lines(l.log.String()) {
		if !json.Valid([]byte(line)) {
			l.t.Errorf("log line is not JSON: %q", line)
		}
	}
}
