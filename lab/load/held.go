package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/sallyport/sallyport/lab/partner"
)

// openers is how many held connections are opened at the same time.
const openers = 32

// group is the held connections.
type group struct {
	g     *generator
	links []*link
	work  sync.WaitGroup
}

// openHeld opens the held connections and waits until each is open or given up.
func (g *generator) openHeld(ctx context.Context) *group {
	all := &group{g: g}
	var mu sync.Mutex
	var work sync.WaitGroup
	turns := make(chan struct{}, openers)
	for range g.spec.Held {
		turns <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		work.Go(func() {
			defer func() { <-turns }()
			l, source, problem := g.openOneHeld()
			if problem != nil {
				g.record.heldUnopened(problem)
				return
			}
			g.record.heldOpened(source)
			mu.Lock()
			defer mu.Unlock()
			all.links = append(all.links, l)
		})
	}
	work.Wait()
	return all
}

func (g *generator) openOneHeld() (*link, string, *failure) {
	var tried []netip.Addr
	var problem *failure
	for range g.spec.Attempts {
		var l *link
		var source string
		var address netip.Addr
		if l, source, address, problem = g.tryHeld(tried); problem == nil {
			return l, source, nil
		}
		tried = append(tried, address)
	}
	return nil, "", problem
}

func (g *generator) tryHeld(tried []netip.Addr) (l *link, source string, address netip.Addr, problem *failure) {
	deadline := time.Now().Add(seconds(g.spec.TimeoutSeconds))
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	if address, problem = g.address(ctx, tried); problem != nil {
		return nil, "", address, problem
	}
	if l, problem = g.open(ctx, deadline, address); problem != nil {
		return nil, "", address, problem
	}
	if g.spec.Plain {
		source, problem = l.ping()
	} else {
		problem = l.upgrade(g.spec.Host)
	}
	if problem != nil {
		l.close(false)
		return nil, "", address, problem
	}
	return l, source, address, nil
}

// upgrade turns an HTTP connection into an echo.
func (l *link) upgrade(host string) *failure {
	if _, err := l.stream().Write(request(host, partner.HoldPath)); err != nil {
		return &failure{classify(err), err}
	}
	response, err := http.ReadResponse(l.reader, nil)
	if err != nil {
		return &failure{classify(err), err}
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		return &failure{Status, errors.New(response.Status)}
	}
	return nil
}

// start sends heartbeats on all connections until ctx ends, and then closes them.
func (all *group) start(ctx context.Context) {
	interval := seconds(all.g.spec.HeartbeatSeconds)
	for i, l := range all.links {
		offset := interval * time.Duration(i) / time.Duration(len(all.links)) // spread over the interval
		all.work.Go(func() {
			err := l.beat(ctx, offset, interval, seconds(all.g.spec.TimeoutSeconds))
			if err != nil {
				all.g.record.heldCut(time.Since(all.g.start), classify(err), fmt.Errorf("heartbeat: %w", err))
			}
			l.close(err == nil)
		})
	}
}

// beat sends a byte and waits for its echo, every interval, until ctx ends. A cut is noticed at once, not at the next beat: the
// connection is always being read.
func (l *link) beat(ctx context.Context, offset, interval, timeout time.Duration) error {
	failed := make(chan error, 1)
	echoes := make(chan struct{}, 4)
	_ = l.raw.SetDeadline(time.Time{})
	go func() {
		for {
			if _, err := io.ReadFull(l.reader, make([]byte, 1)); err != nil {
				failed <- err
				return
			}
			echoes <- struct{}{}
		}
	}()
	stop := func(err error) error { // end the reader before the buffer is reused
		_ = l.raw.SetReadDeadline(time.Unix(1, 0))
		<-failed
		_ = l.raw.SetReadDeadline(time.Time{})
		return err
	}
	beat := time.NewTimer(offset)
	defer beat.Stop()
	late := time.NewTimer(time.Hour)
	defer late.Stop()
	for waiting := false; ; {
		select {
		case <-ctx.Done():
			return stop(nil)
		case err := <-failed:
			return err
		case <-echoes:
			waiting = false
			late.Stop()
		case <-late.C:
			return stop(context.DeadlineExceeded)
		case <-beat.C:
			beat.Reset(interval)
			if waiting {
				continue
			}
			waiting = true
			late.Reset(timeout)
			_ = l.raw.SetWriteDeadline(time.Now().Add(timeout))
			if _, err := l.stream().Write([]byte{0}); err != nil {
				return stop(err)
			}
		}
	}
}
