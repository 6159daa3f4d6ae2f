package haproxycfg

// What clients speak on a listening port.
const (
	ProtocolTLS  = "tls"  // the server name of the ClientHello says where to
	ProtocolHTTP = "http" // the Host header of each request does
	ProtocolTCP  = "tcp"  // the port does
)

// Listener is one listening port of a passthrough proxy.
type Listener struct {
	// Port to listen on, 1 to 65535.
	Port int
	// Protocol is ProtocolTLS, ProtocolHTTP or ProtocolTCP.
	Protocol string
	// To is the port of the destinations, 1 to 65535.
	To int
	// Host is the one destination of ProtocolTCP, an exact DNS name. Empty otherwise.
	Host string
}

func (l Listener) validate(r *rules) {
	r.need(l.Port >= 1 && l.Port <= 65535, "Listeners", "must have ports 1 to 65535", l.Port)
	r.need(l.To >= 1 && l.To <= 65535, "Listeners", "must lead to ports 1 to 65535", l.To)
	switch l.Protocol {
	case ProtocolTLS, ProtocolHTTP:
		r.need(l.Host == "", "Listeners", "must not have a host unless the protocol is tcp", l.Host)
	case ProtocolTCP:
		r.need(plainHost.MatchString(l.Host) && l.Host[0] != '*', "Listeners", "must have an exact host if the protocol is tcp", l.Host)
	default:
		r.need(false, "Listeners", "must have protocol tls, http or tcp", l.Protocol)
	}
}
