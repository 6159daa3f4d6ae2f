package stack

import (
	"net/netip"
	"strings"
)

// AWS configures what only cloud aws has: where the network is and what the fleet runs on.
type AWS struct {
	// Region is where everything lives, for example "eu-west-1". Required.
	Region string `json:"region"`
	// VPC is the network: an existing one by id, or a new one by its CIDR. Required.
	VPC AWSVPC `json:"vpc"`
	// Nat configures the NAT gateways.
	Nat AWSNat `json:"nat"`
	// Addresses says where public IPs come from.
	Addresses AWSAddresses `json:"addresses"`
	// Fleet says what proxies run on. Read only if a destination uses them.
	Fleet AWSFleet `json:"fleet"`
	// Clients says who may use the proxies.
	Clients AWSClients `json:"clients"`
	// LoadBalancer puts an internal network load balancer with one static IP per zone in front of the fleet. Nil: none; clients
	// use the proxies' own addresses.
	LoadBalancer *AWSLoadBalancer `json:"loadBalancer,omitempty"`
	// Alarms configures who is told when a ceiling comes near.
	Alarms AWSAlarms `json:"alarms"`
	// Dashboard makes a CloudWatch dashboard. Default true.
	Dashboard bool `json:"dashboard"`
	// Tags are on every resource besides our own, at most 30. Keys must not start with aws: or sallyport:.
	Tags map[string]string `json:"tags,omitempty"`
}

// Defaults fills in what a user may leave out.
func (a *AWS) Defaults() { *a = AWS{Dashboard: true} }

// AWSVPC is the network. Exactly one of ID and CIDR is set; all else belongs to ID.
type AWSVPC struct {
	// ID names an existing VPC, vpc-...
	ID string `json:"id,omitempty"`
	// CIDR makes a new VPC, for those who bring none: a /16 to /22.
	CIDR netip.Prefix `json:"cidr,omitzero"`
	// CIDRs are the networks of the existing VPC. Required with ID.
	CIDRs []netip.Prefix `json:"cidrs,omitempty"`
	// PublicSubnets has a subnet of each zone whose default route leads to an internet gateway: there the NAT gateways are.
	// Required with ID.
	PublicSubnets map[string]string `json:"publicSubnets,omitempty"`
	// PrivateRouteTables has the route tables of each zone's private subnets, which get a default route to the zone's NAT
	// gateway. Required with ID if a destination uses the NAT, unless nat.routes is false.
	PrivateRouteTables map[string][]string `json:"privateRouteTables,omitempty"`
	// ProxySubnets has a public subnet of each zone for the proxies. Default PublicSubnets.
	ProxySubnets map[string]string `json:"proxySubnets,omitempty"`
	// S3Endpoint makes a gateway endpoint for S3 in the existing VPC and the given ProxyRouteTables, so that the routes document
	// is read without leaving AWS's network. Default false: the VPC has one, or reading by way of the internet gateway will do.
	S3Endpoint bool `json:"s3Endpoint,omitempty"`
	// ProxyRouteTables are the route tables of ProxySubnets, for S3Endpoint.
	ProxyRouteTables []string `json:"proxyRouteTables,omitempty"`
}

// New says whether a VPC is made.
func (v AWSVPC) New() bool { return v.ID == "" }

// Networks are the VPC's networks.
func (v AWSVPC) Networks() []netip.Prefix {
	if v.New() {
		return []netip.Prefix{v.CIDR}
	}
	return v.CIDRs
}

// ProxySubnet is the subnet of a zone's proxies in an existing VPC.
func (v AWSVPC) ProxySubnet(zone string) string {
	if subnet := v.ProxySubnets[zone]; subnet != "" {
		return subnet
	}
	return v.PublicSubnets[zone]
}

// AWSNat configures the NAT gateways.
type AWSNat struct {
	// Routes sends the private subnets through the gateways. Default true. False: the gateways and their IPs are made, partners
	// can list them, and nothing uses them yet.
	Routes bool `json:"routes"`
}

// Defaults fills in what a user may leave out.
func (n *AWSNat) Defaults() { *n = AWSNat{Routes: true} }

// AWSAddressSource says where public IPs are allocated from.
type AWSAddressSource string

// The sources.
const (
	AddressesAmazon AWSAddressSource = "amazon" // Amazon's pool
	AddressesBYOIP  AWSAddressSource = "byoip"  // a public IPv4 pool of one's own
	AddressesIPAM   AWSAddressSource = "ipam"   // an IPAM pool, one with a contiguous block of Amazon's included
)

// AWSAddresses says where public IPs come from. None of it changes an address that is allocated already.
type AWSAddresses struct {
	// Source of new addresses. Default amazon.
	Source AWSAddressSource `json:"source,omitempty"`
	// Pool is ipv4pool-ec2-... with byoip, ipam-pool-... with ipam.
	Pool string `json:"pool,omitempty"`
	// Block asks for addresses of one network of the pool, lowest first, so that partners can list one network. Optional.
	Block netip.Prefix `json:"block,omitzero"`
	// Existing brings Elastic IPs that belong to somebody else, by address name: {nat-eu-west-1a-1: eipalloc-...}. They are
	// used, never changed and never released.
	Existing map[string]string `json:"existing,omitempty"`
}

// Defaults fills in what a user may leave out.
func (a *AWSAddresses) Defaults() { *a = AWSAddresses{Source: AddressesAmazon} }

// AWSFleet says what proxies run on.
type AWSFleet struct {
	// InstanceType of every proxy. Default "c7g.large", 2 virtual CPUs.
	InstanceType string `json:"instanceType,omitempty"`
	// Architecture is arm64 or x86_64. Empty: derived from InstanceType.
	Architecture string `json:"architecture,omitempty"`
	// Image is the proxy image in a registry of one's own, <repository>@sha256:<digest>. Instances need no login there.
	Image string `json:"image,omitempty"`
	// Digest is the image in the stack's own ECR repository, sha256:<digest>. Without Image and Digest the repository is made,
	// the public IPs are published, and no proxy runs yet: push the image, then set it.
	Digest string `json:"digest,omitempty"`
	// ActivePerZone is how many proxies run in each zone at least. Default 0: all that the plan has. The others start when
	// the load asks for them and drain when it does not; their IPs are published all the same.
	ActivePerZone int `json:"activePerZone,omitempty"`
	// Autoscaling starts the proxies beyond ActivePerZone. Default true. False: they wait until ActivePerZone is raised.
	Autoscaling bool `json:"autoscaling"`
	// Rollout is one-by-one, or together for a fleet that nobody uses yet. Default one-by-one.
	Rollout string `json:"rollout,omitempty"`
	// PrivateIPs fixes private IPs by slot, {proxy-eu-west-1a-1: [10.0.1.10]}, as many as proxies.ipsPerProxy. Others are
	// picked by EC2 once and stay.
	PrivateIPs map[string][]netip.Addr `json:"privateIPs,omitempty"`
	// AMI pins the machine image, ami-... Empty: the newest ECS-optimized Amazon Linux 2023 at each start.
	AMI string `json:"ami,omitempty"`
	// KMSKeyARN encrypts the volumes. Empty: the account's default key.
	KMSKeyARN string `json:"kmsKeyARN,omitempty"`
	// Threads of HAProxy, 1 to 64. Default 2.
	Threads int `json:"threads,omitempty"`
	// ReadySeconds is how long a new proxy may take until it is ready, 90 to 1,800. Default 180.
	ReadySeconds int `json:"readySeconds,omitempty"`
	// LogRetentionDays is how long logs are kept, one of CloudWatch's values. Default 30.
	LogRetentionDays int `json:"logRetentionDays,omitempty"`
	// DNSServers are recursive servers. Default: the VPC's own.
	DNSServers []netip.Addr `json:"dnsServers,omitempty"`
}

// Defaults fills in what a user may leave out.
func (f *AWSFleet) Defaults() {
	*f = AWSFleet{InstanceType: "c7g.large", Autoscaling: true, Rollout: "one-by-one", Threads: 2, ReadySeconds: 180, LogRetentionDays: 30}
}

// Repository is the registry and name of Image, without the digest.
func (f AWSFleet) Repository() string {
	repository, _, _ := strings.Cut(f.Image, "@")
	return repository
}

// Runs says whether there is an image to run.
func (f AWSFleet) Runs() bool { return f.Image != "" || f.Digest != "" }

// AWSClients says who may use the proxies.
type AWSClients struct {
	// CIDRs are the cluster's networks, of nodes and, where pods have addresses of their own, of pods. Default: the VPC's.
	CIDRs []netip.Prefix `json:"cidrs,omitempty"`
	// SecurityGroups are the cluster's security groups, sg-... Optional.
	SecurityGroups []string `json:"securityGroups,omitempty"`
}

// ClientCIDRs are the networks that may use the proxies.
func (a *AWS) ClientCIDRs() []netip.Prefix {
	if len(a.Clients.CIDRs) > 0 {
		return a.Clients.CIDRs
	}
	return a.VPC.Networks()
}

// AWSLoadBalancer configures the load balancer in front of the fleet.
type AWSLoadBalancer struct {
	// Zones have the subnet and the static private IP of each zone. Required with an existing VPC; default with a new one: the
	// tenth address of the private subnet.
	Zones map[string]AWSLoadBalancerZone `json:"zones,omitempty"`
	// IdleSeconds is when a connection without traffic is forgotten, 60 to 6,000. Default 350, AWS's own.
	IdleSeconds int `json:"idleSeconds,omitempty"`
}

// Defaults fills in what a user may leave out.
func (l *AWSLoadBalancer) Defaults() { *l = AWSLoadBalancer{IdleSeconds: 350} }

// AWSLoadBalancerZone is one zone's end of the load balancer.
type AWSLoadBalancerZone struct {
	Subnet  string     `json:"subnet"`
	Address netip.Addr `json:"address"`
}

// AWSAlarms configures who is told when a ceiling comes near.
type AWSAlarms struct {
	// Enabled makes the alarms. Default true.
	Enabled bool `json:"enabled"`
	// Emails get a mail from the stack's own SNS topic, each after confirming once. Optional.
	Emails []string `json:"emails,omitempty"`
	// TopicARNs are existing SNS topics. Optional.
	TopicARNs []string `json:"topicARNs,omitempty"`
}

// Defaults fills in what a user may leave out.
func (a *AWSAlarms) Defaults() { *a = AWSAlarms{Enabled: true} }
