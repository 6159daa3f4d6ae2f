package aws

import (
	"maps"
	"slices"

	"github.com/sallyport/sallyport/internal/problem"
)

// checkNames looks at what the stack file says about addresses and slots by name: only the plan knows which there are. The error
// joins every problem.
func (d *deployment) checkNames() error {
	var list problem.List
	place := "sallyport:aws."
	var addresses, slots []string
	for _, a := range d.life.Addresses() {
		addresses = append(addresses, a.Name)
	}
	for _, s := range d.slots {
		slots = append(slots, s.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(d.section.Addresses.Existing)) {
		if !slices.Contains(addresses, name) {
			list.Add(problem.Child(place+"addresses.existing", name), "must be an address of the plan", name, problem.Suggestion(name, addresses))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.section.Fleet.PrivateIPs)) {
		if !slices.Contains(slots, name) {
			list.Add(problem.Child(place+"fleet.privateIPs", name), "must be a slot of the plan", name, problem.Suggestion(name, slots))
		}
	}
	if active, most := d.section.Fleet.ActivePerZone, d.plan.Proxies.PerZone; active > most {
		list.Addf(place+"fleet.activePerZone", active, "lower it, or raise proxies.sparePerZone", "must not be above the plan's proxies per zone, %d", most)
	}
	return list.Err()
}
