package nodelocaldns

import (
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/golden"
)

func TestCorefileIsRendered(t *testing.T) {
	cases := map[string]Corefile{
		"proxied.corefile": {
			ClusterDNS: []string{"10.0.0.2"}, Upstreams: []string{"10.0.0.2", "10.0.0.3"}, Resolver: "127.0.0.1:9053",
			ProxiedHosts: []string{"*.tenants.example.org", "api.example.com", "tenants.example.org"},
		},
		"nothing-proxied.corefile": {
			ClusterDNS: []string{"10.96.0.10"}, Upstreams: []string{"10.0.0.2"}, ClusterDomain: "k8s.example.net",
			Address: "169.254.20.11", ServeStale: time.Minute, MaxConcurrent: 50,
		},
	}
	for file, corefile := range cases {
		t.Run(file, func(t *testing.T) {
			got, err := corefile.Render()
			if err != nil {
				t.Fatal(err)
			}
			golden.Check(t, file, got)
		})
	}
}

func TestCorefileReportsAllProblemsAtOnce(t *testing.T) {
	_, err := Corefile{ProxiedHosts: []string{"a.example.com {"}, ProxiedTTL: time.Hour}.Render()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"clusterDNS", "upstreams", "resolver", "proxiedTTL", `"a.example.com {"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is missing in:\n%v", want, err)
		}
	}
}
