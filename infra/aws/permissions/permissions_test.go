package permissions

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/golden"
	"github.com/sallyport/sallyport/preflight/awspreflight"
)

func everything() []Statement {
	return slices.Concat(Deploy(), Network(), LoadBalancer(), Publish(), Release())
}

func TestThePoliciesThatPeopleCopy(t *testing.T) {
	account := Account{Stack: "STACK", Region: "REGION", Account: "ACCOUNT"}
	for name, statements := range map[string][]Statement{
		"deploy": Deploy(), "network": Network(), "loadbalancer": LoadBalancer(), "publish": Publish(), "release": Release(),
	} {
		policy, err := Policy(account, statements)
		if err != nil {
			t.Fatal(err)
		}
		golden.Check(t, name+".json", policy)
		// A managed policy holds 6,144 characters without white space. IAM user guide, "IAM and STS quotas", 2023.
		var compact any
		if err := json.Unmarshal([]byte(policy), &compact); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(compact)
		if err != nil {
			t.Fatal(err)
		}
		if len(text) > 6144 {
			t.Logf("%s: %d characters: attach it as an inline policy (10,240) or split it", name, len(text))
		}
		if len(text) > 10240 {
			t.Errorf("%s: %d characters do not fit into an inline policy", name, len(text))
		}
	}
	golden.Check(t, "explained.txt", Explain(everything()))
}

func TestNoActionIsAWildcardAndEveryoneHasAReason(t *testing.T) {
	form := regexp.MustCompile(`^[a-z0-9]+:[A-Z][A-Za-z0-9]+$`)
	ids := map[string]bool{}
	for _, s := range everything() {
		if s.Why == "" || ids[s.ID] || len(s.Actions) == 0 || len(s.Resources) == 0 {
			t.Errorf("%s: needs a reason, an id of its own, actions and resources", s.ID)
		}
		ids[s.ID] = true
		if !slices.IsSorted(s.Actions) || len(slices.Compact(slices.Clone(s.Actions))) != len(s.Actions) {
			t.Errorf("%s: actions are not sorted, each once", s.ID)
		}
		for _, action := range s.Actions {
			if !form.MatchString(action) {
				t.Errorf("%s: action %q", s.ID, action)
			}
			if slices.Contains(s.Resources, "*") && !regexp.MustCompile(`:(Describe|Get|List)`).MatchString(action) {
				t.Errorf("%s: %s changes something and is allowed on everything", s.ID, action)
			}
		}
	}
}

func TestReleasingIsNotPartOfDeploying(t *testing.T) {
	for _, s := range slices.Concat(Deploy(), Network(), LoadBalancer(), Publish()) {
		if slices.Contains(s.Actions, "ec2:ReleaseAddress") {
			t.Errorf("%s allows to release addresses", s.ID)
		}
	}
}

func TestThePreflightMayReadWhatItReads(t *testing.T) {
	for _, action := range awspreflight.Actions() {
		if !slices.ContainsFunc(slices.Concat(Deploy(), Network()), func(s Statement) bool { return slices.Contains(s.Actions, action) }) {
			t.Errorf("%s is missing", action)
		}
	}
}

// Every resource type in a graph of the shipped stacks, and of one with everything switched on, has a statement.
func TestEveryResourceTypeIsCovered(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join("..", "testdata", "*.golden"))
	if err != nil || len(paths) < 4 {
		t.Fatalf("graphs %v: %v", paths, err)
	}
	seen := 0
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			kind, _, _ := strings.Cut(line, " ")
			if !strings.HasPrefix(kind, "aws:") {
				continue
			}
			seen++
			if !Covered(kind, everything()) {
				t.Errorf("%s: nobody may make %s", filepath.Base(path), kind)
			}
		}
	}
	if seen < 100 {
		t.Errorf("only %d resources were looked at", seen)
	}
}
