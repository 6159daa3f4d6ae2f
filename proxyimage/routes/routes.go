// Package routes defines the routes document: the contract between the provisioner, which writes it, and the agent in every
// proxy and on every node, which follows it. A change of destinations is a change of this document and of nothing else.
package routes

import "net/netip"

// Version is the format written by this release.
const Version = 1

// Document is the whole of what a proxy fleet serves.
type Document struct {
	// Version is the format, see Version.
	Version int `json:"version"`
	// Serial rises with every change. A document with a lower serial than the one in force is ignored.
	Serial uint64 `json:"serial"`
	// Routes are the destinations that go through the fleet. May be empty: then every connection is refused.
	Routes []Route `json:"routes"`
	// Proxies are the members of the fleet, active ones only.
	Proxies []Proxy `json:"proxies"`
	// Clients are the networks that may connect to a proxy. Empty means nobody.
	Clients []netip.Prefix `json:"clients"`
	// Refused are networks that a proxy never connects to, beyond those it refuses by itself (private, loopback,
	// link-local, metadata, CGNAT, multicast, and its own addresses).
	Refused []netip.Prefix `json:"refused,omitempty"`
}

// Mode says what a proxy does with a connection.
type Mode string

// The modes.
const (
	ModePassthrough Mode = "passthrough" // TLS is forwarded by server name and never terminated
	ModePool        Mode = "pool"        // plain HTTP in, pooled TLS out
)

// Protocol says what clients of a passthrough route speak.
type Protocol string

// The protocols.
const (
	ProtocolTLS  Protocol = "tls"  // anything that begins with TLS, forwarded by server name
	ProtocolHTTP Protocol = "http" // plain HTTP, forwarded by the Host header of every request
	ProtocolTCP  Protocol = "tcp"  // anything; a listening port of its own stands for the one destination
)

// Route is one destination.
type Route struct {
	Name  string   `json:"name"`  // DNS label, unique
	Hosts []string `json:"hosts"` // exact names or one leading "*.", lower case
	// Port is the port of the destination, 1 to 65535. A passthrough proxy listens on it as well, unless Listen says otherwise.
	Port int  `json:"port"`
	Mode Mode `json:"mode,omitempty"` // default passthrough
	// Protocol is what clients of a passthrough route speak. Default tls. Routes that listen on one port speak the same.
	Protocol Protocol `json:"protocol,omitempty"`
	// Listen is the listening port of a tcp route. Default Port. It serves one exact host and nothing else.
	Listen int `json:"listen,omitempty"`
	// MaxConnections is how many connections each proxy has open at once for all hosts of a passthrough route. Further ones are
	// refused. Default 0: no limit but the proxy's.
	MaxConnections int `json:"maxConnections,omitempty"`
	// Pool tunes a pool route. Nil means all defaults.
	Pool *Pool `json:"pool,omitempty"`
}

// ALPN is an application protocol that is offered to a pooled destination.
type ALPN string

// The application protocols.
const (
	ALPNHTTP2  ALPN = "h2"
	ALPNHTTP11 ALPN = "http/1.1"
)

// Pool is how a pooling controller treats one destination.
type Pool struct {
	// CAFile is a PEM file of the authorities that may sign the destination's certificate. Absolute. Default: those of the image.
	CAFile string `json:"caFile,omitempty"`
	// CertFile is a PEM file with the client certificate, its chain and its private key. Absolute. Empty: none is sent.
	CertFile string `json:"certFile,omitempty"`
	// ConnectTimeoutSeconds bounds TCP connect and TLS handshake together, 1 to 60. Default 5.
	ConnectTimeoutSeconds int `json:"connectTimeoutSeconds,omitempty"`
	// ServerTimeoutSeconds is how long the destination may be silent before or during its answer, 1 to 3600. Default 60.
	ServerTimeoutSeconds int `json:"serverTimeoutSeconds,omitempty"`
	// MaxConnections is how many requests may be under way to each host at once, and so the number of its connections in
	// use. Further requests wait up to the connect timeout. Default 0: no limit of its own.
	MaxConnections int `json:"maxConnections,omitempty"`
	// ALPN lists what is offered, most wanted first. Default http/1.1. With h2 all clients share one connection for each address,
	// and a client that stops reading a large answer stops them all (HAProxy 2.6, measured): for small answers, or gRPC.
	ALPN []ALPN `json:"alpn,omitempty"`
}

// Defaults of a Pool.
const (
	DefaultConnectTimeoutSeconds = 5
	DefaultServerTimeoutSeconds  = 60
)

// ListenPort is the port on which a passthrough proxy serves the route.
func (r Route) ListenPort() int {
	if r.Listen != 0 {
		return r.Listen
	}
	return r.Port
}

// Pooled returns how a pool route is treated, with the defaults filled in except for CAFile, which is the image's business.
func (r Route) Pooled() Pool {
	var p Pool
	if r.Pool != nil {
		p = *r.Pool
	}
	if p.ConnectTimeoutSeconds == 0 {
		p.ConnectTimeoutSeconds = DefaultConnectTimeoutSeconds
	}
	if p.ServerTimeoutSeconds == 0 {
		p.ServerTimeoutSeconds = DefaultServerTimeoutSeconds
	}
	if len(p.ALPN) == 0 {
		p.ALPN = []ALPN{ALPNHTTP11}
	}
	return p
}

// Proxy is one member of the fleet.
type Proxy struct {
	Name      string       `json:"name"`      // slot name, for example "proxy-a-1"
	Zone      string       `json:"zone"`      // zone of the slot
	Address   netip.Addr   `json:"address"`   // fixed private IP that clients connect to
	PublicIPs []netip.Addr `json:"publicIPs"` // static source IPs
}
