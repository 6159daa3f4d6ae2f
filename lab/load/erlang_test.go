package load

import (
	"context"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/sallyport/sallyport/components/capacity"
	"github.com/sallyport/sallyport/lab/labtest"
	"github.com/sallyport/sallyport/lab/namespace"
	"github.com/sallyport/sallyport/lab/nat"
	"github.com/sallyport/sallyport/lab/partner"
	"github.com/sallyport/sallyport/lab/twhold"
)

const natPorts = 64

// behindNat builds client, NAT of some ports with the holding daemon, and partner; it returns the client's namespace and a Spec.
func behindNat(t *testing.T, ports int, timeWait time.Duration) (client, gateway string, p *peer, spec Spec) {
	t.Helper()
	lab := labtest.New(t)
	gateway, client = lab.Host(t, "nat-a", "10.0.0.10", "198.51.100.1"), lab.Host(t, "node-1", "10.0.1.10")
	labtest.Via(t, client, "0.0.0.0/0", "10.0.0.10")
	rules, err := nat.NatGateway([]netip.Addr{netip.MustParseAddr("198.51.100.1")}, ports)
	labtest.Must(t, err, nat.Apply(gateway, rules), nat.Prepare(gateway, timeWait))
	// The client must not reuse a source port that the NAT still holds for it.
	labtest.Must(t, namespace.Sysctl(client, map[string]string{"net.ipv4.ip_local_port_range": "1024 65535"}))

	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan bool), make(chan error, 1)
	go func() {
		done <- twhold.Run(ctx, twhold.Config{TimeWait: timeWait, Namespace: gateway, Ready: func() { close(ready) }})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	<-ready
	p = newPeer(t, "203.0.113.10", 443)
	host := lab.Host(t, "partner-p", "203.0.113.10")
	p.start(t, func(c *exec.Cmd) error { return namespace.Start(host, c) })
	return client, gateway, p, Spec{Host: "api.example.com", Addresses: p.config.Addresses, CAFile: p.caFile}
}

func runIn(t *testing.T, name string, spec Spec) Result {
	t.Helper()
	result, err := RunIn(context.Background(), name, spec, nil, os.Args[0], "child", "load")
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// TestBlockingFollowsErlangB: the NAT with held ports loses the share of connections that the formula predicts. Longer runs
// come from the environment: SALLYPORT_ERLANG_SECONDS per load, and SALLYPORT_ERLANG_TIMEWAIT.
func TestBlockingFollowsErlangB(t *testing.T) {
	duration, timeWait := fromEnvironment(t, "SALLYPORT_ERLANG_SECONDS", 10), fromEnvironment(t, "SALLYPORT_ERLANG_TIMEWAIT", 2)
	const hold = 0.5
	for _, offered := range []float64{70, 100, 140} {
		t.Run(strconv.FormatFloat(offered, 'f', 0, 64)+" erlang", func(t *testing.T) {
			t.Parallel() // each has its own lab
			client, gateway, _, spec := behindNat(t, natPorts, time.Duration(timeWait*float64(time.Second)))
			spec.Plain, spec.Poisson, spec.Seed = true, true, 1
			spec.RatePerSecond = offered / (hold + timeWait)
			spec.HoldSeconds, spec.HoldExponential = hold, true
			spec.DurationSeconds = duration + 2*(hold+timeWait)
			spec.TimeoutSeconds = 0.9 // no SYN is sent twice
			result := runIn(t, client, spec)
			connections, failed := 0, 0
			warmUp := int(2*(hold+timeWait)) + 1
			for _, second := range result.Seconds[warmUp:] {
				connections += second.Connections
				failed += second.Failed
			}
			load := float64(connections) / float64(len(result.Seconds)-warmUp) * (hold + timeWait)
			measured, predicted := float64(failed)/float64(connections), capacity.ErlangB(natPorts, load)
			t.Logf("a = %.1f (n = %d): measured %.3f, Erlang B %.3f", load, connections, measured, predicted)
			if result.Failures[Timeout] != result.Failed {
				t.Errorf("failures that are not blocked SYNs: %v", result.Failures)
			}
			if tolerance := 0.04 + 0.25*predicted; measured < predicted-tolerance || measured > predicted+tolerance {
				t.Errorf("measured %.3f, predicted %.3f, tolerance %.3f", measured, predicted, tolerance)
			}
			counters, err := nat.Read(gateway)
			labtest.Must(t, err)
			if int(counters.NoPort) < result.Failed {
				t.Errorf("the NAT counted %d dropped SYNs, %d connections failed", counters.NoPort, result.Failed)
			}
		})
	}
}

func fromEnvironment(t *testing.T, name string, value float64) float64 {
	t.Helper()
	if text := os.Getenv(name); text != "" {
		var err error
		if value, err = strconv.ParseFloat(text, 64); err != nil {
			t.Fatal(err)
		}
	}
	return value
}

// TestTLSThroughTheNat: with enough ports nothing fails, and the NAT's address is the only source.
func TestTLSThroughTheNat(t *testing.T) {
	client, gateway, p, spec := behindNat(t, 0, 60*time.Second)
	spec.RatePerSecond, spec.DurationSeconds, spec.Poisson, spec.Held = 100, 3, true, 100
	result := runIn(t, client, spec)
	if result.Failed > 0 || len(result.Held.Cut) > 0 || result.Held.Opened != 100 {
		t.Errorf("%+v", result)
	}
	stats, err := partner.Stats(p.config.Control)
	labtest.Must(t, err)
	if len(stats.Sources) != 1 || stats.Sources["198.51.100.1"].Connections != result.OK+100 || stats.Handshakes != result.OK+100 {
		t.Errorf("the partner saw %+v of %d", stats, result.OK)
	}
	counters, err := nat.Read(gateway)
	labtest.Must(t, err)
	if counters.NoPort != 0 || int(counters.Tracked) < result.OK {
		t.Errorf("counters %+v: each of %d closed connections must still hold its port", counters, result.OK)
	}
	t.Logf("connect %+v, total %+v", result.Connect, result.Total)
}
