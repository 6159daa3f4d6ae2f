package prommetrics_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/doctor"
	"github.com/sallyport/sallyport/doctor/prommetrics"
	"github.com/sallyport/sallyport/internal/golden"
	"github.com/sallyport/sallyport/proxyimage/monitoring"
)

var window = doctor.Window{From: time.Date(2026, 11, 19, 12, 0, 0, 0, time.UTC), To: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)}

func source(url string) prommetrics.Source {
	return prommetrics.Source{
		URL:       url,
		Slots:     []doctor.Slot{{Name: "proxy-a-1"}, {Name: "proxy-a-2"}},
		Addresses: map[string]string{"proxy-a-1": "10.0.1.10", "proxy-a-2": "10.0.1.11"},
		Destinations: []doctor.Destination{
			{Name: "payments"}, {Name: "mirror"}, {Name: "silent"},
		},
	}
}

// series is one value of an answer.
type series struct {
	labels map[string]string
	value  string
}

// prometheus answers queries by a word in them, and keeps them.
type prometheus struct {
	answers map[string][]series
	asked   []string
	token   string
}

func (p *prometheus) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.FormValue("query")
	p.asked, p.token = append(p.asked, query), r.Header.Get("Authorization")
	if r.URL.Path != "/prom/api/v1/query" || r.FormValue("time") != fmt.Sprint(window.To.Unix()) {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	result := []any{}
	for word, all := range p.answers {
		if !strings.Contains(query, word) {
			continue
		}
		for _, s := range all {
			result = append(result, map[string]any{"metric": s.labels, "value": []any{window.To.Unix(), s.value}})
		}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": map[string]any{"resultType": "vector", "result": result}})
}

func start(t *testing.T, answers map[string][]series) (*prometheus, string) {
	t.Helper()
	p := &prometheus{answers: answers}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	return p, server.URL + "/prom"
}

func proxy(n int) map[string]string {
	return map[string]string{"instance": fmt.Sprintf("10.0.1.1%d:8404", n)}
}

func TestFigures(t *testing.T) {
	p, url := start(t, map[string][]series{
		"max_over_time(sallyport_source_ports_in_use":            {{map[string]string{"destination": "payments,mirror"}, "7000"}, {map[string]string{"destination": "mirror"}, "80"}, {map[string]string{"destination": ""}, "9"}},
		"sum by (destination) (rate(sallyport_connections_total": {{map[string]string{"destination": "payments"}, "30.5"}, {map[string]string{"destination": "unknown"}, "99"}},
		"sum by (instance) (rate(sallyport_connections_total":    {{proxy(0), "10"}, {proxy(1), "20"}},
		"sallyport_haproxy_sessions":                             {{proxy(0), "50"}, {proxy(1), "100"}, {proxy(9), "4000"}},
		"sallyport_haproxy_idle_ratio":                           {{proxy(0), "20"}, {proxy(1), "NaN"}},
		"sum_over_time(max by (instance) (sallyport_haproxy_up":  {{proxy(0), "1440"}, {proxy(1), "700"}},
		"timestamp(max by (instance) (sallyport_haproxy_up":      {{proxy(0), fmt.Sprint(window.To.Unix())}, {proxy(1), fmt.Sprint(window.To.Add(-time.Hour).Unix())}},
		"sallyport_routes_problem":                               {{nil, "1"}},
		"sallyport_haproxy_restarts_total":                       {{nil, "2"}},
	})
	t.Setenv("SALLYPORT_PROMETHEUS_TOKEN", "example")
	m, err := prommetrics.Read(context.Background(), source(url), window)
	if err != nil || len(m.Problems) > 0 {
		t.Fatal(err, m.Problems)
	}
	want := []doctor.Slot{
		{Name: "proxy-a-1", Connections: doctor.Peak{Known: true, Value: 50}, PerSecond: doctor.Peak{Known: true, Value: 10}, Busy: doctor.Peak{Known: true, Value: 20},
			ReadyMinutes: doctor.Total{Known: true, Value: 1440}, LastReady: window.To},
		{Name: "proxy-a-2", Connections: doctor.Peak{Known: true, Value: 100}, PerSecond: doctor.Peak{Known: true, Value: 20},
			ReadyMinutes: doctor.Total{Known: true, Value: 700}, LastReady: window.To.Add(-time.Hour)},
	}
	if !slices.Equal(m.Slots, want) {
		t.Errorf("slots %+v\nwant %+v", m.Slots, want)
	}
	destinations := []doctor.Destination{
		{Name: "payments", Ports: doctor.Peak{Known: true, Value: 7000}, PerSecond: doctor.Peak{Known: true, Value: 30.5}, Failures: doctor.Total{Known: true}},
		{Name: "mirror", Ports: doctor.Peak{Known: true, Value: 7000}},
		{Name: "silent"},
	}
	if !slices.Equal(m.Destinations, destinations) {
		t.Errorf("destinations %+v\nwant %+v", m.Destinations, destinations)
	}
	if f := m.Fleet; f.RoutesProblem.Value != 1 || f.Restarts.Value != 2 || !f.Refusals.Known || f.Refusals.Value != 0 {
		t.Errorf("fleet %+v", f)
	}
	if p.token != "Bearer example" {
		t.Errorf("token %q", p.token)
	}
	golden.Check(t, "queries.golden", strings.Join(p.asked, "\n")+"\n")
}

func TestProxiesThatNobodyScrapesHaveNoFigures(t *testing.T) {
	_, url := start(t, nil)
	m, err := prommetrics.Read(context.Background(), source(url), window)
	if err != nil || len(m.Problems) > 0 || m.Slots[0].Connections.Known || m.Fleet.Refusals.Known || m.Fleet.Restarts.Known {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestRefusals(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := "http://" + listener.Addr().String()
	listener.Close() //nolint:errcheck // nothing was sent
	answering := func(status int, body string) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			fmt.Fprint(w, body) //nolint:errcheck // the test sees it
		}))
		t.Cleanup(server.Close)
		return server.URL
	}
	for url, want := range map[string]string{
		dead: "cannot be reached: ",
		answering(422, `{"status":"error","errorType":"execution","error":"query processing would load too many samples into memory"}`): "refused: query processing would load too many samples",
		answering(404, "404 page not found"):                                                                             "refused: HTTP status 404, and no answer of the query API",
		answering(200, `{"status":"success","data":{"resultType":"matrix","result":[]}}`):                                `expected a vector, got "matrix"`,
		answering(200, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"ten"]}]}}`): `"ten" is no value`,
	} {
		m, err := prommetrics.Read(context.Background(), source(url), window)
		if err != nil || len(m.Problems) != 1 || !strings.Contains(m.Problems[0], want) || !strings.HasPrefix(m.Problems[0], "prometheus 127.0.0.1") {
			t.Errorf("%s: %v %v, want %q", url, m.Problems, err, want)
		}
	}
	for _, url := range []string{"", "prometheus:9090", "ftp://prometheus", "http://", "://"} {
		if _, err := prommetrics.Read(context.Background(), source(url), window); err == nil || !strings.Contains(err.Error(), "--prometheus: must be a URL") {
			t.Errorf("%q: %v", url, err)
		}
	}
}

// TestTheMetricsAreThoseThatAlertsAreWrittenFor keeps the queries from asking for names that no proxy has.
func TestTheMetricsAreThoseThatAlertsAreWrittenFor(t *testing.T) {
	rules, err := monitoring.Rules(monitoring.Values{Stack: "prod", Proxies: 2, Needed: 1, ConnectionsPerSecond: 1, MaxConnections: 1, Share: 0.8,
		Destinations: []monitoring.Destination{{Name: "payments", Ceiling: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	p, url := start(t, nil)
	if _, err := prommetrics.Read(context.Background(), source(url), window); err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`sallyport_[a-z_]+`).FindAllString(strings.Join(p.asked, "\n"), -1)
	if len(names) < 11 {
		t.Fatalf("only %d names in %d queries", len(names), len(p.asked))
	}
	for _, name := range names {
		if !strings.Contains(rules, name) {
			t.Errorf("%s is in no alert rule: is there such a metric?", name)
		}
	}
}
