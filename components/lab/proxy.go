package lab

import "github.com/pulumi/pulumi/sdk/v3/go/pulumi"

// Proxy is one member of the egress fleet: it runs the proxy image's root filesystem with a fixed private address and static
// public ones. It exists when it is ready to serve.
//
// A change of anything but its identity restarts it: it is drained first, and its connections that last longer than the drain
// are cut. Chain the proxies with pulumi.DependsOn so that never two restart at once.
type Proxy struct {
	pulumi.CustomResourceState
}

// ProxyArgs are the arguments of NewProxy.
type ProxyArgs struct {
	// Lab is the lab's id.
	Lab pulumi.StringInput
	// Name is a DNS label of at most 32 characters, unique in the lab. The host is proxy-<name>, or <name> if that begins with
	// "proxy-".
	Name string
	// Zone is informative.
	Zone string
	// Address is its private address: an Address of KindInterface.
	Address pulumi.StringInput
	// PublicAddresses are the addresses it connects from, 1 to 16: Addresses of KindProxy.
	PublicAddresses pulumi.StringArrayInput
	// Rootfs is the absolute path of the image's root filesystem.
	Rootfs string
	// ImageDigest is the image's digest.
	ImageDigest string
	// DNSServers resolve the real names of destinations, as address or address:port. At least one.
	DNSServers pulumi.StringArrayInput
	// DrainSeconds is how long it serves its connections after it was told to stop, 0 to 3,600.
	DrainSeconds int
	// Env is added to the agent's environment, for example limits. May be nil.
	Env map[string]string
}

// NewProxy starts a proxy and waits until it is ready.
func NewProxy(ctx *pulumi.Context, name string, args *ProxyArgs, opts ...pulumi.ResourceOption) (*Proxy, error) {
	p := &Proxy{}
	inputs := pulumi.Map{
		"lab": args.Lab, "name": pulumi.String(args.Name), "zone": pulumi.String(args.Zone), "address": args.Address,
		"publicAddresses": list(args.PublicAddresses), "rootfs": pulumi.String(args.Rootfs),
		"imageDigest": pulumi.String(args.ImageDigest), "dnsServers": list(args.DNSServers),
		"drainSeconds": pulumi.Int(args.DrainSeconds), "env": pulumi.ToStringMap(args.Env),
	}
	if err := resource(ctx, "lab:index:Proxy", name, inputs, p, opts); err != nil {
		return nil, err
	}
	return p, nil
}
