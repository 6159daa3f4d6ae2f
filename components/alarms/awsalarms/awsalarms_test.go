package awsalarms

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/capacity"
	"github.com/sallyport/sallyport/components/pulumitest"
	"github.com/sallyport/sallyport/internal/golden"
)

func example() *AlarmsArgs {
	return &AlarmsArgs{
		Stack: "prod", Region: "eu-west-1", MaxConnections: 50000, ConnectionsPerSecond: 2000, DrainSeconds: 30, Dashboard: true,
		Plan: capacity.Plan{
			Nat: capacity.NatPlan{Flavor: capacity.NatGateway, IPs: 4, IPsPerZone: 2},
			Margins: []capacity.Margin{
				{Destination: "registry", Via: capacity.ViaNat, Load: 900, Ceiling: 55000},
				{Destination: "payments", Via: capacity.ViaProxy, Load: 30500, Ceiling: 64512},
			},
		},
		Gateways: []Gateway{{"eu-west-1a", pulumi.String("nat-0a")}, {"eu-west-1b", pulumi.String("nat-0b")}},
		Slots:    []Slot{{"proxy-eu-west-1a-1", "eu-west-1a", true}, {"proxy-eu-west-1a-2", "eu-west-1a", false}},
		Emails:   []string{"ops@example.com"}, TopicARNs: []string{"arn:aws:sns:eu-west-1:123456789012:pager"},
	}
}

// outputs are what AWS would add.
func outputs(token, name string, inputs resource.PropertyMap) map[string]any {
	switch token {
	case "aws:sns/topic:Topic":
		return map[string]any{"arn": "arn:aws:sns:eu-west-1:123456789012:" + inputs["name"].StringValue()}
	case "aws:cloudwatch/metricAlarm:MetricAlarm":
		return map[string]any{"arn": "arn:" + name}
	}
	return nil
}

func build(t *testing.T, args *AlarmsArgs) (*pulumitest.Recorder, error) {
	t.Helper()
	recorder := pulumitest.New(outputs)
	err := recorder.Run("sallyport", "prod", t.TempDir(), nil, func(ctx *pulumi.Context) error {
		_, err := NewAlarms(ctx, "alarms", args)
		return err
	})
	return recorder, err
}

func TestGraph(t *testing.T) {
	recorder, err := build(t, example())
	if err != nil {
		t.Fatal(err)
	}
	graph, err := recorder.Graph()
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "graph.golden", graph)
}

func TestDashboard(t *testing.T) {
	args := example().withDefaults()
	text, err := args.dashboard(map[string]string{"eu-west-1a": "nat-0a", "eu-west-1b": "nat-0b"})
	if err != nil {
		t.Fatal(err)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, []byte(text), "", "  "); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "dashboard.golden", indented.String()+"\n")
	var board struct{ Widgets []widget }
	if err := json.Unmarshal([]byte(text), &board); err != nil {
		t.Fatal(err)
	}
	for i, a := range board.Widgets {
		if a.X+a.Width > columns {
			t.Errorf("%v is beyond the right edge", a.Properties["title"])
		}
		for _, b := range board.Widgets[:i] {
			if a.X < b.X+b.Width && b.X < a.X+a.Width && a.Y < b.Y+b.Height && b.Y < a.Y+a.Height {
				t.Errorf("%v lies on %v", a.Properties["title"], b.Properties["title"])
			}
		}
	}
}

// The thresholds follow from the plan and from nothing else.
func TestThresholds(t *testing.T) {
	args := example().withDefaults()
	got := map[string]alarm{}
	for _, a := range args.alarms() {
		if _, twice := got[a.key]; twice {
			t.Errorf("%s is there twice", a.key)
		}
		got[a.key] = a
	}
	for key, want := range map[string]float64{
		"nat-exhausted-eu-west-1a":   0,
		"nat-connections-eu-west-1a": 88000, // 0.8 x 2 x 55,000
		"nat-rate-eu-west-1b":        86400, // 0.8 x 2 x 900 x 60
		"nat-drops-eu-west-1a":       0.01,
		"ports-payments":             51609, // 0.8 x 64,512 = 51,609.6
		"load-proxy-eu-west-1a-1":    0.8,
		"routes-stale":               0,
		"routes-differ":              0,
	} {
		if a, ok := got[key]; !ok || a.threshold != want {
			t.Errorf("%s: threshold %g (there: %t), want %g", key, a.threshold, ok, want)
		}
	}
	if _, ok := got["ports-registry"]; ok {
		t.Error("a destination that leaves by the NAT has no figure of its own, so it must have no alarm that can never go off")
	}
	if always, elastic := got["unhealthy-proxy-eu-west-1a-1"], got["unhealthy-proxy-eu-west-1a-2"]; always.missing != missingIsAlarm || elastic.missing != missingIsFine {
		t.Errorf("a slot that should run and says nothing is unhealthy, one that may rest is not: got %s and %s", always.missing, elastic.missing)
	}
	args.DrainSeconds = 600
	for _, a := range args.alarms() {
		if a.key == "unhealthy-proxy-eu-west-1a-1" && a.minutes != 15 {
			t.Errorf("a proxy that drains for ten minutes is unhealthy after %d minutes, want 15", a.minutes)
		}
	}
}

func TestNoProxiesNoFleetAlarms(t *testing.T) {
	args := example().withDefaults()
	args.Slots = nil
	for _, a := range args.alarms() {
		if !strings.HasPrefix(a.key, "nat-") {
			t.Errorf("%s watches proxies that are not there", a.key)
		}
	}
}

func TestMistakesAreAllReported(t *testing.T) {
	args := example()
	args.Share, args.Emails, args.TopicARNs = 1.5, []string{"nobody"}, []string{"pager"}
	args.Plan.Nat.IPsPerZone, args.MaxConnections, args.DrainSeconds = 0, 0, -1
	args.Gateways = append(args.Gateways, args.Gateways[0])
	args.Slots = append(args.Slots, args.Slots[0])
	_, err := build(t, args)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"share: must be above 0 and at most 1, got 1.5", `emails: must be e-mail addresses, got "nobody"`, "topicArns:", "plan:",
		"gateways: must have unique zones", "slots: must have unique names", "maxConnections, connectionsPerSecond:", "drainSeconds:"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("missing %q in\n%v", want, err)
		}
	}
}

// Alarms look at what agents write. The agent's package is not imported: it would bring its libraries along.
func TestAgentsWriteWhatAlarmsLookAt(t *testing.T) {
	lines, err := os.ReadFile("../../../proxyimage/agent/cloudwatch/testdata/two-minutes.golden")
	if err != nil {
		t.Fatal(err)
	}
	written := map[string]bool{}
	for _, text := range strings.Split(strings.TrimSpace(string(lines)), "\n") {
		var line struct {
			AWS struct {
				CloudWatchMetrics []struct {
					Namespace  string
					Dimensions [][]string
					Metrics    []struct{ Name string }
				}
			} `json:"_aws"`
		}
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatal(err)
		}
		for _, d := range line.AWS.CloudWatchMetrics {
			for _, set := range d.Dimensions {
				slices.Sort(set)
				for _, m := range d.Metrics {
					written[d.Namespace+" "+strings.Join(set, ",")+" "+m.Name] = true
				}
			}
		}
	}
	args := example().withDefaults()
	fleet := 0
	for _, a := range args.alarms() {
		for _, m := range a.metrics {
			if m.namespace != fleetNamespace {
				continue
			}
			fleet++
			if key := m.namespace + " " + strings.Join(slices.Sorted(maps.Keys(m.dimensions)), ",") + " " + m.name; !written[key] {
				t.Errorf("%s looks at %s, which no agent writes", a.key, key)
			}
		}
	}
	if fleet == 0 {
		t.Error("no alarm looks at the fleet")
	}
}
