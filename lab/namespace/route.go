package namespace

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Route is an entry of a namespace's main routing table.
type Route struct {
	To        netip.Prefix // 0.0.0.0/0 is the default route
	Via       netip.Addr   // the next hop; zero if To is on the link itself
	Interface string
}

// EnsureRoutes adds routes; one that leads to the same prefix is replaced at one stroke.
func EnsureRoutes(name string, routes ...Route) error {
	return eachRoute(name, routes, func(handle *netlink.Handle, route *netlink.Route) error {
		return handle.RouteReplace(route)
	})
}

// DeleteRoutes removes routes; those that do not exist are no error.
func DeleteRoutes(name string, routes ...Route) error {
	return eachRoute(name, routes, func(handle *netlink.Handle, route *netlink.Route) error {
		if err := handle.RouteDel(route); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
		return nil
	})
}

func eachRoute(name string, routes []Route, apply func(*netlink.Handle, *netlink.Route) error) error {
	handle, err := open(name)
	if err != nil {
		return fmt.Errorf("namespace %s: %w", name, err)
	}
	defer handle.Close()
	for _, route := range routes {
		link, err := handle.LinkByName(route.Interface)
		if err != nil {
			return fmt.Errorf("namespace %s: route to %s: interface %s: %w", name, route.To, route.Interface, err)
		}
		entry := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(route.To.Masked()), Protocol: unix.RTPROT_STATIC}
		if route.Via.IsValid() {
			entry.Gw = route.Via.AsSlice()
		} else {
			entry.Scope = netlink.SCOPE_LINK
		}
		if err := apply(handle, entry); err != nil {
			return fmt.Errorf("namespace %s: route to %s: %w", name, route.To, err)
		}
	}
	return nil
}
