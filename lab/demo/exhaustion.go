package demo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/ti-mo/conntrack"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/components/capacity"
	"github.com/sallyport/sallyport/lab/labid"
	"github.com/sallyport/sallyport/lab/load"
	"github.com/sallyport/sallyport/lab/namespace"
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
	measured, taken, err := t.run(ctx, s, ports, offered)
	if err != nil {
		return nil, nil, err
	}
	occupied := t.occupiedBy(measured, taken)
	for _, l := range t.levels {
		points = append(points, pool(measured[:l.vms], t.window, occupied))
		measured = measured[l.vms:]
	}
	last := pool(measured, t.window, occupied)
	return points, &last, nil
}

// run sends the load of all VMs at the same time. It also returns how many ports were taken at the NAT, all VMs together, on average.
func (t trial) run(ctx context.Context, s *scratch, ports []int, offered []float64) (measured []Point, taken float64, err error) {
	measured = make([]Point, len(ports))
	group, loading := errgroup.WithContext(ctx)
	for i, vm := range s.vms {
		group.Go(func() (err error) {
			measured[i], err = t.measure(loading, s, vm, ports[i], offered[i])
			return err
		})
	}
	group.Go(func() (err error) {
		taken, err = t.countPorts(loading, s.name(labid.NatHost))
		return err
	})
	return measured, taken, errors.Join(group.Wait(), ctx.Err())
}

// countPorts looks at the NAT's table all through the window and returns the mean number of connections that hold a port.
func (t trial) countPorts(ctx context.Context, gateway string) (float64, error) {
	const interval = 500 * time.Millisecond
	begin := time.After(t.warmUp())
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-begin:
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	sum, samples := 0, 0
	for end := time.Now().Add(t.window); time.Now().Before(end); samples++ {
		n, err := portsTaken(gateway)
		if err != nil {
			return 0, fmt.Errorf("ports taken at the NAT: %w", err)
		}
		sum += n
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-ticker.C:
		}
	}
	return float64(sum) / float64(samples), nil
}

// portsTaken counts the TCP connections that a NAT tracks, those that it holds after their end included. Expired ones, which the kernel's own
// counter includes for up to a minute, are not in the list.
func portsTaken(gateway string) (n int, err error) {
	err = namespace.Do(gateway, func() error {
		conn, err := conntrack.Dial(nil)
		if err != nil {
			return err
		}
		flows, err := conn.Dump(nil)
		for _, flow := range flows {
			if flow.TupleOrig.Proto.Protocol == unix.IPPROTO_TCP {
				n++
			}
		}
		return errors.Join(err, conn.Close())
	})
	return n, err
}

// occupiedBy returns how many seconds a connection really held a port, by Little's law: ports taken by connections accepted per second.
// It is hold + TIME_WAIT and what a busy machine adds to it.
func (t trial) occupiedBy(measured []Point, taken float64) float64 {
	accepted := 0
	for _, p := range measured {
		accepted += p.Attempts - p.Failed
	}
	if accepted == 0 {
		return t.occupied()
	}
	return taken / (float64(accepted) / t.window.Seconds())
}

// measure sends one VM's load.
func (t trial) measure(ctx context.Context, s *scratch, vm string, ports int, offered float64) (Point, error) {
	program := append(urgent(s.labd), "load", "--quiet")
	result, err := load.RunIn(ctx, vm, load.Spec{
		Host: scratchHost, Port: scratchPort, Addresses: []netip.Addr{scratchPartner}, Plain: true, Poisson: true,
		RatePerSecond: offered / t.occupied(), DurationSeconds: (t.warmUp() + t.window).Seconds(),
		HoldSeconds: t.hold.Seconds(), HoldExponential: true,
		TimeoutSeconds: 0.9, // no SYN is sent twice, so each blocked SYN counts once
	}, nil, program[0], program[1:]...)
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
	return p
}

// pool joins what VMs with the same load have measured in a window, in which a connection held its port for so many seconds on average.
func pool(points []Point, window time.Duration, occupied float64) Point {
	all := Point{Ports: points[0].Ports, OccupiedSeconds: occupied}
	for _, p := range points {
		all.VMs += p.VMs
		all.Attempts += p.Attempts
		all.Failed += p.Failed
		all.Other += p.Other
		load := float64(p.Attempts) / window.Seconds() * occupied
		all.OfferedLoad += load / float64(len(points))
		all.Predicted += capacity.ErlangB(p.Ports, load) * float64(p.Attempts)
	}
	if all.Attempts > 0 {
		all.Predicted /= float64(all.Attempts)
	}
	return all
}
