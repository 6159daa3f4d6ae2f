package aws

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/routesbucket/s3bucket"
	"github.com/sallyport/sallyport/infra/topology"
	"github.com/sallyport/sallyport/proxyimage/routes"
)

// routesKey is the routes document's key in its bucket.
const routesKey = s3bucket.DefaultKey

// createRoutesBucket makes the bucket and puts the routes document there: what every proxy serves, derived from the one list.
func (d *deployment) createRoutesBucket() error {
	if len(d.slots) == 0 {
		return nil
	}
	args := &s3bucket.BucketArgs{Stack: d.ctx.Stack(), Region: d.section.Region, Key: routesKey, Tags: d.section.Tags}
	if v := d.section.VPC; v.S3Endpoint {
		args.Endpoint = &s3bucket.EndpointArgs{VPCID: d.network.vpc, RouteTableIDs: map[string]pulumi.StringInput{}}
		for _, id := range v.ProxyRouteTables {
			args.Endpoint.RouteTableIDs[id] = pulumi.String(id)
		}
	}
	published, err := d.routesDocument()
	if err != nil {
		return err
	}
	d.bucket, err = s3bucket.NewBucket(d.ctx, "routes", args, d.provider)
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
	d.ctx.Export("routes", published.ApplyT(func(value any) (any, error) {
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
		place, err := d.interfaces.Get(slot.Name)
		if err != nil {
			return nil, err
		}
		values = append(values, place.PrivateIP)
		for n := 1; n <= d.settings.Proxies.IPsPerProxy; n++ {
			values = append(values, d.addresses[d.life.Of(slot.IP(n)).Name].PublicIP)
		}
	}
	return pulumi.All(values...).ApplyT(func(values []any) (any, error) {
		proxies, err := members(serving, d.settings.Proxies.IPsPerProxy, values)
		if err != nil {
			return nil, err
		}
		return publish(topology.RoutesDocument(d.settings, proxies, d.section.ClientCIDRs()), d.memory.routes)
	}), nil
}

// members are the proxies with their addresses: of each slot the private one, then the public ones.
func members(slots []topology.Slot, publicIPs int, values []any) ([]routes.Proxy, error) {
	proxies := make([]routes.Proxy, len(slots))
	for i, slot := range slots {
		var ips []netip.Addr
		for _, value := range values[i*(publicIPs+1) : (i+1)*(publicIPs+1)] {
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
