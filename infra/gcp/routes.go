package gcp

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/routesbucket/gcsbucket"
	"github.com/sallyport/sallyport/infra/topology"
	"github.com/sallyport/sallyport/proxyimage/routes"
)

// createRoutesBucket makes the bucket and puts the routes document there: what every proxy serves, derived from the one list.
func (d *deployment) createRoutesBucket() error {
	if len(d.slots) == 0 {
		return nil
	}
	published, err := d.routesDocument()
	if err != nil {
		return err
	}
	d.bucket, err = gcsbucket.NewBucket(d.ctx, "routes", &gcsbucket.BucketArgs{
		Project: d.section.Project, Region: d.section.Region, Labels: d.section.Labels,
	}, d.provider)
	if err != nil {
		return err
	}
	text := published.ApplyT(func(value any) string {
		p, _ := value.(publication)
		return p.text
	}).(pulumi.StringOutput)
	if d.document, err = d.bucket.Publish(d.ctx, text); err != nil {
		return err
	}
	d.export("routes", published.ApplyT(func(value any) (any, error) {
		p, _ := value.(publication)
		return topology.JSONTree(map[string]any{"serial": p.serial, "sha256": p.fingerprint})
	}))
	d.endpoints["routesURL"] = d.bucket.URL
	return nil
}

// publication is a routes document with its number. The fingerprint is of the document without the number: by it the next update
// tells whether anything changed.
type publication struct {
	text, fingerprint string
	serial            uint64
}

// routesDocument is the document as soon as the addresses in it are known.
func (d *deployment) routesDocument() (pulumi.Output, error) {
	serving := d.serving()
	var values []any
	for _, slot := range serving {
		place, err := d.places.Get(slot.Name)
		if err != nil {
			return nil, err
		}
		values = append(values, place.Address, d.publicIP(slot))
	}
	return pulumi.All(values...).ApplyT(func(values []any) (any, error) {
		proxies, err := members(serving, values)
		if err != nil {
			return nil, err
		}
		return publish(topology.RoutesDocument(d.settings, proxies, d.clients()), d.memory.routes)
	}), nil
}

// publicIP is the value of a slot's one public IP.
func (d *deployment) publicIP(slot topology.Slot) pulumi.StringOutput {
	return d.addresses[d.life.Of(slot.IP(1)).Name].PublicIP
}

// members are the proxies with their addresses: of each slot the internal one, then the public one.
func members(slots []topology.Slot, values []any) ([]routes.Proxy, error) {
	proxies := make([]routes.Proxy, len(slots))
	for i, slot := range slots {
		var ips []netip.Addr
		for _, value := range values[2*i : 2*i+2] {
			ip, err := netip.ParseAddr(fmt.Sprint(value))
			if err != nil {
				return nil, fmt.Errorf("proxy %s: address: must be an IP address, got %q", slot.Name, value)
			}
			ips = append(ips, ip)
		}
		proxies[i] = routes.Proxy{Name: slot.Name, Zone: slot.Zone, Address: ips[0], PublicIPs: ips[1:]}
	}
	return proxies, nil
}

// publish numbers a document: its serial rises if and only if it differs from the one before.
func publish(document routes.Document, previous any) (publication, error) {
	text, err := routes.Encode(&document)
	if err != nil {
		return publication{}, fmt.Errorf("routes document: %w", err)
	}
	sum := sha256.Sum256(text)
	p := publication{fingerprint: hex.EncodeToString(sum[:])}
	if p.serial, err = topology.NextSerial(previous, map[string]any{"sha256": p.fingerprint}); err != nil {
		return publication{}, fmt.Errorf("routes document: %w", err)
	}
	document.Serial = p.serial
	if text, err = routes.Encode(&document); err != nil {
		return publication{}, fmt.Errorf("routes document: %w", err)
	}
	p.text = string(text)
	return p, nil
}
