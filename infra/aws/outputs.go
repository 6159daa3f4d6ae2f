package aws

import (
	"encoding/json"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/alarms/awsalarms"
	"github.com/sallyport/sallyport/components/proxyfleet/awsfleet"
	"github.com/sallyport/sallyport/infra/cluster"
	"github.com/sallyport/sallyport/infra/topology"
)

// createAlarms watches what the plan computed.
func (d *deployment) createAlarms() error {
	a := d.section.Alarms
	if !a.Enabled && !d.section.Dashboard {
		return nil
	}
	args := &awsalarms.AlarmsArgs{
		Stack: d.ctx.Stack(), Region: d.section.Region, Plan: d.plan,
		MaxConnections: d.settings.Proxies.MaxConnections, ConnectionsPerSecond: d.settings.Proxies.ConnectionsPerSecond,
		Emails: a.Emails, TopicARNs: a.TopicARNs, Dashboard: d.section.Dashboard, Tags: d.section.Tags,
	}
	for _, g := range d.gateways {
		id, err := d.nat.Get(g.zone)
		if err != nil {
			return err
		}
		args.Gateways = append(args.Gateways, awsalarms.Gateway{Zone: g.zone, ID: id})
	}
	for _, slot := range d.serving() {
		args.Slots = append(args.Slots, awsalarms.Slot{Name: slot.Name, Zone: slot.Zone, Always: d.mode(slot) == awsfleet.ModeActive})
	}
	if len(args.Gateways)+len(args.Slots) == 0 {
		return nil
	}
	made, err := awsalarms.NewAlarms(d.ctx, "alarms", args, d.provider)
	if err != nil {
		return err
	}
	d.endpoints["alarmTopic"] = made.TopicARN
	return nil
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
	d.ctx.Export("allowlist", document.ApplyT(func(text string) (any, error) {
		return topology.JSONTree(json.RawMessage(text))
	}))
	return nil
}

// exportEndpoints exports what the cluster reaches, and what doctor and people look up.
func (d *deployment) exportEndpoints() error {
	proxies := pulumi.MapArray{}
	for _, slot := range d.slots {
		place, err := d.interfaces.Get(slot.Name)
		if err != nil {
			return err
		}
		ips := pulumi.StringArray{}
		for n := 1; n <= d.settings.Proxies.IPsPerProxy; n++ {
			ips = append(ips, d.addresses[d.life.Of(slot.IP(n)).Name].PublicIP)
		}
		proxies = append(proxies, pulumi.Map{
			"name": pulumi.String(slot.Name), "zone": pulumi.String(slot.Zone), "mode": pulumi.String(d.mode(slot)),
			"address": place.PrivateIP, "publicIPs": ips,
		})
	}
	d.endpoints["region"] = pulumi.String(d.section.Region)
	d.endpoints["proxies"] = proxies
	d.endpoints["ports"] = pulumi.ToIntArray(topology.ProxiedPorts(d.settings.Destinations))
	if d.fleet != nil {
		d.endpoints["groups"], d.endpoints["logGroup"] = d.fleet.Groups, d.fleet.LogGroup
	}
	d.ctx.Export("endpoints", d.endpoints)
	return nil
}

// deployCluster installs what the stack file asks for inside the cluster.
func (d *deployment) deployCluster() error {
	in := cluster.Input{Settings: d.settings, Plan: d.plan, Clients: d.section.ClientCIDRs(), Previous: d.previous}
	if d.section.Fleet.Runs() && len(d.slots) > 0 {
		in.Image = d.image
	}
	for _, slot := range d.serving() {
		place, err := d.interfaces.Get(slot.Name)
		if err != nil {
			return err
		}
		p := cluster.Proxy{Slot: slot, Address: place.PrivateIP}
		for n := 1; n <= d.settings.Proxies.IPsPerProxy; n++ {
			p.PublicIPs = append(p.PublicIPs, d.addresses[d.life.Of(slot.IP(n)).Name].PublicIP)
		}
		in.Proxies = append(in.Proxies, p)
	}
	if d.fleet != nil {
		in.DependsOn = append(in.DependsOn, d.fleet)
	}
	return cluster.Deploy(d.ctx, in)
}
