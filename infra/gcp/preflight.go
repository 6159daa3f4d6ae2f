package gcp

import (
	"context"
	"errors"
	"os"
	"slices"

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
	var problems []error
	for _, need := range d.needs() {
		problems = append(problems, checkProject(context.Background(), need))
	}
	return errors.Join(problems...)
}

// needs is what the stack asks of each of its projects. With a Shared VPC these are two: network, gateways and their IPs belong to the
// host project; machines and theirs to the stack's, which must be attached to it.
func (d *deployment) needs() []gcppreflight.Need {
	own := gcppreflight.Need{Stack: d.ctx.Stack(), Project: d.section.Project, Region: d.section.Region, Zones: d.settings.Cluster.Zones}
	if d.networkProject() == d.section.Project {
		d.needOfFleet(&own)
		d.needOfNetwork(&own)
		own.Addresses = d.neededAddresses(allowlist.KindNat, allowlist.KindProxy)
		return []gcppreflight.Need{own}
	}
	host := own
	host.Project, own.Host = d.networkProject(), d.networkProject()
	d.needOfNetwork(&host)
	host.Addresses = d.neededAddresses(allowlist.KindNat)
	d.needOfFleet(&own)
	own.Addresses = d.neededAddresses(allowlist.KindProxy)
	return []gcppreflight.Need{own, host}
}

// neededAddresses are the public IPs of some kinds.
func (d *deployment) neededAddresses(kinds ...allowlist.Kind) []gcppreflight.Address {
	var all []gcppreflight.Address
	for _, life := range d.life.Addresses() {
		if !slices.Contains(kinds, life.Kind) {
			continue
		}
		address := gcppreflight.Address{Slot: life.Name, Own: d.section.Addresses.Prefix.IsValid(), Reserve: life.Place == ""}
		if name := d.section.Addresses.Existing[life.Name]; name != "" {
			address.Name, address.Own, address.Place = name, false, problem.Child("sallyport:gcp.addresses.existing", life.Name)
		}
		all = append(all, address)
	}
	return all
}

func (d *deployment) needOfFleet(need *gcppreflight.Need) {
	if len(d.slots) > 0 {
		need.Fleet = gcppreflight.Fleet{MachineType: d.section.Fleet.MachineType, Zones: d.settings.Cluster.Zones, Machines: len(d.serving())}
	}
}

func (d *deployment) needOfNetwork(need *gcppreflight.Need) {
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
	existing := d.section.Network.Existing
	if existing == nil {
		return
	}
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
