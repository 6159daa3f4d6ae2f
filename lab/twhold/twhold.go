// Package twhold makes a Linux NAT hold a source port after its connection closed, as the clouds' NATs do.
//
// Current kernels evict an entry in TIME_WAIT when a new connection needs its port, so that plain SNAT never runs out of ports
// where a cloud's NAT would. The daemon listens to connection tracking events and, as soon as a TCP connection is over, sets its timeout
// to the hold time together with IPS_FIXED_TIMEOUT, which eviction respects. The share of blocked connections then follows Erlang's B
// formula. The limit: between the last packet and the daemon's answer (well below a millisecond unless the machine is
// starved) a port can still be taken early. So the daemon acts on the second FIN already, before the kernel may evict. And a client that
// opens a connection from the same source port to the same destination gets the same NAT port at once; give clients a wide range of ports.
package twhold

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mdlayher/netlink"
	"github.com/ti-mo/conntrack"
	"github.com/ti-mo/netfilter"
	"github.com/vishvananda/netns"
	"golang.org/x/net/bpf"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/lab/namespace"
)

const (
	// defaultReceiveBuffer takes the events of about ten seconds at 500 connections per second (7 events of about 1 KiB each,
	// as the kernel accounts for them), so a pause of the daemon loses nothing.
	defaultReceiveBuffer = 32 << 20
	// The states of include/uapi/linux/netfilter/nf_conntrack_tcp.h in which a connection is over: both sides have sent FIN
	// (last ACK, time wait) or one sent RST (close).
	stateLastAck  = 6
	stateTimeWait = 7
	stateClose    = 8
)

// Config says what to hold.
type Config struct {
	// TimeWait is how long a port stays taken after its connection closed: whole seconds, 1 s to 24 h. The clouds: 120 s (Cloud
	// NAT's default) or about 60 s (AWS).
	TimeWait time.Duration
	// Namespace is the namespace to work in; empty means the caller's.
	Namespace string
	// Ready is called once when every connection that closes from now on will be held. May be nil.
	Ready func()
	// ReceiveBuffer is the size of the event buffer in bytes; 0 means 32 MiB. When it overflows, the whole table is read.
	ReceiveBuffer int
	// LogEvery is the interval of log lines with the statistics; 0 means none.
	LogEvery time.Duration
}

// Stats tell what was done so far.
type Stats struct {
	Holding int    // ports held now
	Total   uint64 // ports held since the start
	Resyncs uint64 // times the event buffer overflowed and the table was read as a whole instead
	Gone    uint64 // connections that had vanished before they could be held
}

// onlyOver lets the kernel pass only events of TCP connections that are over: the daemon is not woken for the others.
var onlyOver = func() []bpf.RawInstruction {
	const (
		headers      = 20 // struct nlmsghdr and struct nfgenmsg
		protoInfo    = 4  // CTA_PROTOINFO
		protoInfoTCP = 1  // CTA_PROTOINFO_TCP
		tcpState     = 1  // CTA_PROTOINFO_TCP_STATE
		valueOffset  = 4  // of an attribute's value
		everything   = 1 << 20
	)
	program, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadConstant{Dst: bpf.RegA, Val: headers},
		bpf.LoadConstant{Dst: bpf.RegX, Val: protoInfo},
		bpf.LoadExtension{Num: bpf.ExtNetlinkAttr},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 10},
		bpf.LoadConstant{Dst: bpf.RegX, Val: protoInfoTCP},
		bpf.LoadExtension{Num: bpf.ExtNetlinkAttrNested},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 7},
		bpf.LoadConstant{Dst: bpf.RegX, Val: tcpState},
		bpf.LoadExtension{Num: bpf.ExtNetlinkAttrNested},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 4},
		bpf.TAX{},
		bpf.LoadIndirect{Off: valueOffset, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpLessThan, Val: stateLastAck, SkipTrue: 1},
		bpf.RetConstant{Val: everything},
		bpf.RetConstant{Val: 0},
	})
	if err != nil {
		panic(err) // the program above is constant
	}
	return program
}()

// Holder is a running daemon.
type Holder struct {
	config  Config
	total   atomic.Uint64
	resyncs atomic.Uint64
	gone    atomic.Uint64

	mu    sync.Mutex
	until []time.Time // when each held port is free again, in order
}

// New returns a daemon that Run starts.
func New(config Config) (*Holder, error) {
	if config.TimeWait < time.Second || config.TimeWait > 24*time.Hour || config.TimeWait%time.Second != 0 {
		return nil, fmt.Errorf("twhold: time wait: must be whole seconds from 1s to 24h, got %s", config.TimeWait)
	}
	if config.ReceiveBuffer == 0 {
		config.ReceiveBuffer = defaultReceiveBuffer
	}
	return &Holder{config: config}, nil
}

// Run holds ports until ctx ends, and then returns nil.
func Run(ctx context.Context, config Config) error {
	h, err := New(config)
	if err != nil {
		return err
	}
	return h.Run(ctx)
}

// Stats returns the statistics.
func (h *Holder) Stats() Stats {
	h.mu.Lock()
	h.forget(time.Now())
	holding := len(h.until)
	h.mu.Unlock()
	return Stats{Holding: holding, Total: h.total.Load(), Resyncs: h.resyncs.Load(), Gone: h.gone.Load()}
}

// Run holds ports until ctx ends, and then returns nil.
func (h *Holder) Run(ctx context.Context) error {
	writer, err := h.dial()
	if err != nil {
		return err
	}
	defer writer.Close()
	group, inner := errgroup.WithContext(ctx)
	group.Go(func() error { return h.listen(inner, writer) })
	if h.config.LogEvery > 0 {
		group.Go(func() error { return h.log(inner) })
	}
	if err := group.Wait(); ctx.Err() == nil {
		return err
	}
	return nil
}

func (h *Holder) log(ctx context.Context) error {
	ticker := time.NewTicker(h.config.LogEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s := h.Stats()
			slog.Info("holding ports", "holding", s.Holding, "total", s.Total, "resyncs", s.Resyncs, "gone", s.Gone)
		case <-ctx.Done():
			return nil
		}
	}
}

// netlinkConfig points new sockets at the namespace; release frees what it needs.
func (h *Holder) netlinkConfig() (config *netlink.Config, release func(), err error) {
	if h.config.Namespace == "" {
		return nil, func() {}, nil
	}
	ns, err := netns.GetFromPath(namespace.Path(h.config.Namespace))
	if err != nil {
		return nil, nil, fmt.Errorf("twhold: namespace %s: %w", h.config.Namespace, err)
	}
	return &netlink.Config{NetNS: int(ns)}, func() { ns.Close() }, nil
}

func (h *Holder) dial() (*conntrack.Conn, error) {
	config, release, err := h.netlinkConfig()
	if err != nil {
		return nil, err
	}
	defer release()
	conn, err := conntrack.Dial(config)
	if err != nil {
		return nil, fmt.Errorf("twhold: connection tracking: %w", err)
	}
	return conn, nil
}

// listen holds the ports of connections that close. When events were lost it starts over and reads the whole table.
func (h *Holder) listen(ctx context.Context, writer *conntrack.Conn) error {
	for first := true; ; first = false {
		err := h.session(ctx, writer, first)
		if !errors.Is(err, unix.ENOBUFS) || ctx.Err() != nil {
			return err
		}
		h.resyncs.Add(1)
	}
}

// session listens until something fails or ctx ends, always with an error.
func (h *Holder) session(ctx context.Context, writer *conntrack.Conn, first bool) error {
	events, err := h.subscribe()
	if err != nil {
		return err
	}
	defer events.Close()
	stop := context.AfterFunc(ctx, func() { _ = events.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	flows, err := writer.Dump(nil) // what closed before the socket listened
	if err != nil {
		return fmt.Errorf("twhold: read table: %w", err)
	}
	for _, flow := range flows {
		if err := h.consider(writer, flow); err != nil {
			return err
		}
	}
	if first && h.config.Ready != nil {
		h.config.Ready()
	}
	for {
		messages, err := events.Receive()
		if err != nil {
			return fmt.Errorf("twhold: receive event: %w", err)
		}
		for _, message := range messages {
			var event conntrack.Event
			if err := event.Unmarshal(message); err != nil {
				return fmt.Errorf("twhold: decode event: %w", err)
			}
			if event.Flow == nil {
				continue
			}
			if err := h.consider(writer, *event.Flow); err != nil {
				return err
			}
		}
	}
}

// subscribe opens a socket that receives the events of connections that are over.
func (h *Holder) subscribe() (*netlink.Conn, error) {
	config, release, err := h.netlinkConfig()
	if err != nil {
		return nil, err
	}
	defer release()
	events, err := netlink.Dial(unix.NETLINK_NETFILTER, config)
	if err != nil {
		return nil, fmt.Errorf("twhold: events: %w", err)
	}
	err = errors.Join(events.SetBPF(onlyOver), events.SetReadBuffer(h.config.ReceiveBuffer),
		events.JoinGroup(uint32(netfilter.GroupCTUpdate)))
	if err != nil {
		return nil, fmt.Errorf("twhold: events: %w", errors.Join(err, events.Close()))
	}
	return events, nil
}

// consider holds the port of a connection that is over and not held yet. It works in the loop that receives the events:
// the answer takes some 10 microseconds, and the receive buffer covers for pauses.
func (h *Holder) consider(writer *conntrack.Conn, flow conntrack.Flow) error {
	tcp := flow.ProtoInfo.TCP
	if tcp == nil || tcp.State < stateLastAck || tcp.State > stateClose || flow.Status.FixedTimeout() {
		return nil
	}
	err := writer.Update(conntrack.Flow{
		TupleOrig: flow.TupleOrig,
		Timeout:   uint32(h.config.TimeWait / time.Second),
		Status:    flow.Status | conntrack.StatusFixedTimeout,
	})
	switch {
	case err == nil:
		h.remember(time.Now())
	case errors.Is(err, unix.EPERM): // held already: this event was on its way when the port was held
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EBUSY): // evicted, or about to go
		h.gone.Add(1)
	default:
		return fmt.Errorf("twhold: hold port: %w", err)
	}
	return nil
}

func (h *Holder) remember(now time.Time) {
	h.total.Add(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forget(now)
	h.until = append(h.until, now.Add(h.config.TimeWait))
}

// forget drops what is no longer held. The caller has the lock.
func (h *Holder) forget(now time.Time) {
	n := 0
	for n < len(h.until) && !h.until[n].After(now) {
		n++
	}
	h.until = h.until[n:]
}
