// Package nodehealth watches what goes wrong on nodes before connections leave the cluster, by alert rules on figures that exist already.
//
// There is no exporter of our own, because the two that clusters run measure everything a node can know. node-exporter (conntrack,
// netstat and sockstat collectors, all on by default; ethtool for the limits of EC2) has insert_failed and drops of connection tracking,
// which is where a node's own source ports and the DNS race show: conntrack counts in the node's network namespace, through which every
// pod's packets pass. CoreDNS on the node has the resolver's timeouts. What neither can see is how many ports of the NAT are taken: the
// NAT hands them out, per destination, outside of the node. The clouds' alarms, from the same plan, watch it there.
package nodehealth

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/sallyport/sallyport/components/manifests"
	"github.com/sallyport/sallyport/internal/problem"
)

// name of the object.
const name = "sallyport-nodes"

// Settings is what the rules depend on.
type Settings struct {
	Stack     string            // label of every alert
	Namespace string            // of the object
	Operator  bool              // a PrometheusRule for the operator, else a ConfigMap with a rule file
	Labels    map[string]string // of the object, so that it is picked up
	NodeDNS   string            // address of the DNS cache on nodes; empty: there is none
	EC2       bool              // nodes are EC2 instances: the limits of their network interfaces count too
	// PlannedConnections are the connections of the busiest node at peak, by the plan, those in TIME_WAIT included. 0: not known.
	PlannedConnections float64
}

// rule is one alert.
type rule struct {
	name, expr, hold, severity string
	summary, advice            string
}

// Objects renders one object with all rules.
func (s Settings) Objects() ([]manifests.Object, error) {
	var list problem.List
	if s.Stack == "" || s.Namespace == "" {
		list.Add("node health", "needs a stack and a namespace", s.Stack+"/"+s.Namespace, "say where the rules belong")
	}
	if s.PlannedConnections < 0 {
		list.Add("node health: planned connections", "must not be negative", s.PlannedConnections, "take them from the plan")
	}
	if err := list.Err(); err != nil {
		return nil, err
	}
	spec := manifests.Map{"groups": s.groups()}
	if s.Operator {
		return []manifests.Object{manifests.New("monitoring.coreos.com/v1", "PrometheusRule", s.Namespace, name).Label(s.Labels).With("spec", spec)}, nil
	}
	text, err := yaml.Marshal(spec)
	if err != nil {
		return nil, err
	}
	return []manifests.Object{manifests.New("v1", "ConfigMap", s.Namespace, name).Label(s.Labels).
		With("data", manifests.Map{"sallyport-nodes.rules.yaml": string(text)})}, nil
}

func (s Settings) groups() []any {
	groups := []any{s.group("connections", s.connectionRules())}
	if s.NodeDNS != "" {
		groups = append(groups, s.group("dns", s.dnsRules()))
	}
	if s.EC2 {
		groups = append(groups, s.group("interfaces", interfaceRules()))
	}
	return groups
}

func (s Settings) group(group string, rules []rule) any {
	all := make([]any, len(rules))
	for i, r := range rules {
		all[i] = manifests.Map{
			"alert": r.name, "expr": r.expr, "for": r.hold,
			"labels":      manifests.Map{"severity": r.severity, "stack": s.Stack},
			"annotations": manifests.Map{"summary": r.summary, "advice": r.advice},
		}
	}
	return manifests.Map{"name": "sallyport-" + s.Stack + "-node-" + group, "rules": all}
}

// connectionRules watch connection tracking. Names as in node-exporter 1.8: node_nf_conntrack_* (conntrack), node_netstat_* (netstat).
func (s Settings) connectionRules() []rule {
	rules := []rule{
		{
			name: "SallyportConntrackInsertFailed", hold: "2m", severity: "critical",
			expr:    "sum by (instance) (rate(node_nf_conntrack_stat_insert_failed[5m])) > 0",
			summary: "the node loses {{ $value | humanize }} first packets a second: no free source port, or two connections raced for one",
			advice:  "a client sees a connect that takes 1 s, 3 s or 7 s; if it is DNS, install nodeLocalDNS; else route the busiest destination through proxies",
		},
		{
			name: "SallyportConntrackDrops", hold: "2m", severity: "critical",
			expr:    "sum by (instance) (rate(node_nf_conntrack_stat_drop[5m]) + rate(node_nf_conntrack_stat_early_drop[5m])) > 0",
			summary: "the node's connection tracking drops {{ $value | humanize }} packets or live entries a second",
			advice:  "raise net.netfilter.nf_conntrack_max, or find out who opens so many connections",
		},
		{
			name: "SallyportConntrackTableFilling", hold: "5m", severity: "warning",
			expr:    "node_nf_conntrack_entries / node_nf_conntrack_entries_limit > 0.8",
			summary: "connection tracking of the node is {{ $value | humanizePercentage }} full",
			advice:  "raise net.netfilter.nf_conntrack_max; at 100 % new connections are dropped without an answer",
		},
		{
			name: "SallyportConnectsRetried", hold: "10m", severity: "warning",
			expr: "sum by (instance) (rate(node_netstat_TcpExt_TCPSynRetrans[5m])) > 0.05 * sum by (instance) (rate(node_netstat_Tcp_ActiveOpens[5m])) and " +
				"sum by (instance) (rate(node_netstat_TcpExt_TCPSynRetrans[5m])) > 1",
			summary: "the node sends {{ $value | humanize }} first packets a second again, more than 5 % of its own connects",
			advice:  "first packets are lost on the way out: look at the NAT's allocation errors; pods with a network of their own are not counted here",
		},
	}
	if s.PlannedConnections > 0 {
		// The plan counts what leaves; at least as much again stays inside.
		rules = append(rules, rule{
			name: "SallyportConntrackSmallForThePlan", hold: "1h", severity: "warning",
			expr:    fmt.Sprintf("node_nf_conntrack_entries_limit < %.0f", 2*s.PlannedConnections),
			summary: fmt.Sprintf("the node tracks at most {{ $value }} connections; the plan expects %.0f to leave the busiest node at peak", s.PlannedConnections),
			advice:  "raise net.netfilter.nf_conntrack_max, or use larger nodes, on which it is higher",
		})
	}
	return rules
}

// dnsRules watch the DNS cache of the node, whose figures have its address in the label server.
func (s Settings) dnsRules() []rule {
	server := fmt.Sprintf(`server="dns://%s:53"`, s.NodeDNS)
	return []rule{
		{
			name: "SallyportNodeDNSFails", hold: "5m", severity: "critical",
			expr: strings.ReplaceAll(`sum by (instance) (rate(coredns_dns_responses_total{SERVER,rcode="SERVFAIL"}[5m])) > 0.01 * sum by (instance) (rate(coredns_dns_responses_total{SERVER}[5m]))`,
				"SERVER", server),
			summary: "the node's DNS cache answers {{ $value | humanize }} queries a second with SERVFAIL, more than 1 %",
			advice:  "its upstreams do not answer and it has nothing stale: look at the cluster's DNS and the network's resolver",
		},
		{
			name: "SallyportNodeDNSTimeouts", hold: "5m", severity: "warning",
			expr:    fmt.Sprintf("histogram_quantile(0.99, sum by (instance, le) (rate(coredns_dns_request_duration_seconds_bucket{%s}[5m]))) > 1", server),
			summary: "one query in a hundred takes {{ $value | humanizeDuration }} or more: upstreams time out",
			advice:  "look at the cluster's DNS; on EC2 also at linklocal_allowance_exceeded",
		},
		{
			name: "SallyportNodeDNSStale", hold: "5m", severity: "warning",
			expr:    fmt.Sprintf("sum by (instance) (rate(coredns_cache_served_stale_total{%s}[5m])) > 1", server),
			summary: "the node's DNS cache bridges an outage of its upstreams: {{ $value | humanize }} stale answers a second",
			advice:  "mend the cluster's DNS before the stale answers end",
		},
		{
			name: "SallyportNodeDNSRejects", hold: "1m", severity: "critical",
			expr:    "sum by (instance) (rate(coredns_forward_max_concurrent_rejects_total[5m])) > 0",
			summary: "the node's DNS cache refuses {{ $value | humanize }} queries a second because too many wait for upstreams",
			advice:  "mend the upstreams; if they are well, raise kubernetes.nodeLocalDNS.maxConcurrent",
		},
		{
			name: "SallyportNodeDNSSetup", hold: "5m", severity: "warning",
			expr:    "sum by (instance, errortype) (increase(coredns_nodecache_setup_errors_total[15m])) > 0",
			summary: "the DNS cache cannot set up its {{ $labels.errortype }}",
			advice:  "read the log of the cache on the node",
		},
	}
}

// interfaceRules watch the limits of EC2 network interfaces, which drop packets without a trace elsewhere. They need node-exporter with
// --collector.ethtool. Names of the ENA driver 2.2.10 and later.
func interfaceRules() []rule {
	limit := func(alert, figure, what, advice string) rule {
		return rule{
			name: alert, hold: "2m", severity: "critical",
			expr:    fmt.Sprintf("sum by (instance, device) (rate(node_ethtool_%s[5m])) > 0", figure),
			summary: "interface {{ $labels.device }} drops {{ $value | humanize }} packets a second: " + what,
			advice:  advice,
		}
	}
	return []rule{
		limit("SallyportInterfaceConntrack", "conntrack_allowance_exceeded", "more connections than the instance type tracks",
			"use a larger instance type, or security groups whose rules need no tracking"),
		limit("SallyportInterfaceLinkLocal", "linklocal_allowance_exceeded", "more than 1,024 packets a second to DNS, time and metadata",
			"install nodeLocalDNS, and podDNS for the namespaces that ask most"),
		limit("SallyportInterfaceBandwidth", "bw_out_allowance_exceeded", "more bandwidth than the instance type has", "use a larger instance type"),
	}
}
