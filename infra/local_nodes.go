package main

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/lab"
	"github.com/sallyport/sallyport/components/nodelocaldns"
	"github.com/sallyport/sallyport/infra/topology"
)

// agentResolver is where the agent's resolver mode listens on every node.
const agentResolver = "127.0.0.1:9053"

// createNodes makes the cluster: nodes that let pods reach what is listed and nothing else, their DNS cache, and pods.
func (l *local) createNodes() error {
	corefile, policy := l.corefile(), l.egressPolicy()
	for _, n := range l.nodes {
		created, err := lab.NewNode(l.ctx, n.name, &lab.NodeArgs{
			Lab: l.network.Lab, Name: n.name, Zone: n.zone, PodCIDR: l.podCIDR(n),
			Gateway: l.gatewayOf(n.zone), EgressAllow: policy,
		})
		if err != nil {
			return err
		}
		id := created.ID().ToStringOutput()
		if _, err := lab.NewNodeLocalDNS(l.ctx, n.name+"-dns", &lab.NodeLocalDNSArgs{
			Lab: l.network.Lab, NodeID: id, Corefile: corefile, Rootfs: l.rootfs, ImageDigest: l.digest,
			DNSServers: pulumi.StringArray{l.dns.PrivateAddress},
		}, pulumi.DependsOn([]pulumi.Resource{l.routes})); err != nil {
			return err
		}
		for _, pod := range n.pods {
			args := &lab.PodArgs{Lab: l.network.Lab, Name: pod, NodeID: id, ResolvConf: podResolvConf()}
			if _, err := lab.NewPod(l.ctx, pod, args); err != nil {
				return err
			}
		}
	}
	return nil
}

// podCIDR is the network of a node's pods.
func (l *local) podCIDR(n node) pulumi.StringOutput {
	return pulumi.Sprintf("%s/24", l.podNetworks[n.name].Address)
}

// podResolvConf is what a kubelet gives to pods in namespace default.
func podResolvConf() lab.ResolvConf {
	return lab.ResolvConf{
		Nameserver: nodelocaldns.DefaultAddress,
		Searches:   []string{"default.svc.cluster.local", "svc.cluster.local", "cluster.local"},
		Options:    []string{"ndots:5"},
	}
}

// corefile configures the DNS cache of every node.
func (l *local) corefile() pulumi.StringOutput {
	return l.dns.PrivateAddress.ApplyT(func(address string) (string, error) {
		return nodelocaldns.Corefile{
			ClusterDNS: []string{address}, Upstreams: []string{address},
			ProxiedHosts: topology.ProxiedHosts(l.settings.Destinations), Resolver: agentResolver,
		}.Render()
	}).(pulumi.StringOutput)
}

// egressPolicy is what pods may reach: the proxies on the fleet's ports and the addresses of the NAT's destinations.
func (l *local) egressPolicy() []lab.Egress {
	var rules []lab.Egress
	for _, port := range topology.ProxiedPorts(l.settings.Destinations) {
		for _, s := range l.slots {
			rules = append(rules, lab.Egress{CIDR: pulumi.Sprintf("%s/32", l.proxies[s.Name].private.Address), Port: port})
		}
	}
	for _, d := range l.settings.Destinations {
		if topology.ViaProxy(d) {
			continue
		}
		for _, address := range l.partnerAddresses(d.Name, d.Demand.Addresses) {
			rules = append(rules, lab.Egress{CIDR: pulumi.Sprintf("%s/32", address), Port: d.Port})
		}
	}
	return rules
}
