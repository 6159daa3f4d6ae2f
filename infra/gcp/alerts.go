package gcp

import (
	"github.com/sallyport/sallyport/components/alarms/gcpalerts"
	"github.com/sallyport/sallyport/components/cloudnat"
	"github.com/sallyport/sallyport/components/proxyfleet/gcpfleet"
)

// createAlerts watches what the plan computed.
func (d *deployment) createAlerts() error {
	section := d.section.Alerts
	if !section.Enabled {
		return nil
	}
	args := &gcpalerts.AlertsArgs{
		Stack: d.ctx.Stack(), Project: d.section.Project, Region: d.section.Region, Plan: d.plan, Channels: section.Channels, Labels: d.section.Labels,
	}
	ports := d.plan.Nat.PortsPerVM
	if dynamic := d.section.Nat.DynamicPorts; dynamic != nil {
		ports = dynamic.Max
	}
	if d.nat != nil {
		for _, g := range d.memory.next.Drop(d.wanted()) {
			args.Gateways = append(args.Gateways, gcpalerts.Gateway{Name: g.Name, GatewayName: cloudnat.GatewayName(d.ctx.Stack(), g.Name), PortsPerVM: ports})
		}
	}
	zones := map[string]bool{}
	for _, slot := range d.serving() {
		args.Slots = append(args.Slots, gcpalerts.Slot{Name: slot.Name, Zone: slot.Zone, InstanceName: gcpfleet.InstanceName(d.ctx.Stack(), slot.Name)})
		if !zones[slot.Zone] {
			args.Groups = append(args.Groups, gcpfleet.GroupName(d.ctx.Stack(), slot.Zone))
		}
		zones[slot.Zone] = true
	}
	if len(args.Gateways)+len(args.Slots) == 0 {
		return nil
	}
	if len(args.Gateways) > 0 && d.networkProject() != d.section.Project {
		err := d.ctx.Log.Warn("sallyport:gcp.alerts: the NAT's figures are in the host project "+d.networkProject()+": add it to the metrics scope of "+
			d.section.Project+", or its alerts never tell", nil)
		if err != nil {
			return err
		}
	}
	_, err := gcpalerts.NewAlerts(d.ctx, "alerts", args, d.provider)
	return err
}
