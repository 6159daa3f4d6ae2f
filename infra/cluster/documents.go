package cluster

import (
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

// publishDocuments makes the documents and exports them without their text form, so that the next update can tell whether they
// changed: serials rise then, and only then.
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
	built := pulumi.All(values...).ApplyT(func(values []any) ([]routes.Document, error) {
		proxies, err := d.resolved(values)
		if err != nil {
			return nil, err
		}
		resolver, pool := topology.RoutesDocument(d.Settings, proxies, d.Clients), PoolDocument(d.Settings, proxies, d.Clients)
		for key, document := range map[string]*routes.Document{"resolver": &resolver, "pool": &pool} {
			if document.Serial, err = topology.NextSerial(before[key], *document); err != nil {
				return nil, fmt.Errorf("routes document for the %s: %w", key, err)
			}
		}
		return []routes.Document{resolver, pool}, nil
	})
	d.documents = built.ApplyT(encode)
	for i, key := range []string{"resolver", "pool"} {
		d.exports[key] = built.ApplyT(func(built []routes.Document) (any, error) { return topology.JSONTree(built[i]) })
	}
	return nil
}

func encode(built []routes.Document) (documents, error) {
	resolver, err := routes.Encode(&built[0])
	if err != nil {
		return documents{}, fmt.Errorf("routes document for the resolvers: %w", err)
	}
	pool, err := routes.Encode(&built[1])
	if err != nil {
		return documents{}, fmt.Errorf("routes document for the pool: %w", err)
	}
	return documents{Resolver: string(resolver), Pool: string(pool), Proxies: built[0].Proxies}, nil
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
