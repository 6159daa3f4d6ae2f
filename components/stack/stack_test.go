package stack

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/components/capacity"
	"github.com/sallyport/sallyport/components/destinations"
	"github.com/sallyport/sallyport/internal/problem"
)

func files(t testing.TB, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no files %s: %v", pattern, err)
	}
	return paths
}

// TestBadStackFiles compares every problem of every bad file with its golden text; UPDATE_GOLDEN=1 rewrites the texts.
func TestBadStackFiles(t *testing.T) {
	paths := files(t, "bad/*.yaml")
	if len(paths) < 30 {
		t.Errorf("only %d bad files", len(paths))
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			_, err := ReadFile(path)
			if err == nil {
				t.Fatal("was accepted")
			}
			got, golden := err.Error()+"\n", strings.TrimSuffix(path, ".yaml")+".golden"
			if os.Getenv("UPDATE_GOLDEN") != "" {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}

func TestEveryProblemOfABadFileHasPlaceRuleAndRemedy(t *testing.T) {
	for _, path := range files(t, "bad/*.yaml") {
		_, err := ReadFile(path)
		joined, ok := err.(interface{ Unwrap() []error })
		if !ok {
			t.Errorf("%s: %v is no list of problems", path, err)
			continue
		}
		for _, e := range joined.Unwrap() {
			var p problem.Problem
			ok := errors.As(e, &p)
			if ok && (p.Place == "" || p.Rule == "" || p.Remedy == "") || !ok && !strings.HasPrefix(e.Error(), "and ") {
				t.Errorf("%s: %v", path, e)
			}
			if strings.ContainsAny(e.Error(), "\n\r\x1b") {
				t.Errorf("%s: %q would garble a terminal", path, e)
			}
		}
	}
}

func read(t *testing.T, name string) *Stack {
	t.Helper()
	s, err := ReadFile(filepath.Join("testdata", "good", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func pointer[T any](value T) *T { return &value }

func TestAMinimalStackGetsAllDefaults(t *testing.T) {
	want := &Stack{
		Preflight: PreflightOn,
		Cloud:     CloudLocal,
		Cluster:   Cluster{Zones: []string{"a", "b"}, Nodes: 2, MaxNodes: 2, SurgeNodes: pointer(1), Skew: 1.5},
		Destinations: []destinations.Destination{
			{Name: "payments", Hosts: []string{"api.payments.example.com"}, Port: 443, Route: "proxy", Partner: "payments", Demand: destinations.Demand{
				ConnectionsPerSecond: 200, SecondsPerConnection: 1, RequestsPerConnection: 1, Addresses: 1}},
			{Name: "news", Hosts: []string{"news.example.org"}, Port: 443, Route: "nat", Demand: destinations.Demand{
				ConnectionsPerSecond: 5, SecondsPerConnection: 1, RequestsPerConnection: 1, Addresses: 1}},
		},
		Nat:       Nat{Flavor: FlavorCloudNat, TimeWaitSeconds: 120, BlockingTarget: 1e-6, MaxIPsPerGateway: 2},
		Proxies:   Proxies{SparePerZone: pointer(1), IPsPerProxy: 1, ConnectionsPerSecond: 2000, MaxConnections: 50000, DrainSeconds: 30, HourlyUSD: 0.08},
		Allowlist: Allowlist{Protect: pointer(false), Drain: "7d", Founding: FoundingOpen},
		Lab:       Lab{PodsPerNode: 1},
	}
	if got := read(t, "minimal"); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestDefaultsThatDependOnTheCloud(t *testing.T) {
	aws, gcp := read(t, "aws"), read(t, "gcp")
	if aws.Nat.Flavor != FlavorNatGateway || aws.Nat.TimeWaitSeconds != 60 || *aws.Allowlist.Protect || aws.Lab.PodsPerNode != 0 {
		t.Errorf("aws: %+v %+v %+v", aws.Nat, *aws.Allowlist.Protect, aws.Lab)
	}
	if gcp.Nat.Flavor != FlavorCloudNat || gcp.Nat.TimeWaitSeconds != 30 || !*gcp.Allowlist.Protect || *gcp.Cluster.SurgeNodes != 0 {
		t.Errorf("gcp: %+v %+v", gcp.Nat, *gcp.Allowlist.Protect)
	}
}

func TestKeysWithoutANamespaceAndObjectsAsTextAreRead(t *testing.T) {
	if s := read(t, "without-namespace"); s.Nat.PortsPerVM != 1024 {
		t.Errorf("%+v", s.Nat)
	}
}

func TestEveryGoodStackHasAPlan(t *testing.T) {
	for _, path := range files(t, "good/*.yaml") {
		s, err := ReadFile(path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		plan, err := s.Plan()
		if err != nil || plan.Nat.IPs == 0 || len(plan.Margins) != len(s.Destinations) {
			t.Errorf("%s: %+v, %v", path, plan.Nat, err)
		}
	}
}

func TestCapacityInputCarriesTheWholeStack(t *testing.T) {
	got := read(t, "aws").CapacityInput()
	want := capacity.Input{
		Zones: []string{"eu-west-1a", "eu-west-1b", "eu-west-1c"}, Nodes: 30, MaxNodes: 60, SurgeNodes: 1, Skew: 1.5,
		Flavor: capacity.NatGateway, TimeWait: 60, Blocking: 1e-6, MaxIPs: 8, Reserve: 2, Namespace: "sallyport:",
		Proxies: capacity.ProxyLimits{SparePerZone: 0, IPsPerProxy: 4, ConnectionsPerSecond: 2000, MaxConnections: 50000, HourlyUSD: 0.08},
		Destinations: []capacity.Destination{
			{Name: "payments", Place: "sallyport:destinations[0].demand", Via: capacity.ViaProxy, ConnectionsPerSecond: 3000, SecondsPerConnection: 0.5, RequestsPerConnection: 1, Addresses: 1},
			{Name: "search", Place: "sallyport:destinations[1].demand", Via: capacity.ViaProxy, ConnectionsPerSecond: 900, SecondsPerConnection: 1, RequestsPerConnection: 50, Addresses: 4},
			{Name: "news", Place: "sallyport:destinations[2].demand", Via: capacity.ViaNat, ConnectionsPerSecond: 5, SecondsPerConnection: 1, RequestsPerConnection: 1, Addresses: 1},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	got = read(t, "experiment").CapacityInput()
	if got.PortsPerVM != 64 || !got.Insufficient {
		t.Errorf("%+v", got)
	}
}

// values are a stack as Pulumi hands it out: plain texts and objects as JSON.
func values(t testing.TB, s *Stack) map[string]any {
	t.Helper()
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		t.Fatal(err)
	}
	result := map[string]any{"cloud": string(s.Cloud)}
	for key, value := range raw {
		switch {
		case key == "preflight":
			result[key] = string(s.Preflight)
		case key != "cloud" && (key != "lab" || s.Cloud == CloudLocal):
			result[key] = string(value)
		}
	}
	return result
}

func TestADecodedStackIsReadBackTheSameFromJSON(t *testing.T) {
	for _, path := range files(t, "good/*.yaml") {
		s, err := ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Decode(values(t, s))
		if err != nil || !reflect.DeepEqual(s, again) {
			t.Errorf("%s\nwas    %+v\nbecame %+v, %v", path, s, again, err)
		}
	}
}

func TestValuesOfAllShapesThatPulumiHandsOut(t *testing.T) {
	for name, lab := range map[string]any{"null": nil, "null as text": "null", "an empty object": map[string]any{}, "an object as text": " {} "} {
		v := values(t, read(t, "minimal"))
		v["lab"] = lab
		if s, err := Decode(v); err != nil || s.Lab.PodsPerNode != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, lab := range map[string]any{"an empty text": "", "a word": "default", "a number as text": "7", "a number": 7, "a list as text": "[]"} {
		v := values(t, read(t, "minimal"))
		v["lab"] = lab
		if _, err := Decode(v); err == nil || !strings.HasPrefix(err.Error(), "sallyport:lab: needs an object, got ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestADefaultIsNotTakenForAnExplicitZero(t *testing.T) {
	s := values(t, read(t, "minimal"))
	s["cluster"] = `{"zones":["a"],"nodes":1,"maxNodes":0}`
	s["nat"] = `{"timeWaitSeconds":0,"maxIPsPerGateway":0,"blockingTarget":0}`
	_, err := Decode(s)
	for _, want := range []string{"sallyport:cluster.maxNodes: must be at least the number of nodes, 1, got 0",
		"sallyport:nat.timeWaitSeconds: must be between 1 and 1200, got 0", "sallyport:nat.maxIPsPerGateway: must be between 1 and 8, got 0",
		"sallyport:nat.blockingTarget: must be between 1e-12 and 0.5, got 0"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
}

func TestFilesBeyondTheLimitAreRefusedUnread(t *testing.T) {
	huge := filepath.Join(t.TempDir(), "Pulumi.huge.yaml")
	line := "  sallyport:nat: {portsPerVM: 64}\n"
	for name, text := range map[string]string{
		"ten megabytes of keys":     "config:\n" + strings.Repeat(line, 10<<20/len(line)),
		"ten megabytes of nothing":  strings.Repeat("\n", 10<<20),
		"ten megabytes of brackets": strings.Repeat("[", 10<<20),
		"one byte too many":         strings.Repeat("#", problem.MaxBytes+1),
	} {
		if err := os.WriteFile(huge, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := ReadFile(huge)
		if err == nil || err.Error() != "Pulumi.huge.yaml: must not be larger than 1048576 bytes; remove what does not belong there" {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := Decode(map[string]any{"cloud": "local", "cluster": strings.Repeat("[", 10<<20)})
	if err == nil || !strings.Contains(err.Error(), "sallyport:cluster: must not be larger than 1048576 bytes") {
		t.Errorf("%.200v", err)
	}
}

func TestHostileFilesBelowTheLimitAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"a megabyte of brackets":       "config:\n  sallyport:nat: " + strings.Repeat("[", 1<<20-100),
		"a megabyte of braces":         "config: " + strings.Repeat("{a: ", 200_000),
		"a megabyte of one key":        "config:\n  sallyport:" + strings.Repeat("x", 1<<20-100) + ": 1\n",
		"a megabyte of unknown keys":   "config:\n" + many("  sallyport:k%d: 1\n", 40_000),
		"a megabyte of destinations":   "config:\n  sallyport:cloud: local\n  sallyport:destinations:\n" + many("    - {name: n%d}\n", 40_000),
		"as many hosts as fit":         "config:\n  sallyport:cloud: local\n  sallyport:destinations:\n" + many("    - {name: n%[1]d, hosts: [\"*.example.com\", h%[1]d.example.com]}\n", 2000),
		"a name that forges a message": "config:\n  \"sallyport:x\\n\\e[31msallyport:nat\": 1\n",
	} {
		_, err := ParseFile("f", []byte(text))
		if err == nil {
			t.Errorf("%s was accepted", name)
			continue
		}
		if len(err.Error()) > 100_000 || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%s: %d bytes of messages, such as %.200q", name, len(err.Error()), err.Error())
		}
	}
}

func many(format string, n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, format, i)
	}
	return text.String()
}

func TestAFileThatDoesNotExistIsNamed(t *testing.T) {
	if _, err := ReadFile("testdata/none.yaml"); err == nil || !strings.Contains(err.Error(), "testdata/none.yaml") {
		t.Error(err)
	}
}

func TestYAMLNumbersInAllNotations(t *testing.T) {
	for text, want := range map[string]int{"1024": 1024, "0x400": 1024, "1_024": 1024, "1024.0": 1024, "1.024e3": 1024, "0b10000000000": 1024, "+1024": 1024} {
		s, err := ParseFile("f", []byte(strings.Replace(minimal(t), "config:\n", "config:\n  sallyport:nat: {portsPerVM: "+text+"}\n", 1)))
		if err != nil || s.Nat.PortsPerVM != want {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func minimal(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile("testdata/good/minimal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func FuzzParseFile(f *testing.F) {
	for _, pattern := range []string{"good/*.yaml", "bad/*.yaml"} {
		for _, path := range files(f, pattern) {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ParseFile("f", data)
		if err != nil {
			return
		}
		if _, err := s.Plan(); err != nil {
			t.Fatalf("accepted and without a plan: %v", err)
		}
		again, err := Decode(values(t, s))
		if err != nil || !reflect.DeepEqual(s, again) {
			t.Fatalf("was    %+v\nbecame %+v, %v", s, again, err)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add("local", `{"zones":["a"],"nodes":1}`, `[{"name":"a","hosts":["a.example.com"],"demand":{"connectionsPerSecond":1}}]`, `{"portsPerVM":64}`, `{}`)
	f.Add("aws", `{"zones":7}`, `{}`, `[`, `null`)
	f.Fuzz(func(t *testing.T, cloud, cluster, list, nat, lab string) {
		input := map[string]any{"cloud": cloud, "cluster": cluster, "destinations": list, "nat": nat, "lab": lab}
		s, err := Decode(input)
		if err != nil {
			return
		}
		if again, err := Decode(values(t, s)); err != nil || !reflect.DeepEqual(s, again) {
			t.Fatalf("was    %+v\nbecame %+v, %v", s, again, err)
		}
	})
}
