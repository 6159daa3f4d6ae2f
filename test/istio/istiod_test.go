package istio

import (
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	meshconfig "istio.io/api/mesh/v1alpha1"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/pkg/simulation"
	"istio.io/istio/pilot/test/xds"
	"istio.io/istio/pilot/test/xdstest"
	"istio.io/istio/pkg/config/mesh"
)

// Names of Istio's for what no service takes up.
const (
	passthrough = "PassthroughCluster"
	blackHole   = "BlackHoleCluster"
)

// somewhere is an address that an application found in DNS; the mesh knows nothing of it.
const somewhere = "203.0.113.77"

// neighbours are services of the cluster that have nothing to do with egress, on the same ports and on others.
const neighbours = `
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: default}
spec:
  clusterIP: 10.96.0.50
  ports:
  - {name: https, port: 443}
  - {name: tcp-orders, port: 8443}
  - {name: tcp-db, port: 5432}
  - {name: http, port: 8080}
`

// sidecar is what a pod's proxy receives from istiod.
type sidecar struct {
	*simulation.Simulation
	server *xds.FakeDiscoveryServer
	proxy  *model.Proxy
}

// outside is the mesh's policy for what it does not know.
type outside = meshconfig.MeshConfig_OutboundTrafficPolicy_Mode

const (
	allowAny     = meshconfig.MeshConfig_OutboundTrafficPolicy_ALLOW_ANY
	registryOnly = meshconfig.MeshConfig_OutboundTrafficPolicy_REGISTRY_ONLY
)

// newSidecar starts istiod with the objects, and with further services, and asks it for the configuration of a pod in a zone.
func newSidecar(t *testing.T, objects string, policy outside, region, zone string, services ...string) sidecar {
	t.Helper()
	config := mesh.DefaultMeshConfig()
	config.OutboundTrafficPolicy = &meshconfig.MeshConfig_OutboundTrafficPolicy{Mode: policy}
	server := xds.NewFakeDiscoveryServer(t, xds.FakeOptions{ConfigString: objects, KubernetesObjectString: strings.Join(append([]string{neighbours}, services...), "\n---\n"), MeshConfig: config})
	labels := map[string]string{"app": "checkout"}
	if region != "" { // as istiod labels a pod by its node
		labels["topology.kubernetes.io/region"], labels["topology.kubernetes.io/zone"] = region, zone
	}
	proxy := server.SetupProxy(&model.Proxy{
		ConfigNamespace: "shopping", Labels: labels, Locality: &corev3.Locality{Region: region, Zone: zone},
		Metadata: &model.NodeMetadata{Namespace: "shopping", Labels: labels, IstioVersion: "1.24.0"},
	})
	return sidecar{simulation.NewSimulation(t, server, proxy), server, proxy}
}

// connect says which cluster a TLS connection with a server name ends in.
func (s sidecar) connect(t *testing.T, address string, port int, name string) string {
	t.Helper()
	result := s.Run(simulation.Call{Address: address, Port: port, Protocol: simulation.TCP, TLS: simulation.TLS, Sni: name, CallMode: simulation.CallModeOutbound})
	if result.Error != nil {
		t.Fatalf("%s to %s:%d: %v", name, address, port, result.Error)
	}
	return result.ClusterMatched
}

// plain says which cluster a connection without TLS ends in.
func (s sidecar) plain(t *testing.T, address string, port int) string {
	t.Helper()
	result := s.Run(simulation.Call{Address: address, Port: port, Protocol: simulation.TCP, CallMode: simulation.CallModeOutbound})
	if result.Error != nil {
		t.Fatalf("%s:%d: %v", address, port, result.Error)
	}
	return result.ClusterMatched
}

// cluster finds one by name.
func (s sidecar) cluster(t *testing.T, name string) *clusterv3.Cluster {
	t.Helper()
	c := xdstest.ExtractCluster(name, s.Clusters)
	if c == nil {
		t.Fatalf("no cluster %s", name)
	}
	return c
}

// priorities gives the endpoints of a cluster by their priority, "address:port" and sorted.
func (s sidecar) priorities(t *testing.T, name string) []string {
	t.Helper()
	assignment := s.cluster(t, name).LoadAssignment
	if assignment == nil {
		for _, a := range s.server.Endpoints(s.proxy) {
			if a.ClusterName == name {
				assignment = a
			}
		}
	}
	return byPriority(assignment)
}

func byPriority(assignment *endpointv3.ClusterLoadAssignment) []string {
	var list []string
	for _, group := range assignment.GetEndpoints() {
		for len(list) <= int(group.Priority) {
			list = append(list, "")
		}
		members := xdstest.ExtractEndpoints(&endpointv3.ClusterLoadAssignment{Endpoints: []*endpointv3.LocalityLbEndpoints{group}})
		list[group.Priority] = strings.TrimSpace(list[group.Priority] + " " + strings.Join(members, " "))
	}
	return list
}
