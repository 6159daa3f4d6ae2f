package gcpfound

import (
	"cmp"
	"net/url"
	"strings"

	"github.com/sallyport/sallyport/preflight/gcpapi"
	"github.com/sallyport/sallyport/recovery"
)

// addressToken is the type of static addresses, public and internal.
const addressToken = "gcp:compute/address:Address"

// collection is a list of one API, and what each of its items is to Pulumi.
type collection struct {
	address, action string
	things          func(i item) []recovery.Thing
	query           url.Values // nil for none
}

// item is an element of a list, as far as any kind needs it.
type item struct {
	Name               string            `json:"name"`
	SelfLink           string            `json:"selfLink"`
	DisplayName        string            `json:"displayName"`
	Email              string            `json:"email"`
	ResponsePolicyName string            `json:"responsePolicyName"`
	Labels             map[string]string `json:"labels"`
	UserLabels         map[string]string `json:"userLabels"`
	Address            string            `json:"address"`
	AddressType        string            `json:"addressType"`
	Properties         struct {
		Labels map[string]string `json:"labels"`
	} `json:"properties"`
	Nats     []struct{ Name string } `json:"nats"`
	Metadata struct {
		Items []struct{ Key, Value string } `json:"items"`
	} `json:"metadata"`
}

// id is the part of a link that Pulumi uses: "projects/p/regions/r/addresses/a".
func id(link string) string {
	if i := strings.Index(link, "projects/"); i >= 0 {
		return link[i:]
	}
	return link
}

// last is the name at the end of a link.
func last(link string) string { return link[strings.LastIndexByte(link, '/')+1:] }

// named is an item whose link is its id.
func named(token string) func(i item) []recovery.Thing {
	return func(i item) []recovery.Thing {
		tags := i.Labels
		if tags == nil {
			tags = i.Properties.Labels // of a template
		}
		return []recovery.Thing{{Type: token, ID: id(cmp.Or(i.SelfLink, i.Name)), Name: last(i.Name), Tags: tags}}
	}
}

// collections are all lists. A name in more than one place is asked for in each.
func (p Place) collections() []collection {
	compute := func(project, token string, parts ...string) collection {
		kind := parts[len(parts)-1]
		return collection{gcpapi.Compute(append([]string{"projects", project}, parts...)...), "compute." + kind + ".list", named(token), nil}
	}
	regional := func(kind string) []string { return []string{"regions", p.Region, kind} }
	all := []collection{
		compute(p.Network, "gcp:compute/firewall:Firewall", "global", "firewalls"),
		compute(p.Project, "gcp:compute/network:Network", "global", "networks"),
		compute(p.Project, "gcp:compute/healthCheck:HealthCheck", "global", "healthChecks"),
		compute(p.Project, "gcp:compute/instanceTemplate:InstanceTemplate", "global", "instanceTemplates"),
		compute(p.Project, "gcp:compute/subnetwork:Subnetwork", regional("subnetworks")...),
		compute(p.Project, "gcp:compute/regionHealthCheck:RegionHealthCheck", regional("healthChecks")...),
		compute(p.Project, "gcp:compute/regionBackendService:RegionBackendService", regional("backendServices")...),
		compute(p.Project, "gcp:compute/forwardingRule:ForwardingRule", regional("forwardingRules")...),
		{gcpapi.Compute("projects", p.Network, "regions", p.Region, "routers"), "compute.routers.list", routers, nil},
		{gcpapi.IAM("projects", p.Project, "serviceAccounts"), "iam.serviceAccounts.list", accounts, nil},
		{gcpapi.ArtifactRegistry("projects", p.Project, "locations", p.Region, "repositories"), "artifactregistry.repositories.list", named("gcp:artifactregistry/repository:Repository"), nil},
		{gcpapi.Monitoring("v3", "projects", p.Project, "alertPolicies"), "monitoring.alertPolicies.list", alerts, nil},
		{gcpapi.Storage("b"), "storage.buckets.list", buckets, url.Values{"project": {p.Project}}},
		{gcpapi.DNS("projects", p.Project, "responsePolicies"), "dns.responsePolicies.list", p.responsePolicies, nil},
	}
	projects := []string{p.Project}
	if p.Network != p.Project {
		projects = append(projects, p.Network)
	}
	for _, project := range projects {
		all = append(all, collection{gcpapi.Compute("projects", project, "regions", p.Region, "addresses"), "compute.addresses.list", addresses, nil})
	}
	for _, zone := range p.Zones {
		all = append(all, compute(p.Project, "gcp:compute/instanceGroupManager:InstanceGroupManager", "zones", zone, "instanceGroupManagers"),
			collection{gcpapi.Compute("projects", p.Project, "zones", zone, "instances"), "compute.instances.list", machines, nil})
	}
	return all
}

// addresses tell a public IP apart: About has it.
func addresses(i item) []recovery.Thing {
	things := named(addressToken)(i)
	if i.AddressType != "INTERNAL" {
		things[0].About = i.Address
	}
	return things
}

// routers have their gateways inside. "projects/p/regions/r/routers/x" holds the gateway "p/r/x/y".
func routers(i item) []recovery.Thing {
	things := named("gcp:compute/router:Router")(i)
	parts := strings.Split(id(i.SelfLink), "/")
	for _, nat := range i.Nats {
		if len(parts) == 6 {
			path := strings.Join([]string{parts[1], parts[3], parts[5], nat.Name}, "/")
			things = append(things, recovery.Thing{Type: "gcp:compute/routerNat:RouterNat", ID: path, Name: nat.Name})
		}
	}
	return things
}

// accounts are called by the part of their address before the "@".
func accounts(i item) []recovery.Thing {
	name, _, _ := strings.Cut(i.Email, "@")
	return []recovery.Thing{{Type: "gcp:serviceaccount/account:Account", ID: i.Name, Name: name}}
}

// buckets are called by their ids.
func buckets(i item) []recovery.Thing {
	return []recovery.Thing{{Type: "gcp:storage/bucket:Bucket", ID: i.Name, Name: i.Name, Tags: i.Labels}}
}

// alerts have ids that the cloud invents and a title of ours.
func alerts(i item) []recovery.Thing {
	return []recovery.Thing{{Type: "gcp:monitoring/alertPolicy:AlertPolicy", ID: i.Name, Name: i.DisplayName, About: i.DisplayName, Tags: i.UserLabels}}
}

func (p Place) responsePolicies(i item) []recovery.Thing {
	return []recovery.Thing{{Type: "gcp:dns/responsePolicy:ResponsePolicy", ID: "projects/" + p.Project + "/responsePolicies/" + i.ResponsePolicyName, Name: i.ResponsePolicyName}}
}

// machines stand for the configuration that made them: it has the same name, and the machine says which group it is of.
// "created-by" is "projects/<number>/zones/<zone>/instanceGroupManagers/<group>". Compute Engine, "Getting information about a managed
// instance group", 2026.
func machines(i item) []recovery.Thing {
	parts := strings.Split(id(i.SelfLink), "/")
	for _, m := range i.Metadata.Items {
		if m.Key == "created-by" && len(parts) == 6 {
			path := strings.Join([]string{parts[1], parts[3], last(m.Value), i.Name}, "/")
			return []recovery.Thing{{Type: "gcp:compute/perInstanceConfig:PerInstanceConfig", ID: path, Name: i.Name, Tags: i.Labels}}
		}
	}
	return nil
}
