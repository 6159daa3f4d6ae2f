package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/doctor"
	"github.com/sallyport/sallyport/internal/clock"
	"github.com/sallyport/sallyport/internal/golden"
	"github.com/sallyport/sallyport/preflight/fakeaws"
	"github.com/sallyport/sallyport/preflight/fakegcp"
)

// doctorProject changes into a project as far as doctor looks at it: a stack file on AWS, one on GCP, a local one, and the output of
// them all; with an empty output Pulumi fails. It returns a comparison with the golden files of this package.
func doctorProject(t *testing.T, endpoints string) (check func(name, got string)) {
	t.Helper()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	const destinations = `
  sallyport:destinations:
    - {name: payments, hosts: [api.payments.example.com], route: proxy, partner: payments, demand: {connectionsPerSecond: 100}}
    - {name: cdn, hosts: [cdn.example.org], demand: {connectionsPerSecond: 30}}
`
	script := "#!/bin/sh\ncat \"$(dirname \"$0\")/output\"\n"
	if endpoints == "" {
		script = "#!/bin/sh\necho 'error: no stack named prod' >&2\nexit 255\n"
	}
	project(t, map[string]string{
		"tools/pulumi.sh": script, "tools/output": endpoints,
		"stacks/Pulumi.aws-prod.yaml": `
config:
  sallyport:cloud: aws
  sallyport:cluster: {zones: [eu-west-1a], nodes: 10}
  sallyport:aws: {region: eu-west-1, vpc: {cidr: 10.0.0.0/16}}` + destinations,
		"stacks/Pulumi.gcp-prod.yaml": `
config:
  sallyport:cloud: gcp
  sallyport:cluster: {zones: [europe-west1-b], nodes: 10}
  sallyport:destinations: [{name: cdn, hosts: [cdn.example.org], demand: {connectionsPerSecond: 30}}]
  sallyport:gcp: {project: project-1, region: europe-west1, network: {new: {cidr: 10.0.0.0/16}}}
`,
		"stacks/Pulumi.local.yaml": `
config:
  sallyport:cloud: local
  sallyport:lab: {}
  sallyport:cluster: {zones: [a], nodes: 1}` + destinations,
	})
	t.Setenv(clock.Env, "2026-11-20T12:00:30Z")
	return func(name, got string) {
		t.Helper()
		there, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		t.Chdir(here)
		golden.Check(t, name, got)
		t.Chdir(there)
	}
}

const awsEndpoints = `{"region": "eu-west-1", "gateways": {"eu-west-1a": {"id": "nat-a", "primary": "nat-eu-west-1a-1"}},
	"proxies": [{"name": "proxy-eu-west-1a-1", "zone": "eu-west-1a", "mode": "active", "address": "10.0.1.10"},
	            {"name": "proxy-eu-west-1a-2", "zone": "eu-west-1a", "mode": "reserved", "address": "10.0.1.11"}]}`

var doctorNoon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// everyMinute is a metric that was the same all day.
func everyMinute(namespace, name string, dimensions map[string]string, value float64) fakeaws.Series {
	s := fakeaws.Series{Namespace: namespace, Name: name, Dimensions: dimensions}
	for at := doctorNoon.Add(-25 * time.Hour); at.Before(doctorNoon); at = at.Add(time.Minute) {
		s.Samples = append(s.Samples, fakeaws.Sample{At: at, Value: value})
	}
	return s
}

// awsAccount is one whose figures are those of the plan, with so many attempts a minute at the gateway.
func awsAccount(attempts float64) fakeaws.Account {
	gateway, slot := map[string]string{"NatGatewayId": "nat-a"}, map[string]string{"Stack": "aws-prod", "Slot": "proxy-eu-west-1a-1"}
	destination, all := map[string]string{"Stack": "aws-prod", "Destination": "payments"}, map[string]string{"Stack": "aws-prod"}
	return fakeaws.Account{Region: "eu-west-1", Series: []fakeaws.Series{
		everyMinute("AWS/NATGateway", "ActiveConnectionCount", gateway, 28), everyMinute("AWS/NATGateway", "PeakBytesPerSecond", gateway, 4e6),
		everyMinute("AWS/NATGateway", "ConnectionAttemptCount", gateway, attempts), everyMinute("AWS/NATGateway", "ErrorPortAllocation", gateway, 0),
		everyMinute("Sallyport", "Connections", slot, 95), everyMinute("Sallyport", "ConnectionsPerSecond", slot, 96), everyMinute("Sallyport", "Busy", slot, 12), everyMinute("Sallyport", "Ready", slot, 1),
		everyMinute("Sallyport", "SourcePortsInUse", destination, 6000), everyMinute("Sallyport", "ConnectionsPerSecond", destination, 96), everyMinute("Sallyport", "ConnectFailures", destination, 0),
		everyMinute("Sallyport", "Refusals", all, 0), everyMinute("Sallyport", "Restarts", all, 0), everyMinute("Sallyport", "RoutesProblem", all, 0),
	}}
}

func TestDoctorOnAWS(t *testing.T) {
	check := doctorProject(t, awsEndpoints)
	fakeaws.Start(t, awsAccount(28*60))
	r := sallyport(t, "", "doctor", "--stack", "aws-prod", "--all")
	if r.code != 0 || r.complain != "" {
		t.Errorf("%+v", r)
	}
	check("doctor-aws-healthy.golden", r.output)

	fakeaws.Start(t, awsAccount(100*60))
	r = sallyport(t, "", "doctor", "--stack", "aws-prod", "--window", "90m")
	if r.code != 1 || r.complain != "" {
		t.Errorf("%+v", r)
	}
	check("doctor-aws-finding.golden", r.output)

	r = sallyport(t, "", "doctor", "--stack", "aws-prod", "--window", "1d", "--json", "--gateway", "eu-west-1a=nat-other", "--until", "2026-11-20T11:00:00Z")
	var report doctor.Report
	if err := json.Unmarshal([]byte(r.output), &report); err != nil || r.code != 1 || report.Findings == 0 || !report.To.Equal(doctorNoon.Add(-time.Hour)) || report.Rows[0].Measured != nil {
		t.Errorf("another gateway has no figures: %+v, %v", r, err)
	}
}

func TestDoctorOnGCP(t *testing.T) {
	check := doctorProject(t, `{"gateways": {"nat": "sallyport-gcp-prod-nat"}}`)
	gcp := fakegcp.Project{ID: "project-1", Region: "europe-west1"}
	for name, value := range map[string]float64{"port_usage": 500, "open_connections": 30, "new_connections_count": 29.5, "nat_allocation_failed": 0} {
		s := fakegcp.Series{Type: "router.googleapis.com/nat/" + name, Metric: map[string]string{"ip_protocol": "TCP"}, Points: map[time.Time]float64{},
			Resource: map[string]string{"region": "europe-west1", "gateway_name": "sallyport-gcp-prod-nat"}}
		for at := doctorNoon.Add(-24 * time.Hour); at.Before(doctorNoon); at = at.Add(10 * time.Minute) {
			s.Points[at] = value
		}
		gcp.Series = append(gcp.Series, s)
	}
	fakegcp.Start(t, gcp)
	r := sallyport(t, "", "doctor", "--stack", "gcp-prod")
	if r.code != 0 {
		t.Errorf("%+v", r)
	}
	check("doctor-gcp.golden", r.output)
}

func TestDoctorReadsTheProxiesFromPrometheus(t *testing.T) {
	doctorProject(t, `{"proxies": [{"name": "proxy-a-1", "zone": "a", "address": "10.0.1.10"}]}`)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		result := []any{}
		if strings.Contains(r.FormValue("query"), "sallyport_haproxy_sessions") {
			result = append(result, map[string]any{"metric": map[string]string{"instance": "10.0.1.10:8404"}, "value": []any{doctorNoon.Unix(), "46000"}})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": map[string]any{"resultType": "vector", "result": result}})
	}))
	defer server.Close()
	r := sallyport(t, "", "doctor", "--stack", "local", "--prometheus", server.URL)
	if r.code != 1 || !strings.Contains(r.output, "slot proxy-a-1") || !strings.Contains(r.output, "46,000") || !strings.Contains(r.output, "92%") {
		t.Errorf("%+v", r)
	}
	if r := sallyport(t, "", "doctor", "--stack", "local", "--prometheus", "prometheus:9090"); r.code != 2 || !strings.Contains(r.complain, "--prometheus: must be a URL") {
		t.Errorf("no URL: %+v", r)
	}
	fakeaws.Start(t, awsAccount(28*60))
	if r := sallyport(t, "", "doctor", "--stack", "aws-prod", "--prometheus", server.URL, "--gateway", "eu-west-1a=nat-a"); r.code != 1 ||
		!strings.Contains(r.output, "gateway eu-west-1a") || !strings.Contains(r.output, "slot proxy-a-1") {
		t.Errorf("gateways from CloudWatch, proxies from Prometheus: %+v", r)
	}
}

func TestDoctorSaysWhatIsMissing(t *testing.T) {
	doctorProject(t, "")
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no stack":            {nil, "stack"},
		"no such stack":       {[]string{"--stack", "prod"}, `--stack: must have a file`},
		"no stack file":       {[]string{"--stack", "aws-prod", "--file", "none.yaml"}, "none.yaml"},
		"no outputs":          {[]string{"--stack", "aws-prod"}, "name the gateways with --gateway"},
		"local":               {[]string{"--stack", "local"}, "--prometheus: is required with cloud local"},
		"a window of nothing": {[]string{"--stack", "aws-prod", "--window", "1m"}, `--window: must be from 5m to 455d, got "1m"`},
		"a window of words":   {[]string{"--stack", "aws-prod", "--window", "day"}, "--window: must be"},
		"a window too long":   {[]string{"--stack", "aws-prod", "--window", "456d"}, "--window: must be"},
		"a time to come":      {[]string{"--stack", "aws-prod", "--until", "2026-11-20T12:01:00Z"}, "--until: must be a time that has been"},
		"an argument":         {[]string{"aws-prod"}, "unknown command"},
	} {
		if r := sallyport(t, "", append([]string{"doctor"}, c.args...)...); r.code != 2 || r.output != "" || !strings.Contains(r.complain, c.want) {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestDoctorCannotReadOutputsOfAnotherKind(t *testing.T) {
	doctorProject(t, `{"gateways": {"eu-west-1a": 7}}`)
	if r := sallyport(t, "", "doctor", "--stack", "aws-prod"); r.code != 2 || !strings.Contains(r.complain, "the output endpoints cannot be read") {
		t.Errorf("%+v", r)
	}
}

func TestDoctorGoesOnWithoutOutputsWhenGatewaysAreNamed(t *testing.T) {
	doctorProject(t, "")
	s := fakeaws.Start(t, awsAccount(28*60))
	s.Fail("GetMetricData", fakeaws.Denied("cloudwatch:GetMetricData"))
	r := sallyport(t, "", "doctor", "--stack", "aws-prod", "--gateway", "eu-west-1a=nat-a")
	if r.code != 1 || !strings.Contains(r.output, "Not read\n  aws eu-west-1: cloudwatch:GetMetricData: permission denied") || !strings.Contains(r.output, "no data") {
		t.Errorf("%+v", r)
	}
}
