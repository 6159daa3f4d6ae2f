package cluster

import (
	"encoding/json"
	"fmt"
	"net/netip"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/destinations"
	"github.com/sallyport/sallyport/components/stack"
	"github.com/sallyport/sallyport/infra/topology"
	"github.com/sallyport/sallyport/proxyimage/routes"
)

// documents are the routes documents that agents in the cluster follow, and what was read off them.
type documents struct {
	Resolver string // for the agents beside the DNS caches: the fleet's own, clients included
	Pool     string // for the pooling controllers
	Proxies  []routes.Proxy
}

func (d documents) addresses() []netip.Addr {
	var all []netip.Addr
	for _, proxy := range d.Proxies {
		all = append(all, proxy.Address)
	}
	return all
}

// publishDocuments makes the documents and exports them, so that the next update can tell whether they changed: serials rise then,
// and only then.
func (d *deployment) publishDocuments() error {
	previous, err := d.Previous.Output("kubernetes")
	if err != nil {
		return err
	}
	before, _ := previous.(map[string]any)
	var values []any
	for _, proxy := range d.Proxies {
		values = append(values, proxy.Address)
		for _, ip := range proxy.PublicIPs {
			values = append(values, ip)
		}
	}
	d.documents = pulumi.All(values...).ApplyT(func(values []any) (documents, error) {
		proxies, err := d.resolved(values)
		if err != nil {
			return documents{}, err
		}
		return numbered(before, topology.RoutesDocument(d.Settings, proxies, d.Clients), PoolDocument(d.Settings, proxies, d.Clients))
	})
	export := func(pick func(documents) string) pulumi.Output {
		return d.documents.ApplyT(func(value any) (any, error) {
			return topology.JSONTree(json.RawMessage(pick(value.(documents))))
		})
	}
	d.exports["resolver"] = export(func(d documents) string { return d.Resolver })
	d.exports["pool"] = export(func(d documents) string { return d.Pool })
	return nil
}

// numbered gives the documents their serials and their text.
func numbered(before map[string]any, resolver, pool routes.Document) (documents, error) {
	all := documents{Proxies: resolver.Proxies}
	for key, d := range map[string]struct {
		document *routes.Document
		text     *string
	}{"resolver": {&resolver, &all.Resolver}, "pool": {&pool, &all.Pool}} {
		var err error
		if d.document.Serial, err = topology.NextSerial(before[key], *d.document); err != nil {
			return all, fmt.Errorf("routes document for the %s: %w", key, err)
		}
		text, err := routes.Encode(d.document)
		if err != nil {
			return all, fmt.Errorf("routes document for the %s: %w", key, err)
		}
		*d.text = string(text)
	}
	return all, nil
}

// resolved are the proxies with the values of their addresses, in the order of the values.
func (d *deployment) resolved(values []any) ([]routes.Proxy, error) {
	next := func(slot string) (netip.Addr, error) {
		text, _ := values[0].(string)
		values = values[1:]
		ip, err := netip.ParseAddr(text)
		if err != nil {
			return ip, fmt.Errorf("proxy %s: address: must be an IP address, got %q", slot, text)
		}
		return ip, nil
	}
	proxies := make([]routes.Proxy, len(d.Proxies))
	for i, proxy := range d.Proxies {
		p := routes.Proxy{Name: proxy.Slot.Name, Zone: proxy.Slot.Zone}
		var err error
		if p.Address, err = next(p.Name); err != nil {
			return nil, err
		}
		for range proxy.PublicIPs {
			ip, err := next(p.Name)
			if err != nil {
				return nil, err
			}
			p.PublicIPs = append(p.PublicIPs, ip)
		}
		proxies[i] = p
	}
	return proxies, nil
}

// PoolDocument is what the pooling controllers serve: the destinations on route pool.
func PoolDocument(settings *stack.Stack, proxies []routes.Proxy, clients []netip.Prefix) routes.Document {
	document := routes.Document{Version: routes.Version, Routes: []routes.Route{}, Proxies: proxies, Clients: clients}
	for _, d := range destinations.ByRoute(settings.Destinations, destinations.RoutePool) {
		document.Routes = append(document.Routes, routes.Route{Name: d.Name, Hosts: d.Hosts, Port: d.Port, Mode: routes.ModePool})
	}
	return document
}
