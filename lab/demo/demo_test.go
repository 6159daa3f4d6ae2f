package demo

import (
	"context"
	"math"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/components/capacity"
	"github.com/sallyport/sallyport/components/destinations"
	"github.com/sallyport/sallyport/lab/load"
	"github.com/sallyport/sallyport/lab/namespace"
	"github.com/sallyport/sallyport/lab/registry"
	"github.com/sallyport/sallyport/lab/remains"
)

func TestCandidatesFollowTheSearchList(t *testing.T) {
	searches := []string{"default.svc.cluster.local", "cluster.local"}
	for name, tt := range map[string]struct {
		host  string
		ndots int
		want  []string
	}{
		"fewer dots than ndots: the search list first": {"api.example.com", 5,
			[]string{"api.example.com.default.svc.cluster.local.", "api.example.com.cluster.local.", "api.example.com."}},
		"as many dots as ndots: the name first": {"api.example.com", 2,
			[]string{"api.example.com.", "api.example.com.default.svc.cluster.local.", "api.example.com.cluster.local."}},
		"a trailing dot: only the name": {"api.example.com.", 5, []string{"api.example.com."}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := candidates(tt.host, tt.ndots, searches); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestResolvConf(t *testing.T) {
	got, err := parseResolvConf("nameserver 169.254.20.10\nsearch a.example b.example\noptions ndots:5\n")
	if want := (resolvConf{"169.254.20.10", []string{"a.example", "b.example"}}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	if _, err := parseResolvConf("search a.example\n"); err == nil {
		t.Error("a file without nameserver was accepted")
	}
}

const metrics = `# TYPE coredns_dns_requests_total counter
coredns_dns_requests_total{family="1",proto="tcp",server="dns://10.0.0.2:53",type="A",view="",zone="."} 14
coredns_dns_requests_total{family="1",proto="tcp",server="dns://10.0.0.2:53",type="AAAA",view="",zone="."} 1e+01
coredns_dns_requests_total{family="1",proto="tcp",server="dns://10.0.0.2:53",type="other",view="",zone="."} 8
coredns_dns_requests_total{family="1",proto="udp",server="dns://192.0.2.53:53",type="A",view="",zone="."} 700
coredns_dns_responses_total{type="A"} 5000
`

func TestAddressQueriesAreAddedUp(t *testing.T) {
	for label, want := range map[string]float64{"": 724, `server="dns://10.0.0.2:53"`: 24, `server="none"`: 0} {
		if got, err := addressQueries(strings.NewReader(metrics), label); err != nil || got != want {
			t.Errorf("label %q: %g, %v, want %g", label, got, err, want)
		}
	}
	if _, err := addressQueries(strings.NewReader(`coredns_dns_requests_total{type="A"} many`), ""); err == nil {
		t.Error("a counter that is no number was accepted")
	}
}

func TestRanges(t *testing.T) {
	for want, in := range map[string][]string{
		"":                              nil,
		"192.0.2.1":                     {"192.0.2.1"},
		"192.0.2.1-3 192.0.2.9":         {"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.9"},
		"192.0.2.254-255 192.0.3.0-1":   {"192.0.2.254", "192.0.2.255", "192.0.3.0", "192.0.3.1"},
		"not-an-ip 192.0.2.7 192.0.2.5": {"not-an-ip", "192.0.2.7", "192.0.2.5"},
	} {
		if got := Ranges(in); got != want {
			t.Errorf("%v: got %q, want %q", in, got, want)
		}
	}
}

func TestLastFailureIsRoundedUp(t *testing.T) {
	result := func(failing ...int) load.Result {
		r := load.Result{Seconds: make([]load.Second, int((failoverBefore + failoverAfter).Seconds()))}
		for _, i := range failing {
			r.Seconds[i].Failed = 1
		}
		return r
	}
	kill := int(failoverBefore.Seconds())
	for want, r := range map[float64]load.Result{0: result(), 1: result(kill - 1), 3: result(kill, kill+2)} {
		if got := lastFailure(r); got != want {
			t.Errorf("got %g, want %g", got, want)
		}
	}
}

func TestSecondHandReadsTheLoadsClock(t *testing.T) {
	hand := newSecondHand(3 * time.Second)
	for i, text := range []string{"  1s\n", "  2s", "\n"} {
		if _, err := hand.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		select {
		case <-hand.reached:
			t.Fatalf("reached after write %d", i)
		default:
		}
	}
	if _, err := hand.Write([]byte("  3s\n  4s\n")); err != nil {
		t.Fatal(err)
	}
	select {
	case <-hand.reached:
	default:
		t.Fatal("three lines are three seconds")
	}
}

func TestSourcesAreJudgedByThePartnersList(t *testing.T) {
	document := allowlist.Document{Entries: []allowlist.Entry{
		{IP: netip.MustParseAddr("198.51.100.1"), State: allowlist.StateActive, Partners: []string{"payments"}},
		{IP: netip.MustParseAddr("198.51.100.2"), State: allowlist.StateActive, Partners: []string{"ledger"}},
		{IP: netip.MustParseAddr("198.51.100.3"), State: allowlist.StateReserved, Partners: []string{"payments"}},
	}}
	results := []load.Result{
		{Connections: 10, OfferedPerSecond: 2, Failed: 1, Failures: map[load.Class]int{load.Timeout: 1}, Sources: map[string]int{"198.51.100.3": 4}},
		{Connections: 20, OfferedPerSecond: 3, Failed: 0, Sources: map[string]int{"198.51.100.2": 1, "198.51.100.1": 2}},
	}
	path := pathOf(destinations.Destination{Hosts: []string{"*.example.com"}, Route: destinations.RouteNat}, results)
	if path.Destination != "any.example.com" || path.Attempts != 30 || path.Failed != 1 || path.Rate != 5 ||
		Ranges(path.Sources) != "198.51.100.1-3" || path.Failures[load.Timeout] != 1 {
		t.Errorf("%+v", path)
	}
	path.judge(document, "payments")
	if !reflect.DeepEqual(path.Unlisted, []string{"198.51.100.2", "198.51.100.3"}) {
		t.Errorf("another partner's and a reserved IP must be found, got %v", path.Unlisted)
	}
	report := Report{Paths: []Path{path}}
	report.compare(document)
	if report.Sources.Same() || len(report.Sources.Seen) != 3 || len(report.Sources.Active) != 2 {
		t.Errorf("%+v", report.Sources)
	}
	report.Paths[0].Sources = []string{"198.51.100.1", "198.51.100.2"}
	if report.compare(document); !report.Sources.Same() {
		t.Errorf("%+v", report.Sources)
	}
	report.Paths[0].Sources = append(report.Paths[0].Sources, "203.0.113.9")
	if report.compare(document); report.Sources.Same() {
		t.Error("an IP that is nowhere on the list must be noticed")
	}
}

func TestStandardTrialCoversTheCurve(t *testing.T) {
	trial := standard()
	low, high := 1.0, 0.0
	for _, l := range trial.levels {
		b := capacity.ErlangB(trial.ports, l.offered)
		low, high = min(low, b), max(high, b)
	}
	if len(trial.levels) < 5 || low > 0.05 || high < 0.6 {
		t.Errorf("%d levels from %.3f to %.3f", len(trial.levels), low, high)
	}
	ports, err := trial.computedPorts()
	if err != nil || capacity.ErlangB(ports, trial.heaviest()) > 1e-6 {
		t.Errorf("%d ports: %v", ports, err)
	}
}

func buildLabd(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("making network namespaces needs root")
	}
	t.Setenv("SALLYPORT_LAB_ROOT", t.TempDir())
	labd := filepath.Join(t.TempDir(), "labd")
	if out, err := exec.Command("go", "build", "-o", labd, "github.com/sallyport/sallyport/lab/cmd/labd").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return labd
}

func TestScratchLabIsOursAndVanishes(t *testing.T) {
	labd := buildLabd(t)
	s, err := newScratch(labd, time.Second, []int{64, 64})
	if err != nil {
		t.Error(err)
	}
	if names, err := namespace.List(s.lab.ID); err != nil || len(names) != 6 {
		t.Errorf("needs internet, vpc, nat, partner and two nodes, got %v, %v", names, err)
	}
	self, err := remains.Self()
	if owner, ownerErr := remains.OwnerOf(s.lab); err != nil || ownerErr != nil || owner != self {
		t.Errorf("owner %q, %v, want %q, %v", owner, ownerErr, self, err)
	}
	if err := removeOrphans(t.Context()); err != nil || !s.lab.Exists() {
		t.Errorf("the lab of a running process must stay: %v", err)
	}
	if n, err := portsTaken(s.name("nat")); err != nil || n != 0 {
		t.Errorf("%d ports taken, %v", n, err)
	}
	if err := s.remove(); err != nil {
		t.Error(err)
	}
	if names, err := namespace.List(s.lab.ID); err != nil || len(names) > 0 || s.lab.Exists() {
		t.Errorf("left: %v, %v", names, err)
	}
}

// TestExhaustionFollowsTheModel builds a real scratch lab; it must also vanish when it is interrupted.
func TestExhaustionFollowsTheModel(t *testing.T) {
	labd := buildLabd(t)
	trial := trial{ports: 16, timeWait: time.Second, hold: 250 * time.Millisecond, window: 6 * time.Second, levels: []level{{24, 2}, {48, 1}}}

	interrupted, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, _, err := trial.exhaust(interrupted, labd); err == nil {
		t.Error("an interrupted trial has no result")
	}
	nothingLeft(t)

	points, computed, err := trial.exhaust(t.Context(), labd)
	if err != nil {
		t.Fatal(err)
	}
	nothingLeft(t)
	for _, p := range append(points, *computed) {
		t.Logf("%d ports: load %.1f, n = %d: measured %.3f, predicted %.3f, occupied %.2f s", p.Ports, p.OfferedLoad, p.Attempts, p.Measured(),
			p.Predicted, p.OccupiedSeconds)
		if tolerance := 0.05 + 0.25*p.Predicted; p.Attempts < 100 || math.Abs(p.Measured()-p.Predicted) > tolerance {
			t.Errorf("%+v: tolerance %.3f", p, tolerance)
		}
	}
	if computed.Failed > 0 || points[0].Failed == 0 || points[1].Measured() < points[0].Measured() {
		t.Error("more load must fail more often, and computed ports must not fail at all")
	}
}

// nothingLeft checks that no lab is left in the test's own root.
func nothingLeft(t *testing.T) {
	t.Helper()
	if labs, err := registry.All(); err != nil || len(labs) > 0 {
		t.Errorf("labs left: %v, %v", labs, err)
	}
}
