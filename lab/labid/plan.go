package labid

import "net/netip"

// The names of the hosts, networks and interfaces of a lab. Kinds that exist more than once are prefixes: Host(NodeHost, "a")
// is "node-a".
const (
	InternetHost = "internet" // the segment of public addresses: only a bridge
	VPCHost      = "vpc"      // the private segment: only a bridge
	DNSHost      = "dns"      // upstream DNS, on both segments
	NatHost      = "nat"      // prefix
	NodeHost     = "node"     // prefix
	PodHost      = "pod"      // prefix
	ProxyHost    = "proxy"    // prefix
	PartnerHost  = "partner"  // prefix

	Bridge            = "br0"          // the bridge in InternetHost and VPCHost
	PodBridge         = "cni0"         // the bridge in a node to which its pods are attached
	InternetInterface = "inet0"        // a host's interface on the internet segment
	VPCInterface      = "vpc0"         // a host's interface on the private segment
	PodInterface      = "eth0"         // a pod's only interface
	NodeLocalDNSLink  = "nodelocaldns" // the port-less bridge in a node that carries NodeLocalDNS
)

// Host returns the name of one host of a kind.
func Host(kind, name string) string { return kind + "-" + name }

// The address plan, the same in every lab. Public ranges are the three documentation ranges (RFC 5737).
var (
	OurPublic     = netip.MustParsePrefix("198.51.100.0/24")   // our public IPs
	NatPublic     = netip.MustParsePrefix("198.51.100.0/25")   // .1 to .127: NAT gateways
	ProxyPublic   = netip.MustParsePrefix("198.51.100.128/25") // .129 to .254: proxies
	PartnerPublic = netip.MustParsePrefix("203.0.113.0/24")    // partners
	DNSPublic     = netip.MustParsePrefix("192.0.2.0/24")      // public DNS

	VPC        = netip.MustParsePrefix("10.0.0.0/16") // the private segment
	NatPrivate = netip.MustParsePrefix("10.0.0.0/24") // NAT gateways from .10
	Nodes      = netip.MustParsePrefix("10.0.1.0/24") // nodes from .10
	Proxies    = netip.MustParsePrefix("10.0.2.0/24") // proxies from .10
	Pods       = netip.MustParsePrefix("10.244.0.0/16")

	DNSPublicAddress  = netip.MustParseAddr("192.0.2.53")
	DNSPrivateAddress = netip.MustParseAddr("10.0.0.2")
	NodeLocalDNS      = netip.MustParseAddr("169.254.20.10") // node-local DNS cache in every node
)

// FirstHost is the first host number handed out in NatPrivate, Nodes and Proxies; the ones below are reserved.
const FirstHost = 10

// PublicRanges are the ranges that every host on the internet segment reaches directly on InternetInterface.
func PublicRanges() []netip.Prefix { return []netip.Prefix{OurPublic, PartnerPublic, DNSPublic} }
