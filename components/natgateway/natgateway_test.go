package natgateway

import (
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/capacity"
	"github.com/sallyport/sallyport/components/pulumitest"
	"github.com/sallyport/sallyport/internal/golden"
)

func zone(name string, ips int) Zone {
	z := Zone{Name: name, SubnetID: pulumi.String("subnet-" + name), RouteTables: []RouteTable{{Key: "rtb-" + name, ID: pulumi.String("rtb-" + name)}}}
	for n := range ips {
		z.AllocationIDs = append(z.AllocationIDs, pulumi.String("eipalloc-"+name+string(rune('1'+n))))
	}
	return z
}

func run(t *testing.T, zones ...Zone) (*pulumitest.Recorder, error) {
	t.Helper()
	recorder := pulumitest.New(nil)
	return recorder, recorder.Run("sallyport", "test", t.TempDir(), nil, func(ctx *pulumi.Context) error {
		_, err := NewNatGateway(ctx, "nat", &Args{
			Stack: "test", Zones: zones,
			Demand: capacity.Input{Flavor: capacity.NatGateway, Nodes: 3, MaxNodes: 6, SurgeNodes: 1, Skew: 1.5, TimeWait: 60, Blocking: 1e-6, MaxIPs: 8,
				Destinations: []capacity.Destination{
					{Name: "news", Via: capacity.ViaNat, ConnectionsPerSecond: 100, SecondsPerConnection: 1, Addresses: 2},
					{Name: "payments", Via: capacity.ViaProxy, ConnectionsPerSecond: 100, SecondsPerConnection: 1, Addresses: 1},
				}},
			Margins: []capacity.Margin{{Destination: "news", Via: capacity.ViaNat, Load: 3050, Ceiling: 55000}},
		})
		return err
	})
}

func TestTheGraphOfTwoZones(t *testing.T) {
	recorder, err := run(t, zone("a", 1), zone("b", 3))
	if err != nil {
		t.Fatal(err)
	}
	graph, err := recorder.Graph()
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "two-zones.golden", graph)
}

func TestAddingAZoneChangesNothingOfTheOthers(t *testing.T) {
	before, err := run(t, zone("a", 2), zone("c", 1))
	if err != nil {
		t.Fatal(err)
	}
	after, err := run(t, zone("a", 2), zone("b", 1), zone("c", 1))
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{"aws:ec2/natGateway:NatGateway", "aws:ec2/route:Route"} {
		if len(before.Names(token)) != 2 || len(after.Names(token)) != 3 {
			t.Errorf("%s: %v, then %v", token, before.Names(token), after.Names(token))
		}
		for _, name := range before.Names(token) {
			was, is := before.Inputs(token, name), after.Inputs(token, name)
			if is == nil || was["subnetId"] != is["subnetId"] || was["allocationId"] != is["allocationId"] || was["natGatewayId"] != is["natGatewayId"] {
				t.Errorf("%s: was %v, is %v", name, was, is)
			}
		}
	}
}

func TestEveryProblemIsReported(t *testing.T) {
	bad := zone("a", 9)
	bad.RouteTables = append(bad.RouteTables, bad.RouteTables[0])
	none := zone("a", 0)
	none.SubnetID = nil
	_, err := run(t, bad, none)
	if err == nil {
		t.Fatal("was accepted")
	}
	for _, want := range []string{
		"zones[0].allocationIds: must be 1 to 8 public IPs, got 9", "zones[0].routeTables[1]", "zones[1].name", "zones[1].subnetId",
		"zones[1].allocationIds: must be 1 to 8 public IPs, got 0",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
	if _, err := run(t); err == nil || !strings.Contains(err.Error(), "needs at least 1 zone") {
		t.Errorf("no zones: %v", err)
	}
}

func TestTheGatewayOfAZoneThatNobodyDeclaredIsAnError(t *testing.T) {
	g := &NatGateway{byZone: map[string]pulumi.StringOutput{"a": pulumi.String("nat-1").ToStringOutput()}}
	if _, err := g.Get("a"); err != nil {
		t.Error(err)
	}
	if _, err := g.Get("b"); err == nil {
		t.Error("was found")
	}
}
