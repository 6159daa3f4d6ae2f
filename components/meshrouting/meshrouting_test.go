package meshrouting

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/components/destinations"
	"github.com/sallyport/sallyport/components/manifests"
	"github.com/sallyport/sallyport/internal/golden"
)

var (
	found = Found{Proxies: []Endpoint{
		{Name: "proxy-eu-west-1a-1", Region: "eu-west-1", Zone: "eu-west-1a", Address: netip.MustParseAddr("10.0.1.10")},
		{Name: "proxy-eu-west-1b-1", Region: "eu-west-1", Zone: "eu-west-1b", Address: netip.MustParseAddr("10.0.2.10")},
	}}
	list = []destinations.Destination{
		{Name: "payments", Hosts: []string{"api.payments.example.com"}, Port: 443, Route: destinations.RouteProxy},
		{Name: "ledger", Hosts: []string{"api.ledger.example.net", "auth.ledger.example.net"}, Port: 8443, Route: destinations.RouteProxy},
	}
	wildcard = destinations.Destination{Name: "tenants", Hosts: []string{"*.tenants.example.org"}, Port: 443, Route: destinations.RouteProxy}
)

func TestObjects(t *testing.T) {
	for file, s := range map[string]Settings{
		"sidecar.yaml":  {Namespace: "istio-system", DataPlane: Sidecar, Destinations: append(list[:2:2], wildcard)},
		"fallback.yaml": {Namespace: "istio-system", DataPlane: Sidecar, Destinations: list, Fallback: map[string]bool{"ledger": true}},
		"ambient.yaml":  {Namespace: "egress", DataPlane: Ambient, Destinations: list},
	} {
		objects, err := s.Objects(found)
		if err != nil {
			t.Fatal(err)
		}
		if err := manifests.Check("mesh", objects); err != nil {
			t.Error(err)
		}
		text, err := manifests.YAML(objects)
		if err != nil {
			t.Fatal(err)
		}
		golden.Check(t, file, text)
	}
}

func TestWhatNoMeshCanServeIsReportedAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		settings Settings
		found    Found
		want     []string
	}{
		"ambient with wildcards": {Settings{DataPlane: Ambient, Destinations: []destinations.Destination{wildcard}}, found, []string{
			`mesh: tenants.hosts[0]: must not be a wildcard in ambient mode`}},
		"fallback of a wildcard, in a mesh of no kind": {
			Settings{DataPlane: "cilium", Destinations: []destinations.Destination{wildcard}, Fallback: map[string]bool{"tenants": true}}, found,
			[]string{`dataPlane: must be sidecar or ambient, got "cilium"`, "must not be a wildcard with fallbackToNat"}},
		"no proxies": {Settings{DataPlane: Sidecar, Destinations: list}, Found{}, []string{"proxies: need at least one, got none"}},
	} {
		_, err := c.settings.Objects(c.found)
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %q", name, err, want)
			}
		}
	}
}
