package clouds

import (
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/recovery"
	"github.com/sallyport/sallyport/test/standin/aws"
	"github.com/sallyport/sallyport/test/standin/awshttp"
	"github.com/sallyport/sallyport/test/standin/engine"
	"github.com/sallyport/sallyport/test/standin/world"
)

// reachable lets Sallyport's own programs read the world as they read AWS.
func (s *cloudStack) reachable() {
	api := httptest.NewServer(&awshttp.Server{World: s.World})
	s.t.Cleanup(api.Close)
	s.Env = append(s.Env, "AWS_ENDPOINT_URL="+api.URL, "AWS_ACCESS_KEY_ID=AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY=example",
		"AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=/nonexistent", "AWS_SHARED_CREDENTIALS_FILE=/nonexistent")
}

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
		tx := &engine.Tx{State: state, Package: aws.Package(), Region: "eu-west-1"}
		lost := slices.DeleteFunc(state.All(), func(o *world.Object) bool { return o.Foreign || known[o.Type+" "+o.ID] })
		slices.Reverse(lost)
		for _, o := range lost {
			if o.Type == eipKind {
				s.t.Errorf("address %s of slot %s exists and no state knows it", o.ID, slotOf(o))
				continue
			}
			if err := tx.Delete(tx.Package.Kinds[o.Type], o.ID); err != nil {
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
	want := intended(t, "aws-dev")
	s := newAWS(t, "aws-dev", nil)
	s.reachable()
	s.faults(world.Fault{ID: "lost", Op: "create", Each: true, Mode: world.Lost})
	failed := s.upUntilItWorks("lost", s.recover, "--continue-on-error")
	if failed < len(want) {
		t.Errorf("%d answers were lost, want one for each resource", failed)
	}
	s.same(want)
	s.unchanged()
}

// TestPublicIPsSurviveAKilledCommandLine kills the command line, and nothing else, at five points of the first update of aws-prod,
// each while the cloud has done something that it has not heard of.
func TestPublicIPsSurviveAKilledCommandLine(t *testing.T) {
	t.Parallel()
	points := map[string]string{ // the create during which it is killed
		"an address":        "aws:ec2.eip:*",
		"a NAT gateway":     "aws:ec2.natGateway:*",
		"an interface":      "aws:ec2.networkInterface:*",
		"an association":    "aws:ec2.eipAssociation:*",
		"a proxy's machine": "aws:autoscaling.group:*",
	}
	want := intended(t, "aws-prod")
	for name, kind := range points {
		t.Run(name, func(t *testing.T) {
			s := newAWS(t, "aws-prod", nil)
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
		})
	}
}
