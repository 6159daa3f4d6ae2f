// Package gcp builds a stack on Google Cloud: public IPs, Cloud NAT, and the proxy fleet with its routes document.
//
// deploy.go reads like a table of contents. Everything that decides which resources there are is known before the first one:
// the stack file, the plan, the lives of the public IPs, and what the last update exported.
package gcp

import (
	"errors"
	"fmt"

	gcpsdk "github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/allowlistpublish"
	"github.com/sallyport/sallyport/components/capacity"
	"github.com/sallyport/sallyport/components/cloudnat"
	"github.com/sallyport/sallyport/components/externaladdress"
	"github.com/sallyport/sallyport/components/proxyfleet/gcpfleet"
	"github.com/sallyport/sallyport/components/routesbucket/gcsbucket"
	"github.com/sallyport/sallyport/components/stack"
	"github.com/sallyport/sallyport/infra/topology"
)

// deployment is a stack while it is being declared: what was decided, and what exists so far for the steps that follow.
type deployment struct {
	ctx       *pulumi.Context
	settings  *stack.Stack
	section   *stack.GCP
	plan      capacity.Plan
	previous  *topology.Previous
	life      *topology.Lifecycle
	memory    memory
	slots     []topology.Slot
	natPlaces []topology.NatPlace
	signer    allowlistpublish.Signer // nil if partners' documents are not signed

	provider  pulumi.ResourceOption // for every component
	network   network
	addresses map[string]externaladdress.Allocated // by address name
	nat       *cloudnat.CloudNat                   // nil if no destination uses it
	places    *gcpfleet.Places                     // nil without a fleet
	bucket    *gcsbucket.Bucket                    // nil without a fleet
	document  pulumi.Resource                      // the routes document; nil without a fleet
	fleet     *gcpfleet.Fleet                      // nil without machines
	balancer  pulumi.StringInput                   // the load balancer's address; nil without one
	endpoints pulumi.Map                           // the output
	exported  pulumi.Map                           // all outputs of the stack
}

// Deploy builds the stack and exports its outputs: allowlist, endpoints, nat, routes, and kubernetes if there is something in the
// cluster.
func Deploy(ctx *pulumi.Context, settings *stack.Stack, plan capacity.Plan, previous *topology.Previous) error {
	d := &deployment{
		ctx: ctx, settings: settings, section: settings.GCP, plan: plan, previous: previous,
		addresses: map[string]externaladdress.Allocated{}, endpoints: pulumi.Map{}, exported: pulumi.Map{},
	}
	return d.build()
}

// build takes all steps. If one fails, the outputs that the next update decides by stay what they were.
func (d *deployment) build() error {
	for _, step := range []func() error{
		d.remember,
		d.decideLives,
		d.decideNat,
		d.preflight,
		d.compareDesigns,
		d.createProvider,
		d.createNetwork,
		d.createAddresses,
		d.createNat,
		d.createPlaces,
		d.createRoutesBucket,
		d.createFleet,
		d.createResponsePolicy,
		d.createAlerts,
		d.exportAllowlist,
		d.exportEndpoints,
		d.deployCluster,
	} {
		if err := step(); err != nil {
			d.keepOutputs()
			return err
		}
	}
	return nil
}

// export adds an output of the stack.
func (d *deployment) export(name string, value pulumi.Input) {
	d.exported[name] = value
	d.ctx.Export(name, value)
}

// exportPlain adds an output that is known already, under its JSON names.
func (d *deployment) exportPlain(name string, value any) error {
	tree, err := topology.JSONTree(value)
	if err != nil {
		return fmt.Errorf("output %s: %w", name, err)
	}
	d.export(name, pulumi.Any(tree))
	return nil
}

// decideLives says which public IPs there are and which places they serve.
func (d *deployment) decideLives() error {
	document, err := d.previous.Allowlist()
	if err != nil {
		return err
	}
	d.slots = topology.Slots(d.settings.Cluster.Zones, d.plan.Proxies.PerZone)
	d.natPlaces = topology.NatPlaces(d.settings, d.plan, document)
	if d.life, err = topology.NewLifecycle(d.settings, d.plan, document); err != nil {
		return err
	}
	if d.signer, err = topology.ReadSigner(d.ctx, d.settings.Allowlist.Publish); err != nil {
		return err
	}
	picked, blockErr := pick(d.section.Addresses, d.life.Addresses(), document)
	d.memory.picked = picked
	if err := errors.Join(d.checkNames(), blockErr); err != nil {
		return err
	}
	for _, warning := range d.life.Warnings() {
		if err := d.ctx.Log.Warn(warning, nil); err != nil {
			return err
		}
	}
	return nil
}

// createProvider makes the provider that every resource is given: the stack files switch default ones off, so that nothing lands
// in a project by accident.
func (d *deployment) createProvider() error {
	labels := pulumi.ToStringMap(d.section.Labels)
	provider, err := gcpsdk.NewProvider(d.ctx, "gcp", &gcpsdk.ProviderArgs{
		Project: pulumi.String(d.section.Project), Region: pulumi.String(d.section.Region), DefaultLabels: labels,
	})
	if err != nil {
		return err
	}
	d.provider = pulumi.Providers(provider)
	return nil
}
