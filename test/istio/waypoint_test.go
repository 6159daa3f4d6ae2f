package istio

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/pkg/simulation"
	"istio.io/istio/pilot/test/xds"
	"istio.io/istio/pilot/test/xdstest"
	"istio.io/istio/pkg/config/mesh"

	"github.com/sallyport/sallyport/components/meshrouting"
	"github.com/sallyport/sallyport/test/istio/meshes"
)

// deployed is what Istio's own controllers make of a Gateway of class istio-waypoint: a service, an instance, an address in its status.
const deployed = `
---
apiVersion: v1
kind: Service
metadata:
  name: egress-waypoint
  namespace: egress
  labels:
    gateway.istio.io/managed: istio.io-mesh-controller
    gateway.networking.k8s.io/gateway-name: egress-waypoint
    istio.io/gateway-name: egress-waypoint
spec:
  clusterIP: 10.96.0.15
  ports: [{name: mesh, port: 15008, appProtocol: hbone}]
  selector: {gateway.networking.k8s.io/gateway-name: egress-waypoint}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: egress-waypoint-a, namespace: egress}
spec:
  address: 10.0.9.1
  labels: {gateway.networking.k8s.io/gateway-name: egress-waypoint}
`

// newWaypoint starts istiod with the objects of an ambient mesh and asks it for the waypoint's configuration.
func newWaypoint(t *testing.T, settings meshrouting.Settings) sidecar {
	t.Helper()
	objects := meshes.Render(t, settings)
	at := strings.Index(objects, "kind: Gateway\n")
	if at < 0 {
		t.Fatal("no Gateway among the objects")
	}
	programmed := objects[:at] + "status: {addresses: [{type: Hostname, value: egress-waypoint.egress.svc.cluster.local}]}\n" + objects[at:]
	all := programmed + deployed
	server := xds.NewFakeDiscoveryServer(t, xds.FakeOptions{ConfigString: all, KubernetesObjectString: all, MeshConfig: mesh.DefaultMeshConfig()})
	labels := map[string]string{
		"gateway.networking.k8s.io/gateway-name": "egress-waypoint", "gateway.istio.io/managed": "istio.io-mesh-controller",
		"topology.kubernetes.io/region": "eu-west-1", "topology.kubernetes.io/zone": "eu-west-1a",
	}
	proxy := server.SetupProxy(&model.Proxy{
		Type: model.Waypoint, ConfigNamespace: "egress", IPAddresses: []string{"10.0.9.1"}, Labels: labels,
		Locality: &corev3.Locality{Region: "eu-west-1", Zone: "eu-west-1a"},
		Metadata: &model.NodeMetadata{Namespace: "egress", Labels: labels, IstioVersion: "1.25.0"},
	})
	return sidecar{simulation.NewSimulation(t, server, proxy), server, proxy}
}

// ways says for each service and port of the waypoint which cluster its connections end in.
func (s sidecar) ways(t *testing.T) map[string]string {
	t.Helper()
	ways := map[string]string{}
	for _, chain := range xdstest.ExtractListener("main_internal", s.Listeners).GetFilterChains() {
		if tcp := xdstest.ExtractTCPProxy(t, chain); tcp != nil {
			ways[chain.Name] = tcp.GetCluster()
		}
	}
	return ways
}

func TestTheWaypointLeadsEveryListedHostToTheFleet(t *testing.T) {
	settings := meshes.Ambient()
	settings.Fallback = nil
	s := newWaypoint(t, settings)
	ways := s.ways(t)
	for host, c := range map[string]struct {
		port    int
		cluster string
	}{
		"api.payments.example.com": {443, fleet443}, "api.ledger.example.net": {8443, fleet8443}, "auth.ledger.example.net": {8443, fleet8443},
	} {
		chain := fmt.Sprintf("inbound-vip|%d|tcp|%s", c.port, host)
		if ways[chain] != c.cluster {
			t.Errorf("%s:%d goes to %q, want %q; there are %v", host, c.port, ways[chain], c.cluster, ways)
		}
	}
	for _, cluster := range []string{fleet443, fleet8443} {
		checkFleet(t, "ambient", s.cluster(t, cluster))
		port := strings.Split(cluster, "|")[1]
		if got, want := s.priorities(t, cluster), []string{"10.0.1.10:" + port, "10.0.2.10:" + port}; !slices.Equal(got, want) {
			t.Errorf("%s has %q, want %q", cluster, got, want)
		}
	}
}

func TestTheWaypointFallsBackToTheNatAfterEveryProxy(t *testing.T) {
	s := newWaypoint(t, meshes.Ambient())
	ways := s.ways(t)
	for _, host := range meshes.Ledger.Hosts {
		name := ways["inbound-vip|8443|tcp|"+host]
		cluster := s.cluster(t, name)
		if cluster.GetType() != clusterv3.Cluster_STRICT_DNS {
			t.Errorf("%s: the name among the addresses is not resolved", host)
		}
		if got, want := s.priorities(t, name), []string{"10.0.1.10:8443", "10.0.2.10:8443", host + ":8443"}; !slices.Equal(got, want) {
			t.Errorf("%s has %q, want %q", name, got, want)
		}
	}
}
