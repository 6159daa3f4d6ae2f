package awspreflight

// Need is what a stack is going to ask of an AWS account, in plain values. Fields that do not apply stay empty: the checks that
// depend on them are then left out.
type Need struct {
	// Stack is the Pulumi stack's name: resources tagged sallyport:stack with it are ours. Required.
	Stack string
	// Region is where everything lives. Required.
	Region string
	// Zones are the zones the stack has anything in. At least one.
	Zones []string
	// VPC is the existing network. The zero value means that the stack makes one.
	VPC VPC
	// Addresses are the elastic IPs, reserve included: those to allocate and those brought.
	Addresses []Address
	// Gateways is the number of NAT gateways per zone. Empty if no destination leaves through NAT.
	Gateways map[string]int
	// IPsPerGateway is the number of elastic IPs of each gateway, 1 to 8. Only with Gateways.
	IPsPerGateway int
	// Fleet is what the proxies run on. The zero value means that there are none.
	Fleet Fleet
}

// VPC is an existing network.
type VPC struct {
	// ID is "vpc-...". Empty: the stack makes a VPC, and Subnets and RouteTables are empty too.
	ID string
	// CIDRs are ranges that must belong to the VPC. May be empty.
	CIDRs []string
	// Subnets are those that the stack file names.
	Subnets []Subnet
	// RouteTables are those of the private subnets, which get a default route to the zone's NAT gateway.
	RouteTables []RouteTable
}

// Subnet is an existing subnet.
type Subnet struct {
	// Place is where the stack file names it: "sallyport:aws.vpc.publicSubnets[eu-west-1a]". Problems begin with it.
	Place string
	// ID is "subnet-...".
	ID string
	// Zone is where it must be.
	Zone string
	// Public demands a default route to an internet gateway, without which no public IP works.
	Public bool
}

// RouteTable is an existing route table that gets a default route.
type RouteTable struct {
	// Place is where the stack file names it: "sallyport:aws.vpc.privateRouteTables[eu-west-1a][0]".
	Place string
	// ID is "rtb-...".
	ID string
}

// Address is one elastic IP.
type Address struct {
	// Slot is the stable name of its owner, the tag sallyport:slot: "nat-eu-west-1a-1". Required, unique.
	Slot string
	// Place is where the stack file brings it: "sallyport:aws.addresses.existing[nat-eu-west-1a-1]". Only with AllocationID.
	Place string
	// AllocationID is "eipalloc-..." of an address that is brought and only used. Empty: the stack allocates one.
	AllocationID string
	// Own says that it comes from a BYOIP or IPAM pool, which does not count against the quota of the region.
	Own bool
}

// Fleet is what the proxies need of a machine.
type Fleet struct {
	// InstanceType is for example "c7g.large". Empty: no fleet.
	InstanceType string
	// Architecture of the image: "arm64" or "x86_64". Empty: any.
	Architecture string
	// IPsPerInterface is the number of private IPs on the one interface, one for each public IP. At least 1.
	IPsPerInterface int
	// Zones are those with proxies. Empty: all of Need.Zones.
	Zones []string
	// Machines is how many of them run at once. 0: their virtual CPUs are not compared with the quota.
	Machines int
}
