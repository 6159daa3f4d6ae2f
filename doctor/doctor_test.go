package doctor_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/components/stack"
	"github.com/sallyport/sallyport/doctor"
	"github.com/sallyport/sallyport/internal/golden"
)

var window = doctor.Window{From: time.Date(2026, 11, 19, 12, 0, 0, 0, time.UTC), To: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)}

// noon is a time within the window.
var noon = time.Date(2026, 11, 20, 9, 41, 0, 0, time.UTC)

const awsStack = `
config:
  sallyport:cloud: aws
  sallyport:cluster: {zones: [eu-west-1a, eu-west-1b, eu-west-1c], nodes: 30, maxNodes: 60}
  sallyport:destinations:
    - {name: payments, hosts: [api.payments.example.com], route: proxy, partner: payments, demand: {connectionsPerSecond: 1000, secondsPerConnection: 2}}
    - {name: ledger, hosts: [api.ledger.example.net], route: proxy, partner: ledger, demand: {connectionsPerSecond: 50, secondsPerConnection: 5}}
    - {name: cdn, hosts: [cdn.example.org], demand: {connectionsPerSecond: 1500, secondsPerConnection: 3}}
    - {name: registry, hosts: [registry.example.com], demand: {connectionsPerSecond: 40}}
  sallyport:aws: {region: eu-west-1, vpc: {cidr: 10.0.0.0/16}}
`

const gcpStack = `
config:
  sallyport:cloud: gcp
  sallyport:cluster: {zones: [europe-west1-b, europe-west1-c], nodes: 20, maxNodes: 40, aliasRanges: true}
  sallyport:destinations:
    - {name: cdn, hosts: [cdn.example.org], demand: {connectionsPerSecond: 150, secondsPerConnection: 1}}
    - {name: registry, hosts: [registry.example.com], demand: {connectionsPerSecond: 10}}
  sallyport:gcp: {project: project-1, region: europe-west1, network: {new: {cidr: 10.0.0.0/16, pods: 10.4.0.0/14}}}
`

func input(t *testing.T, file string) doctor.Input {
	t.Helper()
	s, err := stack.ParseFile("Pulumi.prod.yaml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	plan, err := s.Plan()
	if err != nil {
		t.Fatal(err)
	}
	return doctor.Input{Stack: "prod", Settings: s, Plan: plan, Window: window}
}

func peak(v float64) doctor.Peak   { return doctor.Peak{Known: true, Value: v, At: noon} }
func total(v float64) doctor.Total { return doctor.Total{Known: true, Value: v} }

// healthyAWS is what the plan of awsStack predicts.
func healthyAWS() doctor.Measured {
	var m doctor.Measured
	for _, zone := range []string{"eu-west-1a", "eu-west-1b", "eu-west-1c"} {
		m.Gateways = append(m.Gateways, doctor.Gateway{Name: zone, ID: "nat-" + zone, Connections: peak(1500), PerSecond: peak(500), BytesPerSecond: peak(2.5e8), PortErrors: total(0)})
		for _, n := range []string{"-1", "-2"} {
			m.Slots = append(m.Slots, doctor.Slot{Name: "proxy-" + zone + n, Zone: zone, Connections: peak(400), PerSecond: peak(180), Busy: peak(31.5),
				ReadyMinutes: total(1440), LastReady: window.To.Add(-time.Minute)})
		}
	}
	m.Destinations = []doctor.Destination{
		{Name: "payments", Ports: peak(10000), PerSecond: peak(950), Failures: total(0)}, {Name: "ledger", Ports: peak(500), PerSecond: peak(44), Failures: total(3)}}
	m.Fleet = doctor.Fleet{Refusals: total(12), Restarts: total(0), RoutesProblem: peak(0)}
	return m
}

func healthyGCP() doctor.Measured {
	return doctor.Measured{Gateways: []doctor.Gateway{{Name: "nat", ID: "nat", Ports: peak(1300), Dropped: total(0), Unserved: total(0), PerSecond: peak(140), Connections: peak(150)}}}
}

func TestReports(t *testing.T) {
	for name, c := range map[string]struct {
		file     string
		healthy  func() doctor.Measured
		change   func(*doctor.Measured)
		findings int
	}{
		"aws-healthy": {awsStack, healthyAWS, func(*doctor.Measured) {}, 0},
		"aws-nothing-measured": {awsStack, healthyAWS, func(m *doctor.Measured) {
			*m = doctor.Measured{Problems: []string{"aws eu-west-1: cloudwatch:GetMetricData: permission denied; allow cloudwatch:GetMetricData"}}
		}, 9},
		"aws-more-than-declared": {awsStack, healthyAWS, func(m *doctor.Measured) {
			for i := range m.Gateways {
				m.Gateways[i].PerSecond, m.Gateways[i].Connections = peak(2100), peak(6000)
			}
			m.Destinations[0].PerSecond, m.Destinations[0].Ports = peak(3000), peak(31500)
		}, 8},
		"aws-ports-ran-out-as-planned": {awsStack, healthyAWS, func(m *doctor.Measured) { m.Gateways[1].PortErrors = total(512) }, 1},
		"aws-connections-live-longer":  {awsStack, healthyAWS, func(m *doctor.Measured) { m.Destinations[1].Ports = peak(55000) }, 1},
		"aws-proxies": {awsStack, healthyAWS, func(m *doctor.Measured) {
			m.Slots[0].ReadyMinutes, m.Slots[0].LastReady = total(700), noon
			m.Slots[1].Connections = peak(45000)
			m.Slots[2].ReadyMinutes, m.Slots[2].LastReady = total(0), time.Time{}
			m.Slots[3] = doctor.Slot{Name: m.Slots[3].Name, Zone: m.Slots[3].Zone}
			m.Slots[4] = doctor.Slot{Name: m.Slots[4].Name, Zone: m.Slots[4].Zone, Elastic: true}
			m.Slots[5].Elastic, m.Slots[5].ReadyMinutes = true, total(200)
			m.Fleet.RoutesProblem, m.Fleet.Restarts = peak(1), total(2)
		}, 9},
		"gcp-healthy":                {gcpStack, healthyGCP, func(*doctor.Measured) {}, 0},
		"gcp-packets-find-no-port":   {gcpStack, healthyGCP, func(m *doctor.Measured) { m.Gateways[0].Dropped, m.Gateways[0].Ports = total(90000), peak(4096) }, 3},
		"gcp-vms-without-ip":         {gcpStack, healthyGCP, func(m *doctor.Measured) { m.Gateways[0].Unserved = total(14) }, 1},
		"gcp-close-and-not-declared": {gcpStack, healthyGCP, func(m *doctor.Measured) { m.Gateways[0].Ports = peak(1990) }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			in := input(t, c.file)
			in.Measured = c.healthy()
			c.change(&in.Measured)
			r := doctor.Examine(in)
			golden.Check(t, name+".golden", r.Text(name == "aws-healthy"))
			if r.Findings != c.findings {
				t.Errorf("%d findings, want %d", r.Findings, c.findings)
			}
			if c.findings > 0 && r.Findings > 0 && len(r.Advice) == 0 && name != "aws-nothing-measured" && name != "aws-proxies" {
				t.Error("findings without advice")
			}
		})
	}
}

func TestTheReportAsJSON(t *testing.T) {
	in := input(t, awsStack)
	in.Measured = healthyAWS()
	in.Measured.Destinations[0].Ports = doctor.Peak{}
	data, err := json.MarshalIndent(doctor.Examine(in), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "report.json.golden", string(data)+"\n")
	if !strings.Contains(string(data), `"measured": null`) {
		t.Error("no data must be null and not 0")
	}
}

// TestAdviceIsAPlanThatHolds follows the advice and looks again: nothing may be left to say.
func TestAdviceIsAPlanThatHolds(t *testing.T) {
	in := input(t, awsStack)
	in.Measured = healthyAWS()
	in.Measured.Destinations[0].PerSecond = peak(3000)
	first := doctor.Examine(in)
	if len(first.Advice) != 1 || len(first.Advice[0].Changes) != 1 {
		t.Fatalf("advice %+v", first.Advice)
	}
	change := first.Advice[0].Changes[0]
	if change.Key != "sallyport:destinations[0].demand.connectionsPerSecond" || change.To != 3600.0 {
		t.Fatalf("change %+v", change)
	}
	again := input(t, strings.Replace(awsStack, "connectionsPerSecond: 1000", "connectionsPerSecond: 3600", 1))
	again.Measured = in.Measured
	if r := doctor.Examine(again); r.Findings != 0 || len(r.Advice) != 0 {
		t.Errorf("after the change: %s", r.Text(true))
	}
}

func TestPeaksAndTotals(t *testing.T) {
	var p doctor.Peak
	p.Raise(0, noon)
	if !p.Known || p.Value != 0 {
		t.Errorf("0 is a figure: %+v", p)
	}
	p.Raise(5, noon.Add(time.Minute))
	p.Raise(5, noon.Add(2*time.Minute))
	p.Raise(3, noon.Add(3*time.Minute))
	if p.Value != 5 || !p.At.Equal(noon.Add(time.Minute)) {
		t.Errorf("got %+v, want the first time of the highest", p)
	}
	var sum doctor.Total
	if sum.Known {
		t.Error("no figure is known before one came")
	}
	sum.Add(0)
	sum.Add(2)
	if !sum.Known || sum.Value != 2 {
		t.Errorf("got %+v", sum)
	}
}
