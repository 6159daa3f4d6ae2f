package gcppreflight

// Need is what a stack is going to ask of a GCP project, in plain values. Fields that do not apply stay empty: the checks that
// depend on them are then left out.
type Need struct {
	// Stack is the Pulumi stack's name: resources labelled sallyport-stack with it are ours. Required.
	Stack string
	// Project is the project's ID. Required.
	Project string
	// Host is the host project of the Shared VPC that Project must be attached to. Empty: none.
	Host string
	// Region is where everything lives. Required.
	Region string
	// Zones are the zones the stack has anything in: "europe-west1-b".
	Zones []string
	// Network is the existing network of the project, by name, or of another, projects/HOST/global/networks/NAME. Empty: it is checked in
	// another project, or the stack makes one; Subnetworks is empty too.
	Network string
	// Subnetworks are the existing ones that the stack file names.
	Subnetworks []Subnetwork
	// Addresses are the regional external IPs, reserve included: those to allocate and those brought.
	Addresses []Address
	// Gateways are the Cloud NAT gateways with the router of each. Empty if no destination leaves through NAT.
	Gateways []Gateway
	// Fleet is what the proxies run on. The zero value means that there are none.
	Fleet Fleet
}

// Subnetwork is an existing subnetwork.
type Subnetwork struct {
	// Place is where the stack file names it: "sallyport:gcp.network.existing.subnetworks[0]". Problems begin with it.
	Place string
	// Name is its name or self link, in the region.
	Name string
	// Primary says that its primary range is translated by the stack's NAT.
	Primary bool
	// Secondary are its secondary ranges, by name, that are translated. May be empty.
	Secondary []string
	// AllSecondary says that all its secondary ranges are translated.
	AllSecondary bool
}

// Address is one regional external IP.
type Address struct {
	// Slot is the stable name of its owner, the label sallyport-slot: "nat-1". Required, unique.
	Slot string
	// Place is where the stack file brings it: "sallyport:gcp.addresses.existing[nat-1]". Only with Name.
	Place string
	// Name is the address resource that is brought and only used. Empty: the stack allocates one.
	Name string
	// Own says that it comes from a prefix of one's own, which does not count against the quota of the region.
	Own bool
	// Reserve says that it is published before anything uses it, so it does not count as in use.
	Reserve bool
}

// Gateway is one Cloud NAT gateway.
type Gateway struct {
	// Router is the name of the Cloud Router it lives on, which belongs to the stack. Required.
	Router string
	// Name of the gateway. Required.
	Name string
	// IPs is the number of its manual addresses, those of its rules included.
	IPs int
	// Rules is the number of its NAT rules, for messages: no limit of their number is documented.
	Rules int
	// Ranges is the number of subnetwork ranges it translates.
	Ranges int
}

// Fleet is what the proxies need of a machine.
type Fleet struct {
	// MachineType is for example "e2-standard-2". Empty: no fleet.
	MachineType string
	// Zones are those with proxies. Empty: all of Need.Zones.
	Zones []string
	// Machines is how many of them run at once, each with an address whose slot begins with "proxy-". 0: their virtual CPUs are not
	// compared with the quota.
	Machines int
	// NamePrefix begins the names of its instances: an address that one of them uses is not in the way. Empty: any instance's is not.
	NamePrefix string
}
