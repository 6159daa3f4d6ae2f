// Package haproxycfg renders the configuration of the HAProxy in the proxy image. It is pure: values in, text out.
//
// Passthrough: a frontend per port reads the TLS server name, without terminating TLS, or the Host header of plain HTTP, or
// stands for one host of plain TCP. It looks up "<host>|", or "<host>|<slot>" with a
// random slot in a map that the agent keeps filled with vetted addresses (see HostEntries), and connects there. So a
// connection costs no DNS query, connections spread over all addresses of a host, and a change of hosts or addresses is a
// change of maps at run time. Only a change of ports changes the text rendered here.
//
// Whatever is not expressly listed is refused: every rule that does not accept rejects, and sets the reason that the access
// log carries. HAProxy 2.6 is the oldest version the text is written for.
package haproxycfg

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"text/template"
	"time"
)

//go:embed passthrough.cfg.tmpl
var passthroughText string

//go:embed http.cfg.tmpl
var httpText string

var passthroughTemplate = template.Must(template.New("passthrough").Funcs(template.FuncMap{
	"seconds": func(d time.Duration) int { return int(d / time.Second) },
	"inc":     func(i int) int { return i + 1 },
}).Parse(httpText + passthroughText))

// InspectDelay is how long a client may take to send its ClientHello.
const InspectDelay = 5 * time.Second

// Keepalive is when a silent peer is asked whether it is there, in seconds, and after how many questions without an answer the
// connection ends. Well below the 350 s after which NAT gateways and network load balancers forget a connection.
var Keepalive = struct{ Idle, Interval, Count int }{Idle: 120, Interval: 30, Count: 3}

// KeepaliveSysctls are the kernel settings, by dotted name, that make Keepalive the default of every connection of a network
// namespace. See Passthrough.KernelKeepalive.
func KeepaliveSysctls() map[string]string {
	return map[string]string{
		"net.ipv4.tcp_keepalive_time":   strconv.Itoa(Keepalive.Idle),
		"net.ipv4.tcp_keepalive_intvl":  strconv.Itoa(Keepalive.Interval),
		"net.ipv4.tcp_keepalive_probes": strconv.Itoa(Keepalive.Count),
	}
}

// Passthrough is what the configuration of a passthrough proxy depends on.
type Passthrough struct {
	// RunDir holds the sockets: AdminSocket and HealthSocket. Absolute.
	RunDir string
	// MapDir holds the map files, see HostsMap and its siblings. Absolute.
	MapDir string
	// Listen is the address of the frontends. The zero value means every address of the machine.
	Listen netip.Addr
	// Listeners have a port each. May be empty: then nothing listens.
	Listeners []Listener
	// SourceIPs are the source addresses of outgoing connections, used evenly. Empty leaves the choice to the kernel.
	SourceIPs []netip.Addr
	// Resolver answers for the hosts below a wildcard. It must be on loopback: it is asked for every connection.
	Resolver netip.AddrPort
	// MaxConnections is the number of connections that may be open at once. At least 1. Each needs two file descriptors.
	MaxConnections int
	// Threads is the number of threads. Default 1, which has the lowest tail latency at the rates of one proxy.
	Threads int
	// IdleTimeout ends a connection on which nothing was sent for so long. Default 1 h.
	IdleTimeout time.Duration
	// ClientConnections is how many connections a client address may have open at once. 0: any number.
	ClientConnections int
	// Audit forwards what is refused for want of a listed name or by a limit, and only notes it in the access log.
	Audit bool
	// KernelKeepalive says that the kernel's defaults for keepalive probes are those of Keepalive, so that they need not be set
	// for each connection.
	KernelKeepalive bool
	// HardStop ends the connections of a process that was replaced by a reload so long ago. Default 24 h.
	HardStop time.Duration
}

// AdminSocket returns the path of HAProxy's admin socket.
func AdminSocket(runDir string) string { return filepath.Join(runDir, "admin.sock") }

// HealthSocket returns the path of the socket on which HAProxy answers HTTP 200 while it serves.
func HealthSocket(runDir string) string { return filepath.Join(runDir, "health.sock") }

// HostsMap returns the path of the map of exact hosts of a port: "<host>|<slot> <IPv4 address>".
func HostsMap(mapDir string, port int) string { return mapFile(mapDir, fmt.Sprintf("hosts-%d", port)) }

// LimitsMap returns the path of the map of exact hosts of a port whose connections are limited: "<host> <limit>", see Limit.
func LimitsMap(mapDir string, port int) string {
	return mapFile(mapDir, fmt.Sprintf("limits-%d", port))
}

// WildcardsMap returns the path of the map of wildcard hosts of a port: "<suffix with leading dot> <limit or 1>".
func WildcardsMap(mapDir string, port int) string {
	return mapFile(mapDir, wildcards+strconv.Itoa(port))
}

// wildcards begins the names of the maps of wildcard hosts.
const wildcards = "wildcards-"

// ClientsMap returns the path of the map of networks that may connect: "<CIDR> 1".
func ClientsMap(mapDir string) string { return mapFile(mapDir, "clients") }

// RefusedMap returns the path of the map of networks never connected to: "<CIDR> 1".
func RefusedMap(mapDir string) string { return mapFile(mapDir, "refused") }

func mapFile(dir, name string) string { return filepath.Join(dir, name+".map") }

func (p Passthrough) withDefaults() Passthrough {
	if p.Threads == 0 {
		p.Threads = 1
	}
	if p.IdleTimeout == 0 {
		p.IdleTimeout = time.Hour
	}
	if p.HardStop == 0 {
		p.HardStop = 24 * time.Hour
	}
	p.Listeners = slices.SortedFunc(slices.Values(p.Listeners), func(a, b Listener) int { return a.Port - b.Port })
	return p
}

// plainPath are the characters of a path that mean nothing to HAProxy's parser.
var plainPath = regexp.MustCompile(`^/[A-Za-z0-9._/+-]*$`)

// maxSocketPath is the longest path of a Unix socket on Linux, less the suffix that HAProxy adds while it replaces one.
const maxSocketPath = 107 - len(".4194304.tmp")

// rules collects the problems of values.
type rules []error

// need adds a problem unless ok.
func (r *rules) need(ok bool, field, rule string, value any) {
	if !ok {
		*r = append(*r, fmt.Errorf("haproxy configuration: %s: %s, got %v", field, rule, value))
	}
}

func (p Passthrough) validate() error {
	var r rules
	p.validatePlaces(&r)
	for i, l := range p.Listeners {
		r.need(i == 0 || p.Listeners[i-1].Port != l.Port, "Listeners", "must have different ports", l.Port)
		l.validate(&r)
	}
	r.need(p.MaxConnections >= 1, "MaxConnections", "must be at least 1", p.MaxConnections)
	r.need(p.Threads >= 1 && p.Threads <= 64, "Threads", "must be 1 to 64", p.Threads)
	r.need(p.ClientConnections >= 0, "ClientConnections", "must be at least 0", p.ClientConnections)
	r.need(p.IdleTimeout >= time.Second, "IdleTimeout", "must be at least 1s", p.IdleTimeout)
	r.need(p.HardStop >= time.Second, "HardStop", "must be at least 1s", p.HardStop)
	return errors.Join(r...)
}

// validatePlaces checks paths and addresses.
func (p Passthrough) validatePlaces(r *rules) {
	const path = "must be an absolute path of letters, digits and ._/+-"
	r.need(plainPath.MatchString(p.RunDir), "RunDir", path, strconv.Quote(p.RunDir))
	r.need(plainPath.MatchString(p.MapDir), "MapDir", path, strconv.Quote(p.MapDir))
	length := len(HealthSocket(p.RunDir))
	r.need(length <= maxSocketPath, "RunDir", fmt.Sprintf("socket paths must not be longer than %d bytes", maxSocketPath), length)
	for _, ip := range p.SourceIPs {
		r.need(ip.Is4() && !ip.IsUnspecified(), "SourceIPs", "must be IPv4 addresses", ip)
	}
	r.need(p.Listen.Zone() == "", "Listen", "must not have a zone", p.Listen)
	r.need(p.Resolver.IsValid() && p.Resolver.Addr().IsLoopback(), "Resolver", "must be on loopback", p.Resolver)
}

// view is what the template sees.
type view struct {
	Passthrough
	Bind, AdminSocket, HealthSocket string
	InspectDelay                    time.Duration
	Keepalive                       struct{ Idle, Interval, Count int }
	Slots, Pipes, PipeBytes         int
	Classes                         []string
	NoAddress                       netip.Addr
	Frontends                       []frontendView
	HTTP                            bool // any frontend
}

type frontendView struct {
	view
	Listener
	Hosts, Limits, Wildcards, Clients, Refused string
}

func (p Passthrough) view() view {
	v := view{
		Passthrough: p, Bind: p.bind(), AdminSocket: AdminSocket(p.RunDir), HealthSocket: HealthSocket(p.RunDir),
		InspectDelay: InspectDelay, Keepalive: Keepalive, Slots: Slots, Pipes: p.pipes(), PipeBytes: pipeBytes, Classes: refusedClasses, NoAddress: NoAddress,
	}
	common := v
	for _, l := range p.Listeners {
		port := l.Port
		v.HTTP = v.HTTP || l.Protocol == ProtocolHTTP
		v.Frontends = append(v.Frontends, frontendView{
			view: common, Listener: l, Hosts: HostsMap(p.MapDir, port), Limits: LimitsMap(p.MapDir, port), Wildcards: WildcardsMap(p.MapDir, port),
			Clients: ClientsMap(p.MapDir), Refused: RefusedMap(p.MapDir),
		})
	}
	return v
}

const (
	// pipeBytes is the size of a pipe between sockets: the most that Linux grants without a capability (fs.pipe-max-size). What a
	// pipe takes at once is its number of pages, and half as many pages cost a third more CPU per byte.
	pipeBytes = 1 << 20
	// maxPipes bounds the pipes: so many connections move bytes at the same instant without copying them. Together they stay
	// below half of what Linux grants a user (fs.pipe-user-pages-soft, 64 MiB), so that the next process after a reload gets as
	// many, and the agent its own; beyond it pipes are tiny. Linux Documentation/admin-guide/sysctl/fs, 2026-11-20.
	maxPipes = 30
)

// pipes is the number of pipes, each of two files: half of what the limit on connections leaves of the limit on files.
func (p Passthrough) pipes() int { return max(1, min(maxPipes, p.MaxConnections/20)) }

// bind returns the address part of the frontends' bind lines.
func (p Passthrough) bind() string {
	switch {
	case !p.Listen.IsValid() || p.Listen == netip.IPv4Unspecified():
		return "*"
	case p.Listen.Is6():
		return "[" + p.Listen.String() + "]"
	default:
		return p.Listen.String()
	}
}

// Render returns the text of haproxy.cfg. The same input gives the same text.
func (p Passthrough) Render() (string, error) {
	p = p.withDefaults()
	if err := p.validate(); err != nil {
		return "", err
	}
	var out bytes.Buffer
	if err := passthroughTemplate.Execute(&out, p.view()); err != nil {
		return "", fmt.Errorf("haproxy configuration: %w", err)
	}
	return out.String(), nil
}
