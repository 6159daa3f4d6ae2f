package awspreflight

// account is what was found, as far as the checks need it. A part that could not be read is nil; its refusal has been recorded,
// and the checks that depend on it are left out.
type account struct {
	addresses []elasticIP
	gateways  []gateway
	subnets   map[string]subnet // of the whole region, by ID
	tables    map[string]table  // of the VPC, by ID
	vpcs      map[string]vpc    // the one asked for, by ID
	zones     map[string]bool   // of the region; true if usable
	machine   *machine
	offered   map[string]bool // zones that have the instance type
	quotas    map[string]int  // by code
	ours      map[string]bool // network interfaces of this stack, by ID
	instances []instance      // that count against the quota of virtual CPUs
}

type instance struct {
	kind string
	cpus int
	ours bool
}

type elasticIP struct {
	allocationID, publicIP string
	own                    bool // from a pool of one's own
	attached               bool
	interfaceID            string
	tags                   map[string]string
}

type gateway struct {
	id, subnetID string
	allocations  map[string]bool // of its elastic IPs
	tags         map[string]string
}

type subnet struct{ id, vpcID, zone string }

type vpc struct {
	id    string
	cidrs []string
}

type table struct {
	id      string
	main    bool
	subnets []string     // explicitly associated
	out     defaultRoute // zero value: none
}

// defaultRoute is the route to 0.0.0.0/0.
type defaultRoute struct {
	target string // the ID of what it points to
	broken bool   // the target is gone
}

type machine struct {
	ipsPerInterface int
	cpus            int
	architectures   []string
}

// Tags that mark what belongs to a stack.
const (
	tagStack = "sallyport:stack"
	tagSlot  = "sallyport:slot"
)
