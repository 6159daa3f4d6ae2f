package gcp

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/proxyfleet/gcphost"
	"github.com/sallyport/sallyport/components/responsepolicy"
	"github.com/sallyport/sallyport/infra/topology"
)

// createResponsePolicy redirects the listed hosts in Cloud DNS, for clusters whose cache is managed. Not before a proxy serves them:
// until then they leave by the way they always did.
func (d *deployment) createResponsePolicy() error {
	serving := d.serving()
	if d.section.GKE == nil || !d.section.GKE.ResponsePolicy || len(serving) == 0 {
		return nil
	}
	args := &responsepolicy.Args{Stack: d.ctx.Stack(), Project: d.networkProject(), Network: d.network.selfLink, Hosts: topology.ProxiedHosts(d.settings.Destinations)}
	if registry, ok := gcphost.RegistryOf(d.section.Fleet.Image); ok {
		args.Registry = registry.Host
	}
	if d.balancer != nil {
		args.Addresses = []pulumi.StringInput{d.balancer}
	}
	for _, slot := range serving {
		if d.balancer != nil {
			break
		}
		place, err := d.places.Get(slot.Name)
		if err != nil {
			return err
		}
		args.Addresses = append(args.Addresses, place.Address)
	}
	made, err := responsepolicy.NewResponsePolicy(d.ctx, "redirect", args, d.provider, pulumi.DependsOn([]pulumi.Resource{d.fleet}))
	if err != nil {
		return err
	}
	d.endpoints["responsePolicy"] = made.PolicyName
	return nil
}
