package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sallyport/sallyport/components/destinations"
	"github.com/sallyport/sallyport/lab/daemon"
	"github.com/sallyport/sallyport/lab/labid"
	"github.com/sallyport/sallyport/lab/load"
	"github.com/sallyport/sallyport/lab/namespace"
)

const (
	failoverBefore = 3 * time.Second // of load until the kill; whole seconds
	failoverAfter  = 8 * time.Second // of load after it
	failoverRate   = 200             // new connections per second by clients that try twice
	probeRate      = 50              // and by clients that try once: they show until when the dead proxy was handed out
	// agent is the name of a proxy's process; as process 1 of its container it takes HAProxy with it.
	agent = "agent"
)

// proxies returns the hosts of the fleet, sorted.
func (t Target) proxies() ([]string, error) {
	records, err := t.Lab.Records()
	if err != nil {
		return nil, err
	}
	var hosts []string
	for _, record := range records {
		if record.Kind == labid.ProxyHost {
			hosts = append(hosts, record.Host)
		}
	}
	return hosts, nil
}

// failover kills the first proxy under load. killed tells whether there is something to repair, also with an error. The report is nil
// if there is no second proxy to take over.
func (t Target) failover(ctx context.Context) (report *Failover, killed bool, err error) {
	pods, err := t.pods()
	if err != nil {
		return nil, false, err
	}
	proxies, err := t.proxies()
	all := t.usable(destinations.RouteProxy)
	if err != nil || len(proxies) < 2 || len(all) == 0 {
		return nil, false, err
	}
	addresses, err := t.addresses(proxies[0])
	if err != nil {
		return nil, false, err
	}
	spec := load.Spec{
		Host: SampleHost(all[0]), Port: all[0].Port, DurationSeconds: (failoverBefore + failoverAfter).Seconds(), TimeoutSeconds: 2,
	}
	var twice, once load.Result
	group, loading := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		spec := spec
		spec.RatePerSecond, spec.Attempts = failoverRate, 2
		twice, err = t.load(loading, pods[0], spec, nil)
		return err
	})
	due := newSecondHand(failoverBefore)
	group.Go(func() (err error) {
		spec := spec
		spec.RatePerSecond = probeRate
		once, err = t.load(loading, pods[len(pods)-1], spec, due)
		return err
	})
	group.Go(func() error {
		select {
		case <-loading.Done():
			return loading.Err()
		case <-due.reached:
		}
		killed = true
		if err := daemon.At(t.Lab.HostDir(proxies[0]), agent).Signal(syscall.SIGKILL); err != nil {
			return fmt.Errorf("kill %s: %w", proxies[0], err)
		}
		return nil
	})
	if err := errors.Join(group.Wait(), ctx.Err()); err != nil {
		return nil, killed, err
	}
	report = failoverOf(proxies[0], twice, once)
	report.Addresses = addresses
	return report, killed, nil
}

// addresses returns the private and public addresses of a proxy.
func (t Target) addresses(proxy string) ([]string, error) {
	var all []string
	for _, link := range []string{labid.VPCInterface, labid.InternetInterface} {
		prefixes, err := namespace.Addresses(labid.Netns(t.Lab.ID, proxy), link)
		if err != nil {
			return nil, err
		}
		for _, prefix := range prefixes {
			all = append(all, prefix.Addr().String())
		}
	}
	slices.Sort(all)
	return all, nil
}

// failoverOf joins what clients that try the next address saw with what those that try once saw.
func failoverOf(proxy string, twice, once load.Result) *Failover {
	report := &Failover{
		Proxy: proxy, Rate: twice.OfferedPerSecond + once.OfferedPerSecond, Attempts: twice.Connections, Failed: twice.Failed,
		OnceAttempts: once.Connections, OnceFailed: once.Failed,
	}
	for _, n := range twice.FirstFailures {
		report.FirstRefused += n
	}
	report.LastFailure = lastFailure(once)
	report.LastFinalFailure = lastFailure(twice)
	return report
}

// lastFailure returns how many seconds after the kill no connection failed any more, rounded up; 0 if none failed.
func lastFailure(result load.Result) float64 {
	last := 0.0
	for i, second := range result.Seconds {
		if second.Failed > 0 {
			last = max(1, float64(i+1)-failoverBefore.Seconds())
		}
	}
	return last
}

// secondHand tells when a load has gone on for some seconds by its own clock, which starts later than ours: the load generator writes a
// line every second.
type secondHand struct {
	reached chan struct{}
	left    int // lines
}

func newSecondHand(after time.Duration) *secondHand {
	return &secondHand{reached: make(chan struct{}), left: int(after.Seconds())}
}

// Write implements io.Writer.
func (h *secondHand) Write(text []byte) (int, error) {
	for range bytes.Count(text, []byte("\n")) {
		if h.left--; h.left == 0 {
			close(h.reached)
		}
	}
	return len(text), nil
}
