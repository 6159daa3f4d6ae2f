package agent

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport/sallyport/proxyimage/agent/hosts"
	"github.com/sallyport/sallyport/proxyimage/agent/ports"
	"github.com/sallyport/sallyport/proxyimage/monitoring"
	"github.com/sallyport/sallyport/proxyimage/routes"
)

var descName = regexp.MustCompile(`fqName: "([^"]+)"`)

// names returns the names that a collector announces.
func names(c prometheus.Collector, into map[string]bool) {
	descs := make(chan *prometheus.Desc, 1000)
	c.Describe(descs)
	close(descs)
	for desc := range descs {
		into[descName.FindStringSubmatch(desc.String())[1]] = true
	}
}

func TestAlertsAndDashboardUseMetricsThatThereAre(t *testing.T) {
	v := monitoring.Values{
		Stack: "test", Proxies: 2, Needed: 1, ConnectionsPerSecond: 10, MaxConnections: 10,
		Destinations: []monitoring.Destination{{Name: "partner", Ceiling: 100}},
	}
	rules, err := monitoring.Rules(v)
	if err != nil {
		t.Fatal(err)
	}
	board, err := monitoring.Dashboard(v)
	if err != nil {
		t.Fatal(err)
	}
	m := newMetrics()
	m.addPassthrough()
	known := map[string]bool{}
	names(m.registry, known)
	names(hostCollector{}, known)
	names(portCollector{}, known)
	known["sallyport_proxy_healthy"] = true // of a node's agent, see newResolver
	for _, name := range regexp.MustCompile(`sallyport_[a-z_]+`).FindAllString(rules+board, -1) {
		if !known[strings.TrimSuffix(name, "_bucket")] {
			t.Errorf("%s: no such metric", name)
		}
	}
}

func TestPortsAreReportedForTheBusiestAddressOfADestination(t *testing.T) {
	one, two := netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("198.51.100.2")
	first, second, unknown := netip.MustParseAddrPort("203.0.113.10:443"), netip.MustParseAddrPort("203.0.113.11:443"), netip.MustParseAddrPort("203.0.113.12:443")
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(portCollector{
		sources: []netip.Addr{one, two},
		destinations: func() map[netip.AddrPort]string {
			return map[netip.AddrPort]string{first: "partner", second: "partner"}
		},
		count: func() (ports.Usage, error) {
			return ports.Usage{
				Open:     map[ports.Use]int{{Source: one, Destination: first}: 7, {Source: one, Destination: second}: 3, {Source: one, Destination: unknown}: 1},
				TimeWait: map[netip.Addr]int{one: 5},
			}, nil
		},
		ceiling: func() (int, error) { return 64512, nil },
	})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			key := strings.TrimPrefix(family.GetName(), "sallyport_source_ports_")
			for _, label := range metric.GetLabel() {
				key += " " + label.GetValue()
			}
			got[key] = metric.GetGauge().GetValue()
		}
	}
	for key, want := range map[string]float64{
		"ceiling": 64512, "in_use partner 198.51.100.1": 7, "in_use  198.51.100.1": 1, "in_use  198.51.100.2": 0,
		"time_wait 198.51.100.1": 5, "time_wait 198.51.100.2": 0,
	} {
		if value, ok := got[key]; !ok || value != want {
			t.Errorf("%s: %v, want %v in %v", key, value, want, got)
		}
	}
	if len(got) != 6 {
		t.Errorf("got %v", got)
	}
}

func TestRoutesThatShareAnAddressAreNamedTogether(t *testing.T) {
	doc := &routes.Document{Routes: []routes.Route{
		{Name: "b", Hosts: []string{"b.example.com"}, Port: 443, Mode: routes.ModePassthrough},
		{Name: "a", Hosts: []string{"a.example.com"}, Port: 443, Mode: routes.ModePassthrough},
	}}
	f := newForce(doc, routes.ModePassthrough, nil)
	got := f.destinations(map[string]hosts.State{
		"a.example.com": {Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.10")}, Good: time.Now()},
		"b.example.com": {Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.10"), netip.MustParseAddr("203.0.113.11")}},
	})
	if got[netip.MustParseAddrPort("203.0.113.10:443")] != "a,b" || got[netip.MustParseAddrPort("203.0.113.11:443")] != "b" || len(got) != 2 {
		t.Errorf("got %v", got)
	}
}
