package test

import (
	"math"
	"testing"

	"github.com/sallyport/sallyport/components/capacity"
	"github.com/sallyport/sallyport/lab/load"
)

// exhaustedConfig forces 64 ports per VM, Cloud NAT's default, on a stack that needs more, with TIME_WAIT scaled down: the same
// offered load in less time.
const exhaustedConfig = `config:
  sallyport:cloud: local
  sallyport:cluster: {zones: [a, b, c], nodes: 3}
  sallyport:nat: {portsPerVM: 64, allowInsufficient: true, timeWaitSeconds: 2}
  sallyport:destinations:
    - {name: registry, hosts: [registry.example.com], demand: {connectionsPerSecond: 200, secondsPerConnection: 0.5}}
  sallyport:lab: {podsPerNode: 1}`

// TestExhaustionFollowsErlangB offers three loads to a NAT that holds 64 ports per VM, each from another node, and compares the
// share of connections that found no port with the model by which the plan is made.
func TestExhaustionFollowsErlangB(t *testing.T) {
	const ports, hold, timeWait, seconds, tolerance = 64, 0.5, 2.0, 75, 0.25
	e := newEnvironment(t, exhaustedConfig)
	e.up()
	loads := map[string]float64{"pod-a-1-1": 72, "pod-b-1-1": 96, "pod-c-1-1": 140}
	waits := map[string]func() load.Result{}
	for pod, offered := range loads {
		waits[pod] = e.background(pod, load.Spec{
			// Without a second SYN (after 1 s) a blocked connection stays blocked, as in the model.
			Host: "registry.example.com", RatePerSecond: offered / (hold + timeWait), Poisson: true, DurationSeconds: seconds,
			HoldSeconds: hold, HoldExponential: true, TimeoutSeconds: 0.9,
		})
	}
	for pod, wait := range waits {
		r := wait()
		offered := r.OfferedPerSecond * (hold + timeWait)
		predicted := capacity.ErlangB(ports, offered)
		measured := float64(r.Failures[load.Timeout]) / float64(r.Connections)
		t.Logf("%s: offered load %.1f on %d ports: measured %.3f, Erlang B %.3f, %d connections", pod, offered, ports, measured, predicted, r.Connections)
		if predicted < 0.05 || predicted > 0.6 {
			t.Errorf("the prediction %.3f is outside 0.05 to 0.6: choose another load", predicted)
		}
		if math.Abs(measured-predicted) > tolerance*predicted {
			t.Errorf("measured %.3f is not within %.0f %% of %.3f", measured, 100*tolerance, predicted)
		}
		if r.Failed != r.Failures[load.Timeout] {
			t.Errorf("failures other than a lack of ports: %v %v", r.Failures, r.Errors)
		}
	}
}

// gatewayConfig is the other flavour of NAT: one gateway per zone.
const gatewayConfig = `config:
  sallyport:cloud: local
  sallyport:cluster: {zones: [a, b], nodes: 2}
  sallyport:nat: {flavor: natgateway}
  sallyport:destinations:
    - {name: registry, hosts: [registry.example.com], partner: registry, demand: {connectionsPerSecond: 1500, secondsPerConnection: 1}}
  sallyport:lab: {podsPerNode: 1}`

func TestNatGatewaySpreadsOverTheIPsOfItsZone(t *testing.T) {
	e := newEnvironment(t, gatewayConfig)
	e.up()
	zones := map[string]string{}
	for _, entry := range e.allowlist().Entries {
		zones[entry.IP.String()] = entry.Zone
	}
	for zone, pod := range map[string]string{"a": "pod-a-1-1", "b": "pod-b-1-1"} {
		r, err := e.load(pod, load.Spec{Host: "registry.example.com", RatePerSecond: 50, DurationSeconds: 3})
		if err != nil || r.Failed > 0 {
			t.Fatalf("%v, %d failed: %v %v", err, r.Failed, r.Failures, r.Errors)
		}
		if len(r.Sources) != 2 {
			t.Errorf("zone %s was seen from %v, want both IPs of its gateway", zone, r.Sources)
		}
		for source := range r.Sources {
			if zones[source] != zone {
				t.Errorf("zone %s was seen from %s, which belongs to zone %q", zone, source, zones[source])
			}
		}
	}
}
