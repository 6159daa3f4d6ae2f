package gcpview

import (
	"context"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/preflight/fakegcp"
	"github.com/sallyport/sallyport/verify"
)

func address(name, ip, stack, slot string, more fakegcp.Object) fakegcp.Object {
	o := fakegcp.Object{"name": name, "address": ip, "addressType": "EXTERNAL", "labels": map[string]string{"sallyport-stack": stack, "sallyport-slot": slot}}
	for key, value := range more {
		o[key] = value
	}
	return o
}

func project() fakegcp.Project {
	router := fakegcp.Object{"users": []string{"projects/p/regions/europe-west1/routers/nat"}}
	return fakegcp.Project{
		ID: "project-1", Region: "europe-west1", PageSize: 2,
		Addresses: []fakegcp.Object{
			address("nat-1", "198.51.100.1", "prod", "nat-1", router),
			address("inside", "10.0.0.5", "prod", "proxy-a-1", fakegcp.Object{"addressType": "INTERNAL"}),
			address("nat-2", "198.51.100.2", "prod", "nat-reserve-1", nil),
			address("other", "198.51.100.3", "dev", "nat-1", router),
			{"name": "bare", "address": "198.51.100.4", "addressType": "EXTERNAL"},
		},
	}
}

func TestTheStacksAddressesAreReadByLabel(t *testing.T) {
	fakegcp.Start(t, project())
	view, err := New(context.Background(), Place{Project: "project-1", Region: "europe-west1"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := view.Addresses(context.Background(), "Prod") // labels are lower case
	want := []verify.Address{
		{IP: netip.MustParseAddr("198.51.100.1"), ID: "nat-1", Name: "nat-1", Carries: true},
		{IP: netip.MustParseAddr("198.51.100.2"), ID: "nat-2", Name: "nat-reserve-1"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\ngot  %+v\nwant %+v", err, got, want)
	}
}

func TestAddressesThatWereBroughtAreKnownByTheirName(t *testing.T) {
	fakegcp.Start(t, project())
	view, err := New(context.Background(), Place{Project: "project-1", Network: "project-1", Region: "europe-west1", Brought: map[string]string{"nat-3": "bare"}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := view.Addresses(context.Background(), "prod")
	if err != nil || len(got) != 3 || got[2] != (verify.Address{IP: netip.MustParseAddr("198.51.100.4"), ID: "bare", Name: "nat-3"}) {
		t.Errorf("%v %+v", err, got)
	}
}

// The NAT's addresses of a Shared VPC are in the host project. The stand-in has one project: what is asked of the other is refused, and
// that is an error.
func TestTheNetworksProjectIsAskedToo(t *testing.T) {
	fakegcp.Start(t, project())
	view, err := New(context.Background(), Place{Project: "project-1", Network: "host", Region: "europe-west1"})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := view.Addresses(context.Background(), "prod"); err == nil || got != nil {
		t.Errorf("%v, %v", got, err)
	}
}

func TestARefusalIsAnErrorAndNoEmptyProject(t *testing.T) {
	server := fakegcp.Start(t, project())
	server.Fail("/addresses", fakegcp.Denied("compute.addresses.list", "projects/project-1"))
	view, err := New(context.Background(), Place{Project: "project-1", Region: "europe-west1"})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := view.Addresses(context.Background(), "prod"); err == nil || got != nil || !strings.Contains(err.Error(), "compute.addresses.list") {
		t.Errorf("%v, %v", got, err)
	}
}
