package gcppreflight_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/golden"
	"github.com/sallyport/sallyport/preflight/fakegcp"
	"github.com/sallyport/sallyport/preflight/gcppreflight"
)

const region = "europe-west1"

var zones = []string{"europe-west1-b", "europe-west1-c"}

type object = fakegcp.Object

// project is one that the stack of need fits into: exactly, as to addresses.
func project() fakegcp.Project {
	link := "https://www.googleapis.com/compute/v1/projects/project-1/"
	return fakegcp.Project{
		ID: "project-1", Region: region, Zones: append(slices.Clone(zones), "europe-west1-d"),
		RegionQuotas:  map[string][2]float64{gcppreflight.QuotaStatic: {8, 1}, gcppreflight.QuotaInUse: {7, 1}, gcppreflight.QuotaCPUs: {8, 4}},
		ProjectQuotas: map[string][2]float64{gcppreflight.QuotaRouters: {10, 9}},
		Networks:      []string{"prod", "other"},
		Subnetworks: []object{
			{"name": "nodes", "network": link + "global/networks/prod", "secondaryIpRanges": []object{{"rangeName": "pods"}, {"rangeName": "services"}}},
			{"name": "fleet", "network": link + "global/networks/prod"},
			{"name": "elsewhere", "network": link + "global/networks/other"},
		},
		Routers:      []object{{"name": "vpn", "network": link + "global/networks/prod"}},
		Addresses:    []object{{"name": "somebodys", "address": "192.0.2.1", "addressType": "EXTERNAL", "status": "IN_USE", "users": []string{link + "zones/europe-west1-b/instances/web-1"}}},
		MachineTypes: map[string][]string{zones[0]: {"e2-standard-2", "c4a-standard-2"}, zones[1]: {"e2-standard-2"}, "europe-west1-d": nil},
	}
}

// need is a gateway of four IPs, two proxies, and one IP in reserve: seven addresses, six of them in use.
func need() gcppreflight.Need {
	n := gcppreflight.Need{
		Stack: "prod", Project: "project-1", Region: region, Zones: zones, Network: "prod",
		Subnetworks: []gcppreflight.Subnetwork{
			{Place: "sallyport:gcp.network.existing.subnetworks[0]", Name: "nodes", Primary: true, Secondary: []string{"pods"}},
			{Place: "sallyport:gcp.network.existing.fleetSubnetwork", Name: "fleet"},
		},
		Gateways: []gcppreflight.Gateway{{Router: "sallyport-prod", Name: "nat", IPs: 4, Ranges: 2}},
		Fleet:    gcppreflight.Fleet{MachineType: "e2-standard-2", Machines: 2, NamePrefix: "proxy-"},
	}
	for i := range 4 {
		n.Addresses = append(n.Addresses, gcppreflight.Address{Slot: fmt.Sprintf("nat-%d", i+1)})
	}
	for _, zone := range zones {
		n.Addresses = append(n.Addresses, gcppreflight.Address{Slot: "proxy-" + zone + "-1-1"})
	}
	n.Addresses = append(n.Addresses, gcppreflight.Address{Slot: "nat-reserve-1", Reserve: true})
	return n
}

// built is the project after the stack was.
func built() fakegcp.Project {
	p := project()
	for _, a := range need().Addresses {
		found := object{"name": a.Slot, "address": "198.51.100.1", "addressType": "EXTERNAL", "status": "IN_USE",
			"labels": map[string]string{"sallyport-stack": "prod", "sallyport-slot": a.Slot}}
		switch {
		case a.Reserve:
			found["status"] = "RESERVED"
		case strings.HasPrefix(a.Slot, "nat-"):
			found["users"] = []string{"https://www.googleapis.com/compute/v1/projects/project-1/regions/europe-west1/routers/sallyport-prod"}
		default:
			found["users"] = []string{"https://www.googleapis.com/compute/v1/projects/project-1/zones/europe-west1-b/instances/proxy-b-1"}
		}
		p.Addresses = append(p.Addresses, found)
	}
	p.Routers = append(p.Routers, object{"name": "sallyport-prod", "network": "https://www.googleapis.com/compute/v1/projects/project-1/global/networks/prod",
		"nats": []object{nat("nat", "nodes", "PRIMARY_IP_RANGE", "pods")}})
	p.RegionQuotas = map[string][2]float64{gcppreflight.QuotaStatic: {8, 8}, gcppreflight.QuotaInUse: {7, 7}, gcppreflight.QuotaCPUs: {8, 8}}
	p.ProjectQuotas = map[string][2]float64{gcppreflight.QuotaRouters: {10, 10}}
	return p
}

// nat is a gateway that translates a primary range, all ranges (ALL_IP_RANGES), or a secondary one.
func nat(name, subnetwork, primary string, secondary ...string) object {
	ranges := []string{primary}
	if len(secondary) > 0 {
		ranges = append(ranges, "LIST_OF_SECONDARY_IP_RANGES")
	}
	return object{"name": name, "type": "PUBLIC", "sourceSubnetworkIpRangesToNat": "LIST_OF_SUBNETWORKS", "subnetworks": []object{
		{"name": "https://www.googleapis.com/compute/v1/projects/project-1/regions/europe-west1/subnetworks/" + subnetwork, "sourceIpRangesToNat": ranges, "secondaryIpRangeNames": secondary}}}
}

func check(t *testing.T, n gcppreflight.Need) string {
	t.Helper()
	if err := gcppreflight.Check(context.Background(), n); err != nil {
		return err.Error() + "\n"
	}
	return "fits\n"
}

func TestAStackThatFitsIsLetThrough(t *testing.T) {
	paged := built()
	paged.PageSize = 1
	for name, p := range map[string]fakegcp.Project{"new": project(), "built already, every quota just reached": built(), "page by page": paged} {
		t.Run(name, func(t *testing.T) {
			fakegcp.Start(t, p)
			if got := check(t, need()); got != "fits\n" {
				t.Error(got)
			}
		})
	}
}

func TestEveryShortageIsToldAtOnce(t *testing.T) {
	p := project()
	p.RegionQuotas = map[string][2]float64{gcppreflight.QuotaStatic: {8, 3}, gcppreflight.QuotaInUse: {8, 8}, gcppreflight.QuotaCPUs: {8, 5}}
	p.ProjectQuotas = map[string][2]float64{gcppreflight.QuotaRouters: {10, 10}}
	for i := range 4 {
		p.Routers = append(p.Routers, object{"name": fmt.Sprintf("r%d", i), "network": "global/networks/prod"})
	}
	p.Addresses = append(p.Addresses,
		object{"name": "kept", "status": "RESERVED", "labels": map[string]string{"sallyport-stack": "prod", "sallyport-slot": "nat-1"}},
		object{"name": "dev", "status": "RESERVED", "labels": map[string]string{"sallyport-stack": "dev", "sallyport-slot": "nat-2"}})
	n := need()
	n.Gateways[0].IPs, n.Gateways[0].Ranges = 301, 51
	fakegcp.Start(t, p)
	golden.Check(t, "quotas.golden", check(t, n))
}

func TestARouterTakesSoManyGateways(t *testing.T) {
	p := built()
	nats := p.Routers[1]["nats"].([]object)
	for i := range 49 {
		nats = append(nats, nat(fmt.Sprintf("other-%d", i), "fleet", "PRIMARY_IP_RANGE"))
	}
	p.Routers[1]["nats"] = nats
	fakegcp.Start(t, p)
	if got := check(t, need()); got != "fits\n" {
		t.Errorf("50 gateways: %s", got)
	}
	n := need()
	n.Gateways = append(n.Gateways, gcppreflight.Gateway{Router: "sallyport-prod", Name: "nat-2", IPs: 1})
	if got := check(t, n); !strings.Contains(got, "Cloud Router sallyport-prod: takes at most 50 gateways, and would have 51") {
		t.Errorf("51 gateways: %s", got)
	}
}

func TestAQuotaThatTheAPIDoesNotTellIsNotPassed(t *testing.T) {
	p := project()
	p.RegionQuotas = nil
	fakegcp.Start(t, p)
	if got := check(t, need()); !strings.Contains(got, "static external IPs: the API tells no quota STATIC_ADDRESSES") {
		t.Error(got)
	}
}

func TestForeignNats(t *testing.T) {
	network := "https://www.googleapis.com/compute/v1/projects/project-1/global/networks/"
	source := func(s string) object {
		return object{"name": "old", "type": "PUBLIC", "sourceSubnetworkIpRangesToNat": s}
	}
	private := source("ALL_SUBNETWORKS_ALL_IP_RANGES")
	private["type"] = "PRIVATE"
	for name, c := range map[string]struct {
		network string
		nat     object
		want    string // part of the message; empty: no conflict
	}{
		"all ranges of the network":           {"prod", source("ALL_SUBNETWORKS_ALL_IP_RANGES"), "subnetworks[0]: every range must have no other Cloud NAT, and gateway old on router old has it"},
		"all primary ranges":                  {"prod", source("ALL_SUBNETWORKS_ALL_PRIMARY_IP_RANGES"), "subnetworks[0]: the primary range must"},
		"the same primary range":              {"prod", nat("old", "nodes", "PRIMARY_IP_RANGE"), "the primary range must"},
		"the same secondary range":            {"prod", nat("old", "nodes", "", "pods"), "secondary range pods must"},
		"both":                                {"prod", nat("old", "nodes", "PRIMARY_IP_RANGE", "pods"), "the primary range and secondary range pods must"},
		"all ranges of the subnetwork":        {"prod", nat("old", "nodes", "ALL_IP_RANGES"), "the primary range and every secondary range must"},
		"another secondary range":             {"prod", nat("old", "nodes", "", "services"), ""},
		"another subnetwork":                  {"prod", nat("old", "web", "ALL_IP_RANGES"), ""},
		"another network":                     {"other", source("ALL_SUBNETWORKS_ALL_IP_RANGES"), ""},
		"a private gateway":                   {"prod", private, ""},
		"a gateway of the stack's own router": {"prod", nat("nat", "nodes", "ALL_IP_RANGES"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := project()
			router := "old"
			if c.nat["name"] == "nat" {
				router = "sallyport-prod"
			}
			p.Routers = append(p.Routers, object{"name": router, "network": network + c.network, "nats": []object{c.nat}})
			fakegcp.Start(t, p)
			got := check(t, need())
			if c.want == "" && got != "fits\n" || !strings.Contains(got, c.want) {
				t.Errorf("got %s, want %q", got, c.want)
			}
		})
	}
}

func TestEveryFlawOfTheNetworkIsToldAtOnce(t *testing.T) {
	p := project()
	p.Addresses = append(p.Addresses,
		object{"name": "dev", "address": "192.0.2.2", "addressType": "EXTERNAL", "status": "RESERVED", "labels": map[string]string{"sallyport-stack": "dev"}},
		object{"name": "inside", "address": "10.0.0.9", "addressType": "INTERNAL", "status": "RESERVED"},
		object{"name": "natted", "address": "192.0.2.3", "addressType": "EXTERNAL", "status": "IN_USE", "users": []string{"https://www.googleapis.com/compute/v1/projects/project-1/regions/europe-west1/routers/old"}},
		object{"name": "free", "address": "192.0.2.4", "addressType": "EXTERNAL", "status": "RESERVED"})
	n := need()
	n.Zones = append(slices.Clone(zones), "europe-west1-a")
	n.Subnetworks[0].Name = "node"
	n.Subnetworks[1].Name = "elsewhere"
	n.Subnetworks = append(n.Subnetworks, gcppreflight.Subnetwork{Place: "sallyport:gcp.network.existing.subnetworks[1]", Name: "nodes", Secondary: []string{"pod"}},
		gcppreflight.Subnetwork{Place: "sallyport:gcp.network.existing.subnetworks[2]", Name: "fleet", Secondary: []string{"pods"}})
	for i, name := range []string{"somebodys", "dev", "inside", "natted", "free", "none"} {
		n.Addresses[i].Name, n.Addresses[i].Place = name, "sallyport:gcp.addresses.existing["+n.Addresses[i].Slot+"]"
	}
	n.Fleet.MachineType = "c4a-standard-2"
	fakegcp.Start(t, p)
	golden.Check(t, "network.golden", check(t, n))
}

func TestBroughtAddressesOfOursStayOurs(t *testing.T) {
	p, n := built(), need()
	for i := range n.Addresses {
		n.Addresses[i].Name = n.Addresses[i].Slot
		delete(p.Addresses[i+1], "labels")
	}
	fakegcp.Start(t, p)
	if got := check(t, n); got != "fits\n" {
		t.Error(got)
	}
}

func TestAMissingNetworkOrRegion(t *testing.T) {
	fakegcp.Start(t, project())
	n := need()
	n.Network = "production"
	if got, want := check(t, n), "sallyport:gcp.network.existing.name: must exist in project project-1, got \"production\"; check the name and the project\n"; got != want {
		t.Errorf("got %s", got)
	}
	n = need()
	n.Region = "europe-west99"
	if got := check(t, n); !strings.HasPrefix(got, "sallyport:gcp.region: must exist and be open to project project-1, got \"europe-west99\"") || strings.Count(got, "\n") != 1 {
		t.Errorf("got %s", got)
	}
}

func TestASharedVPCIsReadInItsOwnProject(t *testing.T) {
	p := project()
	p.ID = "host-1"
	s := fakegcp.Start(t, p)
	n := need()
	n.Project, n.Network = "host-1", "projects/host-1/global/networks/prod"
	if got := check(t, n); got != "fits\n" {
		t.Error(got)
	}
	n.Project = "service-1"
	check(t, n)
	calls := strings.Join(s.Calls(), "\n")
	for _, want := range []string{"projects/host-1/global/networks/prod", "projects/host-1/regions/europe-west1/subnetworks", "projects/host-1/regions/europe-west1/routers",
		"projects/service-1/regions/europe-west1/routers", "projects/service-1/regions/europe-west1/addresses"} {
		if !strings.Contains(calls, want) {
			t.Errorf("%s was not read; calls:\n%s", want, calls)
		}
	}
}

func TestAProjectMustBeAttachedToTheHostOfItsNetwork(t *testing.T) {
	for name, c := range map[string]struct{ host, want string }{
		"attached":         {"host-1", "fits\n"},
		"to another":       {"host-2", "sallyport:gcp.network.existing.project: must be the host project of project-1, which is attached to host-2, got \"host-1\"; attach"},
		"to none":          {"", "which is attached to none, got \"host-1\""},
		"cannot be looked": {"host-1", "compute.projects.get"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("SALLYPORT_GCP_ATTEMPTS", "1")
			p := project()
			p.Host = c.host
			s := fakegcp.Start(t, p)
			if strings.HasPrefix(c.want, "compute.") {
				s.Fail("/getXpnHost", fakegcp.Denied("compute.projects.get", "projects/project-1"))
			}
			n := need()
			n.Host, n.Network, n.Subnetworks, n.Gateways = "host-1", "", nil, nil
			if got := check(t, n); !strings.Contains(got, c.want) {
				t.Errorf("got %s, want %q", got, c.want)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	t.Setenv("SALLYPORT_GCP_ATTEMPTS", "2")
	for name, f := range map[string]struct {
		suffix  string
		failure fakegcp.Failure
	}{
		"denied":       {"/addresses", fakegcp.Denied("compute.addresses.list", "projects/project-1")},
		"throttled":    {"/routers", fakegcp.Throttled()},
		"disabled":     {"", fakegcp.Failure{Status: 403, Reason: "accessNotConfigured", Message: "Compute Engine API has not been used in project 123 before or it is disabled."}},
		"unauthorized": {"", fakegcp.Failure{Status: 401, Reason: "authError", Message: "Request had invalid authentication credentials."}},
		"broken":       {"/subnetworks", fakegcp.Failure{Status: 503, Reason: "backendError", Message: "Internal error"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := fakegcp.Start(t, project())
			s.Fail(f.suffix, f.failure)
			golden.Check(t, name+".golden", check(t, need()))
		})
	}
	t.Run("passing", func(t *testing.T) {
		s := fakegcp.Start(t, project())
		f := fakegcp.Throttled()
		f.Times = 1
		s.Fail("/routers", f)
		if got := check(t, need()); got != "fits\n" {
			t.Error(got)
		}
	})
}

func TestUnreachable(t *testing.T) {
	t.Setenv("SALLYPORT_GCP_ATTEMPTS", "1")
	t.Run("nobody listens", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := listener.Addr().String()
		listener.Close() //nolint:errcheck // nothing was sent
		environment(t, "http://"+address)
		golden.Check(t, "unreachable.golden", strings.ReplaceAll(check(t, need()), address, "ADDRESS"))
	})
	t.Run("no answer in time", func(t *testing.T) {
		release := make(chan struct{})
		server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
		defer server.Close()
		defer close(release)
		environment(t, server.URL)
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		defer cancel()
		start := time.Now()
		err := gcppreflight.Check(ctx, need())
		if err == nil || !strings.Contains(err.Error(), "the API cannot be reached") || strings.Contains(err.Error(), "\n") || time.Since(start) > 5*time.Second {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
	})
}

func TestCredentialsThatAreNone(t *testing.T) {
	fakegcp.Start(t, project())
	t.Setenv("GOOGLE_OAUTH_ACCESS_TOKEN", "")
	for name, value := range map[string]string{"no such file": "/nonexistent/key.json", "no key": "{}"} {
		t.Setenv("GOOGLE_CREDENTIALS", value)
		if got := check(t, need()); !strings.HasPrefix(got, "gcp project-1 europe-west1: no credentials found: ") || strings.Count(got, "\n") != 1 {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestPermissionsCoverTheCalls(t *testing.T) {
	s := fakegcp.Start(t, project())
	check(t, need())
	read := map[string]bool{}
	for _, call := range s.Calls() {
		parts := strings.Split(strings.TrimPrefix(call, "/compute/v1/"), "/")
		kind := parts[len(parts)-1]
		if named := parts[len(parts)-2]; len(parts)%2 == 0 || named == "networks" {
			kind = named
		}
		read[kind] = true
	}
	for _, permission := range gcppreflight.Permissions() {
		if verb := path.Ext(permission); verb != ".get" && verb != ".list" {
			t.Errorf("%s does not only read", permission)
		}
		kind := strings.Split(permission, ".")[1]
		if !read[kind] {
			t.Errorf("%s is listed and was not used", permission)
		}
		delete(read, kind)
	}
	if len(read) > 0 {
		t.Errorf("read without being listed: %v", read)
	}
}

func environment(t *testing.T, url string) {
	t.Helper()
	for name, value := range fakegcp.Environment(url) {
		t.Setenv(name, value)
	}
}
