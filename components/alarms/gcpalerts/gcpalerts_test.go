package gcpalerts

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/capacity"
	"github.com/sallyport/sallyport/components/pulumitest"
	"github.com/sallyport/sallyport/internal/golden"
)

const policyToken = "gcp:monitoring/alertPolicy:AlertPolicy"

func example() *AlertsArgs {
	return &AlertsArgs{
		Stack: "prod", Project: "example-prod", Region: "europe-west1",
		Plan: capacity.Plan{Margins: []capacity.Margin{
			{Destination: "search", Via: capacity.ViaNat, Load: 40.2, Ceiling: 1024}, {Destination: "registry", Via: capacity.ViaNat, Load: 700, Ceiling: 1024},
			{Destination: "payments", Via: capacity.ViaProxy, Load: 5000, Ceiling: 64512},
		}},
		Gateways: []Gateway{{Name: "nat", GatewayName: "prod-nat", PortsPerVM: 1024}},
		Slots:    []Slot{{Name: "proxy-europe-west1-b-1", Zone: "europe-west1-b", InstanceName: "prod-proxy-europe-west1-b-1"}},
		Groups:   []string{"prod-proxy-europe-west1-c", "prod-proxy-europe-west1-b"},
		Channels: []string{"projects/example-prod/notificationChannels/5110475114711"},
	}
}

func run(t *testing.T, args *AlertsArgs) (*pulumitest.Recorder, error) {
	t.Helper()
	recorder := pulumitest.New(nil)
	return recorder, recorder.Run("sallyport", "prod", t.TempDir(), nil, func(ctx *pulumi.Context) error {
		_, err := NewAlerts(ctx, "alerts", args)
		return err
	})
}

func TestTheGraph(t *testing.T) {
	recorder, err := run(t, example())
	if err != nil {
		t.Fatal(err)
	}
	graph, err := recorder.Graph()
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "graph.golden", graph)
}

func TestTheWarningComesAtFourFifthsOfTheCeiling(t *testing.T) {
	for ports, want := range map[int]float64{1024: 819, 64: 51, 65536: 52428, 32: 25} {
		args := example().withDefaults()
		args.Gateways[0].PortsPerVM = ports
		for _, a := range args.alerts() {
			if a.key == "ports-nat" && (a.threshold != want || !strings.Contains(a.title, fmt.Sprintf("%.0f of its %d ports", want, ports))) {
				t.Errorf("%d ports: %g, %s", ports, a.threshold, a.title)
			}
		}
	}
}

// The advice names what the plan expects, the busiest first, and nothing that leaves by the proxies.
func TestTheAdviceNamesWhatThePlanExpects(t *testing.T) {
	args := example()
	if got := args.expected(); got != "The plan expects, at peak on the busiest VM: registry 700, search 41." {
		t.Errorf("%s", got)
	}
	if args.Plan.Margins[0].Destination != "search" {
		t.Error("the caller's plan was sorted")
	}
}

func TestASlotMoreTouchesNoOtherPolicy(t *testing.T) {
	one, err := run(t, example())
	if err != nil {
		t.Fatal(err)
	}
	args := example()
	args.Slots = append([]Slot{{Name: "proxy-europe-west1-a-1", Zone: "europe-west1-a", InstanceName: "prod-proxy-europe-west1-a-1"}}, args.Slots...)
	two, err := run(t, args)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range one.Names(policyToken) {
		if !reflect.DeepEqual(one.Inputs(policyToken, name), two.Inputs(policyToken, name)) {
			t.Errorf("%s changed", name)
		}
	}
	if n := len(two.Names(policyToken)); n != 6 {
		t.Errorf("%d policies", n)
	}
}

func TestAllThatIsWrongIsSaidAtOnce(t *testing.T) {
	args := &AlertsArgs{
		Share: 1.1, ReplaceSeconds: 179, Gateways: []Gateway{{Name: "nat", GatewayName: "a", PortsPerVM: 31}, {Name: "nat", GatewayName: "b", PortsPerVM: 32}},
		Slots: []Slot{{}}, Channels: []string{"someone@example.com"},
	}
	_, err := run(t, args)
	for _, want := range []string{"stack, project, region: must be given", "share: must be above 0", "replaceSeconds: must be 180 to 84,600, got 179", "portsPerVM: must be at least 32, got 31",
		"gateways: must have names, each once", "slots: must have names", "groups: must be given if and only if", "channels: must be projects/"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %s", err, want)
		}
	}
}
