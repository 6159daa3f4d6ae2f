package externaladdress

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/pulumitest"
	"github.com/sallyport/sallyport/internal/golden"
)

const token = "gcp:compute/address:Address"

func outputs(_, name string, _ resource.PropertyMap) map[string]any {
	return map[string]any{"selfLink": "https://example.com/" + name, "address": "203.0.113.7"}
}

func labels(name string) map[string]string {
	return map[string]string{"sallyport-slot": name, "sallyport-stack": "prod", "sallyport-partners": "ledger_payments", "sallyport-since": "2026-11-20"}
}

func arguments() *AddressesArgs {
	return &AddressesArgs{
		Stack: "prod", Project: "example-prod", Region: "europe-west1", Kind: "nat", Keep: true,
		Addresses: []Address{
			{Name: "nat-1", Labels: labels("nat-1")},
			{Name: "nat-2", Existing: "egress-two"},
			{Name: "nat-3", Released: true, Labels: labels("nat-3")},
			{Name: "nat-4", IP: netip.MustParseAddr("198.51.100.4"), Labels: labels("nat-4")},
		},
	}
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
		if _, err := a.Get("nat-9"); err == nil {
			return fmt.Errorf("an address that nobody declared was found")
		}
		return nil
	})
}

func TestTheGraphOfFourAddresses(t *testing.T) {
	recorder, err := run(t, arguments())
	if err != nil {
		t.Fatal(err)
	}
	graph, err := recorder.Graph()
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "four-addresses.golden", graph)
	for name, protected := range map[string]bool{"nat-1": true, "nat-3": false, "nat-4": true} {
		if got := strings.Contains(graph, token+" externaladdress-address-"+name+" (protected)"); got != protected {
			t.Errorf("%s: protected %t, want %t", name, got, protected)
		}
	}
	if in := recorder.Inputs(token, "externaladdress-address-nat-2"); in["labels"] != nil || in["networkTier"] != nil {
		t.Errorf("an address that belongs to somebody else is declared with %v", in)
	}
}

func TestWhatIsNotKeptIsNotProtected(t *testing.T) {
	args := arguments()
	args.Keep = false
	recorder, err := run(t, args)
	if err != nil {
		t.Fatal(err)
	}
	if graph, _ := recorder.Graph(); strings.Contains(graph, "(protected)") {
		t.Error(graph)
	}
}

func TestAllThatIsWrongIsSaidAtOnce(t *testing.T) {
	args := &AddressesArgs{Kind: "vpn", Tier: "GOLD", Addresses: []Address{
		{Name: "nat-1", IP: netip.MustParseAddr("2001:db8::1"), Labels: labels("nat-1")},
		{Name: "nat-1", Labels: labels("nat-1")},
		{Name: "Nat", Labels: labels("nat-1")},
	}}
	_, err := run(t, args)
	for _, want := range []string{"nat: stack: is required", "nat: project: is required", "nat: region: is required", `kind: must be nat or proxy, got "vpn"`,
		`tier: must be PREMIUM or STANDARD, got "GOLD"`, "addresses[0].ip: must be an IPv4 address", "addresses[1].name: must be unique",
		"addresses[2].name: must be of a-z", "addresses[2].labels: must say whose address it is"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %s", err, want)
		}
	}
}
