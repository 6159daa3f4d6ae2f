package lab

import "github.com/pulumi/pulumi/sdk/v3/go/pulumi"

// UpstreamDNS is the name server of the lab's internet and the role of the cluster's DNS: it knows the records and answers
// NXDOMAIN for everything else, cluster.local included. Prometheus metrics on port 9153. One per lab. A change of records is
// in force within a second and loses no query.
type UpstreamDNS struct {
	pulumi.CustomResourceState

	// PublicAddress is its address on the internet, 192.0.2.53.
	PublicAddress pulumi.StringOutput `pulumi:"publicAddress"`
	// PrivateAddress is its address on the private network, 10.0.0.2.
	PrivateAddress pulumi.StringOutput `pulumi:"privateAddress"`
}

// Record is a name with its addresses.
type Record struct {
	// Name is a lower-case DNS name without final dot; one leading "*." makes it a wildcard. Unique.
	Name string
	// Addresses are IPv4 addresses, at least one.
	Addresses pulumi.StringArrayInput
	// TTL is the time to live in seconds, 1 to 86,400.
	TTL int
}

// UpstreamDNSArgs are the arguments of NewUpstreamDNS.
type UpstreamDNSArgs struct {
	// Lab is the lab's id.
	Lab pulumi.StringInput
	// Records are all names that exist, at most 4,096.
	Records []Record
}

// NewUpstreamDNS makes the lab's name server.
func NewUpstreamDNS(ctx *pulumi.Context, name string, args *UpstreamDNSArgs, opts ...pulumi.ResourceOption) (*UpstreamDNS, error) {
	d := &UpstreamDNS{}
	records := make(pulumi.MapArray, len(args.Records))
	for i, record := range args.Records {
		records[i] = pulumi.Map{"name": pulumi.String(record.Name), "addresses": list(record.Addresses), "ttl": pulumi.Int(record.TTL)}
	}
	if err := resource(ctx, "lab:index:UpstreamDNS", name, pulumi.Map{"lab": args.Lab, "records": records}, d, opts); err != nil {
		return nil, err
	}
	return d, nil
}

// NodeLocalDNS is the DNS cache of a node at 169.254.20.10, with an agent beside it that answers proxied hosts with healthy
// proxies. A changed Corefile is loaded without losing a query; one that CoreDNS refuses leaves the old one in force and fails
// the update.
type NodeLocalDNS struct {
	pulumi.CustomResourceState
}

// NodeLocalDNSArgs are the arguments of NewNodeLocalDNS.
type NodeLocalDNSArgs struct {
	// Lab is the lab's id.
	Lab pulumi.StringInput
	// Node is the name of a Node that exists: make this depend on it. Changing it replaces the cache.
	Node string
	// NodeID is the Node's ID, instead of Node: then the cache is replaced when its node is. Nil: Node counts.
	NodeID pulumi.StringInput
	// Corefile is CoreDNS's configuration. It must bind 169.254.20.10.
	Corefile pulumi.StringInput
	// Rootfs is the absolute path of the proxy image's root filesystem.
	Rootfs string
	// ImageDigest is the image's digest. A change of Rootfs or ImageDigest restarts the agent: proxied names are then answered
	// from the cache for a moment.
	ImageDigest string
	// DNSServers are where the agent forwards names that it is asked and that no route covers, as address or address:port.
	DNSServers pulumi.StringArrayInput
}

// NewNodeLocalDNS starts the DNS cache of a node.
func NewNodeLocalDNS(ctx *pulumi.Context, name string, args *NodeLocalDNSArgs, opts ...pulumi.ResourceOption) (*NodeLocalDNS, error) {
	d := &NodeLocalDNS{}
	inputs := pulumi.Map{
		"lab": args.Lab, "node": nodeReference(args.Node, args.NodeID), "corefile": args.Corefile, "rootfs": pulumi.String(args.Rootfs),
		"imageDigest": pulumi.String(args.ImageDigest), "dnsServers": list(args.DNSServers),
	}
	if err := resource(ctx, "lab:index:NodeLocalDNS", name, inputs, d, opts); err != nil {
		return nil, err
	}
	return d, nil
}
