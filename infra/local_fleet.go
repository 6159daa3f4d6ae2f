package main

import (
	"encoding/json"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/lab"
	"github.com/sallyport/sallyport/infra/topology"
)

// createNatGateways makes the NAT: a block of ports per node from all addresses, or one gateway per zone.
func (l *local) createNatGateways() error {
	for _, name := range topology.GatewayNames(l.natSlots) {
		args := &lab.NatGatewayArgs{
			Lab: l.network.Lab, Name: name, Flavor: string(l.plan.Nat.Flavor),
			TimeWaitSeconds: l.settings.Nat.TimeWaitSeconds, PortsPerVM: l.plan.Nat.PortsPerVM,
		}
		var addresses pulumi.StringArray
		for _, s := range l.natSlots {
			if s.Gateway == name {
				args.Zone = s.Zone
				addresses = append(addresses, l.publicAddress(s.Name).Address)
			}
		}
		args.Addresses = addresses
		for _, n := range l.nodes {
			if args.Zone == "" || args.Zone == n.zone {
				args.VMs = append(args.VMs, lab.VM{Name: n.name, CIDRs: pulumi.StringArray{l.podCIDR(n)}})
			}
		}
		gateway, err := lab.NewNatGateway(l.ctx, name, args)
		if err != nil {
			return err
		}
		l.gateways[name] = gateway
	}
	return nil
}

// gatewayOf is the next hop of a zone's nodes, nil if no destination uses the NAT.
func (l *local) gatewayOf(zone string) pulumi.StringInput {
	for _, name := range []string{"nat-" + zone, "nat"} {
		if gateway := l.gateways[name]; gateway != nil {
			return gateway.PrivateAddress
		}
	}
	return nil
}

// createRoutes publishes the routes document. It needs the proxies' addresses only, so it is in force before the first proxy
// starts, and a change of destinations touches nothing else of the fleet. A new host's name exists before the fleet looks it up.
func (l *local) createRoutes() error {
	var addresses []any
	for _, s := range l.slots {
		p := l.proxies[s.Name]
		addresses = append(addresses, p.private.Address)
		for _, public := range p.public {
			addresses = append(addresses, public.Address)
		}
	}
	document := pulumi.All(addresses...).ApplyT(func(values []any) (string, error) {
		proxies, err := topology.Members(l.slots, l.settings.Proxies.IPsPerProxy, values)
		if err != nil {
			return "", err
		}
		text, err := json.Marshal(topology.RoutesDocument(l.settings, proxies, clients()))
		return string(text), err
	}).(pulumi.StringOutput)
	var err error
	l.routes, err = lab.NewRoutes(l.ctx, "routes", &lab.RoutesArgs{Lab: l.network.Lab, Document: document},
		pulumi.DependsOn([]pulumi.Resource{l.dns}))
	return err
}

// createProxies starts the fleet, one proxy after the other, so that a change of the image never has two of them down.
func (l *local) createProxies() error {
	previous := pulumi.Resource(l.routes)
	for _, s := range l.slots {
		p := l.proxies[s.Name]
		args := &lab.ProxyArgs{
			Lab: l.network.Lab, Name: s.Name, Zone: s.Zone, Address: p.private.Address,
			Rootfs: l.rootfs, ImageDigest: l.digest, DNSServers: pulumi.StringArray{l.dns.PublicAddress},
			DrainSeconds: l.settings.Proxies.DrainSeconds, PublicAddresses: p.publicAddresses(),
		}
		proxy, err := lab.NewProxy(l.ctx, s.Name, args, pulumi.DependsOn([]pulumi.Resource{previous}))
		if err != nil {
			return err
		}
		previous = proxy
	}
	return nil
}
