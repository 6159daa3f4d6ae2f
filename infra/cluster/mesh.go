package cluster

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/destinations"
	"github.com/sallyport/sallyport/components/manifests/registrar"
	"github.com/sallyport/sallyport/components/meshrouting"
	"github.com/sallyport/sallyport/components/stack"
	"github.com/sallyport/sallyport/infra/topology"
)

// typeMesh is the type of the component.
const typeMesh = "sallyport:cluster:MeshRouting"

// createMesh makes the mesh's objects.
func (d *deployment) createMesh() error {
	if d.section.Routing != stack.RoutingMesh {
		return nil
	}
	proxied := destinations.ByRoute(d.Settings.Destinations, destinations.RouteProxy, destinations.RoutePool)
	settings := meshrouting.Settings{
		Namespace: d.section.Mesh.Namespace, DataPlane: meshrouting.DataPlane(d.section.Mesh.DataPlane), Destinations: proxied,
	}
	if d.section.Mesh.FallbackToNat {
		settings.Fallback = topology.NatFallback(d.Settings.Destinations)
	}
	c, err := d.component(typeMesh, "mesh", pulumi.Map{
		"namespace": pulumi.String(settings.Namespace), "dataPlane": pulumi.String(settings.DataPlane), "destinations": pulumi.ToStringArray(names(proxied)),
	})
	if err != nil {
		return err
	}
	region := d.region()
	value := d.documents.ApplyT(func(value any) meshrouting.Found {
		var found meshrouting.Found
		for _, p := range value.(documents).Proxies {
			found.Proxies = append(found.Proxies, meshrouting.Endpoint{Name: p.Name, Region: region, Zone: p.Zone, Address: p.Address})
		}
		return found
	})
	late := registrar.Late[meshrouting.Found]{Value: value}
	for i, address := range sampleProxies {
		late.Samples[i] = meshrouting.Found{Proxies: []meshrouting.Endpoint{{Name: "sample", Region: region, Address: address}}}
	}
	if _, err := registrar.RegisterLate(d.ctx, "mesh", late, settings.Objects, pulumi.Parent(c)); err != nil {
		return err
	}
	d.exports["mesh"] = pulumi.Map{"fleet": pulumi.String(meshrouting.FleetHost)}
	return d.ctx.RegisterResourceOutputs(c, pulumi.Map{})
}

// region is where the proxies are, empty if the cloud has none.
func (d *deployment) region() string {
	switch {
	case d.Settings.AWS != nil:
		return d.Settings.AWS.Region
	case d.Settings.GCP != nil:
		return d.Settings.GCP.Region
	}
	return ""
}
