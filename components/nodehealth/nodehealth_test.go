package nodehealth

import (
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/sallyport/sallyport/components/manifests"
	"github.com/sallyport/sallyport/internal/golden"
)

var settings = Settings{
	Stack: "aws-prod", Namespace: "monitoring", Operator: true, Labels: map[string]string{"release": "prometheus"},
	NodeDNS: "169.254.20.10", EC2: true, PlannedConnections: 61000,
}

func TestObjects(t *testing.T) {
	file := settings
	file.Operator, file.NodeDNS, file.EC2, file.PlannedConnections = false, "", false, 0
	for name, s := range map[string]Settings{"prometheusrule.yaml": settings, "configmap.yaml": file} {
		objects, err := s.Objects()
		if err != nil {
			t.Fatal(err)
		}
		text, err := manifests.YAML(objects)
		if err != nil {
			t.Fatal(err)
		}
		golden.Check(t, name, text)
	}
}

func TestTheRuleFileHasTheSameRules(t *testing.T) {
	file := settings
	file.Operator = false
	objects, err := file.Objects()
	if err != nil {
		t.Fatal(err)
	}
	var spec manifests.Map
	if err := yaml.Unmarshal([]byte(objects[0]["data"].(manifests.Map)["sallyport-nodes.rules.yaml"].(string)), &spec); err != nil {
		t.Fatal(err)
	}
	want, _ := yaml.Marshal(manifests.Map{"groups": settings.groups()})
	if got, _ := yaml.Marshal(spec); string(got) != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestEveryAlertSaysWhatAndWhatToDo(t *testing.T) {
	seen := map[string]bool{}
	for _, group := range settings.groups() {
		for _, raw := range group.(manifests.Map)["rules"].([]any) {
			r := raw.(manifests.Map)
			text := r["annotations"].(manifests.Map)
			if name := r["alert"].(string); seen[name] || text["summary"] == "" || text["advice"] == "" || r["labels"].(manifests.Map)["stack"] != "aws-prod" {
				t.Errorf("%s: %v", name, r)
			}
			seen[r["alert"].(string)] = true
		}
	}
	for _, name := range []string{"SallyportConntrackInsertFailed", "SallyportNodeDNSTimeouts", "SallyportInterfaceLinkLocal"} {
		if !seen[name] {
			t.Errorf("%s is missing", name)
		}
	}
}

func TestWhatIsMissingIsReported(t *testing.T) {
	if _, err := (Settings{PlannedConnections: -1}).Objects(); err == nil || strings.Count(err.Error(), "node health") != 2 {
		t.Errorf("got %v", err)
	}
}
