package awsnetwork

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/pulumitest"
	"github.com/sallyport/sallyport/internal/golden"
)

func TestTheGraphOfOneZone(t *testing.T) {
	recorder := pulumitest.New(nil)
	err := recorder.Run("sallyport", "dev", t.TempDir(), nil, func(ctx *pulumi.Context) error {
		n, err := NewNetwork(ctx, "network", &NetworkArgs{
			Stack: "dev", Region: "eu-west-1", CIDR: netip.MustParsePrefix("10.64.0.0/16"), Zones: []string{"eu-west-1b"},
		})
		if err != nil {
			return err
		}
		if _, err := n.Zone("eu-west-1a"); err == nil {
			t.Error("a zone that nobody declared was found")
		}
		_, err = n.Zone("eu-west-1b")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	graph, err := recorder.Graph()
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "one-zone.golden", graph)
}

func TestNoTwoNetworksOfAVPCOverlapAndAllLieInside(t *testing.T) {
	zones := []string{"xa", "xb", "xc", "xd", "xe", "xf", "xg", "xh"}
	for bits := minBits; bits <= maxBits; bits++ {
		vpc := netip.PrefixFrom(netip.MustParseAddr("10.64.0.0"), bits)
		layouts, err := Divide(vpc, zones)
		if err != nil {
			t.Fatal(err)
		}
		var all []netip.Prefix
		for _, l := range layouts {
			all = append(all, l.Private, l.Public, l.Proxy)
			if !l.Private.Contains(l.LoadBalancer()) {
				t.Errorf("%s: %s is not in %s", vpc, l.LoadBalancer(), l.Private)
			}
		}
		for i, p := range all {
			if p != p.Masked() || !vpc.Contains(p.Addr()) || p.Bits() > 28 {
				t.Errorf("%s: %s", vpc, p)
			}
			for _, q := range all[:i] {
				if p.Overlaps(q) {
					t.Errorf("%s: %s overlaps %s", vpc, p, q)
				}
			}
		}
	}
}

func TestAZonesNetworksDoNotDependOnOtherZones(t *testing.T) {
	vpc := netip.MustParsePrefix("10.64.0.0/16")
	alone, err := Divide(vpc, []string{"eu-west-1c"})
	if err != nil {
		t.Fatal(err)
	}
	among, err := Divide(vpc, []string{"eu-west-1a", "eu-west-1c", "eu-west-1b"})
	if err != nil {
		t.Fatal(err)
	}
	if alone[0] != among[1] {
		t.Errorf("alone %+v, among others %+v", alone[0], among[1])
	}
	if got := alone[0].Private.String(); got != "10.64.64.0/20" {
		t.Errorf("zone c has %s", got)
	}
}

func TestEveryProblemIsReported(t *testing.T) {
	_, err := Divide(netip.MustParsePrefix("10.64.0.1/15"), []string{"eu-west-1a", "us-east-1a", "eu-west-1i", ""})
	if err == nil {
		t.Fatal("was accepted")
	}
	for _, want := range []string{"cidr: must be an IPv4 network of /16 to /22", "zones[1]", "zones[2]", "zones[3]"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
	if _, err := Divide(netip.MustParsePrefix("10.64.0.0/16"), nil); err == nil || !strings.Contains(err.Error(), "at least 1 zone") {
		t.Errorf("no zones: %v", err)
	}
}
