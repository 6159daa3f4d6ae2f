package gcppreflight

import "strings"

// project is what was found, as far as the checks need it, in the words of the Compute Engine API. A part that could not be read
// is nil; its refusal has been recorded, and the checks that depend on it are left out.
type project struct {
	region      *region
	quotas      []quota // of the whole project
	addresses   []address
	routers     []router // of the region, in the project and in that of the network
	network     *network
	host        *string            // name of the project's host project, empty for none
	subnetworks []subnetwork       // of the region, in the project of the network
	machines    map[string]machine // by zone
}

type machine struct {
	CPUs int `json:"guestCpus"`
	// missing says that the zone has no such type.
	missing bool
}

type quota struct {
	Metric string  `json:"metric"`
	Limit  float64 `json:"limit"`
	Usage  float64 `json:"usage"`
}

type region struct {
	Quotas []quota  `json:"quotas"`
	Zones  []string `json:"zones"` // self links
}

type address struct {
	Name        string            `json:"name"`
	Address     string            `json:"address"`
	AddressType string            `json:"addressType"`
	Status      string            `json:"status"`
	Users       []string          `json:"users"` // self links
	Labels      map[string]string `json:"labels"`
}

type network struct {
	Name string `json:"name"`
	// missing says that the API knows no such network.
	missing bool
}

type subnetwork struct {
	Name      string `json:"name"`
	Network   string `json:"network"`
	Secondary []struct {
		Name string `json:"rangeName"`
	} `json:"secondaryIpRanges"`
}

type router struct {
	Name    string `json:"name"`
	Network string `json:"network"`
	Nats    []nat  `json:"nats"`
}

type nat struct {
	Name        string `json:"name"`
	Type        string `json:"type"`
	Source      string `json:"sourceSubnetworkIpRangesToNat"`
	Subnetworks []struct {
		Name      string   `json:"name"` // self link
		Ranges    []string `json:"sourceIpRangesToNat"`
		Secondary []string `json:"secondaryIpRangeNames"`
	} `json:"subnetworks"`
}

// Labels that mark what belongs to a stack.
const (
	labelStack = "sallyport-stack"
	labelSlot  = "sallyport-slot"
)

// last returns the last part of a self link: the name.
func last(link string) string { return link[strings.LastIndex(link, "/")+1:] }

// after returns the part of a self link that follows a word: after(".../projects/p/global", "projects") is "p"; empty if there
// is none.
func after(link, word string) string {
	parts := strings.Split(link, "/")
	for i, part := range parts[:len(parts)-1] {
		if part == word {
			return parts[i+1]
		}
	}
	return ""
}

// networkProject is where the network, its subnetworks and its routers are: another project with a shared VPC.
func (n Need) networkProject() string {
	if host := after(n.Network, "projects"); host != "" {
		return host
	}
	return n.Project
}

// routerNames are the routers of this stack.
func (n Need) routerNames() map[string]bool {
	names := map[string]bool{}
	for _, g := range n.Gateways {
		names[g.Router] = true
	}
	return names
}
