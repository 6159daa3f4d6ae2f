package istio

import (
	"maps"
	"slices"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"istio.io/istio/pilot/pkg/simulation"
	"istio.io/istio/pilot/test/xdstest"

	"github.com/sallyport/sallyport/components/meshrouting"
	"github.com/sallyport/sallyport/test/istio/meshes"
)

const (
	fleet443  = "outbound|443||" + meshrouting.FleetHost
	fleet8443 = "outbound|8443||" + meshrouting.FleetHost
)

func TestListedServerNamesGoToTheFleetAndOthersWhereTheyWanted(t *testing.T) {
	for policy, elsewhere := range map[outside]string{allowAny: passthrough, registryOnly: blackHole} {
		s := newSidecar(t, meshes.Render(t, meshes.Sidecar()), policy, "eu-west-1", "eu-west-1a")
		for name, c := range map[string]struct {
			port int
			sni  string
			want string
		}{
			"a listed name":                           {443, "api.payments.example.com", fleet443},
			"a name below a listed wildcard":          {443, "acme.tenants.example.org", fleet443},
			"two levels below a listed wildcard":      {443, "eu.acme.tenants.example.org", fleet443},
			"the first of several names":              {8443, "api.ledger.example.net", fleet8443},
			"the last of several names":               {8443, "auth.ledger.example.net", fleet8443},
			"a foreign name":                          {443, "www.example.com", elsewhere},
			"a name above a listed one":               {443, "payments.example.com", elsewhere},
			"a name below a listed one":               {443, "x.api.payments.example.com", elsewhere},
			"the parent of a wildcard":                {443, "tenants.example.org", elsewhere},
			"a name listed for another port":          {443, "api.ledger.example.net", elsewhere},
			"a listed name on another listed port":    {8443, "api.payments.example.com", elsewhere},
			"a listed name on a port nobody listed":   {9443, "api.payments.example.com", elsewhere},
			"a name that ends like a listed wildcard": {443, "eviltenants.example.org", elsewhere},
		} {
			if got := s.connect(t, somewhere, c.port, c.sni); got != c.want {
				t.Errorf("%s: %s (%s:%d) goes to %q, want %q", policy, name, c.sni, c.port, got, c.want)
			}
		}
		for _, port := range []int{443, 8443, 5432} {
			if got := s.plain(t, somewhere, port); got != elsewhere {
				t.Errorf("%s: a connection without server name to port %d goes to %q, want %q", policy, port, got, elsewhere)
			}
		}
	}
}

// The simulation asks; this reads the listener itself, so that a chain nobody thought of is seen.
func TestTheListenersMatchExactlyTheListedServerNames(t *testing.T) {
	s := newSidecar(t, meshes.Render(t, meshes.Sidecar()), registryOnly, "eu-west-1", "eu-west-1a")
	xdstest.ValidateListeners(t, s.Listeners)
	xdstest.ValidateClusters(t, s.Clusters)
	for listener, want := range map[string]map[string]string{
		// The fleet's own name is one that nobody resolves; who sends it all the same reaches proxies that refuse it.
		"0.0.0.0_443":  {"api.payments.example.com": fleet443, "*.tenants.example.org": fleet443, meshrouting.FleetHost: fleet443},
		"0.0.0.0_8443": {"api.ledger.example.net": fleet8443, "auth.ledger.example.net": fleet8443, meshrouting.FleetHost: fleet8443},
	} {
		l := xdstest.ExtractListener(listener, s.Listeners)
		if l == nil {
			t.Fatalf("no listener %s", listener)
		}
		got := map[string]string{}
		for _, chain := range l.FilterChains {
			match := chain.GetFilterChainMatch()
			if len(match.GetServerNames()) == 0 || len(match.GetPrefixRanges()) > 0 {
				t.Errorf("%s: a chain that matches other than by server name: %v", listener, match)
			}
			for _, name := range match.GetServerNames() {
				got[name] = xdstest.ExtractTCPProxy(t, chain).GetCluster()
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s matches %v, want %v", listener, got, want)
		}
		if got := xdstest.ExtractTCPProxy(t, l.DefaultFilterChain).GetCluster(); got != blackHole {
			t.Errorf("%s: the rest goes to %q", listener, got)
		}
	}
}

func TestNoListenerTouchesWhatIsNotListed(t *testing.T) {
	for _, policy := range []outside{allowAny, registryOnly} {
		before := newSidecar(t, "", policy, "eu-west-1", "eu-west-1a")
		after := newSidecar(t, meshes.Render(t, meshes.Sidecar()), policy, "eu-west-1", "eu-west-1a")
		added := slices.DeleteFunc(xdstest.ExtractListenerNames(after.Listeners), func(name string) bool {
			return slices.Contains(xdstest.ExtractListenerNames(before.Listeners), name)
		})
		slices.Sort(added)
		if !slices.Equal(added, []string{"0.0.0.0_443", "0.0.0.0_8443"}) {
			t.Errorf("%s: listeners %v came, want one for each listed port", policy, added)
		}
		for _, l := range before.Listeners { // services of the cluster keep theirs, byte by byte
			if now := xdstest.ExtractListener(l.Name, after.Listeners); xdstest.Dump(t, l) != xdstest.Dump(t, now) {
				t.Errorf("%s: listener %s changed", policy, l.Name)
			}
		}
		for _, port := range []int{443, 8443, 5432} {
			if got, want := after.plain(t, "10.96.0.50", port), before.plain(t, "10.96.0.50", port); got != want || !strings.Contains(want, "shop.default") {
				t.Errorf("%s: the cluster's own service on port %d goes to %q, was %q", policy, port, got, want)
			}
		}
		if got := after.connect(t, "10.96.0.50", 443, "api.payments.example.com"); !strings.Contains(got, "shop.default") {
			t.Errorf("%s: a listed name sent to a service of the cluster goes to %q", policy, got)
		}
	}
}

// Istio keeps all HTTP services of a port in one listener for every address, the one that a listed port shares.
func TestAnHTTPServiceOnAListedPortKeepsItsTraffic(t *testing.T) {
	const catalog = `
apiVersion: v1
kind: Service
metadata: {name: catalog, namespace: default}
spec:
  clusterIP: 10.96.0.51
  ports: [{name: http, port: 8443}]
`
	s := newSidecar(t, meshes.Render(t, meshes.Sidecar()), registryOnly, "eu-west-1", "eu-west-1a", catalog)
	xdstest.ValidateListeners(t, s.Listeners)
	result := s.Run(simulation.Call{Address: "10.96.0.51", Port: 8443, Protocol: simulation.HTTP, HostHeader: "catalog.default.svc.cluster.local", CallMode: simulation.CallModeOutbound})
	if want := "outbound|8443||catalog.default.svc.cluster.local"; result.Error != nil || result.ClusterMatched != want {
		t.Errorf("the HTTP service goes to %q (%v), want %q", result.ClusterMatched, result.Error, want)
	}
	if got := s.connect(t, somewhere, 8443, "api.ledger.example.net"); got != fleet8443 {
		t.Errorf("a listed name on the same port goes to %q, want %q", got, fleet8443)
	}
}

func TestTheEndpointsAreTheFleetPerPortAndTheOwnZoneComesFirst(t *testing.T) {
	objects := meshes.Render(t, meshes.Sidecar())
	for name, c := range map[string]struct {
		region, zone string
		want         []string
	}{
		"zone a":                {"eu-west-1", "eu-west-1a", []string{"10.0.1.10:PORT", "10.0.2.10:PORT"}},
		"zone b":                {"eu-west-1", "eu-west-1b", []string{"10.0.2.10:PORT", "10.0.1.10:PORT"}},
		"a zone with no proxy":  {"eu-west-1", "eu-west-1c", []string{"10.0.1.10:PORT 10.0.2.10:PORT"}},
		"another region":        {"us-east-1", "us-east-1a", []string{"10.0.1.10:PORT 10.0.2.10:PORT"}},
		"a pod without a place": {"", "", []string{"10.0.1.10:PORT 10.0.2.10:PORT"}},
	} {
		s := newSidecar(t, objects, allowAny, c.region, c.zone)
		for port, cluster := range map[string]string{"443": fleet443, "8443": fleet8443} {
			if got, want := s.priorities(t, cluster), replaced(c.want, port); !slices.Equal(got, want) {
				t.Errorf("%s: %s has %q, want %q", name, cluster, got, want)
			}
		}
	}
}

func TestWithFallbackTheNatComesAfterEveryProxyWhereverThePodIs(t *testing.T) {
	objects := meshes.Render(t, meshes.Fallback())
	for name, c := range map[string]struct {
		region, zone string
		want         []string
	}{
		"zone a":                {"eu-west-1", "eu-west-1a", []string{"10.0.1.10:8443", "10.0.2.10:8443", "HOST:8443"}},
		"a zone with no proxy":  {"eu-west-1", "eu-west-1c", []string{"10.0.1.10:8443 10.0.2.10:8443", "HOST:8443"}},
		"another region":        {"us-east-1", "us-east-1a", []string{"10.0.1.10:8443 10.0.2.10:8443", "HOST:8443"}},
		"a pod without a place": {"", "", []string{"10.0.1.10:8443 10.0.2.10:8443", "HOST:8443"}},
	} {
		s := newSidecar(t, objects, registryOnly, c.region, c.zone)
		for _, host := range meshes.Ledger.Hosts {
			cluster := s.connect(t, somewhere, 8443, host)
			if s.cluster(t, cluster).GetType() != clusterv3.Cluster_STRICT_DNS {
				t.Errorf("%s: the name among the addresses is not resolved", name)
			}
			var want []string
			for _, text := range c.want {
				want = append(want, strings.ReplaceAll(text, "HOST", host))
			}
			if got := s.priorities(t, cluster); !slices.Equal(got, want) {
				t.Errorf("%s: %s has %q, want %q", name, host, got, want)
			}
		}
		if got := s.connect(t, somewhere, 443, "api.payments.example.com"); got != fleet443 {
			t.Errorf("%s: a destination without fallback goes to %q", name, got)
		}
	}
}

func TestDeadProxiesAreNoticedAndIdleConnectionsKept(t *testing.T) {
	for name, objects := range map[string]string{"sidecar": meshes.Render(t, meshes.Sidecar()), "fallback": meshes.Render(t, meshes.Fallback())} {
		s := newSidecar(t, objects, allowAny, "eu-west-1", "eu-west-1a")
		for _, cluster := range []string{s.connect(t, somewhere, 443, "api.payments.example.com"), s.connect(t, somewhere, 8443, "api.ledger.example.net")} {
			checkFleet(t, name, s.cluster(t, cluster))
		}
	}
}

// checkFleet holds a cluster against the figures of package meshrouting.
func checkFleet(t *testing.T, name string, c *clusterv3.Cluster) {
	t.Helper()
	keepalive := c.GetUpstreamConnectionOptions().GetTcpKeepalive()
	outlier := c.GetOutlierDetection()
	for what, figures := range map[string][2]float64{
		"seconds to connect":                  {c.GetConnectTimeout().AsDuration().Seconds(), 2},
		"seconds idle before a keepalive":     {float64(keepalive.GetKeepaliveTime().GetValue()), 300},
		"seconds between keepalives":          {float64(keepalive.GetKeepaliveInterval().GetValue()), 30},
		"keepalives unanswered":               {float64(keepalive.GetKeepaliveProbes().GetValue()), 3},
		"failures in a row":                   {float64(outlier.GetConsecutiveLocalOriginFailure().GetValue()), 2},
		"percent of them that eject":          {float64(outlier.GetEnforcingConsecutiveLocalOriginFailure().GetValue()), 100},
		"percent of proxies that may go":      {float64(outlier.GetMaxEjectionPercent().GetValue()), 100},
		"seconds of the first ejection":       {outlier.GetBaseEjectionTime().AsDuration().Seconds(), 30},
		"percent healthy before panic":        {c.GetCommonLbConfig().GetHealthyPanicThreshold().GetValue(), 0},
		"ejection by rates of success":        {float64(outlier.GetEnforcingSuccessRate().GetValue()), 0},
		"ejection by rates of own success":    {float64(outlier.GetEnforcingLocalOriginSuccessRate().GetValue()), 0},
		"transport sockets (TLS of its own)":  {float64(sockets(c)), 0},
		"least requests (1 is LEAST_REQUEST)": {float64(c.GetLbPolicy()), float64(clusterv3.Cluster_LEAST_REQUEST)},
	} {
		if figures[0] != figures[1] {
			t.Errorf("%s: %s: %s is %v, want %v", name, c.Name, what, figures[0], figures[1])
		}
	}
	if !outlier.GetSplitExternalLocalOriginErrors() {
		t.Errorf("%s: %s: errors of the connection are not told from errors of the partner", name, c.Name)
	}
	if c.GetCommonLbConfig().GetHealthyPanicThreshold() == nil {
		t.Errorf("%s: %s: Envoy's own panic threshold of 50 %% applies", name, c.Name)
	}
}

// sockets counts what could wrap the application's TLS once more. Where the mesh knows ambient, istiod has a tunnel ready for endpoints
// that are in the mesh; the proxies are not.
func sockets(c *clusterv3.Cluster) int {
	n := 0
	if c.GetTransportSocket() != nil {
		n++
	}
	for _, m := range c.GetTransportSocketMatches() {
		tunnel := m.GetMatch().GetFields()["tunnel"].GetStringValue() == "http"
		if !tunnel && m.GetTransportSocket().GetName() != "envoy.transport_sockets.raw_buffer" {
			n++
		}
	}
	return n
}

// Envoy ejects the next host of n while e are ejected if (e+1)*100/n is at most the limit (since 1.31 without an exception for the
// first). Istio's default of 10 would eject none of two.
func TestBothOfTwoProxiesCanBeEjected(t *testing.T) {
	s := newSidecar(t, meshes.Render(t, meshes.Sidecar()), allowAny, "eu-west-1", "eu-west-1a")
	limit := int(s.cluster(t, fleet443).GetOutlierDetection().GetMaxEjectionPercent().GetValue())
	hosts := len(strings.Fields(strings.Join(s.priorities(t, fleet443), " ")))
	ejected := 0
	for ejected < hosts && (ejected+1)*100/hosts <= limit {
		ejected++
	}
	if hosts != 2 || ejected != 2 {
		t.Errorf("of %d proxies %d can be ejected at a limit of %d %%", hosts, ejected, limit)
	}
}

func replaced(list []string, port string) []string {
	all := make([]string, len(list))
	for i, text := range list {
		all[i] = strings.ReplaceAll(text, "PORT", port)
	}
	return all
}
