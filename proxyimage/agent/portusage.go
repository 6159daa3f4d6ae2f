package agent

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport/sallyport/proxyimage/agent/hosts"
	"github.com/sallyport/sallyport/proxyimage/agent/ports"
)

// portCollector reports the source ports in use when it is asked.
type portCollector struct {
	sources      []netip.Addr                     // reported even when nothing uses them
	destinations func() map[netip.AddrPort]string // route names by address
	count        func() (ports.Usage, error)
	ceiling      func() (int, error)
}

var (
	portsCeiling = prometheus.NewDesc("sallyport_source_ports_ceiling",
		"Ports that each source address has for each address of a destination.", nil, nil)
	portsInUse = prometheus.NewDesc("sallyport_source_ports_in_use",
		"Ports of a source address that are taken for the busiest address of a destination. Empty destination: hosts below wildcards, and others.",
		[]string{"source", "destination"}, nil)
	portsTimeWait = prometheus.NewDesc("sallyport_source_ports_time_wait",
		"Ports of a source address in TIME_WAIT, all destinations together.", []string{"source"}, nil)
)

// Describe implements prometheus.Collector.
func (c portCollector) Describe(out chan<- *prometheus.Desc) {
	out <- portsCeiling
	out <- portsInUse
	out <- portsTimeWait
}

// Collect implements prometheus.Collector.
func (c portCollector) Collect(out chan<- prometheus.Metric) {
	if ceiling, err := c.ceiling(); err == nil {
		out <- prometheus.MustNewConstMetric(portsCeiling, prometheus.GaugeValue, float64(ceiling))
	} else {
		out <- prometheus.NewInvalidMetric(portsCeiling, err)
	}
	usage, err := c.count()
	if err != nil {
		out <- prometheus.NewInvalidMetric(portsInUse, err)
		return
	}
	type series struct{ source, destination string }
	busiest := map[series]int{}
	for _, source := range c.sources {
		busiest[series{source.String(), ""}] = 0
		usage.TimeWait[source] += 0
	}
	names := c.destinations()
	for use, n := range usage.Open {
		key := series{use.Source.String(), names[use.Destination]}
		busiest[key] = max(busiest[key], n)
	}
	for key, n := range busiest {
		out <- prometheus.MustNewConstMetric(portsInUse, prometheus.GaugeValue, float64(n), key.source, key.destination)
	}
	for source, n := range usage.TimeWait {
		out <- prometheus.MustNewConstMetric(portsTimeWait, prometheus.GaugeValue, float64(n), source.String())
	}
}

// destinations returns the names of the routes by the addresses of their exact hosts. Routes that share an address are named
// together: their ports are the same.
func (p *passthrough) destinations() map[netip.AddrPort]string {
	f := p.force.Load()
	if f == nil {
		return nil
	}
	return f.destinations(p.tracker.Snapshot())
}

func (f *force) destinations(states map[string]hosts.State) map[netip.AddrPort]string {
	all := map[netip.AddrPort][]string{}
	for _, route := range f.doc.Routes {
		for _, host := range route.Hosts {
			for _, ip := range states[host].Addresses {
				at := netip.AddrPortFrom(ip, uint16(route.Port))
				if !slices.Contains(all[at], route.Name) {
					all[at] = append(all[at], route.Name)
				}
			}
		}
	}
	names := make(map[netip.AddrPort]string, len(all))
	for at, routes := range all {
		slices.Sort(routes)
		names[at] = strings.Join(routes, ",")
	}
	return names
}
