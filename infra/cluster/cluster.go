// Package cluster installs what sallyport:kubernetes asks for inside the cluster: the DNS cache on every node, routing to the
// proxies by DNS or mesh, the pooling controller, pod DNS options, alert rules and network policies.
//
// It is the same for every cloud: infra/aws and infra/gcp call Deploy with what they made. All objects come from the one list of
// destinations and from the fleet's fixed private addresses.
package cluster

import (
	"fmt"
	"net/netip"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/capacity"
	"github.com/sallyport/sallyport/components/manifests/registrar"
	"github.com/sallyport/sallyport/components/stack"
	"github.com/sallyport/sallyport/infra/topology"
)

// Proxy is an active member of the fleet, as the cloud made it.
type Proxy struct {
	Slot    topology.Slot
	Address pulumi.StringInput // fixed private IPv4 that clients connect to
	// PublicIPs are its static source addresses. The pool's and resolvers' agents refuse to connect to them.
	PublicIPs []pulumi.StringInput
}

// Input is what a cloud hands over. Settings.Kubernetes may be nil: then Deploy does nothing.
type Input struct {
	Settings *stack.Stack
	Plan     capacity.Plan
	// Kubeconfig is the text of a kubeconfig for the cluster, if the cloud knows one. Nil: kubernetes.kubeconfig of the stack
	// file, else what kubectl would use. It is kept as a secret.
	Kubeconfig pulumi.StringInput
	// Image is the fleet's proxy image, REPOSITORY@sha256:... Used unless kubernetes.image is set. Nil only if nothing in the
	// cluster runs the image.
	Image pulumi.StringInput
	// Proxies are the active members of the fleet, slot by slot. Which there are must be known before the update.
	Proxies []Proxy
	// Clients are the networks of pods and nodes: who may use the pooling controller, and what a network policy leaves open.
	Clients []netip.Prefix
	// Previous are the stack's previous outputs, for serials that rise. Never nil if Settings.Kubernetes is not.
	Previous *topology.Previous
	// ManagedDNSCache says that the cluster brings a DNS cache on every node (GKE: addonsConfig.dnsCacheConfig, on by default in
	// new clusters). A second one is refused. Nil: the cluster brings none.
	ManagedDNSCache pulumi.BoolInput
	// DependsOn are resources that must be there first, for example the fleet.
	DependsOn []pulumi.Resource
}

// Deploy installs everything and exports the output "kubernetes".
func Deploy(ctx *pulumi.Context, in Input) error {
	if in.Settings.Kubernetes == nil {
		return nil
	}
	d, err := newDeployment(ctx, in)
	if err != nil {
		return err
	}
	for _, step := range []func() error{
		d.publishDocuments,
		d.lookUpDNS,
		d.createResolvers,
		d.createNodeLocalDNS,
		d.createMesh,
		d.createPool,
		d.createPodDNS,
		d.createPolicies,
		d.createNodeHealth,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return d.export()
}

// deployment is a Deploy under way.
type deployment struct {
	Input
	ctx       *pulumi.Context
	section   *stack.Kubernetes
	options   []pulumi.ResourceOption // provider and dependencies, for every component
	image     pulumi.StringOutput
	documents pulumi.Output // of documents
	dns       clusterDNS
	resolvers []pulumi.Resource // what runs the agents of routing dns
	exports   pulumi.Map
}

// part is one of the components: a node of the resource tree with objects below it.
type part struct{ pulumi.ResourceState }

// component registers one, with what decides about it as inputs, so that policies see that.
func (d *deployment) component(token, name string, inputs pulumi.Map, opts ...pulumi.ResourceOption) (*part, error) {
	c := &part{}
	if err := d.ctx.RegisterComponentResourceV2(token, name, inputs, c, append(opts, d.options...)...); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

func newDeployment(ctx *pulumi.Context, in Input) (*deployment, error) {
	d := &deployment{Input: in, ctx: ctx, section: in.Settings.Kubernetes, exports: pulumi.Map{}}
	kubeconfig := in.Kubeconfig
	if d.section.Kubeconfig != "" || kubeconfig == nil {
		kubeconfig = optional(d.section.Kubeconfig)
	}
	if kubeconfig != nil {
		kubeconfig = pulumi.ToSecret(kubeconfig).(pulumi.StringOutput)
	}
	provider, err := registrar.NewProvider(ctx, "kubernetes", kubeconfig, optional(d.section.Context))
	if err != nil {
		return nil, err
	}
	d.options = []pulumi.ResourceOption{pulumi.Providers(provider)}
	if len(in.DependsOn) > 0 {
		d.options = append(d.options, pulumi.DependsOn(in.DependsOn))
	}
	switch {
	case d.section.Image != "":
		d.image = pulumi.String(d.section.Image).ToStringOutput()
	case in.Image != nil:
		d.image = in.Image.ToStringOutput()
	}
	if d.image == (pulumi.StringOutput{}) && (d.section.Pool != nil || d.section.Routing == stack.RoutingDNS) {
		return nil, fmt.Errorf("sallyport:kubernetes.image: is required for %s, which runs the proxy image; write REPOSITORY@sha256:DIGEST", d.runsImage())
	}
	return d, nil
}

// runsImage names what runs the image.
func (d *deployment) runsImage() string {
	if d.section.Pool != nil {
		return "pool"
	}
	return "routing dns"
}

// optional is nil for an empty text, which stands for the provider's own choice.
func optional(text string) pulumi.StringInput {
	if text == "" {
		return nil
	}
	return pulumi.String(text)
}

func (d *deployment) export() error {
	d.ctx.Export("kubernetes", d.exports)
	return nil
}
