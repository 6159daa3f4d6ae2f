package gcp

import (
	"github.com/sallyport/sallyport/components/proxyfleet/gcpfleet"
	"github.com/sallyport/sallyport/infra/topology"
)

// machines says whether Deploy starts the proxies' machines. As long as it does not, their IPs and places are published, and neither
// the routes document nor the cluster names a proxy that is not there.
const machines = false

// runs reports whether a slot has a machine: not before there is an image, not before its IP may carry traffic, and not beyond the
// number that shall run now.
func (d *deployment) runs(slot topology.Slot) bool {
	f := d.section.Fleet
	return machines && f.Image != "" && d.life.Usable(slot.Name) && (f.ActivePerZone == 0 || slot.Number <= f.ActivePerZone)
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
	switch {
	case !machines:
		return d.ctx.Log.Warn("the proxies' public IPs and places are made and published; this version starts no machines on GCP", nil)
	case d.section.Fleet.Image == "":
		return d.ctx.Log.Warn("sallyport:gcp.fleet.image: is not set: the proxies' public IPs are published and no proxy runs; push the image, "+
			"then set it by digest", nil)
	}
	return nil
}
