package poddns

import (
	"strings"
	"testing"

	"github.com/sallyport/sallyport/components/manifests"
	"github.com/sallyport/sallyport/internal/golden"
)

var settings = Settings{Label: "sallyport.dev/pod-dns", API: "v1", Ndots: 2, SingleRequestReopen: true, ClusterDomain: "cluster.local"}

func TestObjects(t *testing.T) {
	nodeLocal, kyverno, both := settings, settings, settings
	nodeLocal.NodeLocal, nodeLocal.API, nodeLocal.UseVC = "169.254.20.10", "v1beta1", true
	kyverno.API = ""
	both.NodeLocal, both.API = "169.254.20.10", ""
	for file, s := range map[string]Settings{"options.yaml": settings, "node-local.yaml": nodeLocal, "kyverno.yaml": kyverno, "kyverno-node-local.yaml": both} {
		objects, err := s.Objects(Found{ClusterDNS: "172.20.0.10"})
		if err != nil {
			t.Fatal(err)
		}
		if err := manifests.Check("pod DNS", objects); err != nil {
			t.Error(err)
		}
		text, err := manifests.YAML(objects)
		if err != nil {
			t.Fatal(err)
		}
		golden.Check(t, file, text)
	}
}

func TestSnippet(t *testing.T) {
	text, err := settings.Snippet(Found{}, "shop")
	if err != nil {
		t.Fatal(err)
	}
	want := "dnsConfig:\n  options:\n    - name: ndots\n      value: \"2\"\n    - name: single-request-reopen\n"
	if text != want {
		t.Errorf("got\n%swant\n%s", text, want)
	}
}

func TestSettingsReportAllProblemsAtOnce(t *testing.T) {
	_, err := Settings{NodeLocal: "node"}.Objects(Found{ClusterDNS: "kube-dns"})
	for _, want := range []string{"ndots", "label", "nodeLocal", "clusterDNS"} {
		if err == nil || !strings.Contains(err.Error(), "pod DNS: "+want) {
			t.Errorf("%s is missing in: %v", want, err)
		}
	}
}

func TestQueriesPerLookup(t *testing.T) {
	for _, c := range []struct {
		name            string
		searches, ndots int
		want            int
	}{
		{"api.example.com", 4, 5, 10}, // EKS: three of the cluster, one of the VPC
		{"api.example.com", 5, 5, 12}, // GKE: two of the project
		{"api.example.com", 4, 2, 2},
		{"api.example.com.", 4, 5, 2},
		{"example.com", 4, 2, 10}, // one dot is fewer than two
		{"a.b.c.d.e.example.com", 4, 5, 2},
	} {
		if got := QueriesPerLookup(c.name, c.searches, c.ndots); got != c.want {
			t.Errorf("%s, %d domains, ndots %d: got %d, want %d", c.name, c.searches, c.ndots, got, c.want)
		}
	}
}

func TestExpect(t *testing.T) {
	lookups := []Lookup{{"api.example.com", 100}, {"a.b.c.d.e.example.com", 10}}
	searches := Searches("shop", "cluster.local")
	costs := Expect(lookups, searches, 5)
	if len(costs) != 4 {
		t.Fatalf("got %+v", costs)
	}
	for _, c := range costs[:3] {
		if c.Queries != 200 || c.Wasted != 200 {
			t.Errorf("%s: got %+v", c.Search, c)
		}
	}
	if c := costs[3]; c.Search != "" || c.Queries != 220 || c.Wasted != 0 {
		t.Errorf("got %+v", c)
	}
	golden.Check(t, "expect.txt", Text(costs, "queries/s"))
	for _, c := range Expect(lookups, searches, 2)[:3] {
		if c.Queries != 0 {
			t.Errorf("ndots 2: %+v", c)
		}
	}
}

const coreDNSLog = `.:53
CoreDNS-1.14.7
[INFO] 10.0.0.7:40000 - 1 "A IN api.example.com.shop.svc.cluster.local. udp 60 false 512" NXDOMAIN qr,aa,rd 153 0.0001s
[INFO] 10.0.0.7:40000 - 2 "AAAA IN api.example.com.shop.svc.cluster.local. udp 60 false 512" NXDOMAIN qr,aa,rd 153 0.0001s
[INFO] 10.0.0.7:40000 - 3 "A IN api.example.com.svc.cluster.local. udp 60 false 512" NXDOMAIN qr,aa,rd 153 0.0001s
[INFO] 10.0.0.7:40000 - 4 "A IN api.example.com.cluster.local. udp 60 false 512" NXDOMAIN qr,aa,rd 153 0.0001s
[INFO] 10.0.0.7:40000 - 5 "A IN api.example.com.eu-west-1.compute.internal. tcp 60 false 65535" NXDOMAIN qr,aa,rd 153 0.0001s
[INFO] 10.0.0.7:40000 - 6 "A IN api.example.com. udp 60 false 512" NOERROR qr,rd,ra 70 0.002s
[INFO] 10.0.0.7:40000 - 7 "A IN db.shop.svc.cluster.local. udp 60 false 512" NOERROR qr,aa,rd 70 0.0001s
[INFO] 10.0.0.7:40000 - 8 "A IN misspelt.example.com. udp 60 false 512" NXDOMAIN qr,rd,ra 70 0.002s
[ERROR] plugin/errors: 2 api.example.com. A: read udp: i/o timeout
`

func TestReadLog(t *testing.T) {
	costs, err := ReadLog(strings.NewReader(coreDNSLog), []string{"*.svc.cluster.local", "svc.cluster.local", "cluster.local", "eu-west-1.compute.internal"})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][2]float64{}
	for _, c := range costs {
		got[c.Search] = [2]float64{c.Queries, c.Wasted}
	}
	for search, want := range map[string][2]float64{
		"*.svc.cluster.local": {2, 2}, "svc.cluster.local": {1, 1}, "cluster.local": {1, 1}, "eu-west-1.compute.internal": {1, 1}, "": {3, 1},
	} {
		if got[search] != want {
			t.Errorf("%q: got %v, want %v", search, got[search], want)
		}
	}
	golden.Check(t, "log.txt", Text(costs, "queries"))
}

func FuzzReadLog(f *testing.F) {
	f.Add(coreDNSLog)
	f.Add(`"A IN . udp 1" NXDOMAIN `)
	f.Fuzz(func(t *testing.T, text string) {
		costs, err := ReadLog(strings.NewReader(text), []string{"*.svc.cluster.local", "cluster.local"})
		if err != nil {
			return
		}
		queries := 0.0
		for _, c := range costs {
			queries += c.Queries
			if c.Wasted > c.Queries {
				t.Errorf("%+v", c)
			}
		}
		if queries > float64(strings.Count(text, "\n")+1) {
			t.Errorf("%g queries in %d lines", queries, strings.Count(text, "\n")+1)
		}
	})
}
