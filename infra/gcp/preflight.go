package gcp

import (
	"context"
	"os"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/components/cloudnat"
	"github.com/sallyport/sallyport/components/stack"
	"github.com/sallyport/sallyport/internal/problem"
	"github.com/sallyport/sallyport/preflight/gcppreflight"
)

// preflightEnv switches the checks off for one run, whatever the stack file says: for a preview against stand-in providers, behind
// which there is no project.
const preflightEnv = "SALLYPORT_PREFLIGHT"

// checkProject asks the project. A variable, because tests of the graph have none.
var checkProject = gcppreflight.Check

// preflight refuses a stack that the project cannot hold before anything is created, previews included.
func (d *deployment) preflight() error {
	if d.settings.Preflight == stack.PreflightOff || os.Getenv(preflightEnv) == string(stack.PreflightOff) {
		return d.ctx.Log.Info("preflight: off, quotas and network are not checked", nil)
	}
	return checkProject(context.Background(), d.need())
}

// need is what the stack asks of the project. With a Shared VPC the NAT's part is asked of the host project by its owner: the check
// knows one project, and machines and their IPs are in it.
func (d *deployment) need() gcppreflight.Need {
	need := gcppreflight.Need{
		Stack: d.ctx.Stack(), Project: d.section.Project, Region: d.section.Region, Zones: d.settings.Cluster.Zones,
	}
	shared := d.networkProject() != d.section.Project
	for _, life := range d.life.Addresses() {
		if shared && life.Kind == allowlist.KindNat {
			continue
		}
		address := gcppreflight.Address{Slot: life.Name, Own: d.section.Addresses.Prefix.IsValid(), Reserve: life.Place == ""}
		if name := d.section.Addresses.Existing[life.Name]; name != "" {
			address.Name, address.Own, address.Place = name, false, problem.Child("sallyport:gcp.addresses.existing", life.Name)
		}
		need.Addresses = append(need.Addresses, address)
	}
	if len(d.slots) > 0 {
		need.Fleet = gcppreflight.Fleet{MachineType: d.section.Fleet.MachineType, Zones: d.settings.Cluster.Zones}
	}
	if shared {
		return need
	}
	for _, g := range d.wanted() {
		gateway := gcppreflight.Gateway{
			Router: cloudnat.RouterName(d.ctx.Stack()), Name: cloudnat.GatewayName(d.ctx.Stack(), g.Name), IPs: len(g.IPs) + len(g.Draining), Rules: len(g.Rules),
		}
		for _, r := range g.Rules {
			gateway.IPs += len(r.IPs) + len(r.Draining)
		}
		for _, s := range g.Subnetworks {
			gateway.Ranges += len(s.Ranges)
			if s.Primary {
				gateway.Ranges++
			}
		}
		need.Gateways = append(need.Gateways, gateway)
	}
	if existing := d.section.Network.Existing; existing != nil {
		need.Network = existing.Name
		for i, s := range existing.Subnetworks {
			need.Subnetworks = append(need.Subnetworks, gcppreflight.Subnetwork{
				Place: problem.Index("sallyport:gcp.network.existing.subnetworks", i), Name: s.Name, Primary: s.Primary, Secondary: s.SecondaryRanges,
			})
		}
		if len(d.slots) > 0 {
			need.Subnetworks = append(need.Subnetworks, gcppreflight.Subnetwork{
				Place: "sallyport:gcp.network.existing.fleetSubnetwork", Name: existing.FleetSubnetwork,
			})
		}
	}
	return need
}
