package main

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/components/lab"
)

// createAddresses allocates every static address before anything uses one: the addresses are what partners rely on, so they
// depend on nothing that comes and goes.
func (l *local) createAddresses() error {
	for _, life := range l.life.Addresses() {
		address, err := lab.NewAddress(l.ctx, life.Name, &lab.AddressArgs{Lab: l.network.Lab, Name: life.Name, Kind: labKinds[life.Kind]},
			pulumi.Protect(*l.settings.Allowlist.Protect && !life.Release))
		if err != nil {
			return err
		}
		l.addresses[life.Name] = address
	}
	for _, n := range l.nodes {
		var err error
		l.podNetworks[n.name], err = lab.NewAddress(l.ctx, n.name+"-pods", &lab.AddressArgs{Lab: l.network.Lab, Name: n.name, Kind: lab.KindPods})
		if err != nil {
			return err
		}
	}
	for _, s := range l.slots {
		p := &proxySlot{Slot: s}
		var err error
		p.private, err = lab.NewAddress(l.ctx, s.Name+"-interface", &lab.AddressArgs{
			Lab: l.network.Lab, Name: s.Name, Kind: lab.KindInterface,
		})
		if err != nil {
			return err
		}
		for n := 1; n <= l.settings.Proxies.IPsPerProxy; n++ {
			p.public = append(p.public, l.publicAddress(s.IP(n)))
		}
		l.proxies[s.Name] = p
	}
	return nil
}

// labKinds are the lab's names of the kinds.
var labKinds = map[allowlist.Kind]lab.Kind{allowlist.KindNat: lab.KindNat, allowlist.KindProxy: lab.KindProxy}

// publicAddress is the address that serves a place.
func (l *local) publicAddress(place string) *lab.Address { return l.addresses[l.life.Of(place).Name] }
