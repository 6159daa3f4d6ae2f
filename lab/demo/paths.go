package demo

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/components/destinations"
	"github.com/sallyport/sallyport/lab/labid"
	"github.com/sallyport/sallyport/lab/load"
	"github.com/sallyport/sallyport/lab/nat"
)

const (
	// pathsDuration is how long every destination gets its declared demand.
	pathsDuration = 15 * time.Second
	// maxHold bounds the declared life of connections, so that the demo ends soon after the last one began.
	maxHold = 5.0 // seconds
	// pathsTimeout leaves a busy machine time for its TLS handshakes. A SYN that found no port shows in the NAT's own counter, however often it
	// was sent again.
	pathsTimeout = 10.0 // seconds
)

// ways are the names of the routes in the report.
var ways = map[destinations.Route]string{destinations.RouteNat: "computed NAT", destinations.RouteProxy: "proxies"}

// paths sends the declared demand of every destination at the same time, shared out evenly between the nodes. dropped is the number of
// SYNs for which the NAT found no port meanwhile.
func (t Target) paths(ctx context.Context) (paths []Path, dropped uint64, err error) {
	before, err := t.noPort()
	if err != nil {
		return nil, 0, err
	}
	if paths, err = t.loadPaths(ctx); err != nil {
		return nil, 0, err
	}
	after, err := t.noPort()
	return paths, after - before, err
}

func (t Target) loadPaths(ctx context.Context) ([]Path, error) {
	pods, err := t.pods()
	if err != nil {
		return nil, err
	}
	all := t.usable(destinations.RouteNat, destinations.RouteProxy)
	results := make([][]load.Result, len(all))
	group, loading := errgroup.WithContext(ctx)
	for i, d := range all {
		results[i] = make([]load.Result, len(pods))
		for j, from := range pods {
			group.Go(func() (err error) {
				results[i][j], err = t.load(loading, from, load.Spec{
					Host: SampleHost(d), Port: d.Port, Poisson: true, DurationSeconds: pathsDuration.Seconds(), TimeoutSeconds: pathsTimeout,
					RatePerSecond: d.Demand.ConnectionsPerSecond / float64(len(pods)), HoldSeconds: min(d.Demand.SecondsPerConnection, maxHold),
				}, nil)
				return err
			})
		}
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	paths := make([]Path, len(all))
	for i, d := range all {
		paths[i] = pathOf(d, results[i])
		paths[i].judge(t.Allowlist, d.Partner)
	}
	return paths, nil
}

// noPort is how many SYNs the stack's NAT has dropped so far because all ports of a block were taken.
func (t Target) noPort() (uint64, error) {
	records, err := t.Lab.Records()
	if err != nil {
		return 0, err
	}
	total := uint64(0)
	for _, record := range records {
		if record.Kind != "natgateway" {
			continue
		}
		counters, err := nat.Read(labid.Netns(t.Lab.ID, record.Host))
		if err != nil {
			return 0, err
		}
		total += counters.NoPort
	}
	return total, nil
}

// pathOf joins what several pods have measured.
func pathOf(d destinations.Destination, results []load.Result) Path {
	path := Path{Name: ways[d.Route], Destination: SampleHost(d), Sources: []string{}}
	sources := map[string]bool{}
	for _, r := range results {
		path.Rate += r.OfferedPerSecond
		path.Attempts += r.Connections
		path.Failed += r.Failed
		path.P50Millis = max(path.P50Millis, r.Total.P50)
		path.P99Millis = max(path.P99Millis, r.Total.P99)
		for source := range r.Sources {
			sources[source] = true
		}
		for class, n := range r.Failures {
			if path.Failures == nil {
				path.Failures = map[load.Class]int{}
			}
			path.Failures[class] += n
		}
	}
	addresses := make([]netip.Addr, 0, len(sources))
	for source := range maps.Keys(sources) {
		if address, err := netip.ParseAddr(source); err == nil {
			addresses = append(addresses, address)
		}
	}
	slices.SortFunc(addresses, netip.Addr.Compare)
	for _, address := range addresses {
		path.Sources = append(path.Sources, address.String())
	}
	return path
}

// judge finds the sources that the partner's allow list lacks: those that are not active on it.
func (p *Path) judge(document allowlist.Document, partner string) {
	for _, source := range p.Sources {
		listed := slices.ContainsFunc(document.Entries, func(e allowlist.Entry) bool {
			return e.IP.String() == source && e.State == allowlist.StateActive && (partner == "" || slices.Contains(e.Partners, partner))
		})
		if !listed {
			p.Unlisted = append(p.Unlisted, source)
		}
	}
}

// Ranges prints addresses in the order given, neighbours of one /24 joined: "198.51.100.129-132 198.51.100.140".
func Ranges(texts []string) string {
	var out string
	for i := 0; i < len(texts); {
		first, err := netip.ParseAddr(texts[i])
		last, end := first, i+1
		for ; err == nil && end < len(texts) && last.Next().String() == texts[end] && last.As16()[15] < 255; end++ {
			last = last.Next()
		}
		if out != "" {
			out += " "
		}
		out += texts[i]
		if end > i+1 {
			out += fmt.Sprintf("-%d", last.As16()[15])
		}
		i = end
	}
	return out
}
