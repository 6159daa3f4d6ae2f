package main

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/sallyport/sallyport/bench/peer"
	"github.com/sallyport/sallyport/bench/rig"
	"github.com/sallyport/sallyport/lab/load"
)

// clients connect at once in the closed loop.
const clients = 8

func (s *session) measureConnect(ctx context.Context) error {
	const title = "New connections: ClientHello and a short answer, no cryptography at either end, 8 clients one connection after another"
	return s.connections(ctx, "connect", title, rig.AnswerHost, "")
}

func (s *session) measureTLS(ctx context.Context) error {
	const title = "New connections: full TLS 1.3 handshake, one byte each way, 8 clients one connection after another"
	return s.connections(ctx, "tls", title, rig.TLSHost, s.rig.CAFile())
}

func (s *session) connections(ctx context.Context, name, title, host, authorities string) error {
	t := s.table(name, title)
	rate, cost := t.column("rate", "conn/s", higher), t.column("cpu", "CPU us/conn", lower)
	lasts := s.pick(2*time.Second, time.Second)
	return s.eachRound(ctx, name, func(ctx context.Context, target *rig.Target) error {
		var got peer.ConnectReport
		spent, err := cpuOf(target, func() error {
			spec := peer.ConnectSpec{To: target.To(host), Host: host, Clients: clients, Seconds: lasts.Seconds(), CAFile: authorities}
			return s.rig.Client(ctx, peer.Connect, spec, &got)
		})
		if err != nil {
			return err
		}
		if got.Failed > 0 || got.Connections == 0 {
			return fmt.Errorf("%d of %d connections failed: %s", got.Failed, got.Failed+got.Connections, got.Error)
		}
		rate.add(target.Kind, float64(got.Connections)/got.Seconds)
		if target.Kind != rig.Direct {
			cost.add(target.Kind, float64(spent.Microseconds())/float64(got.Connections))
		}
		return nil
	})
}

// latencyRate is the rate of new connections per second at which latency is measured: a small part of what the machine can do, so
// that queues at the client and the origin do not hide the proxy.
const latencyRate = 150

func (s *session) measureLatency(ctx context.Context) error {
	t := s.table("latency", fmt.Sprintf("Latency at %d new TLS connections/s that arrive at random (Poisson), from due to HTTP answer", latencyRate))
	p50, p99 := t.column("p50", "p50 ms", lower), t.column("p99", "p99 ms", lower)
	lasts := s.pick(5*time.Second, 2*time.Second)
	err := s.eachRound(ctx, "latency", func(ctx context.Context, target *rig.Target) error {
		result, err := load.RunIn(ctx, s.rig.ClientNamespace(), load.Spec{
			Host: rig.APIHost, Addresses: []netip.Addr{target.To(rig.APIHost).Addr()}, Port: rig.Port, CAFile: s.rig.CAFile(),
			RatePerSecond: latencyRate, Poisson: true, DurationSeconds: lasts.Seconds(),
		}, nil, s.rig.Labd, "load", "--quiet")
		if err != nil {
			return err
		}
		if result.Failed > 0 || result.OK == 0 {
			return fmt.Errorf("%d of %d connections failed: %v", result.Failed, result.Connections, result.Errors)
		}
		p50.add(target.Kind, result.Total.P50)
		p99.add(target.Kind, result.Total.P99)
		return nil
	})
	if err != nil {
		return err
	}
	t.difference("added50", "added p50 ms", p50, rig.Direct)
	t.difference("added99", "added p99 ms", p99, rig.Direct)
	return nil
}

func (s *session) measureBodies(ctx context.Context) error {
	t := s.table("bodies", "Large bodies without cryptography, on 1 connection and on 4 at once")
	lasts := s.pick(1200*time.Millisecond, 700*time.Millisecond)
	for _, connections := range []int{1, 4} {
		rate := t.column(fmt.Sprintf("rate%d", connections), fmt.Sprintf("GB/s, %d conn", connections), higher)
		cost := t.column(fmt.Sprintf("cpu%d", connections), fmt.Sprintf("CPU s/GB, %d conn", connections), lower)
		err := s.eachRound(ctx, fmt.Sprintf("bodies, %d connections", connections), func(ctx context.Context, target *rig.Target) error {
			var got peer.DownloadReport
			spent, err := cpuOf(target, func() error {
				return s.rig.Client(ctx, peer.Download, peer.DownloadSpec{
					To: target.To(rig.StreamHost), Host: rig.StreamHost, Connections: connections, Seconds: lasts.Seconds(),
				}, &got)
			})
			if err != nil {
				return err
			}
			gigabytes := float64(got.Bytes) / 1e9
			rate.add(target.Kind, gigabytes/got.Seconds)
			if target.Kind != rig.Direct {
				cost.add(target.Kind, spent.Seconds()/gigabytes)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// idleConnections is how many idle connections are held if the limit on open files allows.
const idleConnections = 9000

// measureIdle starts each proxy afresh in every round: memory that a process once had, it may keep.
func (s *session) measureIdle(ctx context.Context) error {
	most, err := rig.MaxConnections()
	if err != nil {
		return err
	}
	n := min(idleConnections, most-50)
	if n < 100 {
		return fmt.Errorf("limit on open files: must allow at least 100 proxied connections, allows %d", n)
	}
	if n < idleConnections {
		s.notes = append(s.notes, fmt.Sprintf("%d idle connections, not %d: more are not possible with this limit on open files", n, idleConnections))
	}
	if err := s.shut(ctx); err != nil {
		return err
	}
	t := s.table("idle", fmt.Sprintf("Process memory (PSS) with %d idle proxied connections, each proxy started afresh", n))
	columns := idleColumns{t.column("perconn", "KiB/conn", lower), t.column("fresh", "MiB fresh", lower), t.column("with", "MiB with", lower)}
	rounds := min(s.rounds, 3)
	for round := range rounds {
		s.say("idle: round %d of %d", round+1, rounds)
		for _, way := range s.ways {
			if way == rig.Direct {
				continue
			}
			if err := s.idleOnce(ctx, way, n, columns); err != nil {
				return fmt.Errorf("%s: %w", way, err)
			}
		}
	}
	return nil
}

type idleColumns struct{ perConnection, fresh, with *column }

func (s *session) idleOnce(ctx context.Context, way rig.Kind, n int, c idleColumns) error {
	target, err := s.rig.Start(ctx, way, s.setup(way))
	if err != nil {
		return err
	}
	defer target.Stop(ctx) //nolint:errcheck // Close of the rig ends what is left
	time.Sleep(500 * time.Millisecond)
	before, err := target.Usage()
	if err != nil {
		return err
	}
	held, err := s.rig.Hold(ctx, peer.HoldSpec{To: target.To(rig.IdleHost), Host: rig.IdleHost, Connections: n})
	if err != nil {
		return err
	}
	defer held.Release()
	if held.Failed > 0 {
		return fmt.Errorf("%d of %d connections failed: %s", held.Failed, n, held.Error)
	}
	time.Sleep(time.Second)
	after, err := target.Usage()
	if err != nil {
		return err
	}
	c.perConnection.add(way, float64(after.PSS-before.PSS)/float64(held.Open)/(1<<10))
	c.fresh.add(way, float64(before.PSS)/(1<<20))
	c.with.add(way, float64(after.PSS)/(1<<20))
	return nil
}
