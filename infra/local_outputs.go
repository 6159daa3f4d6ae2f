package main

import (
	"encoding/json"
	"fmt"
	"net/netip"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/components/lab"
	"github.com/sallyport/sallyport/components/nodelocaldns"
	"github.com/sallyport/sallyport/infra/topology"
)

// publicIP is one static address on its way into the allowlist.
type publicIP struct {
	address *lab.Address
	entry   allowlist.Entry // without IP; State is final except for NAT addresses, see natStates
}

// publicIPs lists every public IP of the stack with what is known before the addresses are.
func (l *local) publicIPs() []publicIP {
	partners := map[allowlist.Kind][]string{}
	for _, kind := range []allowlist.Kind{allowlist.KindNat, allowlist.KindProxy} {
		partners[kind] = topology.Partners(l.settings.Destinations, kind)
	}
	var all []publicIP
	add := func(address *lab.Address, kind allowlist.Kind, zone, owner string, state allowlist.State) {
		all = append(all, publicIP{address: address, entry: allowlist.Entry{
			Cloud: string(l.settings.Cloud), Zone: zone, Kind: kind, Slot: owner, State: state, Partners: partners[kind],
		}})
	}
	for _, s := range l.natSlots {
		add(l.natAddresses[s.Name], allowlist.KindNat, s.Zone, s.Name, allowlist.StateActive)
	}
	for _, s := range l.slots {
		for n, address := range l.proxies[s.Name].public {
			add(address, allowlist.KindProxy, s.Zone, s.IP(n+1), allowlist.StateActive)
		}
	}
	for n, name := range topology.ReserveNames(allowlist.KindNat, len(l.natReserve)) {
		add(l.natReserve[n], allowlist.KindNat, "", name, allowlist.StateReserved)
	}
	for n, name := range topology.ReserveNames(allowlist.KindProxy, len(l.proxyReserve)) {
		add(l.proxyReserve[n], allowlist.KindProxy, "", name, allowlist.StateReserved)
	}
	return all
}

// exportAllowlist exports the partner document. Its serial rises only when its entries change.
func (l *local) exportAllowlist() error {
	ips := l.publicIPs()
	var inputs []any
	for _, ip := range ips {
		inputs = append(inputs, ip.address.Address)
	}
	for _, name := range topology.GatewayNames(l.natSlots) {
		inputs = append(inputs, l.gateways[name].Blocks)
	}
	entries := pulumi.All(inputs...).ApplyT(func(values []any) ([]allowlist.Entry, error) {
		return entriesOf(ips, values)
	})
	content := entries.ApplyT(func(value any) (string, error) {
		text, err := json.Marshal(value)
		return string(text), err
	}).(pulumi.StringOutput)
	serial, err := lab.NewSerial(l.ctx, "allowlist-serial", &lab.SerialArgs{Lab: l.network.Lab, Name: "allowlist", Content: content})
	if err != nil {
		return err
	}
	l.ctx.Export("allowlist", pulumi.All(entries, serial.Serial).ApplyT(func(values []any) (any, error) {
		list, _ := values[0].([]allowlist.Entry)
		number, _ := values[1].(int)
		document, err := allowlist.Build(l.ctx.Stack(), uint64(number), list)
		if err != nil {
			return nil, err
		}
		return topology.JSONTree(document)
	}))
	return nil
}

// entriesOf completes the entries with the resolved addresses, which come first in values, and with the state of the NAT's
// addresses, which follows from the blocks after them.
func entriesOf(ips []publicIP, values []any) ([]allowlist.Entry, error) {
	inUse, perVM := blockAddresses(values[len(ips):])
	entries := make([]allowlist.Entry, len(ips))
	for i, ip := range ips {
		text, _ := values[i].(string)
		address, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("allowlist: %s: %w", ip.entry.Slot, err)
		}
		entries[i] = ip.entry
		entries[i].IP = address
		// An address of a per-VM NAT carries traffic only once a node has ports on it. Until then it waits for nodes to come.
		waiting := perVM && ip.entry.Kind == allowlist.KindNat && ip.entry.State == allowlist.StateActive && !inUse[text]
		if waiting {
			entries[i].State = allowlist.StateAnnounced
		}
	}
	return entries, nil
}

// blockAddresses returns the addresses on which VMs have ports, and whether the NAT hands out ports per VM at all.
func blockAddresses(gateways []any) (inUse map[string]bool, perVM bool) {
	inUse = map[string]bool{}
	for _, gateway := range gateways {
		blocks, _ := gateway.([]lab.Block)
		for _, block := range blocks {
			inUse[block.Address] = true
			perVM = true
		}
	}
	return inUse, perVM
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
