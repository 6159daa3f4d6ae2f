package fakeaws

// Zone is an Availability Zone.
type Zone struct {
	Name string
	// OptedOut says that the account may not use it.
	OptedOut bool
}

// VPC is a network.
type VPC struct {
	ID    string
	CIDRs []string
}

// Subnet is a subnet.
type Subnet struct{ ID, VPC, Zone string }

// RouteTable is a route table. Default is where 0.0.0.0/0 leads: "igw-1", "nat-1", "tgw-1", "eni-1", empty: nowhere.
type RouteTable struct {
	ID, VPC string
	Main    bool
	Subnets []string
	Default string
	// Blackhole says that what Default leads to is gone.
	Blackhole bool
}

// Address is an elastic IP.
type Address struct {
	ID, IP string
	// Pool of one's own. Empty: Amazon's.
	Pool string
	// Interface it is attached to, if any.
	Interface string
	Tags      map[string]string
}

// NatGateway is a NAT gateway. State is available unless set.
type NatGateway struct {
	ID, Subnet, State string
	Addresses         []string // allocation IDs
	Tags              map[string]string
}

// Interface is a network interface.
type Interface struct {
	ID   string
	Tags map[string]string
}

// Instance is a machine that runs unless State says otherwise.
type Instance struct {
	ID, Type, State string
	CPUs            int
	Spot            bool
	Tags            map[string]string
}

// InstanceType is a kind of machine and the zones that offer it.
type InstanceType struct {
	Name            string
	IPsPerInterface int
	CPUs            int
	Architectures   []string
	Zones           []string
}
