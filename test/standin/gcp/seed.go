package gcp

import (
	"fmt"
	"maps"

	"github.com/sallyport/sallyport/test/standin/engine"
	"github.com/sallyport/sallyport/test/standin/world"
)

// Existing is what was in a project before the stack.
type Existing struct {
	// Project and Region are those of the network: with a Shared VPC the host project.
	Project, Region string
	// Network is the network's name, empty for none.
	Network string
	// Subnetworks are those of the network, by name.
	Subnetworks map[string]Subnetwork
	// Channels are full names of notification channels.
	Channels []string
	// Addresses are static external addresses of the region by name, with labels.
	Addresses map[string]map[string]string
}

// Subnetwork is an existing subnetwork: its range, and its secondary ranges by name.
type Subnetwork struct {
	CIDR      string
	Secondary map[string]string
}

// Seed puts what exists into a world.
func Seed(w *world.World, e Existing) error {
	return w.Do(func(state *world.State) error {
		tx := &engine.Tx{State: state, Package: Package(), Region: e.Region, Project: e.Project}
		put := func(kind, id string, in, out props) {
			o := &object{Type: kind, ID: id, Inputs: in, Props: props{}, Foreign: true}
			maps.Copy(o.Props, in)
			maps.Copy(o.Props, out)
			tx.Package.Common(tx, tx.Package.Kinds[kind], o)
			state.Put(o)
		}
		network := fmt.Sprintf("projects/%s/global/networks/%s", e.Project, e.Network)
		if e.Network != "" {
			put(networkKind, network, props{"name": e.Network, "autoCreateSubnetworks": false}, nil)
		}
		for name, s := range e.Subnetworks {
			secondary := []any{}
			for rangeName, cidr := range s.Secondary {
				secondary = append(secondary, props{"rangeName": rangeName, "ipCidrRange": cidr})
			}
			put(subnetworkKind, fmt.Sprintf("projects/%s/regions/%s/subnetworks/%s", e.Project, e.Region, name),
				props{"name": name, "network": api + network, "ipCidrRange": s.CIDR, "region": e.Region, "secondaryIpRanges": secondary}, nil)
		}
		for _, name := range e.Channels {
			put(channelKind, name, props{"type": "email"}, props{"name": name})
		}
		for name, labels := range e.Addresses {
			all := props{}
			for key, value := range labels {
				all[key] = value
			}
			put(addressKind, fmt.Sprintf("projects/%s/regions/%s/addresses/%s", e.Project, e.Region, name),
				props{"name": name, "region": e.Region, "addressType": "EXTERNAL", "networkTier": "PREMIUM", "labels": all}, props{"address": state.NextPublicIP()})
		}
		return nil
	})
}
