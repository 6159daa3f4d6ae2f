package stack

import "net/netip"

// GCP configures what only cloud gcp has: the network, its Cloud NAT and what the fleet runs on.
type GCP struct {
	// Project is the ID of the project that everything is made in. Required.
	Project string `json:"project"`
	// Region is where everything lives; cluster.zones are zones of it. Required.
	Region string `json:"region"`
	// Labels are put on everything that takes labels, besides our own. Lower case, at most 32.
	Labels map[string]string `json:"labels,omitempty"`
	// Network is the VPC network: an existing one, or a new one. Required.
	Network GCPNetwork `json:"network"`
	// Nat are the settings of Cloud NAT that the plan does not decide.
	Nat GCPNat `json:"nat"`
	// Addresses says where public IPs come from.
	Addresses GCPAddresses `json:"addresses"`
	// Clients are the networks that may use the proxies: the cluster's nodes and pods. Required with proxied destinations on
	// an existing network; a new one knows its own.
	Clients []netip.Prefix `json:"clients,omitempty"`
	// Fleet says what the proxies run on.
	Fleet GCPFleet `json:"fleet"`
	// GKE says what is known of the cluster if GKE runs it. Nil for self-managed clusters.
	GKE *GKE `json:"gke,omitempty"`
	// Alerts says who is told.
	Alerts GCPAlerts `json:"alerts"`
}

// GCPNetwork is either of its fields.
type GCPNetwork struct {
	Existing *GCPExistingNetwork `json:"existing,omitempty"`
	New      *GCPNewNetwork      `json:"new,omitempty"`
}

// GCPExistingNetwork is a network that somebody else owns. It is only read.
type GCPExistingNetwork struct {
	// Name of the VPC network. Required.
	Name string `json:"name"`
	// Project is the host project of a Shared VPC. Default the stack's project.
	Project string `json:"project,omitempty"`
	// Subnetworks are those of the cluster's nodes. Needed for destinations on the NAT.
	Subnetworks []GCPSubnetwork `json:"subnetworks,omitempty"`
	// FleetSubnetwork is where the proxies live. It must not be among Subnetworks, so that nodes and proxies have ranges of
	// their own. Needed for proxied destinations.
	FleetSubnetwork string `json:"fleetSubnetwork,omitempty"`
}

// GCPSubnetwork is a subnetwork of nodes behind the NAT.
type GCPSubnetwork struct {
	// Name of the subnetwork. Required.
	Name string `json:"name"`
	// Primary says that the primary range, the nodes' own, is translated. Default true.
	Primary bool `json:"primary"`
	// SecondaryRanges are the names of the ranges of pods that are translated. Needs cluster.aliasRanges.
	SecondaryRanges []string `json:"secondaryRanges,omitempty"`
	// Gateway is the Cloud NAT gateway for this subnetwork. Default nat. One gateway holds 300 IPs and 50 ranges; a subnetwork
	// that changes its gateway loses its connections.
	Gateway string `json:"gateway,omitempty"`
	// MaxNodes is how many nodes this subnetwork may ever hold, surge included. Default all of the cluster.
	MaxNodes int `json:"maxNodes,omitempty"`
}

// Defaults fills in what a user may leave out.
func (s *GCPSubnetwork) Defaults() {
	*s = GCPSubnetwork{Primary: true, Gateway: GCPDefaultGateway, MaxNodes: unset}
}

// GCPDefaultGateway is the gateway of subnetworks that name none.
const GCPDefaultGateway = "nat"

// GCPNewNetwork is a network of the stack's own, for those who bring none.
type GCPNewNetwork struct {
	// CIDR is divided in two: the lower half for nodes, the upper half for proxies. /8 to /24. Required.
	CIDR netip.Prefix `json:"cidr"`
	// Pods and Services are the secondary ranges of a GKE cluster, named pods and services. Default none.
	Pods     netip.Prefix `json:"pods,omitzero"`
	Services netip.Prefix `json:"services,omitzero"`
}

// GCPNat are the settings of Cloud NAT.
type GCPNat struct {
	// DynamicPorts switches dynamic port allocation on. Default static: every VM has the plan's ports from the start. The
	// number of IPs is the same, so that every VM can grow to what the plan demands, whatever the others do.
	DynamicPorts *GCPDynamicPorts `json:"dynamicPorts,omitempty"`
	// Rules give destinations source IPs of their own.
	Rules []GCPNatRule `json:"rules,omitempty"`
	// Acknowledge accepts that a change resets connections: lower-ports, dynamic-ports, remove-ranges. Remove it after the change.
	Acknowledge []Acknowledgement `json:"acknowledge,omitempty"`
	// The timeouts of mappings, in seconds, 1 to 7,200. Defaults are Google's: 1,200, 30, 30 and 30. That of TIME_WAIT is
	// sallyport:nat.timeWaitSeconds, because the plan depends on it. An IP that leaves its gateway must have drained for the
	// first of them at least.
	EstablishedIdleSeconds int `json:"establishedIdleSeconds"`
	TransitoryIdleSeconds  int `json:"transitoryIdleSeconds"`
	UDPIdleSeconds         int `json:"udpIdleSeconds"`
	ICMPIdleSeconds        int `json:"icmpIdleSeconds"`
	// Log says what the NAT logs: errors (default), translations, all. Off is not offered: without the log a drop has no cause.
	Log NatLog `json:"log"`
	// Compare are designs that `sallyport plan --compare` and `pulumi up` print beside the plan. At most 8.
	Compare []GCPDesign `json:"compare,omitempty"`
}

// Defaults fills in what a user may leave out.
func (n *GCPNat) Defaults() {
	// pulumi-gcp v7.38.0 RouterNat: the defaults of the API.
	*n = GCPNat{EstablishedIdleSeconds: 1200, TransitoryIdleSeconds: 30, UDPIdleSeconds: 30, ICMPIdleSeconds: 30, Log: NatLogErrors}
}

// NatLog says what Cloud NAT logs.
type NatLog string

// The settings.
const (
	NatLogErrors       NatLog = "errors"
	NatLogTranslations NatLog = "translations"
	NatLogAll          NatLog = "all"
)

// Acknowledgement accepts what a change of the NAT does to connections.
type Acknowledgement string

// The acknowledgements.
const (
	// AcknowledgeLowerPorts accepts fewer ports per VM.
	AcknowledgeLowerPorts Acknowledgement = "lower-ports"
	// AcknowledgeDynamicPorts accepts that dynamic port allocation is switched on or off.
	AcknowledgeDynamicPorts Acknowledgement = "dynamic-ports"
	// AcknowledgeRemoveRanges accepts that a subnetwork range or a gateway loses its NAT.
	AcknowledgeRemoveRanges Acknowledgement = "remove-ranges"
)

// GCPDynamicPorts are the bounds of dynamic port allocation. Powers of two.
type GCPDynamicPorts struct {
	Min int `json:"min"` // 32 or more, 1,024 or more with alias ranges
	Max int `json:"max"` // above Min, at least what the plan demands, at most 65,536
}

// GCPNatRule sends some destinations out by IPs of their own, so that their partner lists few and no other's.
type GCPNatRule struct {
	// Name is a DNS label, unique; the IPs are named after it. Required.
	Name string `json:"name"`
	// Number is the rule's number on the gateway, unique, 1 to 65,000. Required: it must not move when rules come and go.
	Number int `json:"number"`
	// Destinations are names of the list, on route nat: whose partners list these IPs. Required.
	Destinations []string `json:"destinations"`
	// CIDRs are all networks that the destinations' hosts may resolve to: a NAT knows no names. An address outside of them is
	// reached from the gateway's own IPs. Required.
	CIDRs []netip.Prefix `json:"cidrs"`
	// IPs is their number. Default what the plan demands: as many as the gateway has.
	IPs int `json:"ips,omitempty"`
}

// GCPDesign is a Cloud NAT to compare the plan with.
type GCPDesign struct {
	PortsPerVM int `json:"portsPerVM"`
	IPs        int `json:"ips"`
}

// GCPAddresses says where public IPs come from. The keys are the names of addresses, as in the allowlist: nat-1, nat-reserve-1,
// proxy-europe-west1-b-1-1. What becomes of an address later is in sallyport:allowlist.ips.
type GCPAddresses struct {
	// Tier is premium (default) or standard.
	Tier NetworkTier `json:"tier"`
	// Existing brings addresses that belong to somebody else, by the resource's name in the region. They are used, never
	// changed and never released.
	Existing map[string]string `json:"existing,omitempty"`
	// Prefix is a delegated prefix of your own (BYOIP): new addresses get the lowest IP of it that is free. Fixed gives
	// addresses certain IPs of it.
	Prefix netip.Prefix          `json:"prefix,omitzero"`
	Fixed  map[string]netip.Addr `json:"fixed,omitempty"`
}

// Defaults fills in what a user may leave out.
func (a *GCPAddresses) Defaults() { *a = GCPAddresses{Tier: TierPremium} }

// NetworkTier is the tier of public IPs.
type NetworkTier string

// The tiers.
const (
	TierPremium  NetworkTier = "premium"
	TierStandard NetworkTier = "standard"
)

// GCPFleet says what the proxies run on.
type GCPFleet struct {
	// MachineType of each proxy. Default e2-standard-2. Arm machines (t2a, c4a, n4a, axion) are recognised.
	MachineType string `json:"machineType,omitempty"`
	// Image is the proxy image by digest: region-docker.pkg.dev/project/repository/sallyport@sha256:... Without it the proxies'
	// public IPs are allocated and published, and no proxy runs.
	Image string `json:"image,omitempty"`
	// Repository names an Artifact Registry repository to make for the image, with immutable tags. Default none.
	Repository string `json:"repository,omitempty"`
	// OS is the machine image. Default the stable family of Container-Optimized OS; name an image to pin it.
	OS string `json:"os,omitempty"`
	// ActivePerZone is how many of the planned proxies per zone run now; the others' IPs are published and wait. Default all.
	ActivePerZone int `json:"activePerZone,omitempty"`
	// LoadBalancer adds an internal passthrough load balancer in front of the proxies. Default false.
	LoadBalancer bool `json:"loadBalancer,omitempty"`
}

// Defaults fills in what a user may leave out.
func (f *GCPFleet) Defaults() {
	*f = GCPFleet{MachineType: "e2-standard-2", OS: "projects/cos-cloud/global/images/family/cos-stable"}
}

// GKE is what is known of a GKE cluster.
type GKE struct {
	// Cluster is its name. Required.
	Cluster string `json:"cluster"`
	// Location is its region or zone. Default the region.
	Location string `json:"location,omitempty"`
	// ManagedDNSCache says that NodeLocal DNSCache is GKE's own add-on. Default true, as GKE's. A second cache is then refused.
	ManagedDNSCache bool `json:"managedDnsCache"`
	// ResponsePolicy redirects the listed hosts to the proxies in Cloud DNS: the way for clusters whose cache is managed.
	// Default false.
	ResponsePolicy bool `json:"responsePolicy,omitempty"`
}

// Defaults fills in what a user may leave out.
func (g *GKE) Defaults() { *g = GKE{ManagedDNSCache: true} }

// GCPAlerts says whether alert policies are made and who is told.
type GCPAlerts struct {
	// Enabled is on by default.
	Enabled bool `json:"enabled"`
	// Channels are notification channels: projects/PROJECT/notificationChannels/ID.
	Channels []string `json:"channels,omitempty"`
}

// Defaults fills in what a user may leave out.
func (a *GCPAlerts) Defaults() { *a = GCPAlerts{Enabled: true} }

// deriveGCP fills in the defaults that depend on other sections.
func (s *Stack) deriveGCP() {
	if s.GCP == nil {
		return
	}
	if existing := s.GCP.Network.Existing; existing != nil {
		if existing.Project == "" {
			existing.Project = s.GCP.Project
		}
		for i := range existing.Subnetworks {
			if existing.Subnetworks[i].MaxNodes == unset {
				existing.Subnetworks[i].MaxNodes = s.Cluster.MaxNodes + surge(s.Cluster)
			}
		}
	}
	if gke := s.GCP.GKE; gke != nil && gke.Location == "" {
		gke.Location = s.GCP.Region
	}
}

// surge is the cluster's surge, which an explicit null leaves out.
func surge(c Cluster) int {
	if c.SurgeNodes == nil {
		return 0
	}
	return *c.SurgeNodes
}
