package provider

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/pulumi/pulumi-go-provider/infer"

	"github.com/sallyport/sallyport/lab/daemon"
	"github.com/sallyport/sallyport/lab/labid"
	"github.com/sallyport/sallyport/lab/namespace"
	"github.com/sallyport/sallyport/lab/nat"
	"github.com/sallyport/sallyport/lab/registry"
	"github.com/sallyport/sallyport/lab/remains"
)

// The flavours of a NatGateway.
const (
	flavorCloudNat   = "cloudnat"
	flavorNatGateway = "natgateway"
)

// NatGateway translates source addresses, in one of the flavours that clouds offer.
type NatGateway struct {
	controller[NatGatewayArgs, NatGatewayState]
}

// VM is a client of a NatGateway of flavour cloudnat.
type VM struct {
	Name  string   `pulumi:"name"`
	CIDRs []string `pulumi:"cidrs"`
}

// Block is a range of source ports that belongs to a VM.
type Block struct {
	VM        string `pulumi:"vm"`
	Address   string `pulumi:"address"`
	FirstPort int    `pulumi:"firstPort"`
	LastPort  int    `pulumi:"lastPort"`
}

// NatGatewayArgs are the inputs of a NatGateway.
type NatGatewayArgs struct {
	Lab             string   `pulumi:"lab" provider:"replaceOnChanges"`
	Name            string   `pulumi:"name" provider:"replaceOnChanges"`
	Zone            string   `pulumi:"zone"`
	Flavor          string   `pulumi:"flavor"`
	Addresses       []string `pulumi:"addresses"`
	VMs             []VM     `pulumi:"vms"`
	PortsPerVM      int      `pulumi:"portsPerVm"`
	PortsPerAddress int      `pulumi:"portsPerAddress"`
	TimeWaitSeconds int      `pulumi:"timeWaitSeconds"`
}

// NatGatewayState are the inputs and outputs of a NatGateway.
type NatGatewayState struct {
	NatGatewayArgs
	PrivateAddress string  `pulumi:"privateAddress"`
	Blocks         []Block `pulumi:"blocks"`
}

func newNatGateway() *NatGateway {
	return &NatGateway{controller[NatGatewayArgs, NatGatewayState]{natGateway{}}}
}

// Annotate implements infer.Annotated.
func (n *NatGateway) Annotate(a infer.Annotator) {
	a.SetToken(module, "NatGateway")
	a.Describe(&n, "Translates the source addresses of nodes and pods and holds a port after its connection has closed. "+
		"Its rules change in one transaction: established connections go on.")
}

// Annotate implements infer.Annotated.
func (n *NatGatewayArgs) Annotate(a infer.Annotator) {
	a.Describe(&n.Lab, "The lab.")
	a.Describe(&n.Name, "Name of the gateway, unique in the lab.")
	a.Describe(&n.Zone, "Its zone, for information.")
	a.Describe(&n.Flavor, "cloudnat: a block of ports per VM. natgateway: ports per address and destination, shared by all clients.")
	a.Describe(&n.Addresses, "Its public IPs.")
	a.Describe(&n.VMs, "The clients of flavour cloudnat; nobody else is translated.")
	a.Describe(&n.PortsPerVM, "Source ports of each VM, flavour cloudnat.")
	a.Describe(&n.PortsPerAddress, "Source ports per address and destination, flavour natgateway; 0 means 55,000.")
	a.Describe(&n.TimeWaitSeconds, "How long a port stays taken after its connection closed.")
}

// Annotate implements infer.Annotated.
func (v *VM) Annotate(a infer.Annotator) {
	a.Describe(&v.Name, "Name of the VM, unique in the gateway. It keeps its ports as long as the name stays.")
	a.Describe(&v.CIDRs, "Networks of the VM and its pods.")
}

// Annotate implements infer.Annotated.
func (b *Block) Annotate(a infer.Annotator) {
	a.Describe(&b.VM, "The VM it belongs to.")
	a.Describe(&b.Address, "The public IP.")
	a.Describe(&b.FirstPort, "First port, included.")
	a.Describe(&b.LastPort, "Last port, included.")
}

// Annotate implements infer.Annotated.
func (n *NatGatewayState) Annotate(a infer.Annotator) {
	a.Describe(&n.PrivateAddress, "Next hop for nodes.")
	a.Describe(&n.Blocks, "The source ports of each VM; empty for flavour natgateway.")
}

// WireDependencies implements infer.ExplicitDependencies: the private address never changes.
func (*NatGateway) WireDependencies(f infer.FieldSelector, args *NatGatewayArgs, state *NatGatewayState) {
	f.OutputField(&state.PrivateAddress).DependsOn(f.InputField(&args.Name))
	f.OutputField(&state.Blocks).DependsOn(f.InputField(&args.Flavor), f.InputField(&args.Addresses),
		f.InputField(&args.VMs), f.InputField(&args.PortsPerVM))
}

type natGateway struct{}

func (natGateway) noun() string { return "natgateway" }
func (natGateway) identity(in NatGatewayArgs) (lab, name string) {
	return in.Lab, hostName(labid.NatHost, in.Name)
}
func (natGateway) host(in NatGatewayArgs) string           { return hostName(labid.NatHost, in.Name) }
func (natGateway) inputs(s NatGatewayState) NatGatewayArgs { return s.NatGatewayArgs }

func (natGateway) with(s NatGatewayState, in NatGatewayArgs) NatGatewayState {
	s.NatGatewayArgs = in
	return s
}

func (natGateway) check(c *checker, in NatGatewayArgs) {
	c.lab(in.Lab)
	c.name(in.Name)
	c.oneOf("flavor", in.Flavor, flavorCloudNat, flavorNatGateway)
	c.length("addresses", len(in.Addresses), 1, 126)
	c.addresses("addresses", in.Addresses, labid.NatPublic)
	c.between("timeWaitSeconds", in.TimeWaitSeconds, 1, 3600)
	c.vms(in.VMs)
	switch in.Flavor {
	case flavorCloudNat:
		c.length("vms", len(in.VMs), 1, maxListed)
		c.between("portsPerVm", in.PortsPerVM, 1, 65536)
		if need, have := len(in.VMs)*in.PortsPerVM, len(in.Addresses)*nat.PortsPerAddress; need > have &&
			c.known("vms") && c.known("addresses") && c.known("portsPerVm") {
			c.fail("addresses", fmt.Sprintf("need room for %d VMs x %d ports = %d", len(in.VMs), in.PortsPerVM, need),
				fmt.Sprintf("%d addresses x %d = %d", len(in.Addresses), nat.PortsPerAddress, have), "give more addresses")
		}
	case flavorNatGateway:
		c.length("vms", len(in.VMs), 0, maxListed)
		c.between("portsPerAddress", in.PortsPerAddress, 0, nat.PortsPerAddress)
	}
}

func (k natGateway) create(ctx context.Context, lab registry.Lab, in NatGatewayArgs) (NatGatewayState, error) {
	if err := newHost(ctx, lab, k.host(in)); err != nil {
		return NatGatewayState{NatGatewayArgs: in}, err
	}
	return k.apply(ctx, lab, NatGatewayState{}, in)
}

// apply makes the host what the inputs say and keeps what is so already: connections go on. Without twhold in place no rule
// would hold a port, so twhold runs before the first connection can pass.
func (k natGateway) apply(ctx context.Context, lab registry.Lab, old NatGatewayState, in NatGatewayArgs) (NatGatewayState, error) {
	state := NatGatewayState{NatGatewayArgs: in, Blocks: []Block{}}
	host := k.host(in)
	name := labid.Netns(lab.ID, host)
	private, err := lab.Allocate(ctx, registry.PoolGateway, host, netip.Addr{})
	if err != nil {
		return state, err
	}
	state.PrivateAddress = private.String()
	public, err := parseAddresses(in.Addresses)
	if err != nil {
		return state, err
	}
	rules, blocks, err := ruleset(in, public, old.Blocks)
	if err != nil {
		return state, err
	}
	state.Blocks = blocks
	if err := joinVPC(lab, host, private); err != nil {
		return state, err
	}
	if err := nat.Apply(name, rules); err != nil {
		return state, err
	}
	if err := nat.Prepare(name, in.timeWait()); err != nil {
		return state, err
	}
	if err := holdPorts(ctx, lab, host, in.timeWait()); err != nil {
		return state, err
	}
	return state, joinInternet(lab, host, public)
}

func (n NatGatewayArgs) timeWait() time.Duration {
	return time.Duration(n.TimeWaitSeconds) * time.Second
}

// twhold is the name of the daemon that holds ports.
const twhold = "twhold"

// holdPorts runs twhold with this time. A running one with another time is replaced: its holds stay, they are the kernel's.
func holdPorts(ctx context.Context, lab registry.Lab, host string, timeWait time.Duration) error {
	labd, err := binary("labd")
	if err != nil {
		return err
	}
	ready := lab.HostDir(host) + "/" + twhold + ".ready"
	spec := daemon.Spec{
		Name: twhold, StateDir: lab.HostDir(host), Namespace: labid.Netns(lab.ID, host), Path: labd,
		Args: []string{"twhold", "--time-wait", timeWait.String(), "--ready-file", ready},
	}
	d := daemon.At(spec.StateDir, twhold)
	if record, err := d.Record(); err == nil && record.SpecHash == spec.Hash() && d.Alive() {
		return nil
	}
	if err := os.Remove(ready); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if d, err = daemon.Start(spec); err != nil {
		return err
	}
	return await(ctx, d, func() error {
		_, err := os.Stat(ready)
		return err
	})
}

func (k natGateway) alive(_ context.Context, lab registry.Lab, s *NatGatewayState) (bool, error) {
	host := k.host(s.NatGatewayArgs)
	public, err := parseAddresses(append([]string{s.PrivateAddress}, s.Addresses...))
	if err != nil {
		return false, nil
	}
	if !hasAddresses(lab, host, labid.VPCInterface, public[0]) || !hasAddresses(lab, host, labid.InternetInterface, public[1:]...) ||
		!daemon.At(lab.HostDir(host), twhold).Alive() {
		return false, nil
	}
	rules, _, err := ruleset(s.NatGatewayArgs, public[1:], s.Blocks)
	return err == nil && nat.Verify(labid.Netns(lab.ID, host), rules) == nil, nil
}

func (k natGateway) update(ctx context.Context, lab registry.Lab, old NatGatewayState, in NatGatewayArgs) (NatGatewayState, error) {
	if !namespace.Exists(labid.Netns(lab.ID, k.host(in))) {
		return k.create(ctx, lab, in)
	}
	return k.apply(ctx, lab, old, in)
}

func (k natGateway) remove(ctx context.Context, lab registry.Lab, in NatGatewayArgs, s NatGatewayState) error {
	if err := remains.ClearHost(ctx, lab, k.host(in), stopGrace); err != nil {
		return err
	}
	address, err := netip.ParseAddr(s.PrivateAddress)
	if err != nil {
		return nil // none was given
	}
	return lab.Release(ctx, registry.PoolGateway, k.host(in), address)
}
