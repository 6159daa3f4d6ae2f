package gcp

import (
	"encoding/json"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/capacity"
	"github.com/sallyport/sallyport/infra/cluster"
	"github.com/sallyport/sallyport/infra/topology"
)

// compareDesigns prints the designs of the stack file beside the plan, and exports the figures.
func (d *deployment) compareDesigns() error {
	designs := d.settings.GCPDesigns()
	if len(designs) == 0 {
		return nil
	}
	lines, err := capacity.Compare(d.settings.CapacityInput(), designs)
	if err != nil {
		return err
	}
	if err := d.exportPlain("designs", lines); err != nil {
		return err
	}
	return d.ctx.Log.Info("designs that carry the same demand, side by side:\n"+capacity.CompareText(lines), nil)
}

// exportAllowlist exports the partner document: every public IP with its life.
func (d *deployment) exportAllowlist() error {
	var values []any
	for _, life := range d.life.Addresses() {
		values = append(values, d.addresses[life.Name].PublicIP)
	}
	document, err := d.publish(pulumi.All(values...).ApplyT(func(values []any) (string, error) {
		return d.life.JSON(d.ctx.Stack(), d.section.Region, values)
	}).(pulumi.StringOutput))
	if err != nil {
		return err
	}
	d.export("allowlist", document.ApplyT(func(text string) (any, error) {
		return topology.JSONTree(json.RawMessage(text))
	}))
	return nil
}

// exportEndpoints exports what the cluster reaches, and what doctor and people look up.
func (d *deployment) exportEndpoints() error {
	proxies := pulumi.MapArray{}
	for _, slot := range d.slots {
		place, err := d.places.Get(slot.Name)
		if err != nil {
			return err
		}
		mode := "reserved"
		if d.runs(slot) {
			mode = "active"
		}
		proxies = append(proxies, pulumi.Map{
			"name": pulumi.String(slot.Name), "zone": pulumi.String(slot.Zone), "mode": pulumi.String(mode),
			"address": place.Address, "publicIPs": pulumi.StringArray{d.publicIP(slot)},
		})
	}
	d.endpoints["project"], d.endpoints["region"] = pulumi.String(d.section.Project), pulumi.String(d.section.Region)
	d.endpoints["proxies"] = proxies
	d.endpoints["ports"] = pulumi.ToIntArray(topology.ProxiedPorts(d.settings.Destinations))
	d.export("endpoints", d.endpoints)
	return nil
}

// deployCluster installs what the stack file asks for inside the cluster.
func (d *deployment) deployCluster() error {
	in := cluster.Input{Settings: d.settings, Plan: d.plan, Clients: d.clients(), Previous: d.previous}
	if image := d.section.Fleet.Image; image != "" {
		in.Image = pulumi.String(image)
	}
	if gke := d.section.GKE; gke != nil {
		in.ManagedDNSCache = pulumi.Bool(gke.ManagedDNSCache)
	}
	for _, slot := range d.serving() {
		place, err := d.places.Get(slot.Name)
		if err != nil {
			return err
		}
		in.Proxies = append(in.Proxies, cluster.Proxy{Slot: slot, Address: place.Address, PublicIPs: []pulumi.StringInput{d.publicIP(slot)}})
	}
	return cluster.Deploy(d.ctx, in)
}
