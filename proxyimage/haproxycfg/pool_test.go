package haproxycfg

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/golden"
)

func examplePool() Pool {
	return Pool{
		RunDir: "/run/sallyport", MapDir: "/var/lib/sallyport/maps", Port: 8080, CAFile: "/etc/ssl/certs/ca-certificates.crt",
		Resolver: netip.MustParseAddrPort("127.0.0.1:5300"), MaxConnections: 9000,
		Backends: []Backend{
			{
				Name: BackendName("payments", "api.example.com"), Host: "api.example.com", Port: 443,
				Addresses:      []netip.Addr{netip.MustParseAddr("203.0.113.10"), {}, netip.MustParseAddr("203.0.113.11")},
				ConnectTimeout: 5 * time.Second, ServerTimeout: time.Minute, ALPN: []string{"h2", "http/1.1"},
			},
			{
				Name: BackendName("bank", "bank.example.net"), Host: "bank.example.net", Port: 8443,
				Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.20"), netip.MustParseAddr("203.0.113.21")},
				CAFile:    "/etc/sallyport/bank/ca.pem", CertFile: "/etc/sallyport/bank/client.pem", MaxConnections: 25,
				ConnectTimeout: 2 * time.Second, ServerTimeout: 20 * time.Second, ALPN: []string{"http/1.1"},
			},
			{
				Name: BackendName("wild", "*.wild.example.net"), Host: "*.wild.example.net", Port: 8443,
				ConnectTimeout: 5 * time.Second, ServerTimeout: time.Minute, ALPN: []string{"http/1.1"},
			},
		},
	}
}

func TestRenderPoolMatchesGolden(t *testing.T) {
	forwarded := examplePool()
	forwarded.Listen, forwarded.ForwardedHeaders, forwarded.RequestsPerConnection = netip.MustParseAddr("10.0.2.11"), true, 2
	forwarded.ClientConnections = 100
	fleet := examplePool()
	fleet.ThroughFleet = true
	for i := range fleet.Backends {
		fleet.Backends[i].Addresses = []netip.Addr{netip.MustParseAddr("10.0.3.11"), netip.MustParseAddr("10.0.3.12")}
	}
	none := examplePool()
	none.Backends = nil
	for name, config := range map[string]Pool{"pool": examplePool(), "pool-forwarded": forwarded, "pool-fleet": fleet, "pool-empty": none} {
		t.Run(name, func(t *testing.T) {
			text, err := config.Render()
			if err != nil {
				t.Fatal(err)
			}
			golden.Check(t, name+".cfg.golden", text)
		})
	}
}

func TestRenderPoolRefusesWhatHAProxyWouldMisread(t *testing.T) {
	tests := map[string]struct {
		change func(*Pool)
		want   string
	}{
		"relative directory":     {func(p *Pool) { p.MapDir = "maps" }, "MapDir: must be an absolute path"},
		"no authorities":         {func(p *Pool) { p.CAFile = "" }, "CAFile: must be an absolute path"},
		"port 0":                 {func(p *Pool) { p.Port = 0 }, "Port: must be 1 to 65535, got 0"},
		"negative limit":         {func(p *Pool) { p.ClientConnections = -1 }, "ClientConnections: must be at least 0"},
		"remote resolver":        {func(p *Pool) { p.Resolver = netip.MustParseAddrPort("192.0.2.53:53") }, "must be on loopback"},
		"no connections":         {func(p *Pool) { p.MaxConnections = 0 }, "MaxConnections: must be at least 1"},
		"65 threads":             {func(p *Pool) { p.Threads = 65 }, "Threads: must be 1 to 64"},
		"idle beyond the NAT's":  {func(p *Pool) { p.IdleTimeout = 341 * time.Second }, "IdleTimeout: must be 1s to 5m40s"},
		"one request each":       {func(p *Pool) { p.RequestsPerConnection = 1 }, "RequestsPerConnection: must be 2 to 1000000"},
		"a name twice":           {func(p *Pool) { p.Backends[1].Name = p.Backends[0].Name }, "must have different names"},
		"name with a space":      {func(p *Pool) { p.Backends[0].Name = "a b" }, "Name: must be letters"},
		"host with a line break": {func(p *Pool) { p.Backends[0].Host = "a.example.com\nx" }, "Host: must be a lower-case DNS name"},
		"certificate with quote": {func(p *Pool) { p.Backends[1].CertFile = "/x'" }, "CertFile: must be an absolute path"},
		"too many addresses":     {func(p *Pool) { p.Backends[0].Addresses = make([]netip.Addr, PoolSlots+1) }, "Addresses: must not be more than 6, got 7"},
		"IPv6 address":           {func(p *Pool) { p.Backends[0].Addresses[0] = netip.MustParseAddr("2001:db8::1") }, "Addresses: must be IPv4"},
		"no time to connect":     {func(p *Pool) { p.Backends[0].ConnectTimeout = 0 }, "ConnectTimeout: must be at least 1s"},
		"no time to answer":      {func(p *Pool) { p.Backends[0].ServerTimeout = 0 }, "ServerTimeout: must be at least 1s"},
		"no protocol":            {func(p *Pool) { p.Backends[0].ALPN = nil }, "ALPN: needs at least one"},
		"protocol with options":  {func(p *Pool) { p.Backends[0].ALPN = []string{"h2 verify none"} }, "ALPN: must be a protocol name"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			config := examplePool()
			test.change(&config)
			text, err := config.Render()
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want one with %q", err, test.want)
			}
			if text != "" {
				t.Error("a refused configuration must not be rendered")
			}
		})
	}
}

func TestEveryPooledServerVerifiesItsHost(t *testing.T) {
	text, err := examplePool().Render()
	if err != nil {
		t.Fatal(err)
	}
	defaults, servers := 0, 0
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "default-server ") {
			defaults++
			if !strings.Contains(line, "ssl verify required ca-file /") || !strings.Contains(line, "ssl-min-ver TLSv1.2") {
				t.Errorf("a destination is not verified: %s", line)
			}
		}
		if strings.HasPrefix(line, "server ") {
			servers++
			if !strings.Contains(line, " sni ") {
				t.Errorf("a server has no name to verify: %s", line)
			}
		}
	}
	if defaults != 3 || servers != 2*PoolSlots+1 {
		t.Errorf("%d backends, %d servers", defaults, servers)
	}
}

func TestServerLimitSharesTheConnections(t *testing.T) {
	one, two := []netip.Addr{netip.MustParseAddr("203.0.113.1")}, []netip.Addr{netip.MustParseAddr("203.0.113.1"), {}, netip.MustParseAddr("203.0.113.2")}
	for _, test := range []struct {
		limit     int
		addresses []netip.Addr
		want      int
	}{{0, one, 0}, {10, nil, 10}, {10, one, 10}, {10, two, 5}, {11, two, 6}, {1, two, 1}} {
		if got := (Backend{MaxConnections: test.limit, Addresses: test.addresses}).ServerLimit(); got != test.want {
			t.Errorf("%d over %v: %d each, want %d", test.limit, test.addresses, got, test.want)
		}
	}
}
