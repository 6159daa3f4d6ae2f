// Package stack is the typed form of a stack file: everything a user can say about one environment under the
// configuration namespace "sallyport".
//
// It is pure: infra feeds it what Pulumi read ([Decode]), the command line feeds it stacks/Pulumi.<stack>.yaml ([ReadFile]),
// and both get the same defaults, the same checks and the same messages. A stack that was decoded is complete: no field is
// left to a default of its reader, and its demand fits into a legal plan ([Stack.Plan]).
package stack

import (
	"net/netip"

	"github.com/sallyport/sallyport/components/destinations"
)

// Cloud is where a stack lives.
type Cloud string

// The clouds.
const (
	CloudLocal Cloud = "local" // network namespaces on this machine
	CloudAWS   Cloud = "aws"
	CloudGCP   Cloud = "gcp"
)

// Stack is one environment.
type Stack struct {
	Cloud        Cloud                      `json:"cloud"`
	Cluster      Cluster                    `json:"cluster"`
	Destinations []destinations.Destination `json:"destinations"`
	Nat          Nat                        `json:"nat"`
	Proxies      Proxies                    `json:"proxies"`
	Allowlist    Allowlist                  `json:"allowlist"`
	// Preflight says whether quotas and the network are checked before the first resource is made. Default on; off for those
	// whose credentials may not read them. Clouds only.
	Preflight  Preflight   `json:"preflight"`
	AWS        *AWS        `json:"aws,omitempty"`        // never nil with cloud aws, nil with others
	GCP        *GCP        `json:"gcp,omitempty"`        // never nil with cloud gcp, nil with others
	Kubernetes *Kubernetes `json:"kubernetes,omitempty"` // nil: nothing is installed in the cluster
	Lab        Lab         `json:"lab"`                  // cloud local only
}

// Preflight switches the checks before the first resource.
type Preflight string

// The settings.
const (
	PreflightOn  Preflight = "on"
	PreflightOff Preflight = "off"
)

// Cluster describes the Kubernetes cluster as the network sees it.
type Cluster struct {
	// Zones are the zones with nodes. At least one; names are DNS labels, unique.
	Zones []string `json:"zones"`
	// Nodes is the number of nodes now. At least one per zone in stack local.
	Nodes int `json:"nodes"`
	// MaxNodes is the autoscaler's ceiling. Default Nodes.
	MaxNodes int `json:"maxNodes,omitempty"`
	// SurgeNodes are the nodes an upgrade adds on top of MaxNodes. Default 1.
	SurgeNodes *int `json:"surgeNodes,omitempty"`
	// Skew is the load of the busiest node divided by the mean. Default 1.5, at least 1.
	Skew float64 `json:"skew,omitempty"`
	// AliasRanges says that pods use secondary (alias) ranges, as on GKE: Cloud NAT then reserves at least 1,024 ports
	// per VM. Default false.
	AliasRanges bool `json:"aliasRanges,omitempty"`
}

// NatFlavor is the way a NAT hands out source ports.
type NatFlavor string

// The flavours.
const (
	FlavorCloudNat   NatFlavor = "cloudnat"   // GCP: a block of ports per VM, taken from all IPs
	FlavorNatGateway NatFlavor = "natgateway" // AWS: 55,000 ports per IP and destination, shared by all clients of a zone
)

// Nat configures the NAT path.
type Nat struct {
	// Flavor is free only in stack local, default cloudnat there; aws means natgateway and gcp means cloudnat.
	Flavor NatFlavor `json:"flavor,omitempty"`
	// TimeWaitSeconds is how long a source port stays unusable after its connection closed. Default 120 for cloudnat
	// (tcpTimeWaitTimeoutSec), 60 for natgateway.
	TimeWaitSeconds int `json:"timeWaitSeconds,omitempty"`
	// BlockingTarget is the accepted share of new connections that find no port at peak. Default 1e-6.
	BlockingTarget float64 `json:"blockingTarget,omitempty"`
	// PortsPerVM overrides the computed ports per VM (cloudnat). 0 means computed.
	PortsPerVM int `json:"portsPerVM,omitempty"`
	// AllowInsufficient accepts a PortsPerVM below the computed requirement, for experiments. Default false.
	AllowInsufficient bool `json:"allowInsufficient,omitempty"`
	// MaxIPsPerGateway is the account's quota of public IPs per NAT gateway (natgateway), 1 to 8. Default 2, the AWS default.
	MaxIPsPerGateway int `json:"maxIPsPerGateway,omitempty"`
}

// Proxies configures the egress proxies.
type Proxies struct {
	// SparePerZone is the number of proxies per zone beyond what the load needs. Default 1.
	SparePerZone *int `json:"sparePerZone,omitempty"`
	// IPsPerProxy is the number of static public IPs each proxy owns. Default 1.
	IPsPerProxy int `json:"ipsPerProxy,omitempty"`
	// ConnectionsPerSecond is what one proxy takes in new connections per second. Default 2,000.
	ConnectionsPerSecond float64 `json:"connectionsPerSecond,omitempty"`
	// MaxConnections is what one proxy holds at once. Default 50,000.
	MaxConnections int `json:"maxConnections,omitempty"`
	// DrainSeconds is how long a proxy that was told to stop serves its connections, 1 to 3,600. Default 30.
	DrainSeconds int `json:"drainSeconds,omitempty"`
	// HourlyUSD is the price of one proxy's machine, for the cost comparison only. Default 0.08, which is no vendor's price
	// but the order of magnitude of two virtual CPUs.
	HourlyUSD float64 `json:"hourlyUSD,omitempty"`
}

// Lab configures what only stack local has.
type Lab struct {
	// PodsPerNode is the number of test pods per node, 1 to 8. Default 1.
	PodsPerNode int `json:"podsPerNode,omitempty"`
	// UnlistedHosts are names that exist on the lab's internet and that no destination lists.
	UnlistedHosts []string `json:"unlistedHosts,omitempty"`
	// StalePartners are partners whose allowlist is empty, as if they had never been told: they refuse everything.
	StalePartners []string `json:"stalePartners,omitempty"`
	// PartnerLists are what partners list, as networks, for those who do not simply list what the stack publishes: so a partner
	// can play one who updates late.
	PartnerLists map[string][]netip.Prefix `json:"partnerLists,omitempty"`
}
