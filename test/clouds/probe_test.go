package clouds

import (
	"strings"
	"testing"

	"github.com/sallyport/sallyport/test/standin/world"
)

func TestTheRigTellsWhatWasTouched(t *testing.T) {
	t.Parallel()
	e := newProbe(t, "a", 1)
	created := e.must("up")
	want := []string{
		"create aws:autoscaling/group:Group proxy-a-1", "create aws:ec2/eip:Eip nat-a", "create aws:ec2/launchTemplate:LaunchTemplate proxy-a-1",
		"create aws:ec2/natGateway:NatGateway gateway-a", "create aws:ec2/networkInterface:NetworkInterface proxy-a-1",
	}
	if got := strings.Join(created, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("touched\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	e.unchanged()
	before := e.publicIPs()
	e.shape("a b", 1, "")
	if touched := e.must("up"); len(touched) != 5 || len(only(touched, "create")) != 5 {
		t.Errorf("another zone touches\n%s", strings.Join(touched, "\n"))
	}
	e.kept(before)
	e.shape("a b", 1, "c2NyaXB0")
	touched := e.must("up")
	if len(only(touched, "update")) != 2 || len(touched) != 2 {
		t.Errorf("other user data touches\n%s", strings.Join(touched, "\n"))
	}
	e.kept(before)
	e.shape("a", 1, "c2NyaXB0")
	r := e.Pulumi("up")
	if r.Err == nil || !strings.Contains(r.Output, "protected") {
		t.Errorf("a protected address was taken away: %v\n%s", r.Err, r.Output)
	}
	e.kept(before)
}

func TestAFaultIsReportedAndTheNextUpRepairs(t *testing.T) {
	t.Parallel()
	e := newProbe(t, "a", 1)
	e.faults(world.Fault{ID: "first", Op: "create", Each: true, Mode: world.Before})
	failures := 0
	for range 6 {
		if r := e.Pulumi("up", "--continue-on-error"); r.Err == nil {
			break
		} else if !strings.Contains(r.Output, "Throttling") {
			t.Fatalf("not the injected error:\n%s", r.Output)
		}
		failures++
	}
	if failures != 3 { // address and interface; gateway and launch template; group
		t.Errorf("%d runs failed, want 3", failures)
	}
	e.unchanged()
	e.faults(world.Fault{ID: "partial", Op: "create", Type: "aws:ec2.natGateway:*", Mode: world.Partial, Nth: 1})
	e.shape("a b", 1, "")
	if r := e.Pulumi("up"); r.Err == nil {
		t.Error("a failure while waiting was not reported")
	}
	e.must("up")
	e.unchanged()
	e.look(func(s *world.State) {
		if got := len(s.All("aws:ec2/natGateway:NatGateway")); got != 2 {
			t.Errorf("%d gateways in the world, want 2", got)
		}
	})
}

func TestAKilledCommandLineLeavesWhatItMade(t *testing.T) {
	t.Parallel()
	e := newProbe(t, "a", 1)
	e.faults(world.Fault{ID: "slow", Op: "create", Type: "aws:ec2.eip:*", Mode: world.Slow, Seconds: 30})
	reached, err := e.Kill(func() bool { return len(e.publicIPs()) == 1 }, "up")
	if !reached || err != nil {
		t.Fatalf("the point was not reached: %v", err)
	}
	e.faults()
	if r := e.Command("tools/recover.sh", e.Name); r.Err != nil {
		t.Fatalf("recover.sh: %v\n%s", r.Err, r.Output)
	}
	if got := len(e.publicIPs()); got != 1 {
		t.Errorf("%d public IPs after the recovery, want the one made before the kill", got)
	}
}
