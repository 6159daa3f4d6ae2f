package routes

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/golden"
)

func example() *Document {
	return &Document{
		Version: Version, Serial: 7,
		Routes: []Route{
			{Name: "payments", Hosts: []string{"api.example.com", "*.pay.example.com"}, Port: 443},
			{Name: "ledger", Hosts: []string{"ledger.example.net"}, Port: 8443, Mode: ModePool},
			{Name: "mail", Hosts: []string{"mail.example.org"}, Port: 25, Protocol: ProtocolTCP, Listen: 10025},
			{Name: "legacy", Hosts: []string{"*.legacy.example.org"}, Port: 80, Protocol: ProtocolHTTP},
			{Name: "bank", Hosts: []string{"bank.example.net"}, Port: 443, Mode: ModePool, Pool: &Pool{
				CAFile: "/etc/sallyport/bank/ca.pem", CertFile: "/etc/sallyport/bank/client.pem", ConnectTimeoutSeconds: 2,
				ServerTimeoutSeconds: 20, MaxConnections: 50, ALPN: []ALPN{ALPNHTTP11},
			}},
		},
		Proxies: []Proxy{
			{Name: "proxy-a-1", Zone: "a", Address: netip.MustParseAddr("10.0.2.11"), PublicIPs: []netip.Addr{netip.MustParseAddr("198.51.100.129")}},
		},
		Clients: []netip.Prefix{netip.MustParsePrefix("10.0.1.0/24")},
		Refused: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")},
	}
}

func TestEncodeMatchesGoldenAndComesBack(t *testing.T) {
	for name, doc := range map[string]*Document{"full": example(), "empty": {Version: Version}} {
		data, err := Encode(doc)
		if err != nil {
			t.Fatal(err)
		}
		golden.Check(t, name+".json.golden", string(data))
		back, err := Decode(data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		again, err := Encode(back)
		if err != nil || string(again) != string(data) {
			t.Errorf("%s: changed by a round trip: %v\n%s", name, err, again)
		}
	}
}

func TestEncodeLeavesTheCallersDocumentAlone(t *testing.T) {
	doc := example()
	if _, err := Encode(doc); err != nil || doc.Routes[0].Mode != "" {
		t.Errorf("mode became %q, error %v", doc.Routes[0].Mode, err)
	}
}

func TestDecodeNamesEveryProblem(t *testing.T) {
	tests := map[string]struct {
		change func(map[string]any)
		want   []string
	}{
		"other version":            {func(d map[string]any) { d["version"] = 2 }, []string{"routes document: version: must be 1, got 2"}},
		"negative serial":          {func(d map[string]any) { d["serial"] = -1 }, []string{"serial"}},
		"unknown key":              {func(d map[string]any) { d["rotues"] = []any{} }, []string{"rotues", "routes"}},
		"text for a number":        {func(d map[string]any) { route(d, 0)["port"] = "443" }, []string{"routes[0].port"}},
		"IPv4 client without bits": {func(d map[string]any) { d["clients"] = []any{"10.0.0.1"} }, []string{"clients[0]"}},
		"client with host bits":    {func(d map[string]any) { d["clients"] = []any{"10.0.0.1/8"} }, []string{"clients[0]: must not have host bits", "write 10.0.0.0/8"}},
		"everybody as client":      {func(d map[string]any) { d["clients"] = []any{"0.0.0.0/0"} }, []string{"must not be the whole internet"}},
		"everybody as IPv6 client": {func(d map[string]any) { d["clients"] = []any{"::/0"} }, []string{"must not be the whole internet"}},
		"route without a name":     {func(d map[string]any) { delete(route(d, 0), "name") }, []string{"routes[0].name: must be a DNS label"}},
		"route name twice":         {func(d map[string]any) { route(d, 1)["name"] = "payments" }, []string{"routes[1].name: must be unique"}},
		"no hosts":                 {func(d map[string]any) { route(d, 0)["hosts"] = []any{} }, []string{"routes[0].hosts: needs at least 1 host"}},
		"port 0":                   {func(d map[string]any) { route(d, 0)["port"] = 0 }, []string{"routes[0].port: must be 1 to 65535, got 0"}},
		"port 65536":               {func(d map[string]any) { route(d, 0)["port"] = 65536 }, []string{"got 65536"}},
		"unknown mode":             {func(d map[string]any) { route(d, 0)["mode"] = "mitm" }, []string{"routes[0].mode: must be passthrough or pool"}},
		"host twice on a port": {func(d map[string]any) { route(d, 1)["hosts"] = []any{"api.example.com"}; route(d, 1)["port"] = 443 },
			[]string{`routes[1].hosts[0]: must not be served twice on port 443: route "payments" has it`}},
		"unknown protocol":          {func(d map[string]any) { route(d, 0)["protocol"] = "udp" }, []string{"routes[0].protocol: must be tls, http or tcp"}},
		"plain HTTP into a pool":    {func(d map[string]any) { route(d, 1)["protocol"] = "http" }, []string{"routes[1].protocol: must be tls in mode pool"}},
		"TLS on a port of its own":  {func(d map[string]any) { route(d, 0)["listen"] = 1443 }, []string{"routes[0].listen: must not be given unless protocol is tcp"}},
		"listen on 65536":           {func(d map[string]any) { route(d, 2)["listen"] = 65536 }, []string{"routes[2].listen: must be 1 to 65535"}},
		"two hosts behind one port": {func(d map[string]any) { route(d, 2)["hosts"] = []any{"a.example.org", "b.example.org"} }, []string{"routes[2].hosts: must be one"}},
		"wildcard in plain TCP":     {func(d map[string]any) { route(d, 2)["hosts"] = []any{"*.example.org"} }, []string{"routes[2].hosts[0]: must be an exact name"}},
		"plain TCP on the port of TLS": {func(d map[string]any) { route(d, 2)["listen"] = 443 },
			[]string{`routes[2].listen: must be for one tcp route alone: route "payments" listens there too`}},
		"plain HTTP on the port of TLS": {func(d map[string]any) { route(d, 3)["port"] = 443 }, []string{`routes[3].protocol: must be tls on port 443, as in route "payments"`}},
		"pool options of a passthrough": {func(d map[string]any) { route(d, 0)["pool"] = map[string]any{} }, []string{"routes[0].pool: must not be given unless mode is pool"}},
		"certificate by relative path":  {func(d map[string]any) { pool(d)["caFile"] = "ca.pem" }, []string{"routes[4].pool.caFile: must be an absolute path"}},
		"certificate up the tree":       {func(d map[string]any) { pool(d)["certFile"] = "/etc/../key.pem" }, []string{"routes[4].pool.certFile"}},
		"certificate with a space":      {func(d map[string]any) { pool(d)["certFile"] = "/etc/a b.pem" }, []string{"routes[4].pool.certFile"}},
		"timeouts beyond their limits":  {func(d map[string]any) { pool(d)["connectTimeoutSeconds"] = 61; pool(d)["serverTimeoutSeconds"] = -1 }, []string{"connectTimeoutSeconds: must be 1 to 60", "serverTimeoutSeconds: must be 1 to 3600"}},
		"too many pooled connections":   {func(d map[string]any) { pool(d)["maxConnections"] = 100001 }, []string{"maxConnections: must be 1 to 100000"}},
		"unknown ALPN":                  {func(d map[string]any) { pool(d)["alpn"] = []any{"h3"} }, []string{"alpn[0]: must be h2 or http/1.1"}},
		"ALPN twice":                    {func(d map[string]any) { pool(d)["alpn"] = []any{"h2", "h2"} }, []string{"alpn[1]: must be listed once"}},
		"proxy without a zone":          {func(d map[string]any) { proxy(d)["zone"] = "" }, []string{"proxies[0].zone"}},
		"IPv6 proxy":                    {func(d map[string]any) { proxy(d)["address"] = "2001:db8::1" }, []string{"proxies[0].address: must be an IPv4 address"}},
		"loopback proxy":                {func(d map[string]any) { proxy(d)["address"] = "127.0.0.1" }, []string{"proxies[0].address"}},
		"proxy without address":         {func(d map[string]any) { delete(proxy(d), "address") }, []string{"proxies[0].address"}},
		"public IP of its own address":  {func(d map[string]any) { proxy(d)["publicIPs"] = []any{"10.0.2.11"} }, []string{"must belong to one proxy"}},
		"several at once": {func(d map[string]any) { d["version"] = 3; route(d, 0)["port"] = 0; proxy(d)["name"] = "A" },
			[]string{"version", "routes[0].port", "proxies[0].name"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			data, err := json.Marshal(example())
			if err != nil {
				t.Fatal(err)
			}
			var tree map[string]any
			if err := json.Unmarshal(data, &tree); err != nil {
				t.Fatal(err)
			}
			test.change(tree)
			data, err = json.Marshal(tree)
			if err != nil {
				t.Fatal(err)
			}
			doc, err := Decode(data)
			if err == nil {
				t.Fatal("accepted")
			}
			if doc != nil {
				t.Error("a part of a bad document was returned")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v\ndoes not say %q", err, want)
				}
			}
		})
	}
}

func route(d map[string]any, i int) map[string]any { return d["routes"].([]any)[i].(map[string]any) }
func pool(d map[string]any) map[string]any         { return route(d, 4)["pool"].(map[string]any) }
func proxy(d map[string]any) map[string]any        { return d["proxies"].([]any)[0].(map[string]any) }

func TestDocumentsOfTheFirstReleaseAreStillRead(t *testing.T) {
	data, err := os.ReadFile("testdata/first-release.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if r := doc.Routes[0]; r.Protocol != "" || r.ListenPort() != 443 {
		t.Errorf("first route became %+v", r)
	}
	if again, err := Encode(doc); err != nil || string(again) != string(data) {
		t.Errorf("an agent that is older could not read what this one writes: %v\n%s", err, again)
	}
}

func TestPoolDefaults(t *testing.T) {
	for name, r := range map[string]Route{"no options": {}, "empty options": {Pool: &Pool{}}} {
		if p := r.Pooled(); p.ConnectTimeoutSeconds != 5 || p.ServerTimeoutSeconds != 60 || p.MaxConnections != 0 || len(p.ALPN) != 1 || p.ALPN[0] != ALPNHTTP11 {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func TestRoutesAreFoundByTheirListeningPort(t *testing.T) {
	doc := example()
	doc.withDefaults()
	x := NewIndex(doc, ModePassthrough)
	if r := x.Lookup("mail.example.org", 10025); r == nil || r.Name != "mail" {
		t.Errorf("listening port: %v", r)
	}
	if r := x.Lookup("mail.example.org", 25); r != nil {
		t.Errorf("port of the destination: %v", r)
	}
	if r := x.Lookup("x.legacy.example.org", 80); r == nil || r.Name != "legacy" {
		t.Errorf("plain HTTP: %v", r)
	}
}

func TestDecodeRefusesWhatIsNotOneDocument(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "null": "null", "list": "[]", "two": `{"version":1}{"version":1}`, "cut": `{"version":1`,
		"key twice": `{"version":1,"version":1}`, "not UTF-8": "{\"version\":1,\"x\":\"\xff\"}", "deep": strings.Repeat("[", 5000),
		"too large": `{"version":1,"x":"` + strings.Repeat("x", MaxBytes) + `"}`,
	} {
		if _, err := Decode([]byte(text)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestLimits(t *testing.T) {
	full := &Document{Version: Version}
	for i := range MaxRoutes {
		r := Route{Name: fmt.Sprintf("route-%d", i), Port: 443}
		for j := range MaxHosts / MaxRoutes {
			r.Hosts = append(r.Hosts, fmt.Sprintf("host-%d.%s.route-%d.example.com", j, strings.Repeat("x", 60), i))
		}
		full.Routes = append(full.Routes, r)
	}
	data, err := Encode(full)
	if err != nil {
		t.Fatalf("%d routes with %d hosts: %v", MaxRoutes, MaxHosts, err)
	}
	if _, err := Decode(data); err != nil {
		t.Fatal(err)
	}
	full.Routes[0].Hosts = append(full.Routes[0].Hosts, "one-more.example.com")
	if err := Validate(full); err == nil || !strings.Contains(err.Error(), "got 4001") {
		t.Errorf("%d hosts: %v", MaxHosts+1, err)
	}
	full.Routes = append(full.Routes, Route{Name: "one-more", Hosts: []string{"x.example.com"}, Port: 1})
	if err := Validate(full); err == nil || !strings.Contains(err.Error(), "more than 500 entries, got 501") {
		t.Errorf("%d routes: %v", MaxRoutes+1, err)
	}
}

func TestHostRule(t *testing.T) {
	label63 := strings.Repeat("a", 63)
	good := []string{"example.com", "api.example.com", "*.example.com", "a.b", "_dmarc.example.com", "x--y.example.com", "0.example.com", "xn--bcher-kva.example.com",
		label63 + ".example.com", strings.Repeat(label63+".", 3) + strings.Repeat("a", 61)}
	bad := []string{"", ".", "com", "*", "*.", "*.com", "**.example.com", "*.*.example.com", "a.*.example.com", "*a.example.com", "api.example.com.", ".example.com",
		"a..example.com", "API.example.com", "-a.example.com", "a-.example.com", "a b.example.com", "a|0.example.com", "a;b.example.com", "a\n.example.com", "bücher.example.com",
		"192.0.2.1", "*.192.0.2.1", "::1", "[::1]", "api.example.com:443", "https://api.example.com", label63 + "a.example.com", strings.Repeat(label63+".", 3) + strings.Repeat("a", 62)}
	for _, host := range good {
		if rule := HostRule(host); rule != "" {
			t.Errorf("%q: %s", host, rule)
		}
	}
	for _, host := range bad {
		if HostRule(host) == "" {
			t.Errorf("%q is accepted", host)
		}
	}
}

func TestIndexFindsTheClosestRoute(t *testing.T) {
	doc := &Document{Version: Version, Routes: []Route{
		{Name: "exact", Hosts: []string{"api.example.com"}, Port: 443, Mode: ModePassthrough},
		{Name: "wide", Hosts: []string{"*.example.com"}, Port: 443, Mode: ModePassthrough},
		{Name: "narrow", Hosts: []string{"*.pay.example.com"}, Port: 443, Mode: ModePassthrough},
		{Name: "other-port", Hosts: []string{"api.example.com"}, Port: 8443, Mode: ModePassthrough},
		{Name: "pooled", Hosts: []string{"pool.example.net"}, Port: 443, Mode: ModePool},
	}}
	x := NewIndex(doc, ModePassthrough)
	tests := []struct {
		name string
		port int
		want string
	}{
		{"api.example.com", 443, "exact"}, {"api.example.com", 8443, "other-port"}, {"api.example.com", 80, ""},
		{"x.api.example.com", 443, "wide"}, {"x.api.example.com", 8443, ""}, {"www.example.com", 443, "wide"},
		{"a.pay.example.com", 443, "narrow"}, {"a.b.pay.example.com", 443, "narrow"}, {"pay.example.com", 443, "wide"},
		{"example.com", 443, ""}, {"notexample.com", 443, ""}, {".example.com", 443, ""}, {"com", 443, ""}, {"", 443, ""},
		{"pool.example.net", 443, ""},
	}
	for _, test := range tests {
		got := ""
		if r := x.Lookup(test.name, test.port); r != nil {
			got = r.Name
		}
		if got != test.want {
			t.Errorf("%q on %d: %q, want %q", test.name, test.port, got, test.want)
		}
	}
	for name, want := range map[string]bool{"api.example.com": true, "x.example.com": true, "example.com": false, "pool.example.net": false} {
		if x.Covers(name) != want {
			t.Errorf("Covers(%q) = %v", name, !want)
		}
	}
	if x.CoversByWildcard("api.example.com") != true || x.CoversByWildcard("example.com") {
		t.Error("CoversByWildcard looks at exact hosts")
	}
}

// FuzzDecode: whatever is accepted is within the rules, and means the same after a round trip.
func FuzzDecode(f *testing.F) {
	data, err := Encode(example())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"version":1,"serial":1}`))
	f.Add([]byte(`{"version":1,"routes":[{"name":"a","hosts":["*.*.x.y"],"port":443}],"clients":["10.0.0.0/8","::/1"]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := Decode(data)
		if err != nil {
			return
		}
		for _, route := range doc.Routes {
			if p := route.Pooled(); strings.ContainsAny(p.CAFile+p.CertFile, " \n\\\"'#") || strings.Contains(p.CAFile+p.CertFile, "/..") {
				t.Fatalf("a path would be misread in a configuration: %+v", p)
			}
			for _, host := range route.Hosts {
				if strings.ContainsAny(host, " |;\n\\\"'#<") || strings.Count(host, "*") > 1 {
					t.Fatalf("host %q would be misread in a map", host)
				}
			}
		}
		encoded, err := Encode(doc)
		if err != nil {
			t.Fatalf("accepted but cannot be written: %v", err)
		}
		again, err := Decode(encoded)
		if err != nil {
			t.Fatalf("what was written is not accepted: %v", err)
		}
		if second, err := Encode(again); err != nil || string(second) != string(encoded) {
			t.Fatalf("changed by a round trip: %v", err)
		}
	})
}

// TestHostLabels: the loop that judges every name a client sends agrees with the pattern it stands for.
func TestHostLabels(t *testing.T) {
	pattern := regexp.MustCompile(`^[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?$`)
	alphabet := "a0_-.A\x00é"
	var labels []string
	for _, a := range alphabet {
		for _, b := range alphabet {
			for _, c := range alphabet {
				labels = append(labels, string([]rune{a}), string([]rune{a, b}), string([]rune{a, b, c}))
			}
		}
	}
	labels = append(labels, "", strings.Repeat("a", 63), strings.Repeat("a", 64))
	for _, label := range labels {
		if want := len(label) <= 63 && pattern.MatchString(label); isLabel(label) != want {
			t.Errorf("%q: got %v, want %v", label, !want, want)
		}
	}
}
