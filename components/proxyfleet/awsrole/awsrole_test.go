package awsrole

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/golden"
)

func needs(slots int) Needs {
	n := Needs{
		Region: "eu-west-1", ObjectARN: "arn:aws:s3:::sallyport-prod-routes/routes.json",
		RepositoryARN: "arn:aws:ecr:eu-west-1:123456789012:repository/sallyport/proxy",
		LogGroupARN:   "arn:aws:logs:eu-west-1:123456789012:log-group:/sallyport/prod",
	}
	for i := 1; i <= slots; i++ {
		n.LogStreams = append(n.LogStreams, fmt.Sprintf("proxy-eu-west-1a-%d", i))
	}
	return n
}

func TestPolicyAndReasons(t *testing.T) {
	n := needs(2)
	policy, err := n.Policy()
	if err != nil {
		t.Fatal(err)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, []byte(policy), "", "  "); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "role.golden", Explain(n.Statements())+"\n"+indented.String()+"\n\ntrust: "+TrustPolicy()+"\n")
}

// wildcards returns what is too wide in a policy document: an action or a resource with a wildcard, unless the statement is one of
// those that AWS forces and a condition narrows it.
func wildcards(policy string, forced map[string]bool) ([]string, error) {
	var document struct {
		Statement []struct {
			Sid, Effect      string
			Action, Resource []string
			Condition        map[string]map[string]string
		}
	}
	if err := json.Unmarshal([]byte(policy), &document); err != nil {
		return nil, err
	}
	var found []string
	for _, s := range document.Statement {
		for _, action := range s.Action {
			if strings.ContainsAny(action, "*?") || !strings.Contains(action, ":") {
				found = append(found, s.Sid+": action "+action)
			}
		}
		for _, resource := range s.Resource {
			if strings.ContainsAny(resource, "*?") && (!forced[s.Sid] || len(s.Condition) == 0) {
				found = append(found, s.Sid+": resource "+resource)
			}
		}
		if len(s.Action) == 0 || len(s.Resource) == 0 || s.Effect != "Allow" {
			found = append(found, s.Sid+": needs actions, resources and Allow")
		}
	}
	return found, nil
}

func TestNoWildcards(t *testing.T) {
	n := needs(3)
	policy, err := n.Policy()
	if err != nil {
		t.Fatal(err)
	}
	forced := map[string]bool{}
	for _, s := range n.Statements() {
		forced[s.Sid] = s.Forced != ""
	}
	if len(forced) != 4 || !forced["LogInToRegistry"] || forced["PullImage"] || forced["ReadRoutes"] || forced["WriteLogAndFigures"] {
		t.Errorf("only the login to the registry is forced, got %v", forced)
	}
	if found, err := wildcards(policy, forced); err != nil || len(found) > 0 {
		t.Errorf("too wide: %v, %v", found, err)
	}
	for _, actions := range n.Statements() {
		for _, a := range actions.Actions {
			if a.Why == "" {
				t.Errorf("%s has no reason", a.Name)
			}
		}
	}
}

// The check itself must see what it is there for.
func TestWildcardsAreSeen(t *testing.T) {
	for name, change := range map[string][2]string{
		"an action with a wildcard":    {"s3:GetObject", "s3:Get*"},
		"any action":                   {`"ecr:BatchGetImage"`, `"*"`},
		"a resource with a wildcard":   {"routes/routes.json", "routes/*"},
		"any resource":                 {`"arn:aws:s3:::sallyport-prod-routes/routes.json"`, `"*"`},
		"a forced one, not narrowed":   {`,"Condition":{"StringEquals":{"aws:RequestedRegion":"eu-west-1"}}`, ""},
		"a stream of any name":         {"log-stream:proxy-eu-west-1a-1", "log-stream:*"},
		"a single-character wildcard":  {"log-stream:proxy-eu-west-1a-1", "log-stream:proxy-eu-west-1a-?"},
		"a statement without resource": {`"Resource":["arn:aws:s3:::sallyport-prod-routes/routes.json"]`, `"Resource":[]`},
	} {
		policy, err := needs(1).Policy()
		if err != nil {
			t.Fatal(err)
		}
		changed := strings.Replace(policy, change[0], change[1], 1)
		if changed == policy {
			t.Fatalf("%s: nothing changed", name)
		}
		if found, err := wildcards(changed, map[string]bool{"LogInToRegistry": true}); err != nil || len(found) != 1 {
			t.Errorf("%s: found %v, %v", name, found, err)
		}
	}
}

func TestAnImageFromElsewhereNeedsNoRegistry(t *testing.T) {
	n := needs(1)
	n.RepositoryARN = ""
	policy, err := n.Policy()
	if err != nil || strings.Contains(policy, "ecr:") {
		t.Errorf("got %s, %v", policy, err)
	}
}

func TestSizeOfAPolicy(t *testing.T) {
	if _, err := needs(90).Policy(); err != nil {
		t.Errorf("90 slots in a zone: %v", err)
	}
	if _, err := needs(120).Policy(); err == nil || !strings.Contains(err.Error(), "10240 bytes, got 120") {
		t.Errorf("120 slots in a zone: %v", err)
	}
	if _, err := (Needs{}).Policy(); err == nil || strings.Count(err.Error(), "must be given") != 4 {
		t.Errorf("nothing given: %v", err)
	}
}
