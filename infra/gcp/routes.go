package gcp

import (
	"maps"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/components/routesbucket/gcsbucket"
	"github.com/sallyport/sallyport/infra/topology"
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
		Project: d.section.Project, Region: d.section.Region, Labels: d.labels(),
	}, d.provider)
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
	d.export("routes", published.ApplyT(func(value any) (any, error) {
		p, _ := value.(topology.Publication)
		return p.Output()
	}))
	d.endpoints["routesURL"] = d.bucket.URL
	return nil
}

// labels are those of the stack file, and whose it is, so that recovery finds what the cloud gave a name of its own.
func (d *deployment) labels() map[string]string {
	labels := map[string]string{}
	maps.Copy(labels, d.section.Labels)
	key := allowlist.LabelKey(allowlist.TagStack)
	labels[key] = allowlist.Labels(d.ctx.Stack(), allowlist.Life{})[key]
	return labels
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
		proxies, err := topology.Members(serving, 1, values)
		if err != nil {
			return nil, err
		}
		return topology.Publish(topology.RoutesDocument(d.settings, proxies, d.clients()), d.memory.routes)
	}), nil
}

// publicIP is the value of a slot's one public IP.
func (d *deployment) publicIP(slot topology.Slot) pulumi.StringOutput {
	return d.addresses[d.life.Of(slot.IP(1)).Name].PublicIP
}
