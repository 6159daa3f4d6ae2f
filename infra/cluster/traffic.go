package cluster

import (
	"net/netip"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/destinations"
	"github.com/sallyport/sallyport/components/egresspolicy"
	"github.com/sallyport/sallyport/components/manifests/registrar"
	"github.com/sallyport/sallyport/components/nodehealth"
	"github.com/sallyport/sallyport/components/nodelocaldns"
	"github.com/sallyport/sallyport/components/poolcontroller"
	"github.com/sallyport/sallyport/components/stack"
	"github.com/sallyport/sallyport/infra/topology"
)

// Types of the components.
const (
	typePool       = "sallyport:cluster:PoolController"
	typePolicies   = "sallyport:cluster:EgressPolicy"
	typeNodeHealth = "sallyport:cluster:NodeHealth"
)

func (d *deployment) createPool() error {
	p := d.section.Pool
	if p == nil {
		return nil
	}
	pooled := destinations.ByRoute(d.Settings.Destinations, destinations.RoutePool)
	settings := poolcontroller.Settings{
		Namespace: p.Namespace, ClusterDomain: d.section.ClusterDomain, Names: namesWithService(pooled), Ports: destinations.Ports(pooled),
		Zones: len(d.Settings.Cluster.Zones), MinReplicas: p.MinReplicas, MaxReplicas: p.MaxReplicas, CPUMillis: p.CPUMillis, MemoryMiB: p.MemoryMiB,
		DrainSeconds: p.DrainSeconds, RequestsPerConnection: p.RequestsPerConnection,
	}
	c, err := d.component(typePool, "pool", pulumi.Map{
		"namespace": pulumi.String(p.Namespace), "image": d.image, "destinations": pulumi.ToStringArray(names(pooled)),
	})
	if err != nil {
		return err
	}
	value := pulumi.All(d.image, d.documents, d.dns.address).ApplyT(func(values []any) poolcontroller.Found {
		docs := values[1].(documents)
		return poolcontroller.Found{Image: values[0].(string), Routes: docs.Pool, DNS: values[2].(string), Proxies: docs.addresses()}
	})
	samples := [2]poolcontroller.Found{
		{Image: sampleImages[0], Routes: "1", DNS: "10.0.0.1", Proxies: []netip.Addr{sampleProxies[0]}},
		{Image: sampleImages[1], Routes: "2", DNS: "10.0.0.2", Proxies: []netip.Addr{sampleProxies[1]}},
	}
	if _, err := registrar.RegisterLate(d.ctx, "pool", registrar.Late[poolcontroller.Found]{Value: value, Samples: samples}, settings.Objects, pulumi.Parent(c)); err != nil {
		return err
	}
	urls := pulumi.StringMap{}
	for _, name := range settings.Names {
		urls[name] = pulumi.Sprintf("http://%s.%s.svc", name, p.Namespace)
	}
	d.exports["pooled"] = urls
	return d.ctx.RegisterResourceOutputs(c, pulumi.Map{"urls": urls})
}

func names(list []destinations.Destination) []string {
	var all []string
	for _, d := range list {
		all = append(all, d.Name)
	}
	return all
}

// namesWithService are the destinations that the controllers know by their name: those with exactly one exact host.
func namesWithService(list []destinations.Destination) []string {
	var all []string
	for _, d := range list {
		if len(d.Hosts) == 1 && !destinations.IsWildcard(d.Hosts[0]) {
			all = append(all, d.Name)
		}
	}
	return all
}

func (d *deployment) createPolicies() error {
	n := d.section.NetworkPolicy
	if n == nil {
		return nil
	}
	settings := egresspolicy.Settings{
		Namespaces: n.Namespaces, ClusterCIDRs: prefixes(n.ClusterCIDRs), AllowCIDRs: prefixes(n.AllowCIDRs),
		Ports: topology.ProxiedPorts(d.Settings.Destinations),
	}
	if d.section.NodeLocalDNS != nil {
		settings.NodeDNS = netip.MustParseAddr(nodelocaldns.DefaultAddress)
	}
	c, err := d.component(typePolicies, "egress-policy", pulumi.Map{"namespaces": pulumi.ToStringArray(n.Namespaces)})
	if err != nil {
		return err
	}
	value := d.documents.ApplyT(func(value any) egresspolicy.Found {
		return egresspolicy.Found{Proxies: value.(documents).addresses()}
	})
	samples := [2]egresspolicy.Found{{Proxies: sampleProxies[:1]}, {Proxies: sampleProxies[1:]}}
	if _, err := registrar.RegisterLate(d.ctx, "egress-policy", registrar.Late[egresspolicy.Found]{Value: value, Samples: samples}, settings.Objects, pulumi.Parent(c)); err != nil {
		return err
	}
	return d.ctx.RegisterResourceOutputs(c, pulumi.Map{"namespaces": pulumi.ToStringArray(n.Namespaces)})
}

// prefixes of texts that the stack file's own checks have let through.
func prefixes(texts []string) []netip.Prefix {
	all := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		all[i] = netip.MustParsePrefix(text)
	}
	return all
}

func (d *deployment) createNodeHealth() error {
	n := d.section.NodeHealth
	if n == nil {
		return nil
	}
	settings := nodehealth.Settings{
		Stack: d.ctx.Stack(), Namespace: n.Namespace, Operator: n.Rules == "prometheusrule", Labels: n.Labels,
		EC2: d.Settings.Cloud == stack.CloudAWS, PlannedConnections: plannedConnections(d.Settings),
	}
	if d.section.NodeLocalDNS != nil {
		settings.NodeDNS = nodelocaldns.DefaultAddress
	}
	objects, err := settings.Objects()
	if err != nil {
		return err
	}
	c, err := d.component(typeNodeHealth, "node-health", pulumi.Map{"namespace": pulumi.String(n.Namespace), "rules": pulumi.String(n.Rules)})
	if err != nil {
		return err
	}
	if _, err := registrar.Register(d.ctx, "node-health", objects, pulumi.Parent(c)); err != nil {
		return err
	}
	return d.ctx.RegisterResourceOutputs(c, pulumi.Map{"plannedConnections": pulumi.Float64(settings.PlannedConnections)})
}

// plannedConnections are those of the busiest node at peak, by the plan's own rule (Little's law): rate x skew / nodes x (hold +
// TIME_WAIT), over all destinations.
func plannedConnections(settings *stack.Stack) float64 {
	share, total := settings.Cluster.Skew/float64(settings.Cluster.Nodes), 0.0
	for _, destination := range settings.Destinations {
		total += destination.Demand.ConnectionsPerSecond * share * (destination.Demand.SecondsPerConnection + float64(settings.Nat.TimeWaitSeconds))
	}
	return total
}

// Legal values that stand for what is not known yet; see registrar.Late.
var (
	sampleImages  = [2]string{"a@sha256:" + strings.Repeat("0", 64), "b@sha256:" + strings.Repeat("1", 64)}
	sampleProxies = []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")}
)
