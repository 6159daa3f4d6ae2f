package cloudwatch

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport/sallyport/internal/golden"
)

// figures is a registry with what an agent has, and ways to change it.
type figures struct {
	*prometheus.Registry
	connections, failed *prometheus.CounterVec
	ports               *prometheus.GaugeVec
	sessions            prometheus.Gauge
}

func newFigures() *figures {
	f := &figures{
		Registry:    prometheus.NewRegistry(),
		connections: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sallyport_connections_total"}, []string{"destination"}),
		failed:      prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sallyport_connect_failures_total"}, []string{"destination"}),
		ports:       prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "sallyport_source_ports_in_use"}, []string{"source", "destination"}),
		sessions:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "sallyport_haproxy_sessions"}),
	}
	idle := prometheus.NewGauge(prometheus.GaugeOpts{Name: "sallyport_haproxy_idle_ratio"})
	idle.Set(0.75)
	serial := prometheus.NewGauge(prometheus.GaugeOpts{Name: "sallyport_routes_serial"})
	serial.Set(1795000000)
	f.MustRegister(f.connections, f.failed, f.ports, f.sessions, idle, serial)
	return f
}

func TestLinesOfTwoMinutes(t *testing.T) {
	f := newFigures()
	f.sessions.Set(1200)
	f.connections.WithLabelValues("cdn").Add(100)
	f.connections.WithLabelValues("").Add(7) // a host below a wildcard that is no longer listed
	f.ports.WithLabelValues("10.0.0.10", "cdn,mirror").Set(400)
	f.ports.WithLabelValues("10.0.0.11", "cdn,mirror").Set(500)
	f.ports.WithLabelValues("10.0.0.10", "").Set(3)
	var out bytes.Buffer
	w := New(Dimensions{"prod", "eu-west-1a", "proxy-eu-west-1a-1"}, f, func() bool { return true }, &out, slog.New(slog.DiscardHandler))
	var received, sent uint64 = 1000, 2000
	w.bytes = func() (uint64, uint64, error) { return received, sent, nil }
	minute := time.Date(2026, 11, 20, 12, 0, 30, 0, time.UTC)
	w.write(minute)
	f.connections.WithLabelValues("cdn").Add(600)
	f.failed.WithLabelValues("cdn").Add(6)
	received, sent = received+60_000, sent+120_000
	w.write(minute.Add(time.Minute))
	golden.Check(t, "two-minutes.golden", out.String())
	for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		checkFormat(t, line)
	}
}

// checkFormat checks a line against the rules of the embedded metric format: every dimension is a string of the line, every metric
// a number, at most 30 dimensions and 100 metrics in a directive, and a line that a pipe takes in one piece.
func checkFormat(t *testing.T, line string) {
	t.Helper()
	if len(line) > 4000 {
		t.Errorf("a line of %d bytes may be torn by another writer", len(line))
	}
	var members map[string]any
	var header struct {
		AWS struct {
			Timestamp         int64
			CloudWatchMetrics []directive
		} `json:"_aws"`
	}
	if err := json.Unmarshal([]byte(line), &members); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(line), &header); err != nil {
		t.Fatal(err)
	}
	if header.AWS.Timestamp < 1e12 || len(header.AWS.CloudWatchMetrics) == 0 {
		t.Errorf("needs a time in milliseconds and a directive: %s", line)
	}
	for _, d := range header.AWS.CloudWatchMetrics {
		for _, set := range d.Dimensions {
			for _, name := range set {
				if text, ok := members[name].(string); !ok || text == "" {
					t.Errorf("dimension %s is no text of the line: %s", name, line)
				}
			}
		}
		for _, m := range d.Metrics {
			if _, ok := members[m.Name].(float64); !ok {
				t.Errorf("metric %s is no number of the line: %s", m.Name, line)
			}
		}
	}
}

func TestACounterThatBeganAgainDoesNotFall(t *testing.T) {
	if got := rate(30, 900, 60); got != 0.5 {
		t.Errorf("rate is %g, want what was counted since the restart: 0.5", got)
	}
}

func TestOneLineAMinute(t *testing.T) {
	for now, want := range map[string]time.Duration{
		"12:00:00.0": 30 * time.Second, "12:00:29.9": 100 * time.Millisecond, "12:00:30.0": time.Minute, "12:00:59.0": 31 * time.Second,
	} {
		at, err := time.Parse("15:04:05.0", now)
		if err != nil {
			t.Fatal(err)
		}
		if got := untilNext(at); got != want {
			t.Errorf("at %s the next line is due in %s, want %s", now, got, want)
		}
	}
}

func TestDimensionsAreStrict(t *testing.T) {
	got, err := ParseDimensions("stack=prod,zone=a,slot=proxy-a-1")
	if want := (Dimensions{"prod", "a", "proxy-a-1"}); err != nil || got != want {
		t.Errorf("got %v, %v", got, err)
	}
	for _, text := range []string{"", "stack=prod", "stack=prod,zone=a", "stack=prod,zone=a,slot=", "stack=prod,zone=a,slot=b c",
		"stack=a,stack=b,zone=a,slot=b", "stack=prod,zone=a,slot=b,more=c"} {
		if _, err := ParseDimensions(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestInterfaceBytes(t *testing.T) {
	const table = "Inter-|   Receive                                                |  Transmit\n" +
		" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n" +
		"    lo: 999 1 0 0 0 0 0 0 999 1 0 0 0 0 0 0\n" +
		"  ens5: 100 1 0 0 0 0 0 0 200 1 0 0 0 0 0 0\n" +
		"  ens6: 10 1 0 0 0 0 0 0 20 1 0 0 0 0 0 0\n"
	received, sent, err := parseInterfaces(strings.NewReader(table))
	if received != 110 || sent != 220 || err != nil {
		t.Errorf("received %d, sent %d, %v", received, sent, err)
	}
	if _, _, err := parseInterfaces(strings.NewReader("ens5: 1 2\n")); err == nil {
		t.Error("a short line is taken")
	}
	if _, _, err := interfaceBytes(); err != nil {
		t.Errorf("this machine's own: %v", err)
	}
}
