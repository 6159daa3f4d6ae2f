package main

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/components/lab"
	"github.com/sallyport/sallyport/infra/topology"
)

// createAddresses allocates every static address before anything uses one: the addresses are what partners rely on, so they
// depend on nothing that comes and goes.
func (l *local) createAddresses() error {
	for _, s := range l.natSlots {
		address, err := l.publicAddress(s.Name, lab.KindNat)
		if err != nil {
			return err
		}
		l.natAddresses[s.Name] = address
	}
	for _, s := range l.slots {
		p := &proxySlot{Slot: s}
		l.proxies[s.Name] = p
		var err error
		p.private, err = lab.NewAddress(l.ctx, s.Name+"-interface", &lab.AddressArgs{
			Lab: l.network.Lab, Name: s.Name, Kind: lab.KindInterface,
		})
		if err != nil {
			return err
		}
		for n := 1; n <= l.settings.Proxies.IPsPerProxy; n++ {
			address, err := l.publicAddress(s.IP(n), lab.KindProxy)
			if err != nil {
				return err
			}
			p.public = append(p.public, address)
		}
	}
	return l.createReserve()
}

// createReserve allocates the headroom: public IPs that partners list before they carry traffic.
func (l *local) createReserve() error {
	for _, name := range topology.ReserveNames(allowlist.KindNat, l.plan.Nat.ReserveIPs) {
		address, err := l.publicAddress(name, lab.KindNat)
		if err != nil {
			return err
		}
		l.natReserve = append(l.natReserve, address)
	}
	for _, name := range topology.ReserveNames(allowlist.KindProxy, l.plan.Proxies.ReserveIPs) {
		address, err := l.publicAddress(name, lab.KindProxy)
		if err != nil {
			return err
		}
		l.proxyReserve = append(l.proxyReserve, address)
	}
	return nil
}

// publicAddress allocates one public IP, protected if the stack asks for it.
func (l *local) publicAddress(name string, kind lab.Kind) (*lab.Address, error) {
	return lab.NewAddress(l.ctx, name, &lab.AddressArgs{Lab: l.network.Lab, Name: name, Kind: kind},
		pulumi.Protect(*l.settings.Allowlist.Protect))
}
