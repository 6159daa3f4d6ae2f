package awsmetrics_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/doctor"
	"github.com/sallyport/sallyport/doctor/awsmetrics"
	"github.com/sallyport/sallyport/preflight/fakeaws"
	"github.com/sallyport/sallyport/proxyimage/agent/cloudwatch"
)

// agentLines are what a proxy wrote, as the agent's own test has it.
const agentLines = "../../proxyimage/agent/cloudwatch/testdata"

// embedded makes series of lines in the embedded metric format, as CloudWatch Logs does.
func embedded(t *testing.T, lines []string) []fakeaws.Series {
	t.Helper()
	byKey := map[string]*fakeaws.Series{}
	for _, line := range lines {
		var members map[string]any
		var header struct {
			AWS struct {
				Timestamp         int64
				CloudWatchMetrics []struct {
					Namespace  string
					Dimensions [][]string
					Metrics    []struct{ Name string }
				}
			} `json:"_aws"`
		}
		if json.Unmarshal([]byte(line), &members) != nil || json.Unmarshal([]byte(line), &header) != nil {
			t.Fatalf("no line of the format: %s", line)
		}
		for _, directive := range header.AWS.CloudWatchMetrics {
			for _, set := range directive.Dimensions {
				dimensions := map[string]string{}
				for _, name := range set {
					dimensions[name], _ = members[name].(string)
				}
				for _, metric := range directive.Metrics {
					key := fmt.Sprint(directive.Namespace, metric.Name, dimensions)
					if byKey[key] == nil {
						byKey[key] = &fakeaws.Series{Namespace: directive.Namespace, Name: metric.Name, Dimensions: dimensions}
					}
					value, _ := members[metric.Name].(float64)
					byKey[key].Samples = append(byKey[key].Samples, fakeaws.Sample{At: time.UnixMilli(header.AWS.Timestamp), Value: value})
				}
			}
		}
	}
	var all []fakeaws.Series
	for _, series := range byKey {
		all = append(all, *series)
	}
	return all
}

// written reads the lines of the agent's golden files.
func written(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(agentLines)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, entry := range entries {
		file, err := os.Open(agentLines + "/" + entry.Name())
		if err != nil {
			t.Fatal(err)
		}
		for scanner := bufio.NewScanner(file); scanner.Scan(); {
			if strings.HasPrefix(scanner.Text(), "{") {
				lines = append(lines, scanner.Text())
			}
		}
		file.Close() //nolint:errcheck // only read from
	}
	if len(lines) == 0 {
		t.Fatal("the agent's test data holds no line: nothing would be tested")
	}
	return lines
}

func TestWhatAProxyWritesIsWhatIsRead(t *testing.T) {
	lines := written(t)
	if cloudwatch.Namespace != "Sallyport" {
		t.Error("the agent writes into another namespace")
	}
	// A second proxy that does twice as much to cdn, at the same second.
	for _, line := range slices.Clone(lines) {
		if strings.Contains(line, `"Destination":"cdn"`) {
			line = strings.NewReplacer("proxy-eu-west-1a-1", "proxy-eu-west-1b-1", `"ConnectionsPerSecond":10`, `"ConnectionsPerSecond":20`,
				`"SourcePortsInUse":500`, `"SourcePortsInUse":800`).Replace(line)
			lines = append(lines, line)
		}
	}
	fakeaws.Start(t, fakeaws.Account{Region: "eu-west-1", Series: embedded(t, lines)})
	to := time.UnixMilli(1795176090000).Truncate(time.Minute).Add(time.Minute)
	m := awsmetrics.Read(context.Background(), awsmetrics.Source{Stack: "prod", Region: "eu-west-1",
		Slots:        []doctor.Slot{{Name: "proxy-eu-west-1a-1"}, {Name: "proxy-eu-west-1c-1"}, {Name: "proxy-eu-west-1c-2", Idle: true}},
		Destinations: []doctor.Destination{{Name: "cdn"}, {Name: "none"}},
	}, doctor.Window{From: to.Add(-time.Hour), To: to}, to)
	if len(m.Problems) > 0 {
		t.Fatal(m.Problems)
	}
	slot := m.Slots[0]
	if slot.Connections.Value != 1200 || slot.PerSecond.Value != 10 || slot.Busy.Value != 25 || slot.ReadyMinutes.Value != 2 || !slot.LastReady.Equal(to) {
		t.Errorf("slot %+v", slot)
	}
	for _, silent := range m.Slots[1:] {
		if silent.Connections.Known || silent.PerSecond.Known || silent.ReadyMinutes.Known {
			t.Errorf("figures of a proxy that wrote none: %+v", silent)
		}
	}
	if d := m.Destinations[0]; d.Ports.Value != 800 || d.PerSecond.Value != 30 || d.Failures.Value != 12 {
		t.Errorf("destination %+v: want the ports of the busiest proxy, and the rate and the failures of both", d)
	}
	if d := m.Destinations[1]; d.Ports.Known || d.PerSecond.Known || d.Failures.Known {
		t.Errorf("figures of a destination that has none: %+v", d)
	}
	if f := m.Fleet; !f.Refusals.Known || !f.Restarts.Known || !f.RoutesProblem.Known || f.RoutesProblem.Value != 0 {
		t.Errorf("fleet %+v", f)
	}
}

// gateways makes series of a NAT gateway, a sample a minute.
func gateways(from time.Time, minutes int, values map[string]func(i int) float64) []fakeaws.Series {
	var all []fakeaws.Series
	for name, value := range values {
		series := fakeaws.Series{Namespace: "AWS/NATGateway", Name: name, Dimensions: map[string]string{"NatGatewayId": "nat-a"}}
		for i := range minutes {
			series.Samples = append(series.Samples, fakeaws.Sample{At: from.Add(time.Duration(i) * time.Minute), Value: value(i)})
		}
		all = append(all, series)
	}
	return all
}

func TestGateways(t *testing.T) {
	to := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	from := to.Add(-24 * time.Hour)
	peakAt := func(at int, high, low float64) func(int) float64 {
		return func(i int) float64 {
			if i == at {
				return high
			}
			return low
		}
	}
	series := gateways(from.Add(-time.Hour), 26*60, map[string]func(int) float64{
		"ActiveConnectionCount":  peakAt(60+700, 5000, 100),
		"ConnectionAttemptCount": peakAt(60+701, 6000, 60),
		"PeakBytesPerSecond":     peakAt(60+702, 1e9, 1e3),
		"ErrorPortAllocation":    peakAt(10, 1e6, 0), // before the window
	})
	for _, page := range []int{0, 1} {
		fakeaws.Start(t, fakeaws.Account{Region: "eu-west-1", Series: series, PageSize: page})
		m := awsmetrics.Read(context.Background(), awsmetrics.Source{Region: "eu-west-1", Gateways: []doctor.Gateway{{Name: "eu-west-1a", ID: "nat-a"}, {Name: "eu-west-1b"}}},
			doctor.Window{From: from, To: to}, to)
		g := m.Gateways[0]
		if len(m.Problems) > 0 || g.Connections.Value != 5000 || g.PerSecond.Value != 100 || !g.PerSecond.At.Equal(from.Add(701*time.Minute)) ||
			g.BytesPerSecond.Value != 1e9 || !g.PortErrors.Known || g.PortErrors.Value != 0 {
			t.Errorf("%+v %v", g, m.Problems)
		}
		if m.Gateways[1].Connections.Known {
			t.Errorf("figures of a gateway without ID: %+v", m.Gateways[1])
		}
	}
}

func TestOldWindowsAreReadInTheStepsThatAreKept(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	from := now.Add(-20 * 24 * time.Hour)
	fakeaws.Start(t, fakeaws.Account{Region: "eu-west-1", Series: gateways(from, 60, map[string]func(int) float64{
		"ConnectionAttemptCount": func(i int) float64 { return map[bool]float64{true: 6000}[i == 7] },
	})})
	m := awsmetrics.Read(context.Background(), awsmetrics.Source{Region: "eu-west-1", Gateways: []doctor.Gateway{{ID: "nat-a"}}}, doctor.Window{From: from, To: from.Add(time.Hour)}, now)
	if got := m.Gateways[0].PerSecond.Value; got != 20 {
		t.Errorf("got %v/s, want 6,000 over five minutes", got)
	}
}

func TestManyMetricsAreAskedForInParts(t *testing.T) {
	s := fakeaws.Start(t, fakeaws.Account{Region: "eu-west-1"})
	source := awsmetrics.Source{Stack: "prod", Region: "eu-west-1"}
	for i := range 500 {
		source.Destinations = append(source.Destinations, doctor.Destination{Name: fmt.Sprintf("d%d", i)})
	}
	to := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	if m := awsmetrics.Read(context.Background(), source, doctor.Window{From: to.Add(-time.Hour), To: to}, to); len(m.Problems) > 0 {
		t.Error(m.Problems)
	}
	if calls := len(s.Calls()); calls != 3 {
		t.Errorf("%d calls, want 3 for 1,500 metrics", calls)
	}
}

func TestNothingToReadIsNoCall(t *testing.T) {
	s := fakeaws.Start(t, fakeaws.Account{Region: "eu-west-1"})
	if m := awsmetrics.Read(context.Background(), awsmetrics.Source{Region: "eu-west-1"}, doctor.Window{}, time.Now()); len(m.Problems) > 0 || len(s.Calls()) > 0 {
		t.Errorf("%v, calls %v", m.Problems, s.Calls())
	}
}

func TestRefusals(t *testing.T) {
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	to := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	for want, failure := range map[string]fakeaws.Failure{
		"cloudwatch:GetMetricData: permission denied: ": fakeaws.Denied("cloudwatch:GetMetricData"),
		"cloudwatch:GetMetricData: throttled, 1":        fakeaws.Throttled(),
	} {
		s := fakeaws.Start(t, fakeaws.Account{Region: "eu-west-1"})
		s.Fail("GetMetricData", failure)
		m := awsmetrics.Read(context.Background(), awsmetrics.Source{Region: "eu-west-1", Gateways: []doctor.Gateway{{Name: "a", ID: "nat-a"}}}, doctor.Window{From: to.Add(-time.Hour), To: to}, to)
		if len(m.Problems) != 1 || !strings.Contains(m.Problems[0], want) || strings.Contains(m.Problems[0], "preflight") || m.Gateways[0].Connections.Known {
			t.Errorf("got %q", m.Problems)
		}
	}
}
