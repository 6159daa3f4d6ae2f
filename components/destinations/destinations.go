// Package destinations holds the one list from which every layer of the egress path is derived: which hosts the cluster
// talks to, on which port, by which route, with how much traffic, and whose allowlist is concerned.
//
// The package is pure. It decodes the list strictly, checks it as a whole and reports all problems at once.
package destinations

// Route says which way connections to a destination leave the cluster.
type Route string

// The routes.
const (
	RouteNat   Route = "nat"   // through the NAT gateway or Cloud NAT, straight from the node
	RouteProxy Route = "proxy" // through the egress proxies, TLS untouched
	RoutePool  Route = "pool"  // through the in-cluster pooling controller, which originates TLS
)

// Destination is one entry of the list.
type Destination struct {
	// Name identifies the destination in plans, metrics and alarms: a DNS label, unique in the list.
	Name string `json:"name"`
	// Hosts are the DNS names of the destination: exact names, or one leading "*." for all names below. Never empty,
	// lower case after decoding, no trailing dot.
	Hosts []string `json:"hosts"`
	// Port is the TCP port of every host. Default 443.
	Port int `json:"port,omitempty"`
	// Route is the way out. Default nat.
	Route Route `json:"route,omitempty"`
	// Partner names whose allowlist the destination concerns. Empty if the other side keeps none.
	Partner string `json:"partner,omitempty"`
	// Demand is the declared peak traffic of the whole cluster to this destination.
	Demand Demand `json:"demand"`
}

// Demand is peak traffic as declared by the user.
type Demand struct {
	// ConnectionsPerSecond is the peak rate of new connections from the whole cluster. Greater than 0.
	ConnectionsPerSecond float64 `json:"connectionsPerSecond"`
	// SecondsPerConnection is the mean life of a connection from SYN to close. Default 1.
	SecondsPerConnection float64 `json:"secondsPerConnection,omitempty"`
	// RequestsPerConnection is the mean number of requests that share one connection. Default 1.
	RequestsPerConnection float64 `json:"requestsPerConnection,omitempty"`
	// Addresses is the number of IP addresses behind the name over which connections really spread. Default 1.
	Addresses int `json:"addresses,omitempty"`
}
