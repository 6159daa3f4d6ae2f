package meshrouting

import (
	"fmt"

	"github.com/sallyport/sallyport/components/destinations"
	"github.com/sallyport/sallyport/components/manifests"
)

// everywhere makes an object visible to all namespaces.
var everywhere = []any{"*"}

// hostsEntry tells the mesh of a destination's hosts. With sidecars it resolves nothing: a connection that no route takes up goes where
// the application wanted, and one that a route does take up is not resolved by the sidecar. A waypoint needs an address to be
// reached at, so ambient resolves.
func (s Settings) hostsEntry(d destinations.Destination) manifests.Object {
	resolution := "NONE"
	if s.DataPlane == Ambient {
		resolution = "DNS"
	}
	entry := s.object("ServiceEntry", d.Name)
	if s.DataPlane == Ambient {
		entry.Label(map[string]string{"istio.io/use-waypoint": waypointName, "istio.io/use-waypoint-namespace": s.Namespace})
	}
	return entry.With("spec", manifests.Map{
		"hosts": texts(d.Hosts), "exportTo": everywhere, "location": "MESH_EXTERNAL", "resolution": resolution,
		"ports": []any{port(d.Port)},
	})
}

// port names TLS, so that the mesh looks at the server name. A port of protocol TCP would capture what belongs to others.
func port(number int) manifests.Map {
	return manifests.Map{"number": number, "name": fmt.Sprintf("tls-%d", number), "protocol": "TLS"}
}

// The label that tells the proxies from the way past them, and its values.
const (
	kindLabel = "sallyport/kind"
	kindProxy = "proxy"
	kindNat   = "nat"
)

// fleetEntry is the proxies as endpoints. Fallback, if given, is a host that is connected to directly when proxies are missing.
func (s Settings) fleetEntry(host, name string, ports []int, found Found, fallback string) manifests.Object {
	var list, endpoints []any
	for _, number := range ports {
		list = append(list, port(number))
	}
	for _, p := range found.Proxies {
		labels := manifests.Map{kindLabel: kindProxy, "sallyport/slot": p.Name}
		endpoint := manifests.Map{"address": p.Address.String(), "labels": labels}
		switch {
		case p.Region == "":
		case fallback == "":
			endpoint["locality"] = p.Region + "/" + p.Zone
		default:
			// istiod takes all endpoints of a name that it resolves for one locality, and ends with several (cluster.go,
			// buildOutboundClusters, 2026-08-27). The labels say the same.
			labels["topology.kubernetes.io/region"], labels["topology.kubernetes.io/zone"] = p.Region, p.Zone
		}
		endpoints = append(endpoints, endpoint)
	}
	resolution := "STATIC"
	if fallback != "" {
		resolution = "DNS" // for the name among the addresses
		endpoints = append(endpoints, manifests.Map{"address": fallback, "labels": manifests.Map{kindLabel: kindNat}})
	}
	return s.object("ServiceEntry", name).With("spec", manifests.Map{
		"hosts": []any{host}, "exportTo": everywhere, "location": "MESH_EXTERNAL", "resolution": resolution,
		"ports": list, "endpoints": endpoints,
	})
}

// fleetRule leaves TLS alone, notices dead proxies, prefers those of the own zone and keeps idle connections known to what lies between.
//
// The order is spelled out by labels: any proxy before the NAT, then region, then zone. Istio's own order, by locality alone, would put
// the NAT beside the proxies for a pod of another region, or of none.
func (s Settings) fleetRule(host, name string) manifests.Object {
	return s.object("DestinationRule", name).With("spec", manifests.Map{
		"host": host, "exportTo": everywhere,
		"trafficPolicy": manifests.Map{
			"tls": manifests.Map{"mode": "DISABLE"},
			"connectionPool": manifests.Map{"tcp": manifests.Map{
				"connectTimeout": seconds(ConnectTimeoutSeconds),
				"tcpKeepalive":   manifests.Map{"time": seconds(KeepaliveSeconds), "interval": "30s", "probes": 3},
			}},
			"loadBalancer": manifests.Map{"simple": "LEAST_REQUEST", "localityLbSetting": manifests.Map{
				"enabled":          true,
				"failoverPriority": []any{kindLabel + "=" + kindProxy, "topology.kubernetes.io/region", "topology.kubernetes.io/zone"},
			}},
			"outlierDetection": manifests.Map{
				"splitExternalLocalOriginErrors": true, "consecutiveLocalOriginFailures": Failures, "consecutive5xxErrors": Failures,
				"interval": "5s", "baseEjectionTime": seconds(EjectionSeconds), "maxEjectionPercent": 100, "minHealthPercent": 0,
			},
		},
	})
}

// route leads server names to a fleet. Each name has a match of its own, because a waypoint ignores one with several.
func (s Settings) route(name string, number int, hosts []string, fleet string) manifests.Object {
	var matches []any
	for _, host := range hosts {
		matches = append(matches, manifests.Map{"port": number, "sniHosts": []any{host}})
	}
	return s.object("VirtualService", name).With("spec", manifests.Map{
		"hosts": texts(hosts), "exportTo": everywhere,
		"tls": []any{manifests.Map{
			"match": matches,
			"route": []any{manifests.Map{"destination": manifests.Map{"host": fleet, "port": manifests.Map{"number": number}}}},
		}},
	})
}

// waypointName is the waypoint of ambient mode.
const waypointName = "egress-waypoint"

// waypoint is the proxy that routes by server name where pods have none of their own.
func (s Settings) waypoint() manifests.Object {
	return manifests.New("gateway.networking.k8s.io/v1", "Gateway", s.Namespace, waypointName).
		Label(map[string]string{"istio.io/waypoint-for": "service"}).
		With("spec", manifests.Map{
			"gatewayClassName": "istio-waypoint",
			"listeners":        []any{manifests.Map{"name": "mesh", "port": 15008, "protocol": "HBONE", "allowedRoutes": manifests.Map{"namespaces": manifests.Map{"from": "All"}}}},
		})
}

func seconds(n int) string { return fmt.Sprintf("%ds", n) }

func texts(list []string) []any {
	all := make([]any, len(list))
	for i, text := range list {
		all[i] = text
	}
	return all
}
