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

// Route is one destination.
type Route struct {
	Name  string   `json:"name"`           // DNS label, unique
	Hosts []string `json:"hosts"`          // exact names or one leading "*.", lower case
	Port  int      `json:"port"`           // listening port and port of the destination, 1 to 65535
	Mode  Mode     `json:"mode,omitempty"` // default passthrough
}

// Proxy is one member of the fleet.
type Proxy struct {
	Name      string       `json:"name"`      // slot name, for example "proxy-a-1"
	Zone      string       `json:"zone"`      // zone of the slot
	Address   netip.Addr   `json:"address"`   // fixed private IP that clients connect to
	PublicIPs []netip.Addr `json:"publicIPs"` // static source IPs
}
