package monitoring

import (
	"encoding/json"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/sallyport/sallyport/internal/golden"
)

func example() Values {
	return Values{
		Stack: "production", Proxies: 6, Needed: 3, ConnectionsPerSecond: 2000, MaxConnections: 50000,
		Destinations: []Destination{{Name: "payments", Ceiling: 64512, Planned: 6100}, {Name: "geo-data", Ceiling: 64512, Planned: 0.4}},
	}
}

func TestOutputMatchesGolden(t *testing.T) {
	for name, v := range map[string]Values{
		"two-destinations": example(),
		"no-destination":   {Stack: "empty", Proxies: 1, Needed: 1, ConnectionsPerSecond: 100, MaxConnections: 100},
	} {
		rules, err := Rules(v)
		if err != nil {
			t.Fatal(err)
		}
		golden.Check(t, name+".rules.yaml.golden", rules)
		board, err := Dashboard(v)
		if err != nil {
			t.Fatal(err)
		}
		golden.Check(t, name+".dashboard.json.golden", board)
	}
}

func TestRulesAreYAMLThatPrometheusKnows(t *testing.T) {
	text, err := Rules(example())
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	decoder := yaml.NewDecoder(strings.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			key := r.Alert + " " + r.Labels["destination"]
			if seen[key] || r.Expr == "" || r.For == "" || r.Annotations["summary"] == "" || r.Annotations["advice"] == "" || r.Labels["severity"] == "" || r.Labels["stack"] != "production" {
				t.Errorf("%s: %+v", g.Name, r)
			}
			seen[key] = true
			if strings.Count(r.Expr, "(") != strings.Count(r.Expr, ")") || strings.Count(r.Expr, "{") != strings.Count(r.Expr, "}") {
				t.Errorf("%s: brackets of %s", r.Alert, r.Expr)
			}
		}
	}
	if !seen["SallyportSourcePortsHigh payments"] || !strings.Contains(text, "> 51609") {
		t.Errorf("no alert at 80 %% of 64,512 ports for payments:\n%s", text)
	}
}

func TestPanelsDoNotOverlap(t *testing.T) {
	text, err := Dashboard(example())
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	ids := map[int]bool{}
	for i, p := range d.Panels {
		if ids[p.ID] || p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %d: %+v", i, p)
		}
		ids[p.ID] = true
		for _, q := range d.Panels[:i] {
			a, b := p.GridPos, q.GridPos
			if a["x"] < b["x"]+b["w"] && b["x"] < a["x"]+a["w"] && a["y"] < b["y"]+b["h"] && b["y"] < a["y"]+a["h"] {
				t.Errorf("%s lies over %s", p.Title, q.Title)
			}
		}
	}
}

func TestWrongValuesAreNamedAllAtOnce(t *testing.T) {
	_, err := Rules(Values{Stack: "a b", Needed: 2, Share: 2, Destinations: []Destination{{Name: `x"} or y`, Planned: -1}, {Name: "twice", Ceiling: 1}, {Name: "twice", Ceiling: 1}}})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"Stack", "Proxies", "Needed", "ConnectionsPerSecond", "MaxConnections", "Share", `"x\"} or y"`, "Ceiling", "Planned", `"twice"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not named in:\n%v", want, err)
		}
	}
	if _, err := Dashboard(Values{}); err == nil {
		t.Error("a dashboard of nothing")
	}
}
