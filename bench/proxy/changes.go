package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/sallyport/sallyport/bench/rig"
	"github.com/sallyport/sallyport/lab/load"
	"github.com/sallyport/sallyport/proxyimage/routes"
)

// The tenants' part of the routes document, and the load during changes.
const (
	tenants        = 200
	hostsPerTenant = 20
	heldLoad       = 500 // connections that must survive
	newLoad        = 300 // new connections per second, none of which may fail
)

// tenantRoutes returns the routes of all tenants but the origins' own, which are the hosts of the last one's missing: a document
// has room for exactly all of them. The first tenant's first host is called after the generation, so every generation
// adds a host and removes one.
func tenantRoutes(generation int) []routes.Route {
	all := make([]routes.Route, tenants)
	for tenant := range all {
		hosts := make([]string, hostsPerTenant)
		if tenant == tenants-1 {
			hosts = hosts[rig.OriginHosts:]
		}
		for i := range hosts {
			hosts[i] = fmt.Sprintf("h%02d-t%03d.%s", i, tenant, rig.TenantDomain)
		}
		if tenant == 0 {
			hosts[0] = generationHost(generation)
		}
		all[tenant] = routes.Route{Name: fmt.Sprintf("tenant-%03d", tenant), Hosts: hosts, Port: rig.Port}
	}
	return all
}

func generationHost(generation int) string {
	return fmt.Sprintf("generation-%d.%s", generation, rig.TenantDomain)
}

func (s *session) measureChanges(ctx context.Context) error {
	if err := s.shut(ctx); err != nil {
		return err
	}
	changes, pace := 100, 360*time.Millisecond
	if s.quick {
		changes, pace = 20, 300*time.Millisecond
	}
	t := s.table("changes", fmt.Sprintf("%d changes of a routes document of %d tenants x %d hosts, under %d new TLS connections/s and %d held ones",
		changes, tenants, hostsPerTenant, newLoad, heldLoad))
	c := changeColumns{
		effect: t.column("effect", "ms to effect", lower), memory: t.column("memory", "MiB in all", lower),
		opened: t.column("new", "new conn", higher), failed: t.column("failed", "failed", lower),
		held: t.column("held", "held", higher), cut: t.column("cut", "cut", lower),
	}
	for _, way := range []rig.Kind{rig.Ours, rig.Variant} {
		if !slices.Contains(s.ways, way) {
			continue
		}
		if err := s.changesOf(ctx, way, changes, pace, c); err != nil {
			return fmt.Errorf("%s: %w", way, err)
		}
	}
	return nil
}

// changeColumns are the figures of the changes: effect a value per change, memory one per sample, the others one in all.
type changeColumns struct{ effect, memory, opened, failed, held, cut *column }

func (s *session) changesOf(ctx context.Context, way rig.Kind, changes int, pace time.Duration, c changeColumns) error {
	if err := s.rig.Publish(tenantRoutes(0)...); err != nil {
		return err
	}
	target, err := s.rig.Start(ctx, way, s.setup(way))
	if err != nil {
		return err
	}
	defer target.Stop(ctx) //nolint:errcheck // Close of the rig ends what is left
	s.say("changes: %d hosts are served; changing one of them %d times", tenants*hostsPerTenant, changes)

	loading, endLoad := context.WithCancel(ctx)
	defer endLoad()
	loaded := s.loadBeside(loading, target)
	time.Sleep(2 * time.Second) // the held connections are open, the load is steady
	for generation := 1; generation <= changes; generation++ {
		began := time.Now()
		took, err := s.change(ctx, target, generation)
		if err != nil {
			return err
		}
		c.effect.add(way, float64(took)/float64(time.Millisecond))
		if generation%5 == 0 {
			one, err := takeSample(target, time.Since(began))
			if err != nil {
				return err
			}
			c.memory.add(way, one.PSS)
			s.say("changes: %d of %d, %.0f ms, %.1f MiB: %v", generation, changes, float64(took.Milliseconds()), one.PSS, one.Programs)
		}
		time.Sleep(pace - time.Since(began))
	}
	time.Sleep(2 * time.Second)
	endLoad()
	l := <-loaded
	if l.err != nil {
		return l.err
	}
	c.opened.add(way, float64(l.result.Connections))
	c.failed.add(way, float64(l.result.Failed))
	c.held.add(way, float64(l.result.Held.Opened))
	c.cut.add(way, float64(len(l.result.Held.Cut)+l.result.Held.Unopened))
	if l.result.Failed > 0 || len(l.result.Held.Cut) > 0 {
		s.notes = append(s.notes, fmt.Sprintf("changes: failures %v, held cut %v, examples %v", l.result.Failures, l.result.Held.Cut, l.result.Errors))
	}
	return nil
}

// loaded is the end of a load.
type loaded struct {
	result load.Result
	err    error
}

// loadBeside keeps up a steady load until ctx ends.
func (s *session) loadBeside(ctx context.Context, target *rig.Target) <-chan loaded {
	done := make(chan loaded, 1)
	go func() {
		result, err := load.RunIn(ctx, s.rig.ClientNamespace(), load.Spec{
			Host: rig.APIHost, Addresses: []netip.Addr{target.To(rig.APIHost).Addr()}, Port: rig.Port, CAFile: s.rig.CAFile(),
			RatePerSecond: newLoad, DurationSeconds: max(limit, s.options.soak).Seconds(), Held: heldLoad, HeartbeatSeconds: 1, TimeoutSeconds: 10,
		}, nil, s.rig.Labd, "load", "--quiet")
		done <- loaded{result, err}
	}()
	return done
}

// effectLimit bounds the wait for one change.
const effectLimit = 10 * time.Second

// change publishes a generation and returns how long it took until its new host was served and its old one refused.
func (s *session) change(ctx context.Context, target *rig.Target, generation int) (time.Duration, error) {
	routes := tenantRoutes(generation)
	began := time.Now()
	if err := s.rig.Publish(routes...); err != nil {
		return 0, err
	}
	for {
		err := target.Ask(ctx, generationHost(generation))
		if err == nil && generation > 1 && target.Ask(ctx, generationHost(generation-1)) == nil {
			err = fmt.Errorf("%s is still served", generationHost(generation-1))
		}
		took := time.Since(began)
		if err == nil {
			return took, nil
		}
		if took > effectLimit {
			return took, fmt.Errorf("change %d: must take effect within %s: %w", generation, effectLimit, err)
		}
		if ctx.Err() != nil {
			return took, ctx.Err()
		}
		time.Sleep(3 * time.Millisecond)
	}
}
