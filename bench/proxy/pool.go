package main

import (
	"context"
	"fmt"

	"github.com/sallyport/sallyport/bench/rig"
	"github.com/sallyport/sallyport/lab/demo"
)

// poolRounds bounds the rounds: each builds a place of its own and takes about ten seconds.
const poolRounds = 3

// measurePool compares pool mode with what a client without it does: a TLS connection for each request, over the same path.
func (s *session) measurePool(ctx context.Context) error {
	t := s.table("pool", "Pool mode, 5 ms round trip: a request through it (sallyport) and on a fresh TLS 1.3 connection (direct), in turn")
	t.ways = []rig.Kind{rig.Direct, rig.Ours}
	mean, p99 := t.column("mean", "mean ms", lower), t.column("p99", "p99 ms", lower)
	cost, upstream := t.column("cpu", "client CPU us/request", lower), t.column("upstream", "connections/1000 requests", lower)
	rounds := min(s.rounds, poolRounds)
	if s.quick {
		rounds = 1
	}
	for round := range rounds {
		s.say("pool: round %d of %d", round+1, rounds)
		got, err := demo.MeasurePooling(ctx, s.rig.Labd, s.rig.Rootfs)
		if err != nil {
			return err
		}
		for way, side := range map[rig.Kind]demo.PoolingSide{rig.Direct: got.Fresh, rig.Ours: got.Pooled} {
			if side.Failed > 0 {
				return fmt.Errorf("%s: %d of %d requests failed", way, side.Failed, side.Failed+side.Requests)
			}
			mean.add(way, side.MeanMillis)
			p99.add(way, side.P99Millis)
			cost.add(way, side.CPUMicros)
			upstream.add(way, 1000*float64(side.Connections)/float64(side.Requests))
		}
	}
	return nil
}
