package gcpnetwork

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/pulumitest"
	"github.com/sallyport/sallyport/internal/golden"
)

func run(t *testing.T, args *NetworkArgs) (*pulumitest.Recorder, error) {
	t.Helper()
	recorder := pulumitest.New(func(_, name string, _ resource.PropertyMap) map[string]any {
		return map[string]any{"selfLink": "https://example.com/" + name}
	})
	return recorder, recorder.Run("sallyport", "dev", t.TempDir(), nil, func(ctx *pulumi.Context) error {
		_, err := NewNetwork(ctx, "network", args)
		return err
	})
}

func TestTheGraph(t *testing.T) {
	recorder, err := run(t, &NetworkArgs{
		Stack: "dev", Project: "example-dev", Region: "europe-west1", CIDR: netip.MustParsePrefix("10.0.0.0/16"),
		Pods: netip.MustParsePrefix("10.8.0.0/14"), Services: netip.MustParsePrefix("10.12.0.0/20"),
	})
	if err != nil {
		t.Fatal(err)
	}
	graph, err := recorder.Graph()
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "network.golden", graph)
}

func TestANetworkIsHalved(t *testing.T) {
	for cidr, want := range map[string]string{
		"10.0.0.0/8":     "10.0.0.0/9 10.128.0.0/9",
		"10.0.0.0/16":    "10.0.0.0/17 10.0.128.0/17",
		"192.168.0.0/23": "192.168.0.0/24 192.168.1.0/24",
		"192.168.1.0/24": "192.168.1.0/25 192.168.1.128/25",
	} {
		got, err := Divide(netip.MustParsePrefix(cidr))
		if err != nil || got.Nodes.String()+" "+got.Fleet.String() != want {
			t.Errorf("%s: %v, %v, want %s", cidr, got, err, want)
		}
	}
	for _, cidr := range []netip.Prefix{{}, netip.MustParsePrefix("10.0.0.0/7"), netip.MustParsePrefix("10.0.0.0/25"), netip.MustParsePrefix("10.0.0.1/16"), netip.MustParsePrefix("fd00::/16")} {
		if _, err := Divide(cidr); err == nil || !strings.Contains(err.Error(), "cidr: must be an IPv4 network") {
			t.Errorf("%s: %v", cidr, err)
		}
	}
	if _, err := run(t, &NetworkArgs{}); err == nil {
		t.Error("a network without a range was made")
	}
}
