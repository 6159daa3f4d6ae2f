// Package aws builds a stack on AWS: public IPs, a NAT gateway in each zone, and the proxy fleet with its routes document.
//
// deploy.go reads like a table of contents. Everything that decides which resources there are is known before the first one:
// the stack file, the plan, the lives of the public IPs, and what the last update exported.
package aws

import (
	"errors"
	"strings"

	awssdk "github.com/pulumi/pulumi-aws/sdk/v6/go/aws"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/allowlistpublish"
	"github.com/sallyport/sallyport/components/capacity"
	"github.com/sallyport/sallyport/components/elasticip"
	"github.com/sallyport/sallyport/components/natgateway"
	"github.com/sallyport/sallyport/components/proxyfleet/awsfleet"
	"github.com/sallyport/sallyport/components/routesbucket/s3bucket"
	"github.com/sallyport/sallyport/components/stack"
	"github.com/sallyport/sallyport/infra/topology"
)

// deployment is a stack while it is being declared: what was decided, and what exists so far for the steps that follow.
type deployment struct {
	ctx      *pulumi.Context
	settings *stack.Stack
	section  *stack.AWS
	plan     capacity.Plan
	previous *topology.Previous
	life     *topology.Lifecycle
	memory   memory
	slots    []topology.Slot
	natSlots []topology.NatSlot
	signer   allowlistpublish.Signer // nil if partners' documents are not signed

	provider   pulumi.ResourceOption // for every component
	network    network
	addresses  map[string]elasticip.Allocated // by address name
	gateways   []gateway
	nat        *natgateway.NatGateway // nil if no destination uses it
	repository *awsfleet.Repository   // nil if the image comes from elsewhere
	image      pulumi.StringOutput    // only if the fleet runs
	interfaces *awsfleet.Interfaces   // nil without a fleet
	bucket     *s3bucket.Bucket       // nil without a fleet
	document   pulumi.Resource        // the routes document; nil without a fleet
	fleet      *awsfleet.Fleet        // nil if nothing runs
	endpoints  pulumi.Map             // the output
}

// Deploy builds the stack and exports its outputs: allowlist, endpoints, routes, and kubernetes if there is something in the
// cluster.
func Deploy(ctx *pulumi.Context, settings *stack.Stack, plan capacity.Plan, previous *topology.Previous) error {
	d, err := newDeployment(ctx, settings, plan, previous)
	if err != nil {
		return previous.Keep(ctx, err)
	}
	for _, step := range []func() error{
		d.preflight,
		d.createProvider,
		d.createNetwork,
		d.createAddresses,
		d.createNatGateways,
		d.createRepository,
		d.createInterfaces,
		d.createRoutesBucket,
		d.createFleet,
		d.createLoadBalancer,
		d.createAlarms,
		d.exportAllowlist,
		d.exportEndpoints,
		d.deployCluster,
	} {
		if err := step(); err != nil {
			return previous.Keep(ctx, err)
		}
	}
	return nil
}

// newDeployment decides everything that needs no cloud.
func newDeployment(ctx *pulumi.Context, settings *stack.Stack, plan capacity.Plan, previous *topology.Previous) (*deployment, error) {
	document, err := previous.Allowlist()
	if err != nil {
		return nil, err
	}
	memory, err := readMemory(previous)
	if err != nil {
		return nil, err
	}
	d := &deployment{
		ctx: ctx, settings: settings, section: settings.AWS, plan: plan, previous: previous, memory: memory,
		slots:     topology.Slots(settings.Cluster.Zones, plan.Proxies.PerZone),
		natSlots:  topology.NatSlots(settings.Cluster.Zones, plan.Nat),
		addresses: map[string]elasticip.Allocated{}, endpoints: pulumi.Map{},
	}
	life, wrong := topology.NewLifecycle(settings, plan, document)
	if wrong != nil {
		return nil, wrong
	}
	d.life = life
	if d.signer, err = topology.ReadSigner(ctx, settings.Allowlist.Publish); err != nil {
		return nil, err
	}
	picked, blockErr := pick(d.section.Addresses, life.Addresses(), document)
	d.memory.picked = picked
	if err := errors.Join(d.checkNames(), blockErr); err != nil {
		return nil, err
	}
	d.gateways = d.usableGateways()
	if warnings := append(life.Warnings(), replaced(d.gateways, memory.primaries)...); len(warnings) > 0 {
		return d, ctx.Log.Warn(strings.Join(warnings, "\n"), nil)
	}
	return d, nil
}

// createProvider makes the provider that every resource is given: the stack files switch default ones off, so that nothing lands
// in a region by accident.
func (d *deployment) createProvider() error {
	tags := pulumi.ToStringMap(d.section.Tags)
	tags["sallyport:stack"] = pulumi.String(d.ctx.Stack())
	provider, err := awssdk.NewProvider(d.ctx, "aws", &awssdk.ProviderArgs{
		Region:      pulumi.String(d.section.Region),
		DefaultTags: &awssdk.ProviderDefaultTagsArgs{Tags: tags},
	})
	if err != nil {
		return err
	}
	d.provider = pulumi.Providers(provider)
	return nil
}
