package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// Limit bounds a whole demo, repair and cleaning included.
const Limit = 2 * time.Minute

// cleaning is the part of Limit that is kept for removing the scratch lab.
const cleaning = 5 * time.Second

// Options are what Run needs besides its target. No field may be nil.
type Options struct {
	// Repair brings back the proxy that was killed, within its context.
	Repair func(context.Context) error
	// Say reports progress.
	Say func(format string, args ...any)
}

// Run measures everything within Limit. The report holds what was measured, also with an error. When ctx ends early, Run still removes its
// scratch lab and repairs the proxy if it has killed it.
func Run(ctx context.Context, t Target, o Options) (report Report, err error) {
	begin := time.Now()
	end := begin.Add(Limit - cleaning)
	repairing, stop := context.WithDeadline(context.WithoutCancel(ctx), end) // an interrupt leaves nothing broken
	defer stop()
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	report = Report{Stack: t.Allowlist.Stack, Lab: t.Lab.ID, Started: begin.UTC().Truncate(time.Second)}
	defer func() {
		report.Seconds = time.Since(begin).Seconds()
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("demo: must end within %s, but this machine is too busy: %w", Limit, err)
		}
	}()
	if err := errors.Join(t.healthy(ctx), removeOrphans(ctx)); err != nil {
		return report, err
	}

	o.Say("the ways out: every destination at its declared demand, %s", pathsDuration)
	if report.Paths, report.NoPort, err = t.paths(ctx); err != nil {
		return report, fmt.Errorf("ways out: %w", err)
	}
	report.compare(t.Allowlist)

	o.Say("pooling: requests with and without shared connections, in a lab of its own, %s", poolingDuration)
	if report.Pooling, err = t.pooling(ctx); err != nil {
		return report, fmt.Errorf("pooling: %w", err)
	}

	o.Say("failover: a proxy is killed under %d new connections/s, %s", failoverRate+probeRate, failoverBefore+failoverAfter)
	var killed bool
	report.Failover, killed, err = t.failover(ctx)
	repaired := make(chan error, 1)
	go func() { repaired <- t.repair(repairing, o, killed, report.Failover) }()
	if err != nil {
		return report, errors.Join(fmt.Errorf("failover: %w", err), <-repaired)
	}

	trial := standard()
	o.Say("port exhaustion: %d loads on VMs with %d ports each, in a lab of its own, %s; meanwhile: DNS", len(trial.levels), trial.ports,
		trial.warmUp()+trial.window)
	group, measuring := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		if report.Exhaustion, report.Computed, err = trial.exhaust(measuring, t.Labd); err != nil {
			err = fmt.Errorf("port exhaustion: %w", err)
		}
		return err
	})
	group.Go(func() (err error) {
		if report.DNS, err = t.dns(measuring); err != nil {
			err = fmt.Errorf("DNS: %w", err)
		}
		return err
	})
	err = group.Wait()
	return report, errors.Join(err, <-repaired)
}

// repair brings a killed proxy back and checks that the whole lab works again.
func (t Target) repair(ctx context.Context, o Options, killed bool, report *Failover) error {
	if !killed {
		return nil
	}
	begin := time.Now()
	o.Say("repairing the killed proxy with pulumi up --refresh")
	if err := o.Repair(ctx); err != nil {
		return fmt.Errorf("repair: %w", err)
	}
	if err := t.healthy(ctx); err != nil {
		return fmt.Errorf("repair: %w", err)
	}
	took := time.Since(begin)
	o.Say("the proxy is back after %.0f s", took.Seconds())
	if report == nil {
		return nil
	}
	addresses, err := t.addresses(report.Proxy)
	report.RepairSeconds, report.SameAddresses = took.Seconds(), slices.Equal(addresses, report.Addresses)
	return err
}
