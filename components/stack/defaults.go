package stack

import "math"

// unset marks what a user left out where the default depends on something else. The decoder refuses numbers of that size, so
// it never stems from an input.
const unset = math.MinInt

// Defaults fills in what does not depend on other sections, before the section is decoded.
func (c *Cluster) Defaults() {
	surge := 1
	*c = Cluster{MaxNodes: unset, SurgeNodes: &surge, Skew: 1.5}
}

// Defaults fills in what does not depend on other sections.
func (n *Nat) Defaults() {
	*n = Nat{TimeWaitSeconds: unset, BlockingTarget: 1e-6, MaxIPsPerGateway: 2}
}

// Defaults fills in what does not depend on other sections.
func (p *Proxies) Defaults() {
	spare := 1
	*p = Proxies{SparePerZone: &spare, IPsPerProxy: 1, ConnectionsPerSecond: 2000, MaxConnections: 50000, DrainSeconds: 30, HourlyUSD: 0.08}
}

// Defaults fills in what does not depend on other sections.
func (l *Lab) Defaults() { *l = Lab{PodsPerNode: 1} }

// flavors are the ways of the clouds; stack local may choose.
var flavors = map[Cloud]NatFlavor{CloudAWS: FlavorNatGateway, CloudGCP: FlavorCloudNat, CloudLocal: FlavorCloudNat}

// derive fills in the defaults that depend on what the user did say.
func (s *Stack) derive() {
	if s.Cluster.MaxNodes == unset {
		s.Cluster.MaxNodes = s.Cluster.Nodes
	}
	if s.Nat.Flavor == "" {
		s.Nat.Flavor = flavors[s.Cloud]
	}
	if s.Nat.TimeWaitSeconds == unset {
		s.Nat.TimeWaitSeconds = DefaultTimeWait(s.Nat.Flavor)
	}
	if s.Allowlist.Protect == nil {
		protect := s.Cloud != CloudLocal
		s.Allowlist.Protect = &protect
	}
	if s.Preflight == "" {
		s.Preflight = PreflightOn
	}
	if s.Cloud != CloudLocal {
		s.Lab = Lab{}
	}
	s.deriveGCP()
	s.deriveKubernetes()
}

// DefaultTimeWait is how many seconds each kind of NAT keeps a port after its connection closed.
func DefaultTimeWait(flavor NatFlavor) int {
	if flavor == FlavorNatGateway {
		// Not documented today; follows from the 900 new connections/s per 55,000 ports in the Amazon VPC user guide until 2023-04-06.
		return 60
	}
	return 120 // tcpTimeWaitTimeoutSec, pulumi-gcp v7.38.0 RouterNat
}
