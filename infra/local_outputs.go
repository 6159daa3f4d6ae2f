package main

import (
	"fmt"
	"net/netip"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/components/lab"
	"github.com/sallyport/sallyport/components/nodelocaldns"
	"github.com/sallyport/sallyport/infra/topology"
)

// exportAllowlist exports the partner document.
func (l *local) exportAllowlist() error {
	lives := l.life.Addresses()
	var inputs []any
	for _, life := range lives {
		inputs = append(inputs, l.addresses[life.Name].Address)
	}
	for _, name := range topology.GatewayNames(l.natSlots) {
		inputs = append(inputs, l.gateways[name].Blocks)
	}
	l.ctx.Export("allowlist", pulumi.All(inputs...).ApplyT(func(values []any) (any, error) {
		ips := map[string]netip.Addr{}
		for i, life := range lives {
			text, _ := values[i].(string)
			ip, err := netip.ParseAddr(text)
			if err != nil {
				return nil, fmt.Errorf("allowlist: %s: %w", life.Name, err)
			}
			ips[life.Name] = ip
		}
		document, err := l.life.Document(l.ctx.Stack(), "", ips, waiting(lives, ips, values[len(lives):])...)
		if err != nil {
			return nil, err
		}
		return topology.JSONTree(document)
	}))
	return nil
}

// waiting are the addresses of a per-VM NAT that no node has ports on: they may carry traffic, and wait for nodes to come.
func waiting(lives []allowlist.Life, ips map[string]netip.Addr, gateways []any) []string {
	inUse, perVM := map[string]bool{}, false
	for _, gateway := range gateways {
		blocks, _ := gateway.([]lab.Block)
		for _, block := range blocks {
			inUse[block.Address], perVM = true, true
		}
	}
	var names []string
	for _, life := range lives {
		if perVM && life.Kind == allowlist.KindNat && !inUse[ips[life.Name].String()] {
			names = append(names, life.Name)
		}
	}
	return names
}

// exportEndpoints exports what the cluster reaches: the proxies with their ports, the DNS cache, and the pods one can try
// things from.
func (l *local) exportEndpoints() error {
	proxies := pulumi.MapArray{}
	for _, s := range l.slots {
		p := l.proxies[s.Name]
		proxies = append(proxies, pulumi.Map{
			"name": pulumi.String(s.Name), "zone": pulumi.String(s.Zone), "address": p.private.Address, "publicIPs": p.publicAddresses(),
		})
	}
	pods := pulumi.StringArray{}
	for _, n := range l.nodes {
		pods = append(pods, pulumi.ToStringArray(n.pods)...)
	}
	l.ctx.Export("endpoints", pulumi.Map{
		"lab":     l.network.Lab,
		"proxies": proxies,
		"ports":   pulumi.ToIntArray(topology.ProxiedPorts(l.settings.Destinations)),
		"dns":     pulumi.String(nodelocaldns.DefaultAddress),
		"pods":    pods,
	})
	return nil
}
