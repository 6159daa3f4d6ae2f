package clouds

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/sallyport/sallyport/test/standin/rig"
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

// broken is a stack that breaks one policy.
type broken struct {
	Advisory  bool
	Config    map[string]any
	Resources []map[string]any
	Want      string
}

// brokenStacks are those of testdata/broken.yaml, by the policy that each breaks.
func brokenStacks(t *testing.T) map[string]broken {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "broken.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var cases map[string]broken
	if err := yaml.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	return cases
}

// preview shows a stack of these resources to the real command line and the policies.
func (b broken) preview(t *testing.T, policy string) (*environment, rig.Result) {
	t.Helper()
	resources, err := json.Marshal(b.Resources)
	if err != nil {
		t.Fatal(err)
	}
	e := newEnvironment(t, "broken", "./test/clouds/broken", render(t, map[string]any{
		"sallyport:resources": string(resources), "sallyport:cloud": "aws", "sallyport:cluster": map[string]any{}, "sallyport:destinations": []any{},
	}))
	args := append([]string{"preview"}, withPolicies(t, "none")...)
	if b.Config != nil {
		settings, err := json.Marshal(map[string]any{policy: b.Config})
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "policies.json")
		if err := os.WriteFile(file, settings, 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--policy-pack-config", file)
	}
	return e, e.Pulumi(args...)
}

// Each case of testdata/broken.yaml breaks one policy. A mandatory one blocks before anything exists, an advisory one warns.
func TestBrokenStacksAreStoppedBeforeAnythingIsCreated(t *testing.T) {
	for name, c := range brokenStacks(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, r := c.preview(t, name)
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

// Every policy of the pack has a broken stack, of the level that the pack's own test pins.
func TestEveryPolicyHasABrokenStack(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "policies", "testdata", "levels.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var levels map[string]string
	if err := yaml.Unmarshal(text, &levels); err != nil {
		t.Fatal(err)
	}
	cases := brokenStacks(t)
	if len(levels) < 23 {
		t.Errorf("%d policies", len(levels))
	}
	for policy, level := range levels {
		if c, ok := cases[policy]; !ok || c.Advisory != (level == "advisory") {
			t.Errorf("%s (%s): broken stack %v, advisory %v", policy, level, ok, c.Advisory)
		}
	}
}

// A stack of somebody's own whose nodes grow from 50 to 120 on the same public IPs is refused with the arithmetic, and passes with what the
// refusal suggests.
func TestNodesThatGrowWithoutIPsAreRefused(t *testing.T) {
	t.Parallel()
	grown := func(maxNodes, ips int) broken {
		c := brokenStacks(t)["nat-ips-sufficient"]
		at[map[string]any](t, c.Resources[0], "inputs", "stack", "cluster")["maxNodes"] = maxNodes
		list := []any{}
		for n := range ips {
			list = append(list, fmt.Sprintf("ip-%d", n))
		}
		at[map[string]any](t, c.Resources[1], "inputs")["natIps"] = list
		return c
	}
	refusal := "natIps: must be at least 8, got 4: (120 nodes + 1 surge) x 4096 ports / 64512 ports per IP = 7.68; add 4 public IPs, or lower cluster.maxNodes"
	for _, step := range []struct {
		maxNodes, ips int
		want          string
	}{{50, 4, ""}, {120, 4, refusal}, {120, 8, ""}} {
		_, r := grown(step.maxNodes, step.ips).preview(t, "nat-ips-sufficient")
		if (r.Err == nil) != (step.want == "") || !strings.Contains(r.Output, step.want) || step.want == "" && strings.Contains(r.Output, "[mandatory]") {
			t.Errorf("%d nodes, %d IPs: %v\n%s\nwant %s", step.maxNodes, step.ips, r.Err, r.Output, step.want)
		}
	}
}

// The same with a stack of ours on AWS: the cluster and its traffic grow 2.4 times, and more than eight IPs would be needed in a zone.
func TestTrafficBeyondEightIPsIsRefused(t *testing.T) {
	t.Parallel()
	s := newStack(t, "bedrock", func(config map[string]any) {
		config["sallyport:nat"] = map[string]any{"maxIPsPerGateway": 8}
	})
	refusal := "public IPs in one zone and a NAT gateway takes at most 8: 16,800/s x (39 + 1.5) / 120 nodes x (25 s + 60 s) / 1 address"
	for _, step := range []struct {
		nodes, rate int
		route, want string
	}{{50, 7000, "nat", ""}, {120, 16800, "nat", refusal}, {120, 16800, "proxy", ""}} {
		at[map[string]any](t, s.config, "sallyport:cluster")["nodes"] = step.nodes
		cdn, _ := at[[]any](t, s.config, "sallyport:destinations")[0].(map[string]any)
		cdn["route"] = step.route
		at[map[string]any](t, cdn, "demand")["connectionsPerSecond"] = step.rate
		if err := s.Configure(render(t, s.config)); err != nil {
			t.Fatal(err)
		}
		r := s.Pulumi(append([]string{"preview"}, withPolicies(t, "bedrock")...)...)
		if (r.Err == nil) != (step.want == "") || !strings.Contains(r.Output, step.want) || step.want == "" && strings.Contains(r.Output, "[mandatory]") {
			t.Errorf("%d nodes, %d/s by %s: %v\n%s\nwant %s", step.nodes, step.rate, step.route, r.Err, r.Output, step.want)
		}
	}
}
