package aws

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/routesbucket/s3bucket"
	"github.com/sallyport/sallyport/infra/topology"
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
		p, _ := value.(topology.Publication)
		return p.Text
	}).(pulumi.StringOutput)
	if d.document, err = d.bucket.Publish(d.ctx, text); err != nil {
		return err
	}
	d.ctx.Export("routes", published.ApplyT(func(value any) (any, error) {
		p, _ := value.(topology.Publication)
		return p.Output()
	}))
	d.endpoints["routesURL"] = d.bucket.URL
	return nil
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
		proxies, err := topology.Members(serving, d.settings.Proxies.IPsPerProxy, values)
		if err != nil {
			return nil, err
		}
		return topology.Publish(topology.RoutesDocument(d.settings, proxies, d.section.ClientCIDRs()), d.memory.routes)
	}), nil
}
