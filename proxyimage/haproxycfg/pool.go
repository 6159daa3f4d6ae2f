package haproxycfg

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"
)

//go:embed pool.cfg.tmpl
var poolText string

var poolTemplate = template.Must(template.New("pool").Funcs(template.FuncMap{
	"seconds": func(d time.Duration) int { return int(d / time.Second) },
}).Parse(poolText))

// PoolSlots is the number of addresses of a host that are used at once. Further ones wait until one of these leaves DNS.
const PoolSlots = 6

// MaxPoolIdleTimeout is the longest that a pooling controller keeps a silent client connection. NAT gateways and load
// balancers forget a connection after 350 s of silence (AWS, "NAT gateway basics", 2026-11-20); 10 s are for clocks and paths.
const MaxPoolIdleTimeout = 340 * time.Second

// Pool is what the configuration of a pooling controller depends on. It listens for plain HTTP on one port; each host of a
// route is a backend with TLS connections that all clients share.
//
// A backend has a fixed number of servers, whose addresses the agent changes at run time. So a change of DNS changes no text
// that is in force, and a change of routes or files does.
type Pool struct {
	// RunDir, MapDir, Listen, Resolver, MaxConnections and Threads are those of Passthrough.
	RunDir, MapDir string
	Listen         netip.Addr
	Resolver       netip.AddrPort
	MaxConnections int
	Threads        int
	// Port is the listening port.
	Port int
	// Backends are the destinations, see BackendName. Each name once.
	Backends []Backend
	// CAFile is the PEM file of the authorities for backends that name none. Absolute.
	CAFile string
	// IdleTimeout ends a silent client connection. Default 300 s, at most MaxPoolIdleTimeout.
	IdleTimeout time.Duration
	// RequestsPerConnection is the number of requests after which an HTTP/1.1 client connection ends at the latest; up to a quarter
	// earlier, so that clients that began together do not come back together. Default 1000, at least 2.
	RequestsPerConnection int
	// ClientConnections is how many connections a client address may have open at once. 0: any number.
	ClientConnections int
	// ThroughFleet says that the addresses of every backend, also of one for a wildcard, are those of a fleet's proxies, which look
	// up the destinations themselves.
	ThroughFleet bool
	// ForwardedHeaders sends X-Forwarded-For and -Proto to destinations. Otherwise those of clients are removed too.
	ForwardedHeaders bool
	// HardStop ends the connections of a process that was replaced by a reload so long ago. Default 1 h.
	HardStop time.Duration
}

// Backend is one host of a pooled destination.
type Backend struct {
	// Name is what BackendName returns.
	Name string
	// Host is an exact DNS name or one leading "*.". It is what the certificate must be for.
	Host string
	// Port of the destination.
	Port int
	// Addresses by slot; the zero value leaves a slot empty. At most PoolSlots. Ignored if the backend is not Slotted.
	Addresses []netip.Addr
	// CAFile and CertFile are PEM files: authorities (empty: those of Pool) and client certificate with key (empty: none).
	CAFile, CertFile string
	// ConnectTimeout bounds waiting for a free connection, and TCP connect with TLS handshake. At least 1 s.
	ConnectTimeout time.Duration
	// ServerTimeout bounds the silence of the destination. At least 1 s.
	ServerTimeout time.Duration
	// MaxConnections bounds the requests under way at once. 0: no limit.
	MaxConnections int
	// ALPN is what is offered. Never empty.
	ALPN []string
}

// Slotted reports whether the backend's servers are slots for addresses that are known beforehand. For a wildcard they are only
// if all goes through a fleet.
func (b Backend) Slotted(throughFleet bool) bool {
	return throughFleet || !strings.HasPrefix(b.Host, "*.")
}

// Why a pooled destination cannot be reached.
const (
	PoolNoAddress      = "no-address"      // DNS gave no address
	PoolRefusedAddress = "private-address" // all addresses are refused
	PoolNoProxy        = "no-proxy"        // it is reached through the fleet, which has no proxy
	PoolBadFile        = "bad-file"        // the CA bundle or the client certificate cannot be used
	PoolStarting       = "starting"        // its backend comes with the reload that is under way
)

// Unreachable returns what PoolHostsMap has in place of a backend for a route that cannot be reached, and why.
func Unreachable(reason, route string) string { return "!" + reason + ":" + route }

// BackendName returns the name of the backend of a host.
func BackendName(route, host string) string {
	if suffix, ok := strings.CutPrefix(host, "*."); ok {
		return route + ":_." + suffix // HAProxy has no asterisk in names
	}
	return route + ":" + host
}

// SlotServer returns the name of the server of a slot, which counts from 0.
func SlotServer(slot int) string { return "a" + strconv.Itoa(slot+1) }

// ServerLimit is the number of requests that each of a backend's servers may have under way.
func (b Backend) ServerLimit() int {
	used := 0
	for _, ip := range b.Addresses {
		if ip.IsValid() {
			used++
		}
	}
	if b.MaxConnections == 0 {
		return 0
	}
	used = max(used, 1)
	return (b.MaxConnections + used - 1) / used
}

// PoolHostsMap returns the path of the map "<host>[:<port>] <backend or reason>".
func PoolHostsMap(mapDir string) string { return mapFile(mapDir, "hosts-pool") }

// PoolWildcardsMap returns the path of the map "<suffix with leading dot>[:<port>] <backend>", the longest first.
func PoolWildcardsMap(mapDir string) string { return mapFile(mapDir, "wildcards-pool") }

func (p Pool) withDefaults() Pool {
	if p.Threads == 0 {
		p.Threads = 1
	}
	if p.IdleTimeout == 0 {
		p.IdleTimeout = 300 * time.Second
	}
	if p.RequestsPerConnection == 0 {
		p.RequestsPerConnection = 1000
	}
	if p.HardStop == 0 {
		p.HardStop = time.Hour
	}
	p.Backends = slices.Clone(p.Backends)
	slices.SortFunc(p.Backends, func(a, b Backend) int { return strings.Compare(a.Name, b.Name) })
	return p
}

func (p Pool) validate() error {
	var r rules
	Passthrough{RunDir: p.RunDir, MapDir: p.MapDir, Listen: p.Listen, Resolver: p.Resolver}.validatePlaces(&r)
	r.need(plainPath.MatchString(p.CAFile), "CAFile", pathRule, strconv.Quote(p.CAFile))
	r.need(p.Port >= 1 && p.Port <= 65535, "Port", "must be 1 to 65535", p.Port)
	r.need(p.MaxConnections >= 1, "MaxConnections", "must be at least 1", p.MaxConnections)
	r.need(p.Threads >= 1 && p.Threads <= 64, "Threads", "must be 1 to 64", p.Threads)
	r.need(p.IdleTimeout >= time.Second && p.IdleTimeout <= MaxPoolIdleTimeout, "IdleTimeout", "must be 1s to "+MaxPoolIdleTimeout.String(), p.IdleTimeout)
	r.need(p.RequestsPerConnection >= 2 && p.RequestsPerConnection <= 1_000_000, "RequestsPerConnection", "must be 2 to 1000000", p.RequestsPerConnection)
	r.need(p.ClientConnections >= 0, "ClientConnections", "must be at least 0", p.ClientConnections)
	r.need(p.HardStop >= time.Second, "HardStop", "must be at least 1s", p.HardStop)
	for i, b := range p.Backends {
		r.need(i == 0 || p.Backends[i-1].Name != b.Name, "Backends", "must have different names", strconv.Quote(b.Name))
		b.validate(&r)
	}
	return errors.Join(r...)
}

const pathRule = "must be an absolute path of letters, digits and ._/+-"

var (
	plainName = regexp.MustCompile(`^[A-Za-z0-9_.:-]+$`)
	plainHost = regexp.MustCompile(`^(\*\.)?[a-z0-9_.-]+$`)
	plainALPN = regexp.MustCompile(`^[a-z0-9./]+$`)
)

func (b Backend) validate(r *rules) {
	at := func(field string) string { return "backend " + strconv.Quote(b.Name) + ": " + field }
	r.need(plainName.MatchString(b.Name), at("Name"), "must be letters, digits and _.:-", strconv.Quote(b.Name))
	r.need(plainHost.MatchString(b.Host), at("Host"), "must be a lower-case DNS name", strconv.Quote(b.Host))
	r.need(b.Port >= 1 && b.Port <= 65535, at("Port"), "must be 1 to 65535", b.Port)
	r.need(len(b.Addresses) <= PoolSlots, at("Addresses"), fmt.Sprintf("must not be more than %d", PoolSlots), len(b.Addresses))
	for _, ip := range b.Addresses {
		r.need(!ip.IsValid() || ip.Is4() && !ip.IsUnspecified(), at("Addresses"), "must be IPv4 addresses", ip)
	}
	for field, path := range map[string]string{"CAFile": b.CAFile, "CertFile": b.CertFile} {
		r.need(path == "" || plainPath.MatchString(path), at(field), pathRule, strconv.Quote(path))
	}
	r.need(b.ConnectTimeout >= time.Second, at("ConnectTimeout"), "must be at least 1s", b.ConnectTimeout)
	r.need(b.ServerTimeout >= time.Second, at("ServerTimeout"), "must be at least 1s", b.ServerTimeout)
	r.need(b.MaxConnections >= 0, at("MaxConnections"), "must not be negative", b.MaxConnections)
	r.need(len(b.ALPN) > 0, at("ALPN"), "needs at least one protocol", 0)
	for _, name := range b.ALPN {
		r.need(plainALPN.MatchString(name), at("ALPN"), "must be a protocol name", strconv.Quote(name))
	}
}

// poolView is what the template sees.
type poolView struct {
	Pool
	Bind, AdminSocket, HealthSocket    string
	Hosts, Wildcards, Clients, Refused string
	Recycle, Spread                    int
	Classes                            []string
	NoAddress                          netip.Addr
	Errors                             []poolError
	Backends                           []backendView
}

// poolError is what a client gets when HAProxy itself has to answer. For what is not HTTP it has an answer of its own.
type poolError struct {
	Status     int
	Name, Text string
}

var poolErrors = []poolError{
	{500, "internal", "internal error"},
	{502, "bad-answer", "the destination broke the connection or gave an answer that is not HTTP"},
	{503, "connect-failed", "no connection to the destination, or its certificate is not valid for it"},
	{504, "timeout", "the destination did not answer in time"},
}

type backendView struct {
	Backend
	Wildcard, Slotted    bool
	PortSuffix, ALPNText string
	ServerConnections    int
	Servers              []serverView
}

type serverView struct {
	Name     string
	Address  netip.Addr
	Port     int
	Verify   string // which name is sent and must be in the certificate
	Disabled bool
}

func (p Pool) view() poolView {
	spread := max(p.RequestsPerConnection/4, 1)
	v := poolView{
		Pool: p, Bind: Passthrough{Listen: p.Listen}.bind(), AdminSocket: AdminSocket(p.RunDir), HealthSocket: HealthSocket(p.RunDir),
		Hosts: PoolHostsMap(p.MapDir), Wildcards: PoolWildcardsMap(p.MapDir), Clients: ClientsMap(p.MapDir), Refused: RefusedMap(p.MapDir),
		Recycle: max(p.RequestsPerConnection-spread+1, 1), Spread: spread,
		Classes: refusedClasses, NoAddress: NoAddress, Errors: poolErrors,
	}
	for _, b := range p.Backends {
		if b.CAFile == "" {
			b.CAFile = p.CAFile
		}
		v.Backends = append(v.Backends, b.view(p.ThroughFleet))
	}
	return v
}

func (b Backend) view(throughFleet bool) backendView {
	v := backendView{
		Backend: b, ALPNText: strings.Join(b.ALPN, ","), ServerConnections: b.ServerLimit(),
		Wildcard: strings.HasPrefix(b.Host, "*."), Slotted: b.Slotted(throughFleet),
	}
	verify := "sni str(" + b.Host + ") verifyhost " + b.Host
	if v.Wildcard {
		verify = "sni var(txn.host)" // what is sent is verified
	}
	if b.Port != 443 {
		v.PortSuffix = ":" + strconv.Itoa(b.Port)
	}
	for slot := range PoolSlots {
		s := serverView{Name: SlotServer(slot), Verify: verify, Address: NoAddress, Port: b.Port, Disabled: true}
		if slot < len(b.Addresses) && b.Addresses[slot].IsValid() {
			s.Address, s.Disabled = b.Addresses[slot], false
		}
		v.Servers = append(v.Servers, s)
	}
	return v
}

// Render returns the text of haproxy.cfg. The same input gives the same text.
func (p Pool) Render() (string, error) {
	p = p.withDefaults()
	if err := p.validate(); err != nil {
		return "", err
	}
	var out bytes.Buffer
	if err := poolTemplate.Execute(&out, p.view()); err != nil {
		return "", fmt.Errorf("haproxy configuration: %w", err)
	}
	return out.String(), nil
}
