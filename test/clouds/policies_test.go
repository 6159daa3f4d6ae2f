package clouds

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/sallyport/sallyport/test/standin/world"
)

// pack builds the policy pack once and returns what runs it, with the settings of a stack if it has any.
var pack = sync.OnceValues(func() (string, error) { return shared.Compile("./policies") })

func withPolicies(t *testing.T, stack string) []string {
	t.Helper()
	binary, err := pack()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"--policy-pack", binary}
	settings, err := filepath.Abs(filepath.Join("..", "..", "policies", "config", stack+".json"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(settings); err == nil {
		args = append(args, "--policy-pack-config", settings)
	}
	return args
}

func TestShippedStacksPassThePolicies(t *testing.T) {
	for _, name := range []string{"aws-prod", "aws-dev", "bedrock", "gcp-prod", "gcp-dev", "rapido"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t, name, nil)
			r := s.Pulumi(append([]string{"preview"}, withPolicies(t, name)...)...)
			if r.Err != nil || !strings.Contains(r.Output, "sallyport@v") {
				t.Fatalf("%v\n%s", r.Err, r.Output)
			}
			if strings.Contains(r.Output, "[mandatory]") {
				t.Errorf("a policy is violated:\n%s", r.Output)
			}
		})
	}
}

// Each case of testdata/broken.yaml breaks one policy. A mandatory one blocks before anything exists, an advisory one warns.
func TestBrokenStacksAreStoppedBeforeAnythingIsCreated(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "broken.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var cases map[string]struct {
		Advisory  bool
		Config    map[string]any
		Resources []map[string]any
		Want      string
	}
	if err := yaml.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			resources, err := json.Marshal(c.Resources)
			if err != nil {
				t.Fatal(err)
			}
			e := newEnvironment(t, "broken", "./test/clouds/broken", render(t, map[string]any{
				"sallyport:resources": string(resources), "sallyport:cloud": "aws", "sallyport:cluster": map[string]any{}, "sallyport:destinations": []any{},
			}))
			args := append([]string{"preview"}, withPolicies(t, "none")...)
			if c.Config != nil {
				settings, err := json.Marshal(map[string]any{name: c.Config})
				if err != nil {
					t.Fatal(err)
				}
				file := filepath.Join(t.TempDir(), "policies.json")
				if err := os.WriteFile(file, settings, 0o600); err != nil {
					t.Fatal(err)
				}
				args = append(args, "--policy-pack-config", file)
			}
			r := e.Pulumi(args...)
			if (r.Err == nil) != c.Advisory {
				t.Errorf("err = %v, advisory = %v", r.Err, c.Advisory)
			}
			if !strings.Contains(r.Output, name) || !strings.Contains(r.Output, c.Want) {
				t.Errorf("want %s and %q in\n%s", name, c.Want, r.Output)
			}
			e.look(func(state *world.State) {
				if len(state.Objects) != 0 {
					t.Errorf("%d objects exist", len(state.Objects))
				}
			})
		})
	}
}
