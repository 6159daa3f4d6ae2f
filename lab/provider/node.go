package provider

import (
	"context"
	"net/netip"
	"slices"
	"strconv"

	"github.com/pulumi/pulumi-go-provider/infer"

	"github.com/sallyport/sallyport/lab/labid"
	"github.com/sallyport/sallyport/lab/namespace"
	"github.com/sallyport/sallyport/lab/policy"
	"github.com/sallyport/sallyport/lab/registry"
	"github.com/sallyport/sallyport/lab/remains"
)

// Node is a Kubernetes node as the network sees it.
type Node struct {
	controller[NodeArgs, NodeState]
}

// Egress is something that pods may connect to.
type Egress struct {
	CIDR string `pulumi:"cidr"`
	Port int    `pulumi:"port"`
}

// NodeArgs are the inputs of a Node.
type NodeArgs struct {
	Lab         string   `pulumi:"lab" provider:"replaceOnChanges"`
	Name        string   `pulumi:"name" provider:"replaceOnChanges"`
	Zone        string   `pulumi:"zone"`
	PodCIDR     string   `pulumi:"podCidr" provider:"replaceOnChanges"`
	Gateway     string   `pulumi:"gateway,optional"`
	EgressAllow []Egress `pulumi:"egressAllow"`
}

// NodeState are the inputs and outputs of a Node.
type NodeState struct {
	NodeArgs
	Address string `pulumi:"address"`
}

func newNode() *Node { return &Node{controller[NodeArgs, NodeState]{node{}}} }

// Annotate implements infer.Annotated.
func (n *Node) Annotate(a infer.Annotator) {
	a.SetToken(module, "Node")
	a.Describe(&n, "A node: it routes its pods' traffic to a NAT gateway and refuses what the network policy does not allow.")
}

// Annotate implements infer.Annotated.
func (n *NodeArgs) Annotate(a infer.Annotator) {
	a.Describe(&n.Lab, "The lab.")
	a.Describe(&n.Name, "Name of the node, unique in the lab.")
	a.Describe(&n.Zone, "Its zone, for information.")
	a.Describe(&n.PodCIDR, "Network of its pods, within 10.244.0.0/16. The first host is the node.")
	a.Describe(&n.Gateway, "Next hop of the default route; empty if pods reach the private network only.")
	a.Describe(&n.EgressAllow, "All that pods may reach outside, besides DNS at 169.254.20.10.")
}

// Annotate implements infer.Annotated.
func (e *Egress) Annotate(a infer.Annotator) {
	a.Describe(&e.CIDR, "Network that may be reached.")
	a.Describe(&e.Port, "TCP port.")
}

// Annotate implements infer.Annotated.
func (n *NodeState) Annotate(a infer.Annotator) {
	a.Describe(&n.Address, "The node's private address.")
}

// WireDependencies implements infer.ExplicitDependencies: only the name decides about the address.
func (*Node) WireDependencies(f infer.FieldSelector, args *NodeArgs, state *NodeState) {
	f.OutputField(&state.Address).DependsOn(f.InputField(&args.Name))
}

type node struct{}

func (node) noun() string { return "node" }
func (node) identity(in NodeArgs) (lab, name string) {
	return in.Lab, hostName(labid.NodeHost, in.Name)
}
func (node) host(in NodeArgs) string     { return hostName(labid.NodeHost, in.Name) }
func (node) inputs(s NodeState) NodeArgs { return s.NodeArgs }

func (node) with(s NodeState, in NodeArgs) NodeState {
	s.NodeArgs = in
	return s
}

func (node) check(c *checker, in NodeArgs) {
	c.lab(in.Lab)
	c.name(in.Name)
	c.cidr("podCidr", "podCidr", in.PodCIDR)
	if cidr, err := netip.ParsePrefix(in.PodCIDR); err == nil && c.known("podCidr") &&
		(!labid.Pods.Contains(cidr.Addr()) || cidr.Bits() < 24 || cidr.Bits() > 29) {
		c.fail("podCidr", "needs to be a /24 to /29 within "+labid.Pods.String(), in.PodCIDR, "")
	}
	if in.Gateway != "" {
		c.address("gateway", "gateway", in.Gateway, labid.VPC)
	}
	c.length("egressAllow", len(in.EgressAllow), 0, maxListed)
	if !c.known("egressAllow") {
		return
	}
	for i, allow := range in.EgressAllow {
		place := "egressAllow[" + strconv.Itoa(i) + "]"
		c.cidr("egressAllow", place+".cidr", allow.CIDR)
		if allow.Port < 1 || allow.Port > 65535 {
			c.fail(place+".port", "needs to be from 1 to 65535", allow.Port, "")
		}
	}
}

func (k node) create(ctx context.Context, lab registry.Lab, in NodeArgs) (NodeState, error) {
	if err := newHost(ctx, lab, k.host(in)); err != nil {
		return NodeState{NodeArgs: in}, err
	}
	return k.apply(ctx, lab, in)
}

// apply makes the host what the inputs say and keeps what is so already. The policy is in force before there is a way out.
func (k node) apply(ctx context.Context, lab registry.Lab, in NodeArgs) (NodeState, error) {
	state := NodeState{NodeArgs: in}
	host := k.host(in)
	name := labid.Netns(lab.ID, host)
	address, err := lab.Allocate(ctx, registry.PoolNode, host, netip.Addr{})
	if err != nil {
		return state, err
	}
	state.Address = address.String()
	pods, err := netip.ParsePrefix(in.PodCIDR)
	if err != nil {
		return state, err
	}
	targets, err := targets(in.EgressAllow)
	if err != nil {
		return state, err
	}
	for _, step := range []func() error{
		func() error { return policy.ApplyNode(name, targets) },
		func() error {
			return namespace.EnsureBridge(name, labid.PodBridge, netip.PrefixFrom(firstHost(pods), pods.Bits()))
		},
		func() error {
			return namespace.EnsureBridge(name, labid.NodeLocalDNSLink, netip.PrefixFrom(labid.NodeLocalDNS, 32))
		},
		func() error { return joinVPC(lab, host, address) },
		func() error { return routePods(name) },
		func() error { return defaultRoute(name, in.Gateway) },
	} {
		if err := step(); err != nil {
			return state, err
		}
	}
	return state, nil
}

// defaultRoute leads through the gateway, or nowhere if there is none.
func defaultRoute(name, gateway string) error {
	route := namespace.Route{To: netip.MustParsePrefix("0.0.0.0/0"), Interface: labid.VPCInterface}
	if gateway == "" {
		return namespace.DeleteRoutes(name, route)
	}
	var err error
	if route.Via, err = netip.ParseAddr(gateway); err != nil {
		return err
	}
	return namespace.EnsureRoutes(name, route)
}

// routePods makes the node a router that answers the private network's ARP queries for its pods, at once: the hosts there
// know nothing of pods and nodes.
func routePods(name string) error {
	return namespace.Sysctl(name, map[string]string{
		"net.ipv4.ip_forward":                                   "1",
		"net.ipv4.conf.all.rp_filter":                           "0",
		"net.ipv4.conf.all.send_redirects":                      "0",
		"net.ipv4.conf." + labid.VPCInterface + ".proxy_arp":    "1",
		"net.ipv4.neigh." + labid.VPCInterface + ".proxy_delay": "0",
	})
}

// firstHost is the node's own address among its pods.
func firstHost(pods netip.Prefix) netip.Addr { return pods.Masked().Addr().Next() }

// targets leaves out repetitions, which the kernel would refuse.
func targets(allow []Egress) ([]policy.Target, error) {
	var list []policy.Target
	for _, one := range allow {
		cidr, err := netip.ParsePrefix(one.CIDR)
		if err != nil {
			return nil, err
		}
		if target := (policy.Target{CIDR: cidr, Port: one.Port}); !slices.Contains(list, target) {
			list = append(list, target)
		}
	}
	return list, nil
}

func (k node) alive(_ context.Context, lab registry.Lab, s *NodeState) (bool, error) {
	host := k.host(s.NodeArgs)
	pods, err := netip.ParsePrefix(s.PodCIDR)
	if err != nil || !nodeConnected(lab, host) || !hasAddresses(lab, host, labid.PodBridge, firstHost(pods)) {
		return false, nil
	}
	targets, err := targets(s.EgressAllow)
	return err == nil && policy.VerifyNode(labid.Netns(lab.ID, host), targets) == nil, nil
}

// nodeConnected reports whether a node is there with its link to the private network. A pod without that is dead, too: when its
// node is made again, its own link goes.
func nodeConnected(lab registry.Lab, host string) bool {
	address, err := lab.Lookup(registry.PoolNode, host)
	return err == nil && address.IsValid() && hasAddresses(lab, host, labid.VPCInterface, address) &&
		hasAddresses(lab, host, labid.NodeLocalDNSLink, labid.NodeLocalDNS)
}

func (k node) update(ctx context.Context, lab registry.Lab, _ NodeState, in NodeArgs) (NodeState, error) {
	if !namespace.Exists(labid.Netns(lab.ID, k.host(in))) {
		return k.create(ctx, lab, in)
	}
	return k.apply(ctx, lab, in)
}

func (k node) remove(ctx context.Context, lab registry.Lab, in NodeArgs, s NodeState) error {
	if err := remains.ClearHost(ctx, lab, k.host(in), stopGrace); err != nil {
		return err
	}
	if err := lab.ReleasePods(ctx, k.host(in)); err != nil {
		return err
	}
	address, err := netip.ParseAddr(s.Address)
	if err != nil {
		return nil // none was given
	}
	return lab.Release(ctx, registry.PoolNode, k.host(in), address)
}
