// Package meshes holds the meshes that the tests hand to Istio, rendered by component meshrouting.
package meshes

import (
	"net/netip"
	"testing"

	"github.com/sallyport/sallyport/components/destinations"
	"github.com/sallyport/sallyport/components/manifests"
	"github.com/sallyport/sallyport/components/meshrouting"
)

// Fleet is two proxies, one in each of two zones of a region.
var Fleet = meshrouting.Found{Proxies: []meshrouting.Endpoint{
	{Name: "proxy-eu-west-1a-1", Region: "eu-west-1", Zone: "eu-west-1a", Address: netip.MustParseAddr("10.0.1.10")},
	{Name: "proxy-eu-west-1b-1", Region: "eu-west-1", Zone: "eu-west-1b", Address: netip.MustParseAddr("10.0.2.10")},
}}

// The destinations: one host, several hosts on another port, a wildcard.
var (
	Payments = destinations.Destination{Name: "payments", Hosts: []string{"api.payments.example.com"}, Port: 443, Route: destinations.RouteProxy}
	Ledger   = destinations.Destination{Name: "ledger", Hosts: []string{"api.ledger.example.net", "auth.ledger.example.net"}, Port: 8443, Route: destinations.RouteProxy}
	Tenants  = destinations.Destination{Name: "tenants", Hosts: []string{"*.tenants.example.org"}, Port: 443, Route: destinations.RouteProxy}
)

// Sidecar is a mesh of sidecars with all three destinations.
func Sidecar() meshrouting.Settings {
	return meshrouting.Settings{Namespace: "istio-system", DataPlane: meshrouting.Sidecar, Destinations: []destinations.Destination{Payments, Ledger, Tenants}}
}

// Fallback is a mesh of sidecars where Ledger may fall back to the NAT.
func Fallback() meshrouting.Settings {
	return meshrouting.Settings{Namespace: "istio-system", DataPlane: meshrouting.Sidecar,
		Destinations: []destinations.Destination{Payments, Ledger}, Fallback: map[string]bool{"ledger": true}}
}

// Ambient is a mesh with a waypoint. Ledger may fall back to the NAT.
func Ambient() meshrouting.Settings {
	return meshrouting.Settings{Namespace: "egress", DataPlane: meshrouting.Ambient,
		Destinations: []destinations.Destination{Payments, Ledger}, Fallback: map[string]bool{"ledger": true}}
}

// Render gives the objects as kubectl would apply them.
func Render(t *testing.T, s meshrouting.Settings) string {
	t.Helper()
	objects, err := s.Objects(Fleet)
	if err != nil {
		t.Fatal(err)
	}
	text, err := manifests.YAML(objects)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
