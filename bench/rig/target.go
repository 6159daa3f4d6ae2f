package rig

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/lab/daemon"
	"github.com/sallyport/sallyport/lab/labid"
	"github.com/sallyport/sallyport/lab/namespace"
)

// Kind is a way from the client to the origins.
type Kind string

// The ways.
const (
	Direct     Kind = "direct"             // no proxy: a NAT gateway
	Ours       Kind = "sallyport"          // the proxy image with its agent, guarded as in stack local
	Variant    Kind = "variant"            // the same with other settings or another image, to compare
	Nginx      Kind = "nginx"              // nginx stream with ssl_preread, Debian's package and defaults
	NginxTuned Kind = "nginx-tuned"        // the same with what helps it
	Stock      Kind = "haproxy-do-resolve" // HAProxy that looks up the name of each connection, defaults otherwise
)

// Kinds are all ways but Variant, in the order of the report.
var Kinds = []Kind{Direct, Ours, Nginx, NginxTuned, Stock}

// startLimit is how long a proxy may take until it serves.
const startLimit = 30 * time.Second

// Target is a way that is open.
type Target struct {
	Kind    Kind
	rig     *Rig
	host    string
	address netip.Addr // of the proxy; zero for Direct
	process daemon.Daemon
}

// Setup says how to start one of our own proxies. The zero value is production's.
type Setup struct {
	Rootfs string   // empty for the rig's
	Env    []string // added to the agent's environment
}

// Start opens a way. A proxy is started afresh, and serves when Start returns.
func (r *Rig) Start(ctx context.Context, kind Kind, setup Setup) (*Target, error) {
	t := &Target{Kind: kind, rig: r, host: gatewayHost}
	if kind == Direct {
		return t, nil
	}
	number := byte(labid.FirstHost + slices.Index(append(slices.Clone(Kinds), Variant), kind))
	t.host = labid.Host(labid.ProxyHost, string(kind))
	t.address = netip.AddrFrom4([4]byte{10, 0, 2, number})
	public := netip.AddrFrom4([4]byte{198, 51, 100, 128 + number})
	if err := t.start(ctx, public, setup); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", kind, err), t.Stop(ctx))
	}
	return t, nil
}

func (t *Target) start(ctx context.Context, public netip.Addr, setup Setup) error {
	if err := t.rig.host(t.host, t.address, public); err != nil {
		return err
	}
	var err error
	switch t.Kind {
	case Ours, Variant:
		t.process, err = t.startOurs(public, setup)
	case Nginx, NginxTuned:
		t.process, err = t.startNginx(ctx)
	case Stock:
		t.process, err = t.startStock(ctx)
	default:
		err = fmt.Errorf("unknown, got %q", t.Kind)
	}
	if err != nil {
		return err
	}
	return t.awaitServing(ctx)
}

// awaitServing waits until every origin is reached through the proxy.
func (t *Target) awaitServing(ctx context.Context) error {
	deadline := time.Now().Add(startLimit)
	for {
		err := t.Ask(ctx, AnswerHost)
		if err == nil && (t.Kind == Ours || t.Kind == Variant) {
			err = t.agentReady(ctx)
		}
		if err == nil {
			return nil
		}
		if !t.process.Alive() {
			return fmt.Errorf("has ended: %w; %s", err, t.logEnd())
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("must serve within %s: %w; %s", startLimit, err, t.logEnd())
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// logEnd returns the last lines of the proxy's log.
func (t *Target) logEnd() string {
	text, err := os.ReadFile(t.dir() + "/" + t.process.Name + ".log")
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return "log: " + strings.Join(lines[max(0, len(lines)-5):], " | ")
}

// dir holds the files of the proxy.
func (t *Target) dir() string { return t.rig.lab.HostDir(t.host) }

// To is where a client connects to reach the origin of a host.
func (t *Target) To(host string) netip.AddrPort {
	if t.Kind == Direct {
		return origin(host)
	}
	return netip.AddrPortFrom(t.address, Port)
}

// Usage is what the proxy's processes have used: all of them, the agent and master processes included, a DNS cache beside the
// proxy not. It is zero for Direct.
func (t *Target) Usage() (Usage, error) {
	var u Usage
	if t.Kind == Direct {
		return u, nil
	}
	pids, err := t.PIDs()
	if err != nil {
		return u, err
	}
	if u.CPU, err = cpu(pids); err != nil {
		return u, err
	}
	for _, pid := range pids {
		pss, rss, err := Memory(pid)
		if err != nil {
			return u, err
		}
		u.PSS, u.RSS = u.PSS+pss, u.RSS+rss
	}
	return u, nil
}

// CPU is Usage without a look at the memory, which takes its time.
func (t *Target) CPU() (time.Duration, error) {
	if t.Kind == Direct {
		return 0, nil
	}
	pids, err := t.PIDs()
	if err != nil {
		return 0, err
	}
	return cpu(pids)
}

// PIDs are the proxy's processes.
func (t *Target) PIDs() ([]int, error) {
	pids, err := namespace.Processes(t.rig.name(t.host))
	if err != nil {
		return nil, err
	}
	cache := t.rig.served[t.host]
	pids = slices.DeleteFunc(pids, func(pid int) bool { return cache != nil && pid == cache.cmd.Process.Pid })
	if len(pids) == 0 {
		return nil, fmt.Errorf("%s: no process is left; %s", t.Kind, t.logEnd())
	}
	slices.Sort(pids)
	return pids, nil
}

// Stop ends the proxy. Its host stays, for another Start.
func (t *Target) Stop(ctx context.Context) error {
	if t.process.Name == "" {
		return nil
	}
	var grace time.Duration // our proxy would use it to drain
	if t.Kind == Nginx || t.Kind == NginxTuned {
		grace = 5 * time.Second // its workers clear their environment, by which a killed daemon's children are found
	}
	return t.process.Stop(context.WithoutCancel(ctx), grace)
}

// Command returns the name of a process's program.
func Command(pid int) string {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	if err != nil {
		return "?"
	}
	return strings.TrimSpace(string(text))
}
