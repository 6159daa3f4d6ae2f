package main

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/components/destinations"
	"github.com/sallyport/sallyport/components/lab"
	"github.com/sallyport/sallyport/infra/topology"
)

// recordTTLSeconds is how long the lab's public names may be cached: short, so that a changed address shows soon.
const recordTTLSeconds = 5

// createPartners makes one TLS server per destination, with the allowlist its owner would keep, and one for every host that
// exists although nobody listed it.
func (l *local) createPartners() error {
	for _, d := range l.settings.Destinations {
		args := &lab.PartnerArgs{
			Lab: l.network.Lab, Name: d.Name, Hosts: d.Hosts, AddressCount: d.Demand.Addresses, Port: d.Port,
			Enforce: d.Partner != "",
		}
		if args.Enforce && !l.stale(d.Partner) {
			args.Allow = l.allowedSources(d)
		}
		partner, err := lab.NewPartner(l.ctx, "partner-"+d.Name, args)
		if err != nil {
			return err
		}
		l.partners[d.Name] = partner
	}
	for i, host := range l.settings.Lab.UnlistedHosts {
		name := unlistedName(i)
		partner, err := lab.NewPartner(l.ctx, "partner-"+name, &lab.PartnerArgs{
			Lab: l.network.Lab, Name: name, Hosts: []string{host}, AddressCount: 1, Port: destinations.DefaultPort,
		})
		if err != nil {
			return err
		}
		l.partners[name] = partner
	}
	return nil
}

// stale says whether a partner plays one who never updated the list.
func (l *local) stale(partner string) bool {
	for _, p := range l.settings.Lab.StalePartners {
		if p == partner {
			return true
		}
	}
	return false
}

// allowedSources are the public IPs that a destination's partner lists: all of the kind, also those that carry no traffic yet,
// unless the stack file says what the partner has.
func (l *local) allowedSources(d destinations.Destination) pulumi.StringArray {
	if list, given := l.settings.Lab.PartnerLists[d.Partner]; given {
		sources := pulumi.StringArray{}
		for _, network := range list {
			sources = append(sources, pulumi.String(network.String()))
		}
		return sources
	}
	kind := allowlist.KindNat
	if topology.ViaProxy(d) {
		kind = allowlist.KindProxy
	}
	var sources pulumi.StringArray
	for _, life := range l.life.Addresses() {
		if life.Kind == kind && life.State.Listed() {
			sources = append(sources, pulumi.Sprintf("%s/32", l.addresses[life.Name].Address))
		}
	}
	return sources
}

// createUpstreamDNS publishes the partners' names.
func (l *local) createUpstreamDNS() error {
	var records []lab.Record
	publish := func(hosts []string, addresses pulumi.StringArray) {
		for _, host := range hosts {
			records = append(records, lab.Record{Name: host, Addresses: addresses, TTL: recordTTLSeconds})
		}
	}
	for _, d := range l.settings.Destinations {
		publish(d.Hosts, l.partnerAddresses(d.Name, d.Demand.Addresses))
	}
	for i, host := range l.settings.Lab.UnlistedHosts {
		publish([]string{host}, l.partnerAddresses(unlistedName(i), 1))
	}
	var err error
	l.dns, err = lab.NewUpstreamDNS(l.ctx, "dns", &lab.UpstreamDNSArgs{Lab: l.network.Lab, Records: records})
	return err
}

// partnerAddresses are the addresses of a partner one by one: how many there are is known before they are.
func (l *local) partnerAddresses(name string, count int) pulumi.StringArray {
	addresses := make(pulumi.StringArray, count)
	for i := range addresses {
		addresses[i] = l.partners[name].Addresses.Index(pulumi.Int(i))
	}
	return addresses
}
