// Package testnet gives tests of the image network namespaces with a cable between them. Only tests import it; they need root.
package testnet

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// Namespace returns a network namespace without a name: it ends with the test and what runs in it.
func Namespace(t *testing.T) netns.NsHandle {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	own, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	if err := netns.Set(own); err != nil {
		panic(err) // this thread must not go back to the pool
	}
	t.Cleanup(func() { ns.Close() })
	return ns
}

// In runs f on a thread inside a namespace and returns its error. What f opens stays there.
func In(ns netns.NsHandle, f func() error) error {
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := netns.Set(ns); err != nil {
			failed <- err
			return
		}
		failed <- f()
	}()
	return <-failed
}

// End is one end of a cable.
type End struct {
	Namespace netns.NsHandle
	Name      string   // of the link
	Addresses []string // with the length of the prefix
	Networks  []string // reached through the link besides those of the addresses
}

// Cable joins two namespaces and gives out addresses and routes. The loopback links of both come up as well.
func Cable(one, other End) error {
	err := In(one.Namespace, func() error {
		attributes := netlink.NewLinkAttrs()
		attributes.Name = one.Name
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attributes, PeerName: other.Name, PeerNamespace: netlink.NsFd(other.Namespace)})
	})
	for _, e := range []End{one, other} { // a route needs both ends up
		if err == nil {
			err = In(e.Namespace, e.up)
		}
	}
	for _, e := range []End{one, other} {
		if err == nil {
			err = In(e.Namespace, e.routes)
		}
	}
	if err != nil {
		return fmt.Errorf("cable from %s to %s: %w", one.Name, other.Name, err)
	}
	return nil
}

// up brings the links up, with their addresses.
func (e End) up() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	link, err := netlink.LinkByName(e.Name)
	if err != nil {
		return err
	}
	return errors.Join(netlink.LinkSetUp(lo), netlink.LinkSetUp(link), AddAddresses(e.Name, e.Addresses...))
}

func (e End) routes() error {
	link, err := netlink.LinkByName(e.Name)
	if err != nil {
		return err
	}
	for _, network := range e.Networks {
		_, to, err := net.ParseCIDR(network)
		if err != nil {
			return err
		}
		if err := netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: to, Scope: netlink.SCOPE_LINK}); err != nil {
			return err
		}
	}
	return nil
}

// AddAddresses gives a link of the present namespace more addresses, each with the length of its prefix.
func AddAddresses(name string, addresses ...string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	for _, address := range addresses {
		ip, err := netlink.ParseAddr(address)
		if err != nil {
			return err
		}
		if err := netlink.AddrAdd(link, ip); err != nil {
			return err
		}
	}
	return nil
}
