package load

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"time"
)

// generator is one run.
type generator struct {
	spec    Spec
	tls     *tls.Config // nil if Plain
	request []byte      // of an ordinary connection; nil if Plain
	random  *rand.Rand  // used by the scheduler only
	record  *recorder
	start   time.Time
	work    sync.WaitGroup
	slots   chan struct{} // one per connection in flight
}

// Run makes the load and returns what was measured. It ends early, without error, when ctx ends; connections that were due by then are
// measured. progress (may be nil) gets a line every second.
func Run(ctx context.Context, spec Spec, progress io.Writer) (Result, error) {
	spec = spec.withDefaults()
	if err := spec.validate(); err != nil {
		return Result{}, err
	}
	g := &generator{spec: spec, slots: make(chan struct{}, spec.InFlight)}
	if err := g.prepareTLS(); err != nil {
		return Result{}, err
	}
	seed := spec.Seed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	g.random = rand.New(rand.NewPCG(seed, 1))
	g.record = newRecorder(int(spec.RatePerSecond*spec.DurationSeconds) + 1)

	held := g.openHeld(ctx)
	g.start = time.Now()
	deadline, cancel := context.WithDeadline(ctx, g.start.Add(seconds(spec.DurationSeconds)))
	defer cancel()
	held.start(deadline)
	stopProgress := g.printProgress(progress)
	due := g.schedule(deadline)
	g.work.Wait()
	if spec.Held > 0 {
		<-deadline.Done()
	}
	held.work.Wait()
	stopProgress()
	return g.record.finish(due, time.Since(g.start)), nil
}

func (g *generator) prepareTLS() error {
	if g.spec.Plain {
		return nil
	}
	authorities, err := os.ReadFile(g.spec.CAFile)
	if err != nil {
		return fmt.Errorf("load: caFile: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authorities) {
		return fmt.Errorf("load: caFile %s: needs at least one PEM certificate, got none", g.spec.CAFile)
	}
	g.tls = &tls.Config{
		RootCAs: roots, ServerName: g.spec.Host, NextProtos: []string{"http/1.1"},
		CurvePreferences: []tls.CurveID{tls.X25519}, // the cheapest: the generator must not measure itself
	}
	g.request = request(g.spec.Host, g.spec.Path)
	return nil
}

func request(host, path string) []byte {
	return []byte("GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: sallyport-load\r\nAccept: */*\r\n\r\n")
}

// schedule starts connections when they are due and returns the time in which they were due.
func (g *generator) schedule(ctx context.Context) time.Duration {
	if g.spec.RatePerSecond == 0 {
		return 0
	}
	limit := seconds(g.spec.DurationSeconds)
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	var due time.Duration
	for n := 0; g.spec.Count == 0 || n < g.spec.Count; n++ {
		due += g.gap()
		if due >= limit {
			return limit
		}
		if wait := time.Until(g.start.Add(due)); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				if ctx.Err() == context.DeadlineExceeded {
					return limit
				}
				return time.Since(g.start)
			}
		}
		g.begin(due)
	}
	return due
}

func (g *generator) gap() time.Duration {
	gap := 1 / g.spec.RatePerSecond
	if g.spec.Poisson {
		gap *= g.random.ExpFloat64()
	}
	return seconds(gap)
}

// begin starts one connection unless too many are in flight.
func (g *generator) begin(due time.Duration) {
	hold := g.spec.HoldSeconds
	if g.spec.HoldExponential {
		hold *= g.random.ExpFloat64()
	}
	select {
	case g.slots <- struct{}{}:
		g.work.Go(func() {
			defer func() { <-g.slots }()
			g.record.record(g.connection(due, seconds(hold)))
		})
	default:
		g.record.record(outcome{due: due, failure: Overload, first: Overload})
	}
}

// printProgress writes a line every second until the returned function is called.
func (g *generator) printProgress(w io.Writer) (stop func()) {
	if w == nil {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				connections, ok, failed, cut := g.record.progress()
				fmt.Fprintf(w, "%3.0fs connections %d ok %d failed %d in flight %d held cut %d\n",
					time.Since(g.start).Seconds(), connections, ok, failed, len(g.slots), cut)
			}
		}
	}()
	return func() { close(done); <-ended }
}
