package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/sallyport/sallyport/bench/rig"
)

// sampleEvery is the interval of a soak's samples; changeEvery that of its changes of routes.
const (
	sampleEvery = 10 * time.Second
	changeEvery = 10 * time.Second
)

// warmUp is the part of a soak that does not count for the slope: caches and pools fill.
const warmUp = 0.2

// sample is the memory at one time.
type sample struct {
	Seconds  float64            `json:"seconds"` // since the load began
	PSS      float64            `json:"pssMiB"`
	RSS      float64            `json:"rssMiB"`
	Programs map[string]float64 `json:"programsMiB"` // RSS by program
}

// soak keeps up a steady load, with a change of routes now and then, and watches the memory.
func (s *session) soak(ctx context.Context) error {
	if err := s.rig.Publish(tenantRoutes(0)...); err != nil {
		return err
	}
	target, err := s.rig.Start(ctx, rig.Ours, rig.Setup{})
	if err != nil {
		return err
	}
	s.say("soak: %d new TLS connections/s, %d held, %d hosts, a change every %s, for %s",
		newLoad, heldLoad, tenants*hostsPerTenant, changeEvery, s.options.soak)
	loading, endLoad := context.WithCancel(ctx)
	defer endLoad()
	ended := s.loadBeside(loading, target)
	began := time.Now()
	var samples []sample
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for generation := 1; time.Since(began) < s.options.soak; generation++ {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case l := <-ended:
			return fmt.Errorf("the load ended early: %w", l.err)
		case <-tick.C:
		}
		one, err := takeSample(target, time.Since(began))
		if err != nil {
			return err
		}
		samples = append(samples, one)
		s.say("PSS %6.1f MiB  RSS %6.1f MiB  %v", one.PSS, one.RSS, one.Programs)
		if _, err := s.change(ctx, target, generation); err != nil {
			return err
		}
	}
	endLoad()
	l := <-ended
	if l.err != nil {
		return l.err
	}
	return s.reportSoak(samples, l)
}

func takeSample(target *rig.Target, at time.Duration) (sample, error) {
	one := sample{Seconds: at.Seconds(), Programs: map[string]float64{}}
	pids, err := target.PIDs()
	if err != nil {
		return one, err
	}
	for _, pid := range pids {
		pss, rss, err := rig.Memory(pid)
		if err != nil {
			return one, err
		}
		one.PSS += mebibytes(pss)
		one.RSS += mebibytes(rss)
		one.Programs[rig.Command(pid)] += mebibytes(rss)
	}
	return one, nil
}

func mebibytes(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// slope is the rise per second of the straight line nearest to the values (least squares).
func slope(samples []sample, value func(sample) float64) float64 {
	var n, sumX, sumY, sumXX, sumXY float64
	for _, one := range samples {
		x, y := one.Seconds, value(one)
		n, sumX, sumY, sumXX, sumXY = n+1, sumX+x, sumY+y, sumXX+x*x, sumXY+x*y
	}
	spread := n*sumXX - sumX*sumX
	if spread == 0 {
		return 0
	}
	return (n*sumXY - sumX*sumY) / spread
}

func (s *session) reportSoak(samples []sample, l loaded) error {
	counted := samples[int(warmUp*float64(len(samples))):]
	if len(counted) < 2 {
		return fmt.Errorf("soak: needs at least 2 samples after the warm-up, got %d", len(counted))
	}
	pss := func(one sample) float64 { return one.PSS }
	first, last := counted[0], counted[len(counted)-1]
	perHour := slope(counted, pss) * 3600
	fmt.Fprintf(os.Stdout, "\nSoak of %s: %d new connections, %d failed; %d held, %d cut\n", s.options.soak,
		l.result.Connections, l.result.Failed, l.result.Held.Opened, len(l.result.Held.Cut))
	fmt.Fprintf(os.Stdout, "  PSS after warm-up %.1f MiB, at the end %.1f MiB, slope %+.2f MiB per hour (%+.1f %%)\n",
		first.PSS, last.PSS, perHour, 100*perHour/first.PSS)
	return s.save(map[string]any{
		"began": s.began.UTC().Format(time.RFC3339), "host": thisHost(), "seconds": s.options.soak.Seconds(),
		"connections": l.result.Connections, "failed": l.result.Failed, "held": l.result.Held.Opened, "cut": len(l.result.Held.Cut),
		"slopeMiBPerHour": perHour, "samples": samples,
	})
}
