package lab

import "github.com/pulumi/pulumi/sdk/v3/go/pulumi"

// Node is a Kubernetes node as the network sees it: it routes its pods' traffic to a NAT gateway and lets through only what the
// network policy allows. What is not allowed is refused at once, with a TCP reset or an ICMP message.
type Node struct {
	pulumi.CustomResourceState

	// Address is the node's private address, in 10.0.1.0/24.
	Address pulumi.StringOutput `pulumi:"address"`
}

// Egress is something that pods may connect to.
type Egress struct {
	// CIDR is an IPv4 network, for example "203.0.113.7/32".
	CIDR pulumi.StringInput
	// Port is a TCP port, 1 to 65535.
	Port int
}

// NodeArgs are the arguments of NewNode.
type NodeArgs struct {
	// Lab is the lab's id.
	Lab pulumi.StringInput
	// Name is a DNS label of at most 32 characters, unique in the lab. The host is node-<name>, or <name> if that begins with
	// "node-".
	Name string
	// Zone is informative.
	Zone string
	// PodCIDR is the IPv4 network of the node's pods, within 10.244.0.0/16, /29 to /24. Its first host is the node. Changing it
	// replaces the node.
	PodCIDR pulumi.StringInput
	// Gateway is the next hop of the default route: a NatGateway's PrivateAddress. Changing it moves new connections. Nil: pods
	// reach the private network only.
	Gateway pulumi.StringInput
	// EgressAllow is all that pods may reach outside, at most 4,096 entries. DNS at 169.254.20.10 needs no entry.
	EgressAllow []Egress
}

// NewNode makes a node.
func NewNode(ctx *pulumi.Context, name string, args *NodeArgs, opts ...pulumi.ResourceOption) (*Node, error) {
	n := &Node{}
	allow := make(pulumi.MapArray, len(args.EgressAllow))
	for i, one := range args.EgressAllow {
		allow[i] = pulumi.Map{"cidr": one.CIDR, "port": pulumi.Int(one.Port)}
	}
	inputs := pulumi.Map{
		"lab": args.Lab, "name": pulumi.String(args.Name), "zone": pulumi.String(args.Zone),
		"podCidr": args.PodCIDR, "gateway": args.Gateway, "egressAllow": allow,
	}
	if err := resource(ctx, "lab:index:Node", name, inputs, n, opts); err != nil {
		return nil, err
	}
	return n, nil
}

// Pod is a network namespace attached to a node, from which a person or a test sends traffic: `sallyport lab exec`.
type Pod struct {
	pulumi.CustomResourceState

	// Address is the pod's address, in its node's PodCIDR.
	Address pulumi.StringOutput `pulumi:"address"`
}

// ResolvConf is what a pod's /etc/resolv.conf says.
type ResolvConf struct {
	Nameserver string   // IPv4 address
	Searches   []string // search domains in order; may be empty
	Options    []string // for example "ndots:5"; may be empty
}

// PodArgs are the arguments of NewPod.
type PodArgs struct {
	// Lab is the lab's id.
	Lab pulumi.StringInput
	// Name is a DNS label of at most 32 characters, unique in the lab. The host is pod-<name>, or <name> if that begins with
	// "pod-".
	Name string
	// Node is the name of a Node that exists: make this depend on it. Changing it replaces the pod.
	Node string
	// NodeID is the Node's ID, instead of Node: then the pod is replaced when its node is. Nil: Node counts.
	NodeID pulumi.StringInput
	// ResolvConf is the pod's resolver configuration.
	ResolvConf ResolvConf
}

// NewPod makes a pod.
func NewPod(ctx *pulumi.Context, name string, args *PodArgs, opts ...pulumi.ResourceOption) (*Pod, error) {
	p := &Pod{}
	inputs := pulumi.Map{
		"lab": args.Lab, "name": pulumi.String(args.Name), "node": nodeReference(args.Node, args.NodeID),
		"resolvConf": pulumi.Map{
			"nameserver": pulumi.String(args.ResolvConf.Nameserver),
			"searches":   pulumi.ToStringArray(args.ResolvConf.Searches),
			"options":    pulumi.ToStringArray(args.ResolvConf.Options),
		},
	}
	if err := resource(ctx, "lab:index:Pod", name, inputs, p, opts); err != nil {
		return nil, err
	}
	return p, nil
}
