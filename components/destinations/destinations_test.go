package destinations

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/problem"
)

func decode(text string) ([]Destination, error) {
	var list problem.List
	tree, ok := problem.ParseJSON("list", []byte(text), &list)
	if !ok {
		return nil, list.Err()
	}
	ds := Decode("list", tree, &list)
	return ds, list.Err()
}

// entry writes one entry of the list: a good one, with the given keys added or replaced.
func entry(t *testing.T, changes string) string {
	t.Helper()
	keys := map[string]any{"name": "a", "hosts": []string{"a.example.com"}, "demand": map[string]any{"connectionsPerSecond": 1}}
	if err := json.Unmarshal([]byte("{"+changes+"}"), &keys); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(keys)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestDecodeFillsInDefaultsAndLowersCase(t *testing.T) {
	got, err := decode(`[{"name":"Pay","hosts":["API.Example.com","*.Shop.example.com"],"partner":"PayCo","demand":{"connectionsPerSecond":0.5}},
		{"name":"pool","hosts":["xn--bcher-kva.example.com"],"port":8443,"route":"pool",
		 "demand":{"connectionsPerSecond":1e6,"secondsPerConnection":86400,"requestsPerConnection":2,"addresses":4096}}]`)
	want := []Destination{
		{Name: "pay", Hosts: []string{"api.example.com", "*.shop.example.com"}, Port: 443, Route: RouteNat, Partner: "payco", Demand: Demand{0.5, 1, 1, 1}},
		{Name: "pool", Hosts: []string{"xn--bcher-kva.example.com"}, Port: 8443, Route: RoutePool, Demand: Demand{1e6, 86400, 2, 4096}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
}

func TestHosts(t *testing.T) {
	long := strings.Repeat("a", 63)
	tests := map[string]string{ // host: start of the rule, empty if it is fine
		"example.com":                          "",
		"a.b-c.example.com":                    "",
		"3com.example":                         "",
		"r3---sn-1.example.com":                "",
		"xn--bcher-kva.example":                "",
		"*.example.com":                        "",
		"*.a.b.example.com":                    "",
		long + ".example.com":                  "",
		"127.0.0.1.example.com":                "",
		"internal":                             "needs at least two labels",
		"localhost":                            "needs at least two labels",
		"api.localhost":                        "must lie outside the cluster",
		"kubernetes.default.svc.cluster.local": "must lie outside the cluster",
		"metadata.google.internal":             "must lie outside the cluster",
		"1.0.0.10.in-addr.arpa":                "must lie outside the cluster",
		"":                                     "must not be empty",
		"*":                                    "may have a wildcard only as the whole first label",
		"*.":                                   "needs at least two labels below the wildcard",
		"*.com":                                "needs at least two labels below the wildcard",
		"*.*.example.com":                      "may have a wildcard only as the whole first label",
		"a.*.example.com":                      "may have a wildcard only as the whole first label",
		"api-*.example.com":                    "may have a wildcard only as the whole first label",
		"*example.com":                         "may have a wildcard only as the whole first label",
		"192.0.2.1":                            "must be a DNS name, not an IP address",
		"192.0.2.0/24":                         "must be a DNS name, not an IP address",
		"192.0.2":                              "must be a DNS name, not an IP address",
		"example.0x7f":                         "must be a DNS name, not an IP address",
		"2001:db8::1":                          "must be a DNS name, not an IP address",
		"[2001:db8::1]":                        "must be a DNS name, not an IP address",
		"[2001:db8::1]:443":                    "must be a DNS name, not an IP address",
		"https://192.0.2.1/":                   "must be a DNS name, not an IP address",
		"::ffff:192.0.2.1":                     "must be a DNS name, not an IP address",
		"https://example.com":                  "must be a name without a scheme",
		"https://example.com/path":             "must be a name without a scheme",
		"example.com/path":                     "must be a name without a path",
		"example.com?query":                    "must be a name without a path",
		"example.com:443":                      "must be a name without a port",
		"user:password@example.com":            "must be a name without a port",
		"user@example.com":                     "must have only the characters",
		"example.com.":                         "must be a name without a trailing dot",
		".example.com":                         "must not have an empty label",
		"a..example.com":                       "must not have an empty label",
		"-a.example.com":                       "must not have a label that starts or ends with a hyphen",
		"a-.example.com":                       "must not have a label that starts or ends with a hyphen",
		"a_b.example.com":                      "must not have an underscore",
		"a b.example.com":                      "must have only the characters",
		" example.com":                         "must have only the characters",
		"example.com\n":                        "must have only the characters",
		"bücher.example":                       "must be written in ASCII",
		"a" + long + ".example.com":            "must not have a label longer than 63 characters",
		strings.Repeat("a.", 126) + "bc":       "must not be longer than 253 characters",
		strings.Repeat("a.", 126) + "b":        "",
	}
	for host, want := range tests {
		rule, _ := HostProblem(host)
		if (rule == "") != (want == "") || !strings.HasPrefix(rule, want) {
			t.Errorf("%q: %q, want %q", host, rule, want)
		}
	}
}

func TestARemedySaysWhatToWriteInstead(t *testing.T) {
	if _, err := decode("[" + entry(t, `"hosts":["https://API.example.com:8443/v1"]`) + "]"); err == nil ||
		!strings.Contains(err.Error(), `list[0].hosts[0]: must be a name without a scheme, got "https://api.example.com:8443/v1"; write "api.example.com:8443"`) {
		t.Error(err)
	}
}

func TestProblemsOfOneEntry(t *testing.T) {
	tests := map[string]struct{ changes, want string }{
		"no name":                       {`"name":""`, `list[0].name: needs a name, got ""`},
		"a name with a dot":             {`"name":"a.b"`, `list[0].name: must be a DNS label`},
		"a name too long":               {`"name":"` + strings.Repeat("a", 64) + `"`, `list[0].name: must be a DNS label`},
		"no hosts":                      {`"hosts":[]`, `list[0].hosts: needs at least 1 host, got 0; list the`},
		"hosts of null":                 {`"hosts":null`, `list[0].hosts: needs at least 1 host, got 0; list the`},
		"a text as hosts":               {`"hosts":"a.example.com"`, `list[0].hosts: needs a list, got "a.example.com"; write a list, even of one`},
		"port zero":                     {`"port":0`, `list[0].port: must be between 1 and 65535, got 0`},
		"a port too high":               {`"port":65536`, `list[0].port: must be between 1 and 65535, got 65536`},
		"a negative port":               {`"port":-443`, `list[0].port: must be between 1 and 65535, got -443`},
		"the proxies' own port":         {`"port":8404,"route":"proxy"`, `list[0].port: must not be the port on which the proxies answer health checks, got 8404; send it through the NAT`},
		"a port without TLS":            {`"port":80,"route":"proxy"`, `list[0].port: must be a port that speaks TLS from the first byte, because proxies go by its server name, and this is HTTP, got 80`},
		"a port without TLS, pooled":    {`"port":22,"route":"pool","demand":{"connectionsPerSecond":1,"requestsPerConnection":5}`, `and this is SSH`},
		"an unknown route":              {`"route":"prxoy"`, `list[0].route: must be a known route, got "prxoy"; did you mean "proxy"?`},
		"an empty route":                {`"route":""`, `list[0].route: must be a known route, got ""; use one of nat, pool, proxy`},
		"a partner with a space":        {`"partner":"pay co"`, `list[0].partner: must be a DNS label`},
		"no demand":                     {`"demand":{}`, `list[0].demand.connectionsPerSecond: must be above 0, got 0; declare the peak rate`},
		"a negative rate":               {`"demand":{"connectionsPerSecond":-5}`, `list[0].demand.connectionsPerSecond: must be above 0, got -5`},
		"an absurd rate":                {`"demand":{"connectionsPerSecond":1000001}`, `list[0].demand.connectionsPerSecond: must not be above 1000000, got 1000001`},
		"no hold":                       {`"demand":{"connectionsPerSecond":1,"secondsPerConnection":0}`, `list[0].demand.secondsPerConnection: must be above 0, got 0`},
		"more than a day":               {`"demand":{"connectionsPerSecond":1,"secondsPerConnection":86401}`, `must not be above 86400, got 86401`},
		"half a request":                {`"demand":{"connectionsPerSecond":1,"requestsPerConnection":0.5}`, `list[0].demand.requestsPerConnection: must be between 1 and 1000000, got 0.5`},
		"no address":                    {`"demand":{"connectionsPerSecond":1,"addresses":0}`, `list[0].demand.addresses: must be between 1 and 4096, got 0`},
		"too many addresses":            {`"demand":{"connectionsPerSecond":1,"addresses":4097}`, `must be between 1 and 4096, got 4097`},
		"half an address":               {`"demand":{"connectionsPerSecond":1,"addresses":1.5}`, `list[0].demand.addresses: needs a whole number, got 1.5`},
		"a pool that shares nothing":    {`"route":"pool"`, `list[0].demand.requestsPerConnection: must be at least 2 for route pool, which is there to share connections, got 1`},
		"a misspelt key":                {`"prot":443`, `list[0].prot: unknown key "prot"; did you mean "port"?`},
		"a misspelt key of the demand":  {`"demand":{"connectionsPerSecond":1,"adresses":2}`, `list[0].demand.adresses: unknown key "adresses"; did you mean "addresses"?`},
		"the same host twice":           {`"hosts":["a.example.com","A.example.com"]`, `list[0].hosts[1]: must be listed once for port 443, and list[0].hosts[0] ("a") lists it too, got "a.example.com"`},
		"a rate that is a text":         {`"demand":{"connectionsPerSecond":"1"}`, `list[0].demand.connectionsPerSecond: needs a number, got "1"; write it without quotes`},
		"a demand that is a number":     {`"demand":7`, `list[0].demand: needs an object, got 7`},
		"more hosts than one entry has": {`"hosts":["` + strings.Repeat(`x","`, 64) + `y"]`, `list[0].hosts: must not have more than 64 hosts, got 65`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := decode("[" + entry(t, test.changes) + "]")
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got  %v\nwant %s and nothing else", err, test.want)
			}
		})
	}
}

func TestOverlaps(t *testing.T) {
	type host struct {
		name, route string
		port        int
	}
	tests := map[string]struct {
		a, b host
		want string // empty: no overlap
	}{
		"different hosts":                               {host{"a.example.com", "nat", 443}, host{"b.example.com", "proxy", 443}, ""},
		"the same host and route on two ports":          {host{"a.example.com", "nat", 443}, host{"a.example.com", "nat", 8443}, ""},
		"the same host, route and port":                 {host{"a.example.com", "nat", 443}, host{"a.example.com", "nat", 443}, `list[1].hosts[0]: must be listed once for port 443, and list[0].hosts[0] ("a") lists it too, got "a.example.com"`},
		"the same host and port by two routes":          {host{"a.example.com", "nat", 443}, host{"a.example.com", "proxy", 443}, `list[1].hosts[0]: must have one route on port 443, and is proxy here and nat in list[0].hosts[0] ("a")`},
		"the same host on two ports by two routes":      {host{"a.example.com", "nat", 443}, host{"a.example.com", "proxy", 8443}, `must have the same route on all ports, because DNS answers know no ports, and is proxy here and nat in list[0].hosts[0] ("a")`},
		"a wildcard over a host with the same route":    {host{"*.example.com", "proxy", 443}, host{"a.example.com", "proxy", 443}, ""},
		"a wildcard over a host with another route":     {host{"*.example.com", "proxy", 443}, host{"a.example.com", "nat", 443}, `list[1].hosts[0]: must have the same route as the wildcard that covers it, and is nat here and proxy by "*.example.com" in list[0].hosts[0] ("a"), got "a.example.com"`},
		"the same, in the other order":                  {host{"a.example.com", "nat", 443}, host{"*.example.com", "proxy", 443}, `list[0].hosts[0]: must have the same route as the wildcard that covers it, and is nat here and proxy by "*.example.com" in list[1].hosts[0] ("b")`},
		"a wildcard over a host several labels down":    {host{"*.example.com", "proxy", 443}, host{"a.b.c.example.com", "nat", 443}, `covers it`},
		"a wildcard does not cover its own name":        {host{"*.example.com", "proxy", 443}, host{"example.com", "nat", 443}, ""},
		"a wildcard does not cover a longer last label": {host{"*.example.com", "proxy", 443}, host{"a.notexample.com", "nat", 443}, ""},
		"a wildcard within a wildcard, same route":      {host{"*.example.com", "proxy", 443}, host{"*.b.example.com", "proxy", 443}, ""},
		"a wildcard within a wildcard, other route":     {host{"*.example.com", "proxy", 443}, host{"*.b.example.com", "nat", 443}, `list[1].hosts[0]: must have the same route as the wildcard`},
		"the same wildcard twice":                       {host{"*.example.com", "proxy", 443}, host{"*.example.com", "proxy", 443}, `must be listed once for port 443`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			text := func(name string, h host) string {
				return entry(t, fmt.Sprintf(`"name":%q,"hosts":[%q],"port":%d,"route":%q`, name, h.name, h.port, h.route))
			}
			_, err := decode("[" + text("a", test.a) + "," + text("b", test.b) + "]")
			if test.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got  %v\nwant %s and nothing else", err, test.want)
			}
		})
	}
}

func TestNamesAreUniqueWhateverTheirCase(t *testing.T) {
	_, err := decode("[" + entry(t, `"name":"pay"`) + "," + entry(t, `"name":"PAY","hosts":["b.example.com"]`) + "]")
	if err == nil || err.Error() != `list[1].name: must be unique and list[0] has the same, got "pay"; rename one` {
		t.Error(err)
	}
}

func TestAllProblemsOfAllEntriesComeAtOnce(t *testing.T) {
	_, err := decode("[" + entry(t, `"name":"","port":0`) + "," + entry(t, `"hosts":["*.com"],"route":"x"`) + "]")
	if err == nil || len(strings.Split(err.Error(), "\n")) != 4 {
		t.Errorf("want four problems, got %v", err)
	}
}

func TestTheListItself(t *testing.T) {
	for name, test := range map[string]struct{ input, want string }{
		"an empty list":    {`[]`, `list: needs at least 1 entry, got 0; declare where the cluster connects to`},
		"an object":        {`{}`, `list: needs a list, got an object of 0; write a list, even of one`},
		"a list of texts":  {`["a.example.com"]`, `list[0]: needs an object, got "a.example.com"; write an object`},
		"too many entries": {"[" + strings.Repeat("{},", 2000) + "{}]", `list: must not have more than 2000 entries, got 2001; use wildcards, or split the stack`},
	} {
		if _, err := decode(test.input); err == nil || err.Error() != test.want {
			t.Errorf("%s: got %v, want %s", name, err, test.want)
		}
	}
}

func TestAListAtItsLimitsIsReadInReasonableTime(t *testing.T) {
	var entries []string
	for i := range MaxDestinations {
		entries = append(entries, fmt.Sprintf(`{"name":"d%d","hosts":["h%d.example.com","*.w%d.example.com"],"demand":{"connectionsPerSecond":1}}`, i, i, i))
	}
	ds, err := decode("[" + strings.Join(entries, ",") + "]")
	if err != nil || len(ds) != MaxDestinations {
		t.Errorf("%d, %v", len(ds), err)
	}
}

func TestViews(t *testing.T) {
	ds := []Destination{
		{Name: "a", Hosts: []string{"z.example.com", "b.example.com"}, Port: 443, Route: RouteProxy, Partner: "two"},
		{Name: "b", Hosts: []string{"b.example.com"}, Port: 8443, Route: RouteNat},
		{Name: "c", Hosts: []string{"*.c.example.com"}, Port: 443, Route: RoutePool, Partner: "one"},
		{Name: "d", Hosts: []string{"d.example.com"}, Port: 443, Route: RouteProxy, Partner: "two"},
	}
	names := ""
	for _, d := range ByRoute(ds, RouteProxy, RoutePool) {
		names += d.Name
	}
	if names != "acd" || ByRoute(ds) != nil {
		t.Errorf("by route: %s", names)
	}
	if got := Partners(ds); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("partners: %v", got)
	}
	if got := Hosts(ds); !slices.Equal(got, []string{"*.c.example.com", "b.example.com", "d.example.com", "z.example.com"}) {
		t.Errorf("hosts: %v", got)
	}
	if got := Ports(ds); !slices.Equal(got, []int{443, 8443}) {
		t.Errorf("ports: %v", got)
	}
}

func TestCovers(t *testing.T) {
	for name, want := range map[string]bool{"a.example.com": true, "A.B.Example.com.": true, "example.com": false, ".example.com": false, "aexample.com": false} {
		if Covers("*.example.com", name) != want {
			t.Errorf("*.example.com covers %s: %v", name, !want)
		}
	}
	if !Covers("example.com", "EXAMPLE.com.") || Covers("example.com", "a.example.com") {
		t.Error("an exact host covers itself only")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(`[{"name":"a","hosts":["a.example.com","*.b.example.com"],"route":"proxy","partner":"p","demand":{"connectionsPerSecond":1.5}}]`)
	f.Add(`[{"name":"A","hosts":["192.0.2.1","[::1]:443","https://x/y"],"port":8404,"route":"pool","demand":{"addresses":-1}}]`)
	f.Add(`[{"hosts":[".."]},{"hosts":["*."]},7,null,[[]]]`)
	f.Fuzz(func(t *testing.T, text string) {
		ds, err := decode(text)
		if err != nil {
			return
		}
		data, err := json.Marshal(ds)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decode(string(data))
		if err != nil || !reflect.DeepEqual(ds, again) {
			t.Fatalf("%s\nwas read as %+v\nthen as     %+v, %v", text, ds, again, err)
		}
		for _, host := range Hosts(ds) {
			if strings.ContainsAny(host, " \n\t\"'\\;{}$#/:") {
				t.Fatalf("host %q could break out of a configuration file", host)
			}
		}
	})
}

func FuzzHostProblem(f *testing.F) {
	for _, seed := range []string{"a.example.com", "*.example.com", "::1%eth0", "http://[::1]/", "1.2.3.4:5", "a\x00b.c", "xn--", "*.*", "ä.example"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, host string) {
		rule, _ := HostProblem(host)
		if rule != "" {
			return
		}
		name := strings.TrimPrefix(host, "*.")
		for _, label := range strings.Split(name, ".") {
			if !IsLabel(label) {
				t.Fatalf("%q was accepted with label %q", host, label)
			}
		}
		if len(host) > 253 || !strings.Contains(name, ".") {
			t.Fatalf("%q was accepted", host)
		}
	})
}
