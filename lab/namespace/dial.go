package namespace

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// Dial connects from inside the namespace. The address must be numeric ("192.0.2.1:443"): looking up a name would happen on
// other threads, outside.
func Dial(ctx context.Context, name, network, address string) (net.Conn, error) {
	if _, err := netip.ParseAddrPort(address); err != nil {
		return nil, fmt.Errorf("namespace %s: dial: needs a numeric address with port, got %q", name, address)
	}
	var conn net.Conn
	err := Do(name, func() (err error) {
		var dialer net.Dialer
		conn, err = dialer.DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Listen listens for streams inside the namespace. The address must be numeric.
func Listen(ctx context.Context, name, network, address string) (net.Listener, error) {
	var listener net.Listener
	err := Do(name, func() (err error) {
		var config net.ListenConfig
		config.SetMultipathTCP(false) // one socket type for all: conntrack sees plain TCP
		listener, err = config.Listen(ctx, network, address)
		return err
	})
	return listener, err
}

// ListenPacket listens for datagrams inside the namespace. The address must be numeric.
func ListenPacket(ctx context.Context, name, network, address string) (net.PacketConn, error) {
	var conn net.PacketConn
	err := Do(name, func() (err error) {
		var config net.ListenConfig
		conn, err = config.ListenPacket(ctx, network, address)
		return err
	})
	return conn, err
}

// HTTPClient returns a client whose connections start inside the namespace. URLs must have numeric hosts. Connections are not
// kept alive, so nothing stays behind in the namespace. The timeout covers a whole request.
func HTTPClient(name string, timeout time.Duration) *http.Client {
	return &http.Client{
		Timeout: timeout,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				return Dial(ctx, name, network, address)
			},
		},
	}
}
