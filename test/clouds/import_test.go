package clouds

import (
	"maps"
	"slices"
	"testing"

	"github.com/sallyport/sallyport/internal/golden"
	"github.com/sallyport/sallyport/test/standin/aws"
	"github.com/sallyport/sallyport/test/standin/world"
)

// TestExistingAddressesAreImported starts with Elastic IPs that partners know already and that the stack shall own from now on: tagged
// with their places and taken over by `pulumi import`, as docs/aws.md says, before the first update. None is allocated in their place.
func TestExistingAddressesAreImported(t *testing.T) {
	t.Parallel()
	s := newStack(t, "aws-dev", func(config map[string]any) { config["sallyport:allowlist"] = map[string]any{"protect": true} })
	s.reachable()
	seed := aws.Existing{Region: "eu-west-1", VPC: "vpc-elsewhere", CIDR: "10.9.0.0/16", Allocations: map[string]map[string]string{}}
	for id, slot := range map[string]string{"eipalloc-0123456789abcdef1": "nat-eu-west-1a-1", "eipalloc-0123456789abcdef2": "proxy-eu-west-1a-1-1"} {
		seed.Allocations[id] = map[string]string{
			"sallyport:stack": s.Name, "sallyport:slot": slot, "Name": s.Name + "-" + slot, "team": "network",
		}
	}
	if err := aws.Seed(s.World, seed); err != nil {
		t.Fatal(err)
	}
	before := s.publicIPs()
	if r := s.Command(program(t, "./cmd/sallyport-recover"), s.Name); r.Err != nil {
		t.Fatalf("sallyport-recover: %v\n%s", r.Err, r.Output)
	}
	golden.Check(t, "aws-dev/imported-addresses.golden", lines(s.must("up")))
	if now := s.publicIPs(); !maps.Equal(now, before) {
		t.Errorf("public IPs %v, want the imported ones %v", slices.Sorted(maps.Keys(now)), slices.Sorted(maps.Keys(before)))
	}
	s.look(func(state *world.State) {
		for _, o := range state.All(eipKind) {
			if o.String("associationId") == "" {
				t.Errorf("%s is not used", o.ID)
			}
		}
	})
	s.unchanged()
	if r := s.Pulumi("destroy"); r.Err == nil {
		t.Errorf("destroy: an imported address is not protected\n%s", r.Output)
	}
	s.kept(before)
}
