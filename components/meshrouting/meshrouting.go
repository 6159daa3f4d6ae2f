// Package meshrouting is the way to the proxies in an Istio mesh (1.24 and later): applications call the hosts as before, and the
// sidecar sends connections with a listed server name to the fleet, TLS untouched.
//
// Five kinds of objects, all from the one list of destinations. A ServiceEntry for a destination's hosts, so that the mesh knows them
// (REGISTRY_ONLY included); one for the fleet with a WorkloadEntry per proxy; a DestinationRule for the fleet; a VirtualService
// per destination that leads its server names to the fleet; in ambient mode a waypoint that does it.
//
// What matters: outlier detection with Istio's default of 10 % ejects nothing below ten endpoints, so it is 100 here; only refused and
// failed connections count, because the sidecar cannot look into TLS; it does not try a second proxy for the same connection, so a
// dead proxy costs each pod Failures connections; and once every proxy is ejected nothing is left, unless a destination may fall
// back to the NAT. The fallback takes a share before that: Envoy counts a zone's or region's proxies as 1.4 times those that are
// healthy, and what is then missing of 100 % goes past them. On a listed port Envoy waits for a connection's first bytes, whoever it is
// for: a port where servers speak first (25, 3306) must not be listed. Ambient needs Istio 1.25, which gives hosts addresses by
// itself. Istio API, DestinationRule and ServiceEntry, 2026-07-21; istiod and Envoy's priority levels, 2026-08-27.
package meshrouting

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/sallyport/sallyport/components/destinations"
	"github.com/sallyport/sallyport/components/manifests"
	"github.com/sallyport/sallyport/internal/problem"
)

// FleetHost is the name of the fleet within the mesh. Nobody resolves it.
const FleetHost = "fleet.sallyport.internal"

// Figures of the DestinationRule.
const (
	// KeepaliveSeconds stays below the 350 seconds after which a NAT gateway and a network load balancer forget a connection. Amazon
	// VPC user guide, NAT gateways troubleshooting, 2023-06-15.
	KeepaliveSeconds = 300
	// ConnectTimeoutSeconds bounds the attempt to reach a proxy, so that a dead one costs little. Istio's default is 10.
	ConnectTimeoutSeconds = 2
	// Failures in a row eject a proxy, for EjectionSeconds times the number of its ejections.
	Failures        = 2
	EjectionSeconds = 30
)

// DataPlane is the kind of mesh.
type DataPlane string

// The data planes.
const (
	Sidecar DataPlane = "sidecar"
	Ambient DataPlane = "ambient" // with a waypoint, because only that routes by server name
)

// Settings is what the objects depend on.
type Settings struct {
	// Namespace is where the objects live; all namespaces of the mesh see them.
	Namespace string
	// DataPlane is Sidecar or Ambient.
	DataPlane DataPlane
	// Destinations are those that leave through the proxies.
	Destinations []destinations.Destination
	// Fallback names the destinations whose connections may pass the proxies by when none is left: those whose partner lists the
	// NAT's IPs as well. Exact hosts only.
	Fallback map[string]bool
}

// Endpoint is a proxy as the mesh sees it.
type Endpoint struct {
	Name    string // slot
	Region  string // empty: unknown
	Zone    string
	Address netip.Addr // fixed private IP
}

// Found is what is known only when other resources exist.
type Found struct {
	Proxies []Endpoint // at least one
}

// validate reports what no mesh could serve.
func (s Settings) validate() error {
	var list problem.List
	if s.DataPlane != Sidecar && s.DataPlane != Ambient {
		list.Add("mesh: dataPlane", "must be sidecar or ambient", string(s.DataPlane), "write one of them")
	}
	for _, d := range s.Destinations {
		for i, host := range d.Hosts {
			place := problem.Index(fmt.Sprintf("mesh: %s.hosts", d.Name), i)
			if destinations.IsWildcard(host) && s.DataPlane == Ambient {
				list.Add(place, "must not be a wildcard in ambient mode, where neither ztunnel nor waypoint knows wildcards", host, "list the names, or use sidecars")
			}
			if destinations.IsWildcard(host) && s.Fallback[d.Name] {
				list.Add(place, "must not be a wildcard with fallbackToNat, which has to know the name to connect to", host, "list the names, or switch the fallback off")
			}
		}
	}
	return list.Err()
}

// Objects renders everything. Which objects there are depends on the destinations alone.
func (s Settings) Objects(found Found) ([]manifests.Object, error) {
	if err := s.validate(); err != nil {
		return nil, err
	}
	if len(found.Proxies) == 0 {
		return nil, fmt.Errorf("mesh: proxies: need at least one, got none; give the fleet active proxies")
	}
	objects := []manifests.Object{s.fleetEntry(FleetHost, "fleet", destinations.Ports(s.Destinations), found, ""), s.fleetRule(FleetHost, "fleet")}
	for _, d := range s.Destinations {
		objects = append(objects, s.hostsEntry(d))
		if !s.Fallback[d.Name] {
			objects = append(objects, s.route(d.Name, d.Port, d.Hosts, FleetHost))
			continue
		}
		for i, host := range d.Hosts { // each host needs a last endpoint of its own
			name, fleet := fmt.Sprintf("%s-fallback-%s", d.Name, label(host)), label(host)+".fallback.sallyport.internal"
			objects = append(objects, s.fleetEntry(fleet, name, []int{d.Port}, found, host), s.fleetRule(fleet, name),
				s.route(name, d.Port, d.Hosts[i:i+1], fleet))
		}
	}
	if s.DataPlane == Ambient {
		objects = append(objects, s.waypoint())
	}
	return objects, nil
}

// label turns a host name into one label.
func label(host string) string { return strings.ReplaceAll(host, ".", "-") }

func (s Settings) object(kind, name string) manifests.Object {
	return manifests.New("networking.istio.io/v1", kind, s.Namespace, "egress-"+name)
}
