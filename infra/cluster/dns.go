package cluster

import (
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/dnsrouting"
	"github.com/sallyport/sallyport/components/manifests"
	"github.com/sallyport/sallyport/components/manifests/registrar"
	"github.com/sallyport/sallyport/components/nodelocaldns"
	"github.com/sallyport/sallyport/components/poddns"
	"github.com/sallyport/sallyport/components/stack"
	"github.com/sallyport/sallyport/infra/topology"
)

// Types of the components.
const (
	typeDNS          = "sallyport:cluster:ClusterDNS"
	typeResolvers    = "sallyport:cluster:DNSRouting"
	typeNodeLocalDNS = "sallyport:cluster:NodeLocalDNS"
	typePodDNS       = "sallyport:cluster:PodDNS"
)

// clusterDNS is what was found of the cluster's DNS.
type clusterDNS struct {
	address  pulumi.StringOutput // of its Service
	upstream pulumi.StringOutput // where a cache, and agents, ask it: never where the cache on the node listens
}

// lookUpDNS finds the cluster's DNS, and makes the second Service for it that a cache needs which takes the first one's address over.
func (d *deployment) lookUpDNS() error {
	n := d.section.NodeLocalDNS
	if n == nil && d.section.Pool == nil {
		return nil
	}
	namespace, service := "kube-system", "kube-dns"
	if n != nil {
		namespace, service = n.Namespace, n.Service
	}
	c, err := d.component(typeDNS, "cluster-dns", pulumi.Map{"namespace": pulumi.String(namespace), "service": pulumi.String(service)})
	if err != nil {
		return err
	}
	found, err := registrar.Read(d.ctx, "cluster-dns-service", "v1", "Service", namespace, service, pulumi.Parent(c))
	if err != nil {
		return err
	}
	d.dns.address = found.ClusterIP(d.ctx, "sallyport:kubernetes.nodeLocalDNS.service")
	d.dns.upstream = d.dns.address
	if n != nil {
		selector := pulumi.All(found.Spec, d.managed()).ApplyT(func(values []any) (map[string]string, error) {
			return selectorOf(values[0]), nodelocaldns.Refuse(values[1].(bool))
		})
		settings := d.nodeLocalDNS()
		made, err := registrar.RegisterLate(d.ctx, "cluster-dns", registrar.Late[map[string]string]{
			Value: selector, Samples: [2]map[string]string{{"a": "b"}, {"c": "d"}},
		}, func(selector map[string]string) ([]manifests.Object, error) {
			return settings.UpstreamServiceObject(selector), nil
		}, pulumi.Parent(c))
		if err != nil {
			return err
		}
		for _, service := range made {
			d.dns.upstream = service.ClusterIP(d.ctx, "service "+nodelocaldns.UpstreamService)
		}
	}
	return d.ctx.RegisterResourceOutputs(c, pulumi.Map{"address": d.dns.address, "upstream": d.dns.upstream})
}

// managed says whether the cluster brings a cache.
func (d *deployment) managed() pulumi.BoolInput {
	if d.ManagedDNSCache == nil {
		return pulumi.Bool(false)
	}
	return d.ManagedDNSCache
}

func selectorOf(spec any) map[string]string {
	selector := map[string]string{}
	fields, _ := spec.(map[string]any)
	labels, _ := fields["selector"].(map[string]any)
	for key, value := range labels {
		if text, ok := value.(string); ok {
			selector[key] = text
		}
	}
	return selector
}

// nodeLocalDNS are the settings of the cache.
func (d *deployment) nodeLocalDNS() nodelocaldns.Settings {
	n := d.section.NodeLocalDNS
	s := nodelocaldns.Settings{
		Mode: nodelocaldns.LinkLocal, Namespace: n.Namespace, ClusterDomain: d.section.ClusterDomain, Image: n.Image,
		ServeStale: time.Duration(n.ServeStaleSeconds) * time.Second, StaleAfter: time.Duration(n.StaleAfterMillis) * time.Millisecond, MaxConcurrent: n.MaxConcurrent, MemoryMiB: n.MemoryMiB,
	}
	if n.KubeProxy == stack.KubeProxyIPTables {
		s.Mode = nodelocaldns.TakeOver
	}
	if s.Image == "" {
		s.Image = nodelocaldns.Image
	}
	if d.section.Routing == stack.RoutingDNS {
		s.ProxiedHosts, s.Resolvers = topology.ProxiedHosts(d.Settings.Destinations), dnsrouting.Resolvers()
	}
	return s
}

// createResolvers comes before the cache, so that it never asks agents that are not there.
func (d *deployment) createResolvers() error {
	if d.section.Routing != stack.RoutingDNS {
		return nil
	}
	settings := dnsrouting.Settings{Namespace: d.section.NodeLocalDNS.Namespace}
	c, err := d.component(typeResolvers, "dns-routing", pulumi.Map{"namespace": pulumi.String(settings.Namespace)})
	if err != nil {
		return err
	}
	value := pulumi.All(d.image, d.documents, d.dns.upstream).ApplyT(func(values []any) dnsrouting.Found {
		return dnsrouting.Found{Image: values[0].(string), Routes: values[1].(documents).Resolver, DNS: values[2].(string)}
	})
	made, err := registrar.RegisterLate(d.ctx, "dns-routing", registrar.Late[dnsrouting.Found]{
		Value: value, Samples: [2]dnsrouting.Found{{Image: sampleImages[0], Routes: "1", DNS: "10.0.0.1"}, {Image: sampleImages[1], Routes: "2", DNS: "10.0.0.2"}},
	}, settings.Objects, pulumi.Parent(c))
	if err != nil {
		return err
	}
	for _, r := range made {
		d.resolvers = append(d.resolvers, r)
	}
	return d.ctx.RegisterResourceOutputs(c, pulumi.Map{"resolvers": pulumi.ToStringArray(dnsrouting.Resolvers())})
}

func (d *deployment) createNodeLocalDNS() error {
	if d.section.NodeLocalDNS == nil {
		return nil
	}
	settings := d.nodeLocalDNS()
	c, err := d.component(typeNodeLocalDNS, "node-local-dns", pulumi.Map{
		"mode": pulumi.String(string(settings.Mode)), "image": pulumi.String(settings.Image), "proxiedHosts": pulumi.ToStringArray(settings.ProxiedHosts),
	}, pulumi.DependsOn(d.resolvers))
	if err != nil {
		return err
	}
	value := pulumi.All(d.dns.address, d.dns.upstream, d.managed()).ApplyT(func(values []any) (nodelocaldns.Found, error) {
		return nodelocaldns.Found{ClusterDNS: values[0].(string), Upstream: values[1].(string)}, nodelocaldns.Refuse(values[2].(bool))
	})
	if _, err := registrar.RegisterLate(d.ctx, "node-local-dns", registrar.Late[nodelocaldns.Found]{
		Value: value, Samples: [2]nodelocaldns.Found{{ClusterDNS: "10.0.0.1", Upstream: "10.0.0.2"}, {ClusterDNS: "10.0.0.3", Upstream: "10.0.0.4"}},
	}, settings.Objects, pulumi.Parent(c)); err != nil {
		return err
	}
	address := pulumi.String(nodelocaldns.DefaultAddress)
	d.exports["nodeLocalDNS"] = address
	return d.ctx.RegisterResourceOutputs(c, pulumi.Map{"address": address})
}

func (d *deployment) createPodDNS() error {
	p := d.section.PodDNS
	if p == nil {
		return nil
	}
	settings := poddns.Settings{
		Label: p.Label, Ndots: p.Ndots, SingleRequestReopen: *p.SingleRequestReopen, UseVC: p.UseVC, ClusterDomain: d.section.ClusterDomain,
	}
	if p.By == stack.MeansPolicy {
		settings.API = p.API
	}
	value := pulumi.String("").ToStringOutput().ApplyT(func(string) poddns.Found { return poddns.Found{} })
	if *p.NodeLocal {
		settings.NodeLocal = nodelocaldns.DefaultAddress
		value = d.dns.address.ApplyT(func(ip string) poddns.Found { return poddns.Found{ClusterDNS: ip} })
	}
	c, err := d.component(typePodDNS, "pod-dns", pulumi.Map{"label": pulumi.String(p.Label), "ndots": pulumi.Int(p.Ndots)})
	if err != nil {
		return err
	}
	if _, err := registrar.RegisterLate(d.ctx, "pod-dns", registrar.Late[poddns.Found]{
		Value: value, Samples: [2]poddns.Found{{ClusterDNS: "10.0.0.1"}, {ClusterDNS: "10.0.0.2"}},
	}, settings.Objects, pulumi.Parent(c)); err != nil {
		return err
	}
	d.exports["podDNS"] = pulumi.Any(podDNSCosts(d.Settings))
	return d.ctx.RegisterResourceOutputs(c, pulumi.Map{"label": pulumi.String(p.Label)})
}

// podDNSCosts is what a namespace's search domains cost at the declared peak if every connection looks its host up: with the defaults of
// Kubernetes and with the options.
func podDNSCosts(settings *stack.Stack) map[string]any {
	var lookups []poddns.Lookup
	for _, destination := range settings.Destinations {
		lookups = append(lookups, poddns.Lookup{Name: destination.Hosts[0], PerSecond: destination.Demand.ConnectionsPerSecond})
	}
	searches := poddns.Searches("<namespace>", settings.Kubernetes.ClusterDomain)
	queries := func(ndots int) float64 {
		total := 0.0
		for _, c := range poddns.Expect(lookups, searches, ndots) {
			total += c.Queries
		}
		return total
	}
	return map[string]any{
		"searchDomains":           searches,
		"queriesPerSecondDefault": queries(5), "queriesPerSecond": queries(settings.Kubernetes.PodDNS.Ndots),
	}
}
