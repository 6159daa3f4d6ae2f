package istio

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"istio.io/istio/pilot/pkg/features"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/pkg/simulation"
	"istio.io/istio/pilot/test/xds"
	"istio.io/istio/pilot/test/xdstest"
	"istio.io/istio/pkg/config/mesh"
	"istio.io/istio/pkg/test"

	"github.com/sallyport/sallyport/components/destinations"
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

// allocated is the objects after Istio's own controller gave every host an address, as it does from 1.25 on. ztunnel answers pods with
// it and sends what they connect to it to the waypoint.
func allocated(objects string, list []destinations.Destination) string {
	documents := strings.Split(objects, "---\n")
	for i, text := range documents {
		for _, d := range list {
			if !strings.Contains(text, "kind: ServiceEntry\n") || !strings.Contains(text, "  name: egress-"+d.Name+"\n") {
				continue
			}
			documents[i] += "status:\n  addresses:\n"
			for n, host := range d.Hosts {
				documents[i] += fmt.Sprintf("    - {value: 240.240.%d.%d, host: %s}\n", d.Port/256, d.Port%256+n, host)
			}
		}
	}
	return strings.Join(documents, "---\n")
}

// newWaypoint starts istiod with the objects of an ambient mesh and asks it for the waypoint's configuration.
func newWaypoint(t *testing.T, settings meshrouting.Settings) sidecar {
	t.Helper()
	for _, feature := range []*bool{&features.EnableAmbient, &features.EnableAmbientWaypoints, &features.EnableHBONESend} {
		test.SetForTest(t, feature, true)
	}
	objects := allocated(meshes.Render(t, settings), settings.Destinations)
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

// taken says which connections the waypoint takes, "address:port", and which chain of filters they go through.
func (s sidecar) taken(t *testing.T) map[string]string {
	t.Helper()
	var listener struct {
		FilterChainMatcher struct {
			MatcherTree struct {
				CustomMatch struct {
					TypedConfig struct {
						RangeMatchers []struct {
							Ranges  []struct{ AddressPrefix string }
							OnMatch struct {
								Matcher struct {
									MatcherTree struct {
										ExactMatchMap struct {
											Map map[string]struct{ Action struct{ Name string } }
										}
									}
								}
							}
						}
					}
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(xdstest.Dump(t, xdstest.ExtractListener("main_internal", s.Listeners))), &listener); err != nil {
		t.Fatal(err)
	}
	taken := map[string]string{}
	for _, addresses := range listener.FilterChainMatcher.MatcherTree.CustomMatch.TypedConfig.RangeMatchers {
		for _, address := range addresses.Ranges {
			for port, chain := range addresses.OnMatch.Matcher.MatcherTree.ExactMatchMap.Map {
				taken[address.AddressPrefix+":"+port] = chain.Action.Name
			}
		}
	}
	return taken
}

func TestTheWaypointTakesExactlyTheListedHosts(t *testing.T) {
	s := newWaypoint(t, meshes.Ambient())
	for _, l := range s.Listeners { // xdstest.ValidateListeners knows none without an address
		if err := l.Validate(); err != nil {
			t.Errorf("%s: %v", l.Name, err)
		}
	}
	xdstest.ValidateClusters(t, s.Clusters)
	want := map[string]string{
		"240.240.1.187:443":   "inbound-vip|443|tcp|api.payments.example.com",
		"240.240.32.251:8443": "inbound-vip|8443|tcp|api.ledger.example.net",
		"240.240.32.252:8443": "inbound-vip|8443|tcp|auth.ledger.example.net",
	}
	if got := s.taken(t); !maps.Equal(got, want) {
		t.Errorf("the waypoint takes %v, want %v", got, want)
	}
	for chain := range s.ways(t) {
		if strings.Contains(chain, "shop") || strings.Contains(chain, meshrouting.FleetHost) {
			t.Errorf("the waypoint serves %s, which nobody asked it to", chain)
		}
	}
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
		for _, assignment := range s.server.Endpoints(s.proxy) {
			if assignment.ClusterName == cluster && strings.Contains(xdstest.Dump(t, assignment), `"tunnel"`) {
				t.Errorf("%s: proxies are taken for members of the mesh:\n%s", cluster, xdstest.Dump(t, assignment))
			}
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
