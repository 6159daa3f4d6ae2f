// Package capacity turns declared demand into source ports, public IPs, proxies and cost, every figure with the arithmetic
// that leads to it.
//
// The limit that matters: a NAT can hold only so many connections from one source IP to one destination (address, port,
// protocol), and a port stays occupied for a while after its connection closed. Ports are counted per destination, so what is
// needed is the maximum over destinations, not the sum.
package capacity

// Flavor is the way a NAT hands out source ports.
type Flavor string

// The flavours.
const (
	CloudNat   Flavor = "cloudnat"   // a block of ports per VM
	NatGateway Flavor = "natgateway" // ports per IP and destination, shared by the clients of a zone
)

// Via says which way a destination's connections leave.
type Via string

// The ways.
const (
	ViaNat   Via = "nat"
	ViaProxy Via = "proxy" // also pooled destinations: the pool's connections leave through the proxies
)

// Destination is the demand for one destination.
type Destination struct {
	Name                  string
	Via                   Via
	ConnectionsPerSecond  float64 // peak, whole cluster
	SecondsPerConnection  float64 // mean hold time
	RequestsPerConnection float64 // 1 without pooling
	Addresses             int     // addresses behind the name, at least 1
}

// Input is everything a plan depends on. Compute checks it and fills nothing in: defaults belong to the caller.
type Input struct {
	Zones        []string
	Nodes        int // running now
	MaxNodes     int // autoscaler's ceiling
	SurgeNodes   int // on top of MaxNodes during upgrades
	Skew         float64
	AliasRanges  bool
	Flavor       Flavor
	TimeWait     float64 // seconds a port is held after close
	Blocking     float64 // target, for example 1e-6
	PortsPerVM   int     // 0: computed
	Insufficient bool    // accept PortsPerVM below the requirement
	MaxIPs       int     // quota of IPs per NAT gateway
	Proxies      ProxyLimits
	Reserve      int // extra IPs per kind
	Destinations []Destination
}

// ProxyLimits is what one proxy can do.
type ProxyLimits struct {
	SparePerZone         int
	IPsPerProxy          int
	ConnectionsPerSecond float64
	MaxConnections       int
}

// Plan is the result.
type Plan struct {
	Nat     NatPlan    `json:"nat"`
	Proxies ProxyPlan  `json:"proxies"`
	Cost    []CostLine `json:"cost"`    // per month, the chosen design and its alternatives
	Steps   []Step     `json:"steps"`   // the arithmetic, in the order a person would check it
	Margins []Margin   `json:"margins"` // one per destination: load against ceiling
}

// NatPlan sizes the NAT.
type NatPlan struct {
	Flavor Flavor `json:"flavor"`
	// PortsPerVM is set for cloudnat: a power of two.
	PortsPerVM int `json:"portsPerVM,omitempty"`
	// RequiredPortsPerVM is what the demand needs; differs from PortsPerVM only if that was given.
	RequiredPortsPerVM int `json:"requiredPortsPerVM,omitempty"`
	// IPs is the total number of public IPs that carry traffic: for natgateway the sum over zones. 0 if no destination uses the NAT.
	IPs int `json:"ips"`
	// IPsPerZone is set for natgateway: IPs of the gateway in each zone.
	IPsPerZone int `json:"ipsPerZone,omitempty"`
	// Deciding names the destination that decides.
	Deciding string `json:"deciding,omitempty"`
}

// ProxyPlan sizes the fleet.
type ProxyPlan struct {
	PerZone  int    `json:"perZone"` // proxies per zone, spare included; 0 if no destination uses the fleet
	Total    int    `json:"total"`
	IPs      int    `json:"ips"`
	Deciding string `json:"deciding,omitempty"`
}

// CostLine is the monthly list price of one design.
type CostLine struct {
	Design      string  `json:"design"`
	MonthlyUSD  float64 `json:"monthlyUSD"`
	IPsToList   int     `json:"ipsToList"`
	Arithmetic  string  `json:"arithmetic"`
	Recommended bool    `json:"recommended"`
}

// Step is one line of the explanation.
type Step struct {
	What       string  `json:"what"`       // "ports per VM for cdn"
	Arithmetic string  `json:"arithmetic"` // "100/s / 50 nodes x 1.5 x (1 s + 120 s) / 1 address = 363"
	Result     float64 `json:"result"`
	Source     string  `json:"source,omitempty"` // vendor page and date for a limit
}

// Margin says how close a destination comes to its ceiling.
type Margin struct {
	Destination string  `json:"destination"`
	Via         Via     `json:"via"`
	Load        float64 `json:"load"`    // ports in use at the busiest place, mean at peak
	Ceiling     int     `json:"ceiling"` // ports there
	Blocking    float64 `json:"blocking"`
}
