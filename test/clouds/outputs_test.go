package clouds

import "testing"

// A program that fails still replaces the stack's outputs (sdk/v3/go/pulumi/run.go). Without the allow list of the last update the
// next one would take every public IP for new, and partners would lose their notice.
func TestAFailedProgramKeepsTheAllowlist(t *testing.T) {
	s := newStack(t, "aws-dev", nil)
	s.must("up")
	list := func() string {
		r := s.Command("tools/pulumi.sh", "stack", "output", "allowlist", "--json", "--stack", s.Name)
		if r.Err != nil {
			t.Fatalf("%v\n%s", r.Err, r.Output)
		}
		return r.Output
	}
	before := list()
	for name, section := range map[string]any{
		"a wrong stack file":   map[string]any{"reserve": "many"},
		"dates that cannot be": map[string]any{"ips": map[string]any{"nat-eu-west-1a-1": map[string]any{"draining": "2025-01-02T00:00:00Z", "retired": "2025-01-01T00:00:00Z"}}},
	} {
		s.config["sallyport:allowlist"] = section
		if err := s.Configure(render(t, s.config)); err != nil {
			t.Fatal(err)
		}
		if r := s.Pulumi("up"); r.Err == nil {
			t.Errorf("%s: was accepted", name)
		}
		if after := list(); after != before {
			t.Errorf("%s: the allow list is now %s", name, after)
		}
	}
}
