package elasticip

import (
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/pulumitest"
	"github.com/sallyport/sallyport/internal/golden"
)

const token = "aws:ec2/eip:Eip"

func outputs(_, name string, _ resource.PropertyMap) map[string]any {
	return map[string]any{"allocationId": "eipalloc-of-" + name, "publicIp": "203.0.113.7"}
}

func arguments() *AddressesArgs {
	return &AddressesArgs{
		Stack: "prod", Kind: "nat", Keep: true,
		Addresses: []Address{
			{Name: "nat-a-1", Tags: tags("nat-a-1")},
			{Name: "nat-a-2", AllocationID: "eipalloc-0123456789abcdef0"},
			{Name: "nat-b-1", Released: true, Tags: tags("nat-b-1")},
		},
	}
}

func tags(name string) map[string]string {
	return map[string]string{"sallyport:slot": name, "sallyport:stack": "prod", "sallyport:partners": "ledger payments", "sallyport:since": "2026-11-20"}
}

func run(t *testing.T, args *AddressesArgs) (*pulumitest.Recorder, error) {
	t.Helper()
	recorder := pulumitest.New(outputs)
	return recorder, recorder.Run("sallyport", "prod", t.TempDir(), nil, func(ctx *pulumi.Context) error {
		a, err := NewAddresses(ctx, "nat", args)
		if err != nil {
			return err
		}
		for _, address := range args.Addresses {
			if _, err := a.Get(address.Name); err != nil {
				return err
			}
		}
		if _, err := a.Get("nat-z-1"); err == nil {
			t.Error("an address that nobody declared was found")
		}
		return nil
	})
}

func TestTheGraphOfThreeAddresses(t *testing.T) {
	recorder, err := run(t, arguments())
	if err != nil {
		t.Fatal(err)
	}
	graph, err := recorder.Graph()
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "three-addresses.golden", graph)
	if !strings.Contains(graph, token+" elasticip-address-nat-a-1 (protected)") || strings.Contains(graph, token+" elasticip-address-nat-b-1 (protected)") {
		t.Errorf("exactly the address that is not released must be protected:\n%s", graph)
	}
}

func TestPoolsAndPickedAddresses(t *testing.T) {
	args := arguments()
	args.Source, args.Pool = SourceBYOIP, "ipv4pool-ec2-0123456789abcdef0"
	args.Addresses = []Address{{Name: "nat-a-1", PublicIP: "203.0.113.8", Tags: tags("nat-a-1")}}
	recorder, err := run(t, args)
	if err != nil {
		t.Fatal(err)
	}
	if in := recorder.Inputs(token, "elasticip-address-nat-a-1"); in["publicIpv4Pool"] != args.Pool || in["address"] != "203.0.113.8" || in["ipamPoolId"] != nil {
		t.Errorf("byoip: %v", in)
	}
	args.Source, args.Pool = SourceIPAM, "ipam-pool-0123456789abcdef0"
	recorder, err = run(t, args)
	if err != nil {
		t.Fatal(err)
	}
	if in := recorder.Inputs(token, "elasticip-address-nat-a-1"); in["ipamPoolId"] != args.Pool || in["publicIpv4Pool"] != nil {
		t.Errorf("ipam: %v", in)
	}
}

// A change of any of these inputs would make the provider replace the address.
func TestNothingThatWouldReplaceAnAddressCountsAfterItsAllocation(t *testing.T) {
	for _, input := range []string{
		"domain", "publicIpv4Pool", "ipamPoolId", "address", "networkBorderGroup", `tags["sallyport:partners"]`, `tags["sallyport:since"]`,
	} {
		if !slices.Contains(settled, input) {
			t.Errorf("%s is not ignored", input)
		}
	}
}

func TestEveryProblemIsReported(t *testing.T) {
	_, err := run(t, &AddressesArgs{Kind: "vpn", Pool: "ipv4pool-ec2-1", Addresses: []Address{
		{Name: "A"}, {Name: "nat-a-1", PublicIP: "203.0.113.1"}, {Name: "nat-a-1", PublicIP: "203.0.113.1"},
		{Name: "nat-a-3", AllocationID: "eip-1"}, {Name: "nat-a-4", PublicIP: "2001:db8::1"},
	}})
	if err == nil {
		t.Fatal("was accepted")
	}
	for _, want := range []string{
		"stack: is required", `kind: must be nat or proxy, got "vpn"`, "pool: must be left out with source amazon", "addresses[0].name: must be of a-z",
		"addresses[1].tags: must say whose", "addresses[2].name: must be unique", "addresses[2].publicIp: must be unique", "addresses[3].allocationId", "addresses[4].publicIp: must be an IPv4",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
	args := arguments()
	args.Source = SourceIPAM
	if _, err := run(t, args); err == nil || !strings.Contains(err.Error(), "pool: is required with source ipam") {
		t.Errorf("no pool: %v", err)
	}
}
