package gcpmetrics_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/doctor"
	"github.com/sallyport/sallyport/doctor/gcpmetrics"
	"github.com/sallyport/sallyport/preflight/fakegcp"
)

var (
	to     = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	window = doctor.Window{From: to.Add(-24 * time.Hour), To: to}
	source = gcpmetrics.Source{Project: "project-1", Region: "europe-west1", Gateways: []doctor.Gateway{{Name: "nat", ID: "nat"}}}
)

// series is a metric of a gateway: values at the minutes before noon.
func series(gateway, name string, labels map[string]string, values ...float64) fakegcp.Series {
	s := fakegcp.Series{Type: "router.googleapis.com/nat/" + name, Metric: labels, Points: map[time.Time]float64{},
		Resource: map[string]string{"project_id": "project-1", "region": "europe-west1", "gateway_name": gateway, "router_id": "123"}}
	for i, v := range values {
		s.Points[to.Add(time.Duration(i-len(values))*time.Minute)] = v
	}
	return s
}

func tcp() map[string]string { return map[string]string{"ip_protocol": "TCP"} }

func project() fakegcp.Project {
	elsewhere := series("nat", "port_usage", tcp(), 9999)
	elsewhere.Resource["region"] = "europe-west4"
	return fakegcp.Project{ID: "project-1", Region: "europe-west1", Series: []fakegcp.Series{
		series("nat", "port_usage", tcp(), 100, 1300, 900),
		series("nat", "port_usage", map[string]string{"ip_protocol": "UDP"}, 5000),
		series("other", "port_usage", tcp(), 9999),
		elsewhere,
		series("nat", "open_connections", tcp(), 40, 30),
		series("nat", "new_connections_count", tcp(), 1.5, 12.25),
		series("nat", "dropped_sent_packets_count", map[string]string{"ip_protocol": "TCP", "reason": "OUT_OF_RESOURCES"}, 5, 0, 7),
		series("nat", "dropped_sent_packets_count", map[string]string{"ip_protocol": "UDP", "reason": "OUT_OF_RESOURCES"}, 1),
		series("nat", "dropped_sent_packets_count", map[string]string{"ip_protocol": "TCP", "reason": "ENDPOINT_INDEPENDENCE_CONFLICT"}, 400),
		series("nat", "nat_allocation_failed", nil, 0, 1, 1),
	}}
}

func TestGateways(t *testing.T) {
	for _, size := range []int{0, 1} {
		p := project()
		p.PageSize = size
		fakegcp.Start(t, p)
		m := gcpmetrics.Read(context.Background(), source, window)
		g := m.Gateways[0]
		if len(m.Problems) > 0 || g.Ports.Value != 1300 || !g.Ports.At.Equal(to.Add(-3*time.Minute)) || g.Connections.Value != 40 || g.PerSecond.Value != 12.25 ||
			g.Dropped.Value != 13 || g.Unserved.Value != 2 {
			t.Errorf("pages of %d: %+v %v", size, g, m.Problems)
		}
	}
}

func TestAGatewayThatNeverDroppedHasNoSeriesOfIt(t *testing.T) {
	p := project()
	p.Series = p.Series[:1]
	fakegcp.Start(t, p)
	if g := gcpmetrics.Read(context.Background(), source, window).Gateways[0]; !g.Dropped.Known || g.Dropped.Value != 0 || g.Unserved.Known {
		t.Errorf("%+v", g)
	}
	p.Series = nil
	fakegcp.Start(t, p)
	if g := gcpmetrics.Read(context.Background(), source, window).Gateways[0]; g.Dropped.Known || g.Ports.Known {
		t.Errorf("nobody heard of it: %+v", g)
	}
}

func TestTheWindowIsTheWindow(t *testing.T) {
	fakegcp.Start(t, project())
	g := gcpmetrics.Read(context.Background(), source, doctor.Window{From: window.From, To: to.Add(-10 * time.Minute)}).Gateways[0]
	if g.Ports.Known {
		t.Errorf("%+v", g)
	}
}

func TestRefusals(t *testing.T) {
	t.Setenv("SALLYPORT_GCP_ATTEMPTS", "1")
	s := fakegcp.Start(t, project())
	s.Fail("/timeSeries", fakegcp.Denied("monitoring.timeSeries.list", "projects/project-1"))
	m := gcpmetrics.Read(context.Background(), source, window)
	if len(m.Problems) != 1 || !strings.Contains(m.Problems[0], "monitoring.timeSeries.list: permission denied") || !strings.Contains(m.Problems[0], "roles/monitoring.viewer") ||
		strings.Contains(m.Problems[0], "preflight") {
		t.Errorf("%q", m.Problems)
	}
	t.Setenv("GOOGLE_OAUTH_ACCESS_TOKEN", "")
	t.Setenv("GOOGLE_CREDENTIALS", "/nonexistent")
	if m := gcpmetrics.Read(context.Background(), source, window); len(m.Problems) != 1 || !strings.Contains(m.Problems[0], "no credentials found") {
		t.Errorf("%q", m.Problems)
	}
}
