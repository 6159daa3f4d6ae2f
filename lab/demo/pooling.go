package demo

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/lab/labid"
	"github.com/sallyport/sallyport/lab/namespace"
	"github.com/sallyport/sallyport/lab/partner"
)

const (
	poolingDuration = 8 * time.Second
	// poolingDelay is what a packet takes to the partner: 5 ms of round trip.
	poolingDelay = 2500 * time.Microsecond
	// poolingClients send a request each way in every poolingPause.
	poolingClients = 2
	poolingPause   = 30 * time.Millisecond
	poolAddress    = "127.0.0.1:8080"
)

// Pooling compares a new TLS connection for each request with the pooling controller, request by request in turn, over a path
// that takes RTTMillis there and back.
type Pooling struct {
	RTTMillis    float64     `json:"rttMillis"`
	Fresh        PoolingSide `json:"fresh"`        // a new TLS connection for each request
	Pooled       PoolingSide `json:"pooled"`       // a new plain connection to the controller for each request
	LatencyRatio float64     `json:"latencyRatio"` // of the means, pooled to fresh
	CPURatio     float64     `json:"cpuRatio"`     // of the client's CPU time, pooled to fresh
}

// PoolingSide is one way of sending requests.
type PoolingSide struct {
	Requests    int     `json:"requests"` // answered
	Failed      int     `json:"failed"`
	MeanMillis  float64 `json:"meanMillis"`
	P50Millis   float64 `json:"p50Millis"`
	P99Millis   float64 `json:"p99Millis"`
	CPUMicros   float64 `json:"cpuMicros"`   // of the client, per request
	Connections int     `json:"connections"` // that the partner saw
}

// pooling measures with the image that the stack's own agents run.
func (t Target) pooling(ctx context.Context) (*Pooling, error) {
	records, err := t.Lab.Records()
	if err != nil {
		return nil, err
	}
	for _, record := range records {
		var data struct{ Rootfs string }
		if json.Unmarshal(record.Data, &data) == nil && data.Rootfs != "" {
			return MeasurePooling(ctx, t.Labd, data.Rootfs)
		}
	}
	return nil, nil // nothing in this stack runs the image
}

// compare sends requests both ways in turn and has the outcome.
func (t *poolTrial) compare(ctx context.Context) (*Pooling, error) {
	ctx, cancel := context.WithTimeout(ctx, poolingDuration)
	defer cancel()
	var fresh, pooled poolingRecorder
	var group sync.WaitGroup
	failed := make([]error, poolingClients)
	for i := range failed {
		group.Go(func() {
			// On a thread of its own in the node's namespace: what the thread has used is what the client has used.
			failed[i] = namespace.Do(t.name(labid.NodeHost), func() error {
				t.ask(ctx, &fresh, &pooled)
				return nil
			})
		})
	}
	group.Wait()
	if err := errors.Join(failed...); err != nil {
		return nil, err
	}
	if err := ctx.Err(); !errors.Is(err, context.DeadlineExceeded) {
		return nil, err
	}
	result := &Pooling{RTTMillis: 2 * poolingDelay.Seconds() * 1000, Fresh: fresh.side(), Pooled: pooled.side()}
	if result.Fresh.Requests == 0 || result.Pooled.Requests == 0 {
		return nil, fmt.Errorf("pooling: no request was answered: %w", errors.Join(fresh.err, pooled.err))
	}
	result.LatencyRatio = result.Pooled.MeanMillis / result.Fresh.MeanMillis
	result.CPURatio = result.Pooled.CPUMicros / result.Fresh.CPUMicros
	return result, nil
}

// ask sends a request each way in every pause until ctx is done.
func (t *poolTrial) ask(ctx context.Context, fresh, pooled *poolingRecorder) {
	pace := time.NewTicker(poolingPause)
	defer pace.Stop()
	for ctx.Err() == nil {
		fresh.measure(t.askFresh)
		pooled.measure(askPooled)
		select {
		case <-pace.C:
		case <-ctx.Done():
		}
	}
}

func (t *poolTrial) askFresh() (port int, err error) {
	conn, err := dial(netip.AddrPortFrom(scratchPartner, scratchPort).String())
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	return exchange(tls.Client(conn, &tls.Config{ServerName: scratchHost, RootCAs: t.roots}))
}

func askPooled() (port int, err error) {
	conn, err := dial(poolAddress)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	return exchange(conn)
}

// dial connects from the namespace of the calling thread.
func dial(address string) (net.Conn, error) {
	conn, err := new(net.Dialer).Dial("tcp4", address)
	if err == nil {
		err = conn.SetDeadline(time.Now().Add(5 * time.Second))
	}
	return conn, err
}

// exchange sends one request and returns the source port that the partner saw.
func exchange(conn net.Conn) (int, error) {
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: "+scratchHost+"\r\nConnection: close\r\n\r\n"); err != nil {
		return 0, err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	var answer partner.Answer
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return 0, err
	}
	if !answer.Allowed {
		return 0, fmt.Errorf("status %s", response.Status)
	}
	return answer.SourcePort, nil
}

// poolingRecorder collects one side.
type poolingRecorder struct {
	mu     sync.Mutex
	millis []float64
	cpu    time.Duration
	ports  map[int]bool
	failed int
	err    error // the last one
}

// measure times one request. The goroutine must own its thread.
func (r *poolingRecorder) measure(ask func() (int, error)) {
	before, begin := threadTime(), time.Now()
	port, err := ask()
	took, used := time.Since(begin), threadTime()-before
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.failed, r.err = r.failed+1, err
		return
	}
	if r.ports == nil {
		r.ports = map[int]bool{}
	}
	r.ports[port] = true
	r.millis = append(r.millis, took.Seconds()*1000)
	r.cpu += used
}

// threadTime is the processor time that the calling thread has used.
func threadTime() time.Duration {
	var usage unix.Rusage
	if unix.Getrusage(unix.RUSAGE_THREAD, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func (r *poolingRecorder) side() PoolingSide {
	s := PoolingSide{Requests: len(r.millis), Failed: r.failed, Connections: len(r.ports)}
	if s.Requests == 0 {
		return s
	}
	slices.Sort(r.millis)
	for _, m := range r.millis {
		s.MeanMillis += m / float64(s.Requests)
	}
	s.P50Millis, s.P99Millis = r.millis[s.Requests/2], r.millis[s.Requests*99/100]
	s.CPUMicros = float64(r.cpu.Microseconds()) / float64(s.Requests)
	return s
}

func (r Report) printPooling(p *printer) {
	if r.Pooling == nil {
		return
	}
	p.title("The pooling controller: requests over a path of %.0f ms there and back", r.Pooling.RTTMillis)
	p.row("connections", "requests", "failed", "mean ms", "p50 ms", "p99 ms", "client CPU", "connections at the partner")
	row := func(name string, s PoolingSide) {
		p.row(name, s.Requests, s.Failed, fmt.Sprintf("%.1f", s.MeanMillis), fmt.Sprintf("%.1f", s.P50Millis), fmt.Sprintf("%.1f", s.P99Millis),
			fmt.Sprintf("%.0f µs", s.CPUMicros), s.Connections)
	}
	row("a new TLS connection each", r.Pooling.Fresh)
	row("through the controller", r.Pooling.Pooled)
	p.note("  Mean latency %.2f and client CPU %.2f of what they were.", r.Pooling.LatencyRatio, r.Pooling.CPURatio)
}
