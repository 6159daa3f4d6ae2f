// Package capacity turns declared demand into source ports, public IPs, proxies and cost, every figure with the arithmetic
// that leads to it.
//
// The limit that matters: a NAT can hold only so many connections from one source IP to one destination (address, port,
// protocol), and a port stays occupied for a while after its connection closed. Ports are counted per destination, so what is
// needed is the maximum over destinations, not the sum.
//
// [Compute] follows the arithmetic that a person would: offered load (Little's law), ports for that load (Erlang's loss
// formula, [ErlangB]), public IPs for those ports. Every intermediate figure is in Plan.Steps.
package capacity

import "github.com/sallyport/sallyport/internal/problem"

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
	Place                 string // where the user declared it, for messages; empty: the name
	Via                   Via
	ConnectionsPerSecond  float64 // peak, whole cluster
	SecondsPerConnection  float64 // mean hold time
	RequestsPerConnection float64 // 1 without pooling: how many of the connections share one upstream
	Addresses             int     // addresses behind the name, at least 1
}

// Input is everything a plan depends on. Compute checks it and fills nothing in: defaults belong to the caller.
type Input struct {
	Zones        []string
	Nodes        int     // running now, at least 1; the peak load spreads over them
	MaxNodes     int     // autoscaler's ceiling
	SurgeNodes   int     // on top of MaxNodes during upgrades
	Skew         float64 // load of the busiest node over the mean, at least 1
	AliasRanges  bool    // cloudnat: alias ranges are translated, so a VM gets at least 1,024 ports
	Flavor       Flavor
	TimeWait     float64        // seconds a port is held after close
	Blocking     float64        // target, for example 1e-6
	PortsPerVM   int            // 0: computed
	Insufficient bool           // accept PortsPerVM and IPs below the requirement
	IPs          int            // cloudnat: public IPs that are there already; 0: computed
	MaxIPs       int            // natgateway: quota of IPs per NAT gateway, at most MaxIPsPerGateway
	Gateways     []GatewayShare // cloudnat: the gateways and the VMs behind each; empty: as many as it takes, even shares
	Rules        []NatRule      // cloudnat: destinations with IPs of their own, on every gateway
	Proxies      ProxyLimits
	Reserve      int // extra IPs per kind
	Destinations []Destination
	Namespace    string // in front of the places in messages, for example "sallyport:"; may be empty
}

// ProxyLimits is what one proxy can do.
type ProxyLimits struct {
	SparePerZone         int
	IPsPerProxy          int
	ConnectionsPerSecond float64
	MaxConnections       int
	HourlyUSD            float64 // price of one proxy's machine
}

// Plan is the result.
type Plan struct {
	Nat     NatPlan   `json:"nat"`
	Proxies ProxyPlan `json:"proxies"`
	// Gateways is set for cloudnat: one entry per Cloud NAT gateway, in the order of Input.Gateways. Their IPs add up to
	// Nat.IPs. Empty if no destination uses the NAT.
	Gateways []GatewayPlan `json:"gateways,omitempty"`
	Cost     []CostLine    `json:"cost"`    // per month, the chosen design and its alternatives
	Steps    []Step        `json:"steps"`   // the arithmetic, in the order a person would check it
	Margins  []Margin      `json:"margins"` // one per destination: load against ceiling
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
	// RuleIPs is set for cloudnat: IPs that NAT rules use for their own destinations, on top of IPs.
	RuleIPs int `json:"ruleIPs,omitempty"`
	// ReserveIPs are listed to partners but carry no traffic yet.
	ReserveIPs int `json:"reserveIPs,omitempty"`
	// Deciding names the destination that decides.
	Deciding string `json:"deciding,omitempty"`
}

// ProxyPlan sizes the fleet.
type ProxyPlan struct {
	PerZone    int    `json:"perZone"` // proxies per zone, spare included; 0 if no destination uses the fleet
	Total      int    `json:"total"`
	IPs        int    `json:"ips"`                  // public IPs that carry traffic
	ReserveIPs int    `json:"reserveIPs,omitempty"` // listed to partners, no traffic yet
	Deciding   string `json:"deciding,omitempty"`   // a destination, or "all" if their sum decides
}

// CostLine is the monthly list price of one design.
type CostLine struct {
	Design      string  `json:"design"`
	MonthlyUSD  float64 `json:"monthlyUSD"`           // 0 if there is no such design
	IPsToList   int     `json:"ipsToList"`            // public IPs that partners must list, reserve included
	Arithmetic  string  `json:"arithmetic"`           // how the price comes about
	Impossible  string  `json:"impossible,omitempty"` // why the design does not carry the demand; empty if it does
	Chosen      bool    `json:"chosen"`               // the design that the input describes
	Recommended bool    `json:"recommended"`          // fewest IPs to list, then the lowest price
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
	Load        float64 `json:"load"`     // ports in use at the busiest place (VM, or IP of a gateway or proxy), mean at peak
	Ceiling     int     `json:"ceiling"`  // ports there
	Blocking    float64 `json:"blocking"` // share of new connections that find no port
}

// Compute sizes everything. The error joins every [problem.Problem]: a wrong input, or a demand that no legal plan carries,
// with the arithmetic that shows it and the way out.
func Compute(in Input) (Plan, error) {
	list := &problem.List{}
	validate(in, list)
	if err := list.Err(); err != nil {
		return Plan{}, err
	}
	s := newSizer(in, list)
	plan := Plan{Nat: s.nat(s.via(ViaNat)), Proxies: s.proxies(s.via(ViaProxy))}
	plan.Gateways = s.gateways
	plan.Steps, plan.Margins = s.steps, s.margins
	if err := list.Err(); err != nil {
		return Plan{}, err
	}
	plan.Cost = costs(in, plan)
	return plan, nil
}

// sizer carries what the parts of one computation share.
type sizer struct {
	in      Input
	list    *problem.List
	steps   []Step
	margins []Margin
	// gateways are set by cloudNat.
	gateways []GatewayPlan
}

func newSizer(in Input, list *problem.List) *sizer { return &sizer{in: in, list: list} }

func (s *sizer) step(what string, result float64, source, arithmetic string) {
	s.steps = append(s.steps, Step{What: what, Arithmetic: arithmetic, Result: result, Source: source})
}

// via returns the destinations of one way, in the order declared.
func (s *sizer) via(way Via) []Destination {
	var found []Destination
	for _, d := range s.in.Destinations {
		if d.Via == way {
			found = append(found, d)
		}
	}
	return found
}

func (s *sizer) nat(ds []Destination) NatPlan {
	plan := NatPlan{Flavor: s.in.Flavor}
	if len(ds) == 0 {
		return plan
	}
	if s.in.Flavor == NatGateway {
		plan = s.natGateway(ds)
	} else {
		plan = s.cloudNat(ds)
	}
	plan.ReserveIPs = s.in.Reserve
	return plan
}
