package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
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
	// failoverTimeout bounds one try, in seconds: a dead proxy refuses at once, a busy machine takes its time.
	failoverTimeout = 4.0
	// killDelay brings the kill away from the load's full seconds: the node's DNS answers for a proxied host change about then, and a proxy
	// that has just been given out is the worst to lose.
	killDelay = 100 * time.Millisecond
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

// failover kills a proxy under load: the one that new connections go to at that moment. killed tells whether there is something to repair, also with an error. The report is nil
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
	addresses, victim := map[string][]string{}, ""
	for _, proxy := range proxies {
		if addresses[proxy], err = t.addresses(proxy); err != nil {
			return nil, false, err
		}
	}
	spec := load.Spec{
		Host: SampleHost(all[0]), Port: all[0].Port, DurationSeconds: (failoverBefore + failoverAfter).Seconds(), TimeoutSeconds: failoverTimeout,
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
		once, err = t.load(loading, pods[0], spec, due)
		return err
	})
	group.Go(func() error {
		select {
		case <-loading.Done():
			return loading.Err()
		case <-due.reached:
			time.Sleep(killDelay)
		}
		var err error
		if victim, err = t.inUse(loading, pods[0], spec.Host, addresses); err != nil {
			return err
		}
		killed = true
		if err := daemon.At(t.Lab.HostDir(victim), agent).Signal(syscall.SIGKILL); err != nil {
			return fmt.Errorf("kill %s: %w", victim, err)
		}
		return nil
	})
	if err := errors.Join(group.Wait(), ctx.Err()); err != nil {
		return nil, killed, err
	}
	report = failoverOf(victim, twice, once)
	report.Addresses = addresses[victim]
	return report, killed, nil
}

// inUse returns the proxy whose address a pod is given first, of those with these addresses.
func (t Target) inUse(ctx context.Context, from pod, host string, addresses map[string][]string) (string, error) {
	conf, err := t.resolvConf(from)
	if err != nil {
		return "", err
	}
	answer, err := lookup(ctx, labid.Netns(t.Lab.ID, from.Host), conf.nameserver, []string{host + "."})
	if err != nil {
		return "", fmt.Errorf("lookup %s: %w", host, err)
	}
	for _, proxy := range slices.Sorted(maps.Keys(addresses)) {
		if slices.Contains(addresses[proxy], answer.String()) {
			return proxy, nil
		}
	}
	return "", fmt.Errorf("lookup %s: must give the address of a proxy, got %s", host, answer)
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
		OnceAttempts: once.Connections, OnceFailed: once.Failed, Failures: twice.Failures,
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
