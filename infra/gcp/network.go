package gcp

import (
	"fmt"
	"net/netip"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/network/gcpnetwork"
)

// network is what the rest needs to know of the VPC network, whoever made it.
type network struct {
	selfLink    pulumi.StringInput
	subnetworks map[string]pulumi.StringInput // of nodes, by name
	fleet       pulumi.StringInput
}

// networkProject is the project of the network: the host project of a Shared VPC, else the stack's own.
func (d *deployment) networkProject() string {
	if existing := d.section.Network.Existing; existing != nil {
		return existing.Project
	}
	return d.section.Project
}

// createNetwork makes a network, or names the one that exists. Nothing is read: names are all that is needed, and the preflight
// looks whether there is anything behind them.
func (d *deployment) createNetwork() error {
	d.network.subnetworks = map[string]pulumi.StringInput{}
	if existing := d.section.Network.Existing; existing != nil {
		base := "https://www.googleapis.com/compute/v1/projects/" + existing.Project
		subnetwork := func(name string) pulumi.StringInput {
			return pulumi.String(fmt.Sprintf("%s/regions/%s/subnetworks/%s", base, d.section.Region, name))
		}
		d.network.selfLink = pulumi.String(base + "/global/networks/" + existing.Name)
		for _, s := range existing.Subnetworks {
			d.network.subnetworks[s.Name] = subnetwork(s.Name)
		}
		d.network.fleet = subnetwork(existing.FleetSubnetwork)
		return nil
	}
	section := d.section.Network.New
	made, err := gcpnetwork.NewNetwork(d.ctx, "network", &gcpnetwork.NetworkArgs{
		Stack: d.ctx.Stack(), Project: d.section.Project, Region: d.section.Region,
		CIDR: section.CIDR, Pods: section.Pods, Services: section.Services,
	}, d.provider)
	if err != nil {
		return err
	}
	d.network.selfLink, d.network.fleet = made.SelfLink, made.Fleet
	for _, s := range d.settings.GCPSubnetworks() {
		d.network.subnetworks[s.Name] = made.Nodes
	}
	d.endpoints["network"], d.endpoints["nodes"] = made.SelfLink, made.Nodes
	return nil
}

// clients are the networks that may use the proxies: those that the stack file names, else nodes and pods of a new network.
func (d *deployment) clients() []netip.Prefix {
	if len(d.section.Clients) > 0 || d.section.Network.New == nil {
		return d.section.Clients
	}
	section := d.section.Network.New
	layout, err := gcpnetwork.Divide(section.CIDR)
	if err != nil { // a stack that was decoded has a network that divides
		return nil
	}
	clients := []netip.Prefix{layout.Nodes}
	if section.Pods.IsValid() {
		clients = append(clients, section.Pods)
	}
	return clients
}
