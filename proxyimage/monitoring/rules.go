package monitoring

import (
	"fmt"
	"strconv"
	"strings"
)

// rule is one alert.
type rule struct {
	name, expr, hold, severity string
	labels                     map[string]string // at most one: a destination
	summary, advice            string
}

// group is a group of alerts.
type group struct {
	name  string
	rules []rule
}

// Rules returns the alert rules as a Prometheus rule file. The same values give the same text.
func Rules(v Values) (string, error) {
	v, err := v.prepare()
	if err != nil {
		return "", err
	}
	var out strings.Builder
	fmt.Fprintf(&out, "# Alerts of stack %s, generated from its plan by `sallyport monitoring`: changes are overwritten.\ngroups:\n", v.Stack)
	for _, g := range []group{v.portRules(), v.fleetRules(), v.trafficRules(), v.configurationRules()} {
		if len(g.rules) > 0 {
			g.write(&out, v.Stack)
		}
	}
	return out.String(), nil
}

// write writes a group as YAML. Every value is quoted the way JSON does, which YAML reads.
func (g group) write(out *strings.Builder, stack string) {
	fmt.Fprintf(out, "  - name: %s\n    rules:\n", strconv.Quote("sallyport-"+stack+"-"+g.name))
	for _, r := range g.rules {
		fmt.Fprintf(out, "      - alert: %s\n        expr: %s\n        for: %s\n", r.name, strconv.Quote(r.expr), r.hold)
		fmt.Fprintf(out, "        labels:\n          severity: %s\n          stack: %s\n", r.severity, strconv.Quote(stack))
		if destination := r.labels["destination"]; destination != "" {
			fmt.Fprintf(out, "          destination: %s\n", strconv.Quote(destination))
		}
		fmt.Fprintf(out, "        annotations:\n          summary: %s\n          advice: %s\n", strconv.Quote(r.summary), strconv.Quote(r.advice))
	}
}

// portRules watch the ports of each destination.
func (v Values) portRules() group {
	g := group{name: "ports"}
	for _, d := range v.Destinations {
		g.rules = append(g.rules, rule{
			name: "SallyportSourcePortsHigh", hold: "1m", severity: "warning", labels: map[string]string{"destination": d.Name},
			expr: fmt.Sprintf("max by (instance, source) (sallyport_source_ports_in_use%s) > %d", selector(d), v.warnAt(d)),
			summary: fmt.Sprintf("{{ $labels.source }} has {{ $value }} ports in use towards %s; %g of its %d is %d, the plan expects %.0f at peak",
				d.Name, v.Share, d.Ceiling, v.warnAt(d), d.Planned),
			advice: "raise the destination's demand in the stack file to what it is and apply: the plan adds proxies or IPs",
		})
	}
	if len(v.Destinations) > 0 {
		g.rules = append(g.rules, rule{
			name: "SallyportSourcePortsExhausted", hold: "0m", severity: "critical",
			expr:    "max by (instance, source, destination) (sallyport_source_ports_in_use) > on (instance) group_left () (0.95 * sallyport_source_ports_ceiling)",
			summary: "{{ $labels.source }} is about to run out of ports towards {{ $labels.destination }}: new connections fail",
			advice:  "add proxies, or IPs per proxy, now",
		}, rule{
			name: "SallyportPortRangeNarrow", hold: "5m", severity: "warning",
			expr:    fmt.Sprintf("min by (instance) (sallyport_source_ports_ceiling) < %d", v.lowestCeiling()),
			summary: "the proxy has {{ $value }} ports per source address, fewer than planned",
			advice:  "set net.ipv4.ip_local_port_range to 1024 65535 on the machine",
		})
	}
	return g
}

func (v Values) lowestCeiling() int {
	lowest := v.Destinations[0].Ceiling
	for _, d := range v.Destinations {
		lowest = min(lowest, d.Ceiling)
	}
	return lowest
}

// fleetRules watch the proxies.
func (v Values) fleetRules() group {
	rate, held := v.Share*v.ConnectionsPerSecond, v.Share*float64(v.MaxConnections)
	return group{name: "fleet", rules: []rule{
		{
			name: "SallyportProxiesTooFew", hold: "1m", severity: "critical",
			expr:    fmt.Sprintf("(sum(sallyport_haproxy_up) or vector(0)) < %d", v.Needed),
			summary: fmt.Sprintf("{{ $value }} proxies serve, the planned peak needs %d", v.Needed),
			advice:  "look at /readyz of the proxies that do not",
		},
		{
			name: "SallyportProxyDown", hold: "10m", severity: "warning",
			expr:    fmt.Sprintf("(sum(sallyport_haproxy_up) or vector(0)) < %d", v.Proxies),
			summary: fmt.Sprintf("{{ $value }} of %d proxies serve", v.Proxies),
			advice:  "look at /readyz of the proxies that do not",
		},
		{
			name: "SallyportHAProxyRestarts", hold: "0m", severity: "warning",
			expr:    "increase(sallyport_haproxy_restarts_total[15m]) > 0",
			summary: "HAProxy died and was started again, which cut its connections",
			advice:  "read the proxy's log of that time",
		},
		{
			name: "SallyportConnectionRateHigh", hold: "5m", severity: "warning",
			expr:    fmt.Sprintf("sum by (instance) (rate(sallyport_connections_total[5m])) > %g", rate),
			summary: fmt.Sprintf("the proxy takes {{ $value }} new connections/s; %g of the planned %g is %g", v.Share, v.ConnectionsPerSecond, rate),
			advice:  "raise the demand in the stack file to what it is and apply",
		},
		{
			name: "SallyportConnectionsHigh", hold: "5m", severity: "warning",
			expr:    fmt.Sprintf("max by (instance) (sallyport_haproxy_sessions) > %g", held),
			summary: fmt.Sprintf("the proxy holds {{ $value }} connections; %g of the planned %d is %g", v.Share, v.MaxConnections, held),
			advice:  "raise the demand in the stack file to what it is and apply",
		},
		{
			name: "SallyportProxyBusy", hold: "5m", severity: "warning",
			expr:    fmt.Sprintf("min by (instance) (sallyport_haproxy_idle_ratio) < %.2g and on (instance) sallyport_haproxy_up == 1", 1-v.Share),
			summary: "HAProxy's threads are idle {{ $value | humanizePercentage }} of the time",
			advice:  "add proxies, or give each a larger machine and SALLYPORT_THREADS",
		},
		{
			name: "SallyportNodeSeesTooFewProxies", hold: "1m", severity: "warning",
			expr:    fmt.Sprintf("sum by (instance) (sallyport_proxy_healthy) < %d", v.Needed),
			summary: fmt.Sprintf("a node reaches {{ $value }} proxies, the planned peak needs %d", v.Needed),
			advice:  "look at the network between node and proxies",
		},
	}}
}

// trafficRules watch what becomes of connections.
func (v Values) trafficRules() group {
	const failures = "sum by (destination) (rate(sallyport_connect_failures_total[5m]))"
	const connections = "sum by (destination) (rate(sallyport_connections_total[5m]))"
	return group{name: "traffic", rules: []rule{
		{
			name: "SallyportDestinationFails", hold: "5m", severity: "warning",
			expr:    failures + " / " + connections + " > 0.05",
			summary: "{{ $value | humanizePercentage }} of the connections to {{ $labels.destination }} are not accepted",
			advice:  "the partner is down, or refuses our addresses: compare its list with `sallyport allowlist`",
		},
		{
			name: "SallyportConnectSlow", hold: "5m", severity: "warning",
			expr:    "histogram_quantile(0.5, sum by (destination, le) (rate(sallyport_connect_seconds_bucket[5m]))) > 0.9",
			summary: "half of the connections to {{ $labels.destination }} take more than {{ $value }} s to come about: first packets are lost",
			advice:  "look for a full port range, a full conntrack table, or a partner that drops packets",
		},
		{
			name: "SallyportDestinationLimited", hold: "1m", severity: "warning",
			expr:    `sum by (destination) (rate(sallyport_refusals_total{reason="destination-limit"}[5m])) > 0`,
			summary: "connections to {{ $labels.destination }} are refused because its limit is reached",
			advice:  "raise maxConnections of the route, or find out who opens so many",
		},
		{
			name: "SallyportClientLimited", hold: "1m", severity: "warning",
			expr:    `sum by (instance) (rate(sallyport_refusals_total{reason="client-limit"}[5m])) > 0`,
			summary: "a client has as many connections open as one may have, and is refused more",
			advice:  "the proxy's log names the client",
		},
		{
			name: "SallyportPrivateAddress", hold: "0m", severity: "warning",
			expr:    `sum by (destination) (increase(sallyport_refusals_total{reason="private-address"}[10m])) > 0`,
			summary: "DNS answers {{ $labels.destination }} with addresses that must not be connected to",
			advice:  "the destination's DNS is wrong or hostile; /readyz of a proxy shows the answers",
		},
		{
			name: "SallyportUnlisted", hold: "10m", severity: "info",
			expr:    `sum(rate(sallyport_refusals_total{reason="unlisted"}[10m])) > 0`,
			summary: "clients ask the proxies for names that no destination lists",
			advice:  "the proxy's log names them; add a destination or mend the client",
		},
		{
			name: "SallyportWouldRefuse", hold: "10m", severity: "info",
			expr:    `sum by (reason) (rate(sallyport_would_refuse_total[10m])) > 0`,
			summary: "audit mode forwards what would be refused as {{ $labels.reason }}",
			advice:  "the proxy's log names the hosts; list them before audit mode is switched off",
		},
		{
			name: "SallyportFiguresIncomplete", hold: "5m", severity: "info",
			expr:    "rate(sallyport_access_log_lost_total[5m]) > 0",
			summary: "the agent does not keep up with the access log: figures per destination are too low",
			advice:  "give the proxy more CPU",
		},
	}}
}

// configurationRules watch what the proxies go by.
func (v Values) configurationRules() group {
	return group{name: "configuration", rules: []rule{
		{
			name: "SallyportRoutesRefused", hold: "5m", severity: "warning",
			expr:    "max by (instance) (sallyport_routes_problem) == 1",
			summary: "the routes document at the source cannot be read or is refused; the last good one is in force",
			advice:  "/readyz says why",
		},
		{
			name: "SallyportRoutesDiffer", hold: "5m", severity: "warning",
			expr:    "max(sallyport_routes_serial) != min(sallyport_routes_serial)",
			summary: "agents go by different routes documents",
			advice:  "compare sallyport_routes_serial; /readyz of the one behind says why",
		},
		{
			name: "SallyportReloadFails", hold: "0m", severity: "warning",
			expr:    `increase(sallyport_haproxy_reloads_total{result="failed"}[15m]) > 0`,
			summary: "HAProxy could not be brought to listen on the document's ports",
			advice:  "/readyz says why; a port may be taken",
		},
		{
			name: "SallyportDNSStale", hold: "5m", severity: "warning",
			expr:    "max by (destination, host) (sallyport_resolve_age_seconds) > 900 and on (destination, host) max by (destination, host) (increase(sallyport_resolve_failures_total[15m])) > 0",
			summary: "{{ $labels.host }} goes by an answer that is {{ $value }} s old: DNS fails",
			advice:  "ask the servers in SALLYPORT_DNS_SERVERS for the name",
		},
		{
			name: "SallyportNoAddress", hold: "5m", severity: "warning",
			expr:    `max by (destination, host) (sallyport_resolve_addresses{verdict="allowed"}) == 0`,
			summary: "{{ $labels.host }} has no address that may be connected to",
			advice:  "/readyz of a proxy shows what DNS answers",
		},
	}}
}
