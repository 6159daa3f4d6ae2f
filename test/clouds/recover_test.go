package clouds

import (
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/recovery"
	"github.com/sallyport/sallyport/test/standin/world"
)

// recover does what the documentation says after an update was killed or lost an answer: release the lock and take stock, import
// what was made and not written down, and remove by hand what the import leaves. The last never concerns an address.
func (s *cloudStack) recover() {
	s.t.Helper()
	before := s.publicIPs()
	if r := s.Command("tools/recover.sh", s.Name); r.Err != nil {
		s.t.Fatalf("recover.sh: %v\n%s", r.Err, r.Output)
	}
	if r := s.Command(program(s.t, "./cmd/sallyport-recover"), s.Name); r.Err != nil && !strings.Contains(r.Output, "left: ") {
		s.t.Fatalf("sallyport-recover: %v\n%s", r.Err, r.Output)
	}
	export := s.Command("tools/pulumi.sh", "stack", "export", "--stack", s.Name)
	known, err := recovery.ReadState([]byte(export.Output))
	if err != nil {
		s.t.Fatal(err)
	}
	s.change(func(state *world.State) error {
		lost := slices.DeleteFunc(state.All(), func(o *world.Object) bool { return o.Foreign || known[o.Type+" "+o.ID] })
		slices.Reverse(lost)
		for _, o := range lost {
			if world.PublicIP(o) != "" {
				s.t.Errorf("address %s of slot %s exists and no state knows it", o.ID, s.slot(o))
				continue
			}
			if err := s.remove(state, o); err != nil {
				return err
			}
		}
		return nil
	})
	s.kept(before)
}

// TestEveryAnswerIsLostOnce lets the first create of every resource have its effect and the answer get lost. The documented
// recovery ends in the intended world: no address is allocated twice, none is lost.
func TestEveryAnswerIsLostOnce(t *testing.T) {
	t.Parallel()
	for _, name := range small {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := intended(t, name)
			s := newStack(t, name, complete)
			s.reachable()
			s.faults(world.Fault{ID: "lost", Op: "create", Each: true, Mode: world.Lost})
			failed := s.upUntilItWorks("lost", s.recover, "--continue-on-error")
			if failed < len(want) {
				t.Errorf("%d answers were lost, want one for each resource", failed)
			}
			s.same(want)
			s.unchanged()
		})
	}
}

// TestPublicIPsSurviveAKilledCommandLine kills the command line, and nothing else, at five points of the first update of a large
// stack, each while the cloud has done something that it has not heard of.
func TestPublicIPsSurviveAKilledCommandLine(t *testing.T) {
	t.Parallel()
	for stack, points := range map[string]map[string]string{ // the create during which it is killed
		"aws-prod": {
			"an address":        "aws:ec2.eip:*",
			"a NAT gateway":     "aws:ec2.natGateway:*",
			"an interface":      "aws:ec2.networkInterface:*",
			"an association":    "aws:ec2.eipAssociation:*",
			"a proxy's machine": "aws:autoscaling.group:*",
		},
		"gcp-prod": {
			"an address":        "gcp:compute.address:*",
			"a NAT gateway":     "gcp:compute.routerNat:*",
			"a template":        "gcp:compute.instanceTemplate:*",
			"a group":           "gcp:compute.instanceGroupManager:*",
			"a proxy's machine": "gcp:compute.perInstanceConfig:*",
		},
	} {
		t.Run(stack, func(t *testing.T) {
			t.Parallel()
			want := intended(t, stack)
			for name, kind := range points {
				t.Run(name, func(t *testing.T) { killedDuring(t, stack, kind, want) })
			}
		})
	}
}

func killedDuring(t *testing.T, stack, kind string, want map[string]int) {
	s := newStack(t, stack, complete)
	s.reachable()
	s.faults(world.Fault{ID: "slow", Op: "create", Type: kind, Mode: world.Slow, Seconds: 60, Nth: 1, Times: 100})
	reached, err := s.Kill(func() bool {
		events, err := s.World.Journal()
		return err == nil && slices.ContainsFunc(events, func(e world.Event) bool { return e.Fault == "slow" })
	}, "up")
	if err != nil || !reached {
		t.Fatalf("the point was not reached: %v", err)
	}
	s.faults()
	given := s.publicIPs()
	s.recover()
	s.must("up")
	s.kept(given)
	s.same(want)
	s.unchanged()
}
