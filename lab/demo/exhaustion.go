package demo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sallyport/sallyport/components/capacity"
	"github.com/sallyport/sallyport/lab/load"
)

// The scratch lab's partner.
const (
	scratchHost = "api.example.com"
	scratchPort = 443
)

// trial is an experiment with a NAT that has too few ports.
type trial struct {
	ports    int           // per VM
	timeWait time.Duration // whole seconds
	hold     time.Duration // mean life of a connection, exponentially distributed
	window   time.Duration // measured, after a warm-up of twice hold and timeWait
	levels   []level
}

// level is one offered load.
type level struct {
	offered float64 // ports in use per VM if there were enough
	vms     int     // VMs that measure it, each with a block of its own; light loads fail seldom and need more of them
}

// standard is the trial of the demo: blocking from about 3 to 70 %.
func standard() trial {
	return trial{
		ports: 64, timeWait: 2 * time.Second, hold: 500 * time.Millisecond, window: 30 * time.Second,
		levels: []level{{56, 4}, {64, 3}, {76, 2}, {96, 2}, {130, 1}, {200, 1}},
	}
}

// occupied is how long a connection takes a port, on average, in seconds.
func (t trial) occupied() float64 { return (t.hold + t.timeWait).Seconds() }

func (t trial) warmUp() time.Duration {
	return (2 * (t.hold + t.timeWait)).Truncate(time.Second) + time.Second
}

// heaviest is the highest offered load.
func (t trial) heaviest() float64 {
	most := 0.0
	for _, l := range t.levels {
		most = max(most, l.offered)
	}
	return most
}

// computedPorts is the block that the planner gives a VM for the heaviest load.
func (t trial) computedPorts() (int, error) {
	plan, err := capacity.Compute(capacity.Input{
		Zones: []string{"a"}, Nodes: 1, MaxNodes: 1, Skew: 1, Flavor: capacity.CloudNat, TimeWait: t.timeWait.Seconds(), Blocking: 1e-6,
		Proxies: capacity.ProxyLimits{IPsPerProxy: 1, ConnectionsPerSecond: 1, MaxConnections: 1},
		Destinations: []capacity.Destination{{
			Name: "demo", Via: capacity.ViaNat, ConnectionsPerSecond: t.heaviest() / t.occupied(), SecondsPerConnection: t.hold.Seconds(),
			RequestsPerConnection: 1, Addresses: 1,
		}},
	})
	return plan.Nat.PortsPerVM, err
}

// exhaust builds a scratch lab, runs all levels at once, each on VMs of its own, and the heaviest once more on a VM with the computed number
// of ports. The scratch lab is gone when it returns.
func (t trial) exhaust(ctx context.Context, labd string) (points []Point, computed *Point, err error) {
	enough, err := t.computedPorts()
	if err != nil {
		return nil, nil, fmt.Errorf("ports for the heaviest load: %w", err)
	}
	var ports []int
	var offered []float64
	for _, l := range t.levels {
		for range l.vms {
			ports, offered = append(ports, t.ports), append(offered, l.offered)
		}
	}
	ports, offered = append(ports, enough), append(offered, t.heaviest())
	s, err := newScratch(labd, t.timeWait, ports)
	if s != nil {
		defer func() { err = errors.Join(err, s.remove()) }()
	}
	if err != nil {
		return nil, nil, err
	}
	measured := make([]Point, len(ports))
	group, ctx := errgroup.WithContext(ctx)
	for i, vm := range s.vms {
		group.Go(func() (err error) {
			measured[i], err = t.measure(ctx, s, vm, ports[i], offered[i])
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	if ctx.Err() != nil {
		return nil, nil, ctx.Err()
	}
	for _, l := range t.levels {
		points = append(points, pool(measured[:l.vms]))
		measured = measured[l.vms:]
	}
	return points, &measured[0], nil
}

// measure sends one VM's load.
func (t trial) measure(ctx context.Context, s *scratch, vm string, ports int, offered float64) (Point, error) {
	result, err := load.RunIn(ctx, vm, load.Spec{
		Host: scratchHost, Port: scratchPort, Addresses: []netip.Addr{scratchPartner}, Plain: true, Poisson: true,
		RatePerSecond: offered / t.occupied(), DurationSeconds: (t.warmUp() + t.window).Seconds(),
		HoldSeconds: t.hold.Seconds(), HoldExponential: true,
		TimeoutSeconds: 0.9, // no SYN is sent twice, so each blocked SYN counts once
	}, nil, s.labd, "load", "--quiet")
	if err != nil {
		return Point{}, err
	}
	return t.point(result, ports), nil
}

// point counts what was due after the warm-up.
func (t trial) point(result load.Result, ports int) Point {
	p := Point{Ports: ports, VMs: 1, Other: result.Failed - result.Failures[load.Timeout]}
	seconds := result.Seconds[min(len(result.Seconds), int(t.warmUp().Seconds())):]
	for _, second := range seconds {
		p.Attempts += second.Connections
		p.Failed += second.Failed
	}
	p.OfferedLoad = float64(p.Attempts) / t.window.Seconds() * t.occupied()
	p.Predicted = capacity.ErlangB(ports, p.OfferedLoad)
	return p
}

// pool joins what VMs with the same load have measured.
func pool(points []Point) Point {
	all := Point{Ports: points[0].Ports}
	for _, p := range points {
		all.VMs += p.VMs
		all.Attempts += p.Attempts
		all.Failed += p.Failed
		all.Other += p.Other
		all.OfferedLoad += p.OfferedLoad / float64(len(points))
		all.Predicted += p.Predicted * float64(p.Attempts)
	}
	if all.Attempts > 0 {
		all.Predicted /= float64(all.Attempts)
	}
	return all
}
