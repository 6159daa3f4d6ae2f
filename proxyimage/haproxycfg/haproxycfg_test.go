package haproxycfg

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/golden"
)

func tlsOn(ports ...int) []Listener {
	var all []Listener
	for _, port := range ports {
		all = append(all, Listener{Port: port, Protocol: ProtocolTLS, To: port})
	}
	return all
}

func example() Passthrough {
	return Passthrough{
		RunDir: "/run/sallyport", MapDir: "/var/lib/sallyport/maps", Listeners: tlsOn(443),
		Resolver: netip.MustParseAddrPort("127.0.0.1:5300"), MaxConnections: 9000,
	}
}

func TestRenderMatchesGolden(t *testing.T) {
	several := example()
	several.Listeners = tlsOn(8443, 443)
	several.Listen = netip.MustParseAddr("10.0.2.11")
	several.SourceIPs = []netip.Addr{netip.MustParseAddr("198.51.100.129"), netip.MustParseAddr("198.51.100.130")}
	several.Threads, several.IdleTimeout, several.KernelKeepalive = 4, 10*time.Minute, true
	limited, audit := example(), example()
	limited.ClientConnections = 500
	audit.ClientConnections, audit.Audit = 500, true
	none := example()
	none.Listeners = nil
	protocols := example()
	protocols.ClientConnections, protocols.Listeners = 500, append(protocols.Listeners,
		Listener{Port: 80, Protocol: ProtocolHTTP, To: 80}, Listener{Port: 10025, Protocol: ProtocolTCP, To: 25, Host: "mail.example.org"})
	auditHTTP := audit
	auditHTTP.Listeners = protocols.Listeners
	for name, config := range map[string]Passthrough{"one-port": example(), "protocols": protocols, "protocols-audit": auditHTTP, "two-ports-two-sources": several, "no-port": none, "limited": limited, "audit": audit} {
		t.Run(name, func(t *testing.T) {
			text, err := config.Render()
			if err != nil {
				t.Fatal(err)
			}
			golden.Check(t, name+".cfg.golden", text)
		})
	}
}

func TestRenderRefusesWhatHAProxyWouldMisread(t *testing.T) {
	tests := map[string]struct {
		change func(*Passthrough)
		want   string
	}{
		"relative directory":     {func(p *Passthrough) { p.MapDir = "maps" }, "MapDir: must be an absolute path"},
		"directory with a space": {func(p *Passthrough) { p.RunDir = "/run/a b" }, "RunDir: must be an absolute path"},
		"directory with a quote": {func(p *Passthrough) { p.RunDir = "/run/'x" }, "RunDir: must be an absolute path"},
		"socket path too long":   {func(p *Passthrough) { p.RunDir = "/" + strings.Repeat("r", 90) }, "must not be longer than 95 bytes"},
		"port 0":                 {func(p *Passthrough) { p.Listeners = tlsOn(0) }, "got 0"},
		"port 65536":             {func(p *Passthrough) { p.Listeners = tlsOn(65536) }, "got 65536"},
		"port twice":             {func(p *Passthrough) { p.Listeners = tlsOn(443, 80, 443) }, "must have different ports, got 443"},
		"IPv6 source":            {func(p *Passthrough) { p.SourceIPs = []netip.Addr{netip.MustParseAddr("2001:db8::1")} }, "SourceIPs"},
		"unset source":           {func(p *Passthrough) { p.SourceIPs = []netip.Addr{{}} }, "SourceIPs"},
		"unknown protocol":       {func(p *Passthrough) { p.Listeners[0].Protocol = "udp" }, "must have protocol tls, http or tcp"},
		"tcp without a host":     {func(p *Passthrough) { p.Listeners[0].Protocol = ProtocolTCP }, "must have an exact host"},
		"tcp to a wildcard":      {func(p *Passthrough) { p.Listeners[0].Protocol, p.Listeners[0].Host = ProtocolTCP, "*.example.com" }, "must have an exact host"},
		"tcp to two hosts":       {func(p *Passthrough) { p.Listeners[0].Protocol, p.Listeners[0].Host = ProtocolTCP, "a.example.com b" }, "must have an exact host"},
		"tls to a host":          {func(p *Passthrough) { p.Listeners[0].Host = "a.example.com" }, "must not have a host"},
		"to port 0":              {func(p *Passthrough) { p.Listeners[0].To = 0 }, "must lead to ports"},
		"remote resolver":        {func(p *Passthrough) { p.Resolver = netip.MustParseAddrPort("192.0.2.53:53") }, "must be on loopback"},
		"no resolver":            {func(p *Passthrough) { p.Resolver = netip.AddrPort{} }, "must be on loopback"},
		"no connections":         {func(p *Passthrough) { p.MaxConnections = 0 }, "must be at least 1"},
		"negative limit":         {func(p *Passthrough) { p.ClientConnections = -1 }, "at least 0"},
		"65 threads":             {func(p *Passthrough) { p.Threads = 65 }, "must be 1 to 64"},
		"sub-second timeout":     {func(p *Passthrough) { p.IdleTimeout = time.Millisecond }, "at least 1s"},
		"listen with a zone":     {func(p *Passthrough) { p.Listen = netip.MustParseAddr("fe80::1%eth0") }, "must not have a zone"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			config := example()
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

func TestRenderReportsAllProblems(t *testing.T) {
	_, err := Passthrough{Threads: -1}.Render()
	for _, field := range []string{"RunDir", "MapDir", "Resolver", "MaxConnections", "Threads"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%v does not mention %s", err, field)
		}
	}
}

func TestAddressesShareTheSlotsEvenly(t *testing.T) {
	var pool []netip.Addr
	for i := range byte(20) {
		pool = append(pool, netip.AddrFrom4([4]byte{203, 0, 113, i}))
	}
	for n := 2; n <= len(pool); n++ {
		counts := map[string]int{}
		entries := HostEntries("api.example.com", pool[:n], NoAddress)
		keys := map[string]bool{}
		for _, e := range entries {
			counts[e.Value]++
			keys[e.Key] = true
		}
		low, high := Slots, 0
		for _, c := range counts {
			low, high = min(low, c), max(high, c)
		}
		if len(keys) != Slots || len(counts) != min(n, Slots) || high-low > 1 {
			t.Errorf("%d addresses: %d keys, %d addresses used, shares from %d to %d", n, len(keys), len(counts), low, high)
		}
	}
}

func TestHostWithoutAddressFailsClosed(t *testing.T) {
	classes := make([]netip.Prefix, len(refusedClasses))
	for i, class := range refusedClasses {
		classes[i] = netip.MustParsePrefix(class)
	}
	for _, standIn := range []netip.Addr{NoAddress, RefusedAddress} {
		for _, e := range HostEntries("api.example.com", nil, standIn) {
			if !classes[0].Contains(netip.MustParseAddr(e.Value)) {
				t.Errorf("slot %s holds %s, which HAProxy would connect to", e.Key, e.Value)
			}
		}
	}
}

func TestMapTexts(t *testing.T) {
	networks := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("10.0.0.7/8"), netip.MustParsePrefix("10.1.0.0/16")}
	if got, want := MapFile(NetworkEntries(networks)), "10.0.0.0/8 1\n10.1.0.0/16 1\n"; got != want {
		t.Errorf("networks: got %q, want %q", got, want)
	}
	if got, want := MapFile([]Entry{WildcardEntry("*.example.com", ""), WildcardEntry("*.example.net", Limit("partner", 20))}), ".example.com 1\n.example.net partner:20\n"; got != want {
		t.Errorf("wildcard: got %q, want %q", got, want)
	}
	if got, want := HostEntries("a.example.com", []netip.Addr{netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("203.0.113.8")}, NoAddress)[11], (Entry{"a.example.com|11", "203.0.113.8"}); got != want {
		t.Errorf("host: got %v, want %v", got, want)
	}
	if got, want := MapFile(HostEntries("a.example.com", []netip.Addr{netip.MustParseAddr("203.0.113.9")}, NoAddress)), "a.example.com| 203.0.113.9\n"; got != want {
		t.Errorf("host with one address: got %q, want %q", got, want)
	}
}
