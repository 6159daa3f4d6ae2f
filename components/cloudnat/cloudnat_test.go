package cloudnat

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/pulumitest"
	"github.com/sallyport/sallyport/internal/golden"
)

const token = "gcp:compute/routerNat:RouterNat"

func outputs(_, name string, _ resource.PropertyMap) map[string]any {
	return map[string]any{"selfLink": "https://example.com/" + name}
}

func ip(name string) IP {
	return IP{Name: name, SelfLink: pulumi.String("https://example.com/addresses/" + name)}
}

func subnetwork(name string, primary bool, ranges ...string) Subnetwork {
	return Subnetwork{Name: name, SelfLink: pulumi.String("https://example.com/subnetworks/" + name), Primary: primary, Ranges: ranges}
}

func arguments() *Args {
	return &Args{
		Stack: "prod", Project: "example-prod", Region: "europe-west1", Network: pulumi.String("https://example.com/networks/prod"),
		Ports: Ports{PerVM: 4096}, Timeouts: Timeouts{1200, 30, 120, 30, 30},
		Gateways: []Gateway{
			{
				Name: "nat", Subnetworks: []Subnetwork{subnetwork("nodes", true, "pods")},
				IPs: []IP{ip("nat-1"), ip("nat-3")}, Draining: []IP{ip("nat-2")},
				Rules: []Rule{{Name: "bank", Number: 100, IPs: []IP{ip("nat-rule-bank-1")},
					Destinations: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("198.51.100.7/32")}}},
			},
			{Name: "batch", Subnetworks: []Subnetwork{subnetwork("batch", false, "batch-pods")}, IPs: []IP{ip("nat-batch-1")}},
		},
		Demand: Demand{MaxVMs: 101, RequiredPortsPerVM: 4096, Deciding: "news", Destinations: map[string]float64{"news": 3000}},
	}
}

func run(t *testing.T, args *Args) (*pulumitest.Recorder, error) {
	t.Helper()
	recorder := pulumitest.New(outputs)
	return recorder, recorder.Run("sallyport", "prod", t.TempDir(), nil, func(ctx *pulumi.Context) error {
		_, err := NewCloudNat(ctx, "nat", args)
		return err
	})
}

func TestTheGraphOfTwoGatewaysWithARule(t *testing.T) {
	recorder, err := run(t, arguments())
	if err != nil {
		t.Fatal(err)
	}
	graph, err := recorder.Graph()
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "two-gateways.golden", graph)
}

func TestNothingIsLeftToADefaultOfTheAPI(t *testing.T) {
	recorder, err := run(t, arguments())
	if err != nil {
		t.Fatal(err)
	}
	in := recorder.Inputs(token, "cloudnat-gateway-nat")
	for key, want := range map[string]any{
		"enableEndpointIndependentMapping": false, "enableDynamicPortAllocation": false, "minPortsPerVm": 4096., "natIpAllocateOption": "MANUAL_ONLY",
		"tcpTimeWaitTimeoutSec": 120., "tcpEstablishedIdleTimeoutSec": 1200., "tcpTransitoryIdleTimeoutSec": 30., "udpIdleTimeoutSec": 30., "icmpIdleTimeoutSec": 30.,
		"logConfig": map[string]any{"enable": true, "filter": "ERRORS_ONLY"}, "sourceSubnetworkIpRangesToNat": "LIST_OF_SUBNETWORKS", "type": "PUBLIC",
	} {
		if !reflect.DeepEqual(in[key], want) {
			t.Errorf("%s: %v (%T), want %v", key, in[key], in[key], want)
		}
	}
	if _, set := in["maxPortsPerVm"]; set {
		t.Error("a static gateway has a maximum")
	}
	if _, set := recorder.Inputs(token, "cloudnat-gateway-batch")["drainNatIps"]; set {
		t.Error("an empty list of draining IPs is sent")
	}
}

func TestDynamicAllocation(t *testing.T) {
	args := arguments()
	args.Ports = Ports{PerVM: 1024, Dynamic: true, Max: 8192}
	recorder, err := run(t, args)
	if err != nil {
		t.Fatal(err)
	}
	if in := recorder.Inputs(token, "cloudnat-gateway-nat"); in["minPortsPerVm"] != 1024. || in["maxPortsPerVm"] != 8192. || in["enableDynamicPortAllocation"] != true {
		t.Errorf("%v", in)
	}
}

func TestAGatewayMoreTouchesNoOther(t *testing.T) {
	before, err := run(t, arguments())
	if err != nil {
		t.Fatal(err)
	}
	args := arguments()
	args.Gateways = append([]Gateway{{Name: "first", Subnetworks: []Subnetwork{subnetwork("first", true)}, IPs: []IP{ip("nat-first-1")}}}, args.Gateways...)
	after, err := run(t, args)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range before.Names(token) {
		if !reflect.DeepEqual(before.Inputs(token, name), after.Inputs(token, name)) {
			t.Errorf("%s changed", name)
		}
	}
}

func TestAllThatIsWrongIsSaidAtOnce(t *testing.T) {
	args := arguments()
	args.Stack, args.Network, args.Log = "", nil, "NONE"
	args.Timeouts.UDP = 0
	args.Ports.PerVM = 512
	args.Gateways[1].Name = "nat"
	args.Gateways[1].Subnetworks = args.Gateways[0].Subnetworks
	args.Gateways[1].IPs = nil
	args.Gateways[0].Draining = []IP{ip("nat-1")}
	args.Gateways = append(args.Gateways, Gateway{Name: "empty", IPs: []IP{ip("nat-empty-1")}})
	_, err := run(t, args)
	for _, want := range []string{
		"cloud nat nat: stack: is required", "network: is required", `log: must be ERRORS_ONLY, TRANSLATIONS_ONLY or ALL, got "NONE"`, "timeouts.udp: must be at least 1 s",
		"gateway nat: must have a unique name", `must not be on two gateways, and nat has it, got "nodes/pods"`, "natIps: needs at least 1 IP",
		"must be a power of two from 1,024 to 65,536, because alias ranges are translated, got 512", "drainNatIps: must not be in two places", "gateway empty.subnetworks: needs at least 1",
	} {
		if err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), `"]`, ""), want) {
			t.Errorf("%v\nlacks %s", err, want)
		}
	}
	args = arguments()
	args.Gateways = nil
	if _, err := run(t, args); err == nil || !strings.Contains(err.Error(), "gateways: must be 1 to 50 on one router, got 0") {
		t.Error(err)
	}
}

func TestWhatIsRememberedIsWhatIsDeclared(t *testing.T) {
	args := arguments()
	m := args.Remember()
	nat := m.Gateways["nat"]
	if nat.Active["nat-1"] != Own || nat.Active["nat-rule-bank-1"] != "rule bank" || nat.Draining["nat-2"].Owner != Own || nat.MinPorts != 4096 ||
		!reflect.DeepEqual(nat.Ranges, []string{"nodes", "nodes/pods"}) || nat.Name != "prod-nat" || nat.Router != "prod-egress" {
		t.Errorf("%+v", nat)
	}
	checked, err := Change{Next: m, Now: noon}.Check() // the first update: nothing can drain
	if err != nil {
		t.Fatal(err)
	}
	if kept := checked.Drop(args.Gateways); len(kept[0].Draining) != 0 || len(args.Gateways[0].Draining) != 1 || len(kept[0].IPs) != 2 {
		t.Errorf("%+v", kept[0])
	}
}
