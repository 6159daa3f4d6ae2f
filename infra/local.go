package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/capacity"
	"github.com/sallyport/sallyport/components/lab"
	"github.com/sallyport/sallyport/components/stack"
	"github.com/sallyport/sallyport/infra/topology"
	"github.com/sallyport/sallyport/lab/labid"
)

// ownerEnv names the process whose end allows `sallyport lab prune` to remove the lab. Tests set it; see lab/remains.
const ownerEnv = "SALLYPORT_LAB_OWNER"

// local is stack local while it is being declared: what was created so far, for the steps that follow.
type local struct {
	ctx      *pulumi.Context
	settings *stack.Stack
	plan     capacity.Plan
	nodes    []node
	slots    []topology.Slot    // those that may carry traffic
	natSlots []topology.NatSlot // likewise
	rootfs   string             // the proxy image's root filesystem
	digest   string             // the image's digest

	network     *lab.Network
	life        *topology.Lifecycle
	addresses   map[string]*lab.Address // public ones, by address name
	podNetworks map[string]*lab.Address // by node
	proxies     map[string]*proxySlot   // by slot name, those that may carry traffic
	partners    map[string]*lab.Partner // by destination or unlisted host
	dns         *lab.UpstreamDNS
	gateways    map[string]*lab.NatGateway // by gateway name
	routes      *lab.Routes
}

// proxySlot is a slot with what it owns.
type proxySlot struct {
	topology.Slot
	private *lab.Address
	public  []*lab.Address
}

// publicAddresses are the slot's static public IPs.
func (p *proxySlot) publicAddresses() pulumi.StringArray {
	var out pulumi.StringArray
	for _, address := range p.public {
		out = append(out, address.Address)
	}
	return out
}

// newLocal checks what only this machine can tell and prepares the names of everything.
func newLocal(ctx *pulumi.Context, settings *stack.Stack, plan capacity.Plan, previous *topology.Previous) (*local, error) {
	if settings.Cluster.Nodes > maxNodes {
		return nil, fmt.Errorf("sallyport:cluster.nodes: the lab holds at most %d nodes, got %d", maxNodes, settings.Cluster.Nodes)
	}
	rootfs, digest, err := localImage(ctx.RootDirectory())
	if err != nil {
		return nil, err
	}
	document, err := previous.Allowlist()
	if err != nil {
		return nil, err
	}
	life, err := topology.NewLifecycle(settings, plan, document)
	if err != nil {
		return nil, err
	}
	return &local{
		ctx: ctx, settings: settings, plan: plan, rootfs: rootfs, digest: digest,
		nodes:       nodes(settings.Cluster, settings.Lab.PodsPerNode),
		slots:       slices.DeleteFunc(topology.Slots(settings.Cluster.Zones, plan.Proxies.PerZone), func(s topology.Slot) bool { return !life.Usable(s.Name) }),
		natSlots:    slices.DeleteFunc(topology.NatSlots(settings.Cluster.Zones, plan.Nat), func(s topology.NatSlot) bool { return !life.Usable(s.Name) }),
		life:        life,
		addresses:   map[string]*lab.Address{},
		podNetworks: map[string]*lab.Address{},
		proxies:     map[string]*proxySlot{},
		partners:    map[string]*lab.Partner{},
		gateways:    map[string]*lab.NatGateway{},
	}, nil
}

// localImage finds the root filesystem that `make image` wrote. Its folder is named after the image's digest.
func localImage(root string) (rootfs, digest string, err error) {
	link := filepath.Join(root, ".build", "image", "rootfs")
	rootfs, err = filepath.EvalSymlinks(link)
	if err != nil {
		return "", "", fmt.Errorf("proxy image: %s: not there, got %w; run `make image`", link, err)
	}
	return rootfs, filepath.Base(rootfs), nil
}

// createNetwork makes the lab itself: the internet, the VPC and the certificate authority.
func (l *local) createNetwork() error {
	args := &lab.NetworkArgs{Lab: labid.For(l.ctx.RootDirectory(), l.ctx.Stack()), Owner: os.Getenv(ownerEnv)}
	// Who owns the lab is settled when it is made; a later run by another process changes nothing.
	var err error
	l.network, err = lab.NewNetwork(l.ctx, "network", args, pulumi.IgnoreChanges([]string{"owner"}))
	return err
}

// clients are the networks that may use the proxies.
func clients() []netip.Prefix { return []netip.Prefix{labid.VPC, labid.Pods} }
