package gcp

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/proxyfleet/gcpfleet"
	"github.com/sallyport/sallyport/components/proxyfleet/gcphost"
	"github.com/sallyport/sallyport/components/routesbucket/gcsbucket"
	"github.com/sallyport/sallyport/components/stack"
	"github.com/sallyport/sallyport/infra/topology"
)

// runs reports whether a slot has a machine: not before there is an image, not before its IP may carry traffic, and not beyond the
// number that shall run now.
func (d *deployment) runs(slot topology.Slot) bool {
	f := d.section.Fleet
	return f.Image != "" && d.life.Usable(slot.Name) && (f.ActivePerZone == 0 || slot.Number <= f.ActivePerZone)
}

// serving are the slots with a machine.
func (d *deployment) serving() []topology.Slot {
	var serving []topology.Slot
	for _, slot := range d.slots {
		if d.runs(slot) {
			serving = append(serving, slot)
		}
	}
	return serving
}

// createPlaces reserves every slot's place on the network, those without a machine included: their IPs are published.
func (d *deployment) createPlaces() error {
	if len(d.slots) == 0 {
		return nil
	}
	args := &gcpfleet.PlacesArgs{Stack: d.ctx.Stack(), Project: d.section.Project, Region: d.section.Region, Subnetwork: d.network.fleet}
	for _, slot := range d.slots {
		args.Slots = append(args.Slots, gcpfleet.Place{Slot: slot.Name, Zone: slot.Zone})
	}
	var err error
	if d.places, err = gcpfleet.NewPlaces(d.ctx, "places", args, d.provider); err != nil {
		return err
	}
	if err := d.createRepository(); err != nil {
		return err
	}
	if d.section.Fleet.Image == "" {
		return d.ctx.Log.Warn("sallyport:gcp.fleet.image: is not set: the proxies' public IPs are published and no proxy runs; push the image, "+
			"then set it by digest", nil)
	}
	return nil
}

// createRepository makes a registry for the proxy image if the stack file names one.
func (d *deployment) createRepository() error {
	f := d.section.Fleet
	if f.Repository == "" {
		return nil
	}
	made, err := gcpfleet.NewRepository(d.ctx, "repository", &gcpfleet.RepositoryArgs{
		Project: d.section.Project, Region: d.section.Region, RepositoryName: f.Repository, Labels: d.section.Labels,
	}, d.provider)
	if err != nil {
		return err
	}
	d.endpoints["repository"] = made.URL
	return nil
}

// fleetNetwork is where the machines and what is in front of them stand.
func (d *deployment) fleetNetwork() gcpfleet.Network {
	tiers := map[stack.NetworkTier]string{stack.TierPremium: "PREMIUM", stack.TierStandard: "STANDARD"}
	return gcpfleet.Network{Project: d.networkProject(), SelfLink: d.network.selfLink, Subnetwork: d.network.fleet, Tier: tiers[d.section.Addresses.Tier]}
}

// createFleet starts the proxies, after the document that they need to be ready.
func (d *deployment) createFleet() error {
	if len(d.slots) == 0 || d.section.Fleet.Image == "" {
		return nil
	}
	f, p, ports := d.section.Fleet, d.settings.Proxies, topology.ProxiedPorts(d.settings.Destinations)
	args := &gcpfleet.FleetArgs{
		Stack: d.ctx.Stack(), Project: d.section.Project, Region: d.section.Region, Network: d.fleetNetwork(),
		Machine:     gcpfleet.Machine{Type: f.MachineType, OS: f.OS},
		Proxy:       gcpfleet.Proxy{Image: f.Image, RoutesURL: d.bucket.URL, DrainSeconds: min(p.DrainSeconds, gcphost.MaxDrainSeconds), MaxConnections: p.MaxConnections},
		Access:      gcpfleet.Access{Clients: d.clients(), ListenPorts: ports, DestinationPorts: ports},
		Permissions: gcpfleet.Permissions{Bucket: d.bucket.Name, Object: gcsbucket.DefaultKey},
		Labels:      d.section.Labels,
	}
	for _, slot := range d.slots {
		place, err := d.places.Get(slot.Name)
		if err != nil {
			return err
		}
		s := gcpfleet.FleetSlot{Name: slot.Name, Zone: slot.Zone, Mode: gcpfleet.ModeReserved, Place: place}
		if d.runs(slot) {
			s.Mode, s.PublicIP = gcpfleet.ModeActive, d.addresses[d.life.Of(slot.IP(1)).Name].SelfLink
		}
		args.Slots = append(args.Slots, s)
	}
	if p.DrainSeconds > gcphost.MaxDrainSeconds {
		warning := fmt.Sprintf("sallyport:proxies.drainSeconds: Compute Engine gives a machine 90 s to stop, so proxies drain for %d s and not for %d", gcphost.MaxDrainSeconds, p.DrainSeconds)
		if err := d.ctx.Log.Warn(warning, nil); err != nil {
			return err
		}
	}
	var err error
	if d.fleet, err = gcpfleet.NewFleet(d.ctx, "fleet", args, d.provider, pulumi.DependsOn([]pulumi.Resource{d.document})); err != nil {
		return err
	}
	d.endpoints["groups"], d.endpoints["serviceAccount"] = d.fleet.Groups, d.fleet.ServiceAccount
	return d.createLoadBalancer()
}

// createLoadBalancer puts one static address in front of the fleet, where wanted.
func (d *deployment) createLoadBalancer() error {
	if !d.section.Fleet.LoadBalancer || len(d.serving()) == 0 {
		return nil
	}
	made, err := gcpfleet.NewLoadBalancer(d.ctx, "loadbalancer", &gcpfleet.LoadBalancerArgs{
		Stack: d.ctx.Stack(), Project: d.section.Project, Region: d.section.Region, Network: d.fleetNetwork(), Fleet: d.fleet,
		Ports: topology.ProxiedPorts(d.settings.Destinations), DrainSeconds: min(d.settings.Proxies.DrainSeconds, gcphost.MaxDrainSeconds),
	}, d.provider)
	if err != nil {
		return err
	}
	d.balancer = made.Address
	d.endpoints["loadBalancer"] = pulumi.Map{"address": made.Address}
	return nil
}
