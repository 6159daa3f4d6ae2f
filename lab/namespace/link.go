package namespace

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// open returns a netlink handle on the namespace. The caller closes it.
func open(name string) (*netlink.Handle, error) {
	ns, err := netns.GetFromPath(Path(name))
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	return netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
}

func notFound(err error) bool {
	var missing netlink.LinkNotFoundError
	return errors.As(err, &missing) || errors.Is(err, unix.ENODEV)
}

// EnsureBridge makes a bridge in the namespace, up, with exactly the given addresses. A bridge without ports serves as an
// interface for service addresses (this kernel may lack the "dummy" type).
func EnsureBridge(name, bridge string, addresses ...netip.Prefix) error {
	if err := ensureBridge(name, bridge); err != nil {
		return fmt.Errorf("namespace %s: bridge %s: %w", name, bridge, err)
	}
	return SetAddresses(name, bridge, addresses)
}

func ensureBridge(name, bridge string) error {
	handle, err := open(name)
	if err != nil {
		return err
	}
	defer handle.Close()
	link, err := handle.LinkByName(bridge)
	if notFound(err) {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = bridge
		attrs.HardwareAddr = hardwareAddress(name, bridge) // else it changes with its ports
		snooping := false
		if err := handle.LinkAdd(&netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snooping}); err != nil {
			return err
		}
		link, err = handle.LinkByName(bridge)
	}
	if err != nil {
		return err
	}
	if link.Type() != "bridge" {
		return fmt.Errorf("is a %s", link.Type())
	}
	// Where the module br_netfilter is loaded, frames that merely cross a bridge would be tracked and filtered.
	_ = Sysctl(name, map[string]string{"net.bridge.bridge-nf-call-iptables": "0"})
	return handle.LinkSetUp(link)
}

// Attachment connects an interface of one namespace to a bridge in another.
type Attachment struct {
	Namespace string         // of the interface
	Interface string         // at most 15 bytes
	Switch    string         // the namespace of the bridge
	Bridge    string         // must exist
	Addresses []netip.Prefix // exactly these are set on the interface
}

// Attach makes a veth pair: the interface, and a port on the bridge named after a hash of namespace and interface. A pair that is
// already right is kept. The interface's hardware address depends on its first IP address only, so a host that comes
// back with the same IP is reachable at once: nobody's neighbour table is wrong.
func Attach(a Attachment) error {
	if err := a.ensurePair(); err != nil {
		return fmt.Errorf("namespace %s: interface %s: %w", a.Namespace, a.Interface, err)
	}
	return SetAddresses(a.Namespace, a.Interface, a.Addresses)
}

func (a Attachment) ensurePair() error {
	host, err := open(a.Namespace)
	if err != nil {
		return err
	}
	defer host.Close()
	far, err := open(a.Switch)
	if err != nil {
		return err
	}
	defer far.Close()
	bridge, err := far.LinkByName(a.Bridge)
	if err != nil {
		return fmt.Errorf("bridge %s in %s: %w", a.Bridge, a.Switch, err)
	}
	if !a.isPair(host, far) {
		if err := a.makePair(host, far); err != nil {
			return err
		}
	}
	port, err := far.LinkByName(a.port())
	if err != nil {
		return err
	}
	if port.Attrs().MasterIndex != bridge.Attrs().Index {
		if err := far.LinkSetMaster(port, bridge); err != nil {
			return fmt.Errorf("attach to bridge: %w", err)
		}
	}
	inside, err := host.LinkByName(a.Interface)
	if err != nil {
		return err
	}
	if err := errors.Join(far.LinkSetUp(port), host.LinkSetUp(inside)); err != nil {
		return err
	}
	return errors.Join(waitUp(host, a.Interface), waitUp(far, a.port()), waitBridge(far, a.Bridge))
}

// upTimeout bounds the wait for a link. The kernel works on link events at most once a second, later if it is busy removing namespaces.
const upTimeout = 10 * time.Second

// waitUp waits until the kernel passes packets on a link: "up" is a request, and what is sent before it took effect is lost.
func waitUp(handle *netlink.Handle, name string) error {
	for deadline := time.Now().Add(upTimeout); ; time.Sleep(2 * time.Millisecond) {
		link, err := handle.LinkByName(name)
		if err != nil {
			return err
		}
		if link.Attrs().OperState == netlink.OperUp {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("link %s: must be up within %s, is %s", name, upTimeout, link.Attrs().OperState)
		}
	}
}

// waitBridge waits for a bridge that has addresses: it takes part in traffic itself, the others only switch.
func waitBridge(handle *netlink.Handle, name string) error {
	bridge, err := handle.LinkByName(name)
	if err != nil {
		return err
	}
	addresses, err := handle.AddrList(bridge, netlink.FAMILY_V4)
	if err != nil || len(addresses) == 0 {
		return err
	}
	return waitUp(handle, name)
}

// isPair reports whether both ends exist and belong together.
func (a Attachment) isPair(host, far *netlink.Handle) bool {
	inside, err := host.LinkByName(a.Interface)
	if err != nil || inside.Type() != "veth" || inside.Attrs().HardwareAddr.String() != a.hardwareAddress().String() {
		return false
	}
	port, err := far.LinkByName(a.port())
	return err == nil && port.Attrs().ParentIndex == inside.Attrs().Index && inside.Attrs().ParentIndex == port.Attrs().Index
}

func (a Attachment) makePair(host, far *netlink.Handle) error {
	for link, handle := range map[string]*netlink.Handle{a.Interface: host, a.port(): far} {
		if old, err := handle.LinkByName(link); err == nil {
			if err := handle.LinkDel(old); err != nil && !notFound(err) {
				return fmt.Errorf("remove old link: %w", err)
			}
		}
	}
	peer, err := netns.GetFromPath(Path(a.Namespace))
	if err != nil {
		return err
	}
	defer peer.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = a.port()
	veth := netlink.NewVeth(attrs)
	veth.PeerName = a.Interface
	veth.PeerNamespace = netlink.NsFd(peer)
	veth.PeerHardwareAddr = a.hardwareAddress()
	return far.LinkAdd(veth)
}

// port is the name of the bridge's end: unique per bridge namespace and within the kernel's 15 bytes.
func (a Attachment) port() string {
	sum := sha256.Sum256([]byte(a.Namespace + "\x00" + a.Interface))
	return "v" + hex.EncodeToString(sum[:])[:12]
}

func (a Attachment) hardwareAddress() net.HardwareAddr {
	if len(a.Addresses) > 0 {
		return hardwareAddress(a.Addresses[0].Addr().String(), "")
	}
	return hardwareAddress(a.Namespace, a.Interface)
}

// hardwareAddress derives a locally administered unicast address.
func hardwareAddress(parts ...string) net.HardwareAddr {
	hash := sha256.New()
	for _, part := range parts {
		hash.Write([]byte(part + "\x00"))
	}
	mac := net.HardwareAddr(hash.Sum(nil)[:6])
	mac[0] = mac[0]&^0x01 | 0x02
	return mac
}

// SetAddresses gives an interface exactly these IPv4 addresses: missing ones are added before surplus ones go.
func SetAddresses(name, link string, want []netip.Prefix) error {
	if err := setAddresses(name, link, want); err != nil {
		return fmt.Errorf("namespace %s: interface %s: addresses: %w", name, link, err)
	}
	return nil
}

func setAddresses(name, linkName string, want []netip.Prefix) error {
	handle, err := open(name)
	if err != nil {
		return err
	}
	defer handle.Close()
	link, err := handle.LinkByName(linkName)
	if err != nil {
		return err
	}
	have, err := handle.AddrList(link, netlink.FAMILY_V4)
	if err != nil {
		return err
	}
	for _, prefix := range want {
		err := handle.AddrAdd(link, &netlink.Addr{IPNet: ipNet(prefix)})
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("add %s: %w", prefix, err)
		}
	}
	for _, old := range have {
		if slices.ContainsFunc(want, func(p netip.Prefix) bool { return ipNet(p).String() == old.IPNet.String() }) {
			continue
		}
		if err := handle.AddrDel(link, &old); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return fmt.Errorf("remove %s: %w", old.IPNet, err)
		}
	}
	return nil
}

// Addresses returns the IPv4 addresses of an interface in the kernel's order.
func Addresses(name, link string) ([]netip.Prefix, error) {
	handle, err := open(name)
	if err != nil {
		return nil, fmt.Errorf("namespace %s: %w", name, err)
	}
	defer handle.Close()
	l, err := handle.LinkByName(link)
	if err != nil {
		return nil, fmt.Errorf("namespace %s: interface %s: %w", name, link, err)
	}
	list, err := handle.AddrList(l, netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("namespace %s: interface %s: %w", name, link, err)
	}
	var prefixes []netip.Prefix
	for _, a := range list {
		if prefix, err := netip.ParsePrefix(a.IPNet.String()); err == nil {
			prefixes = append(prefixes, prefix)
		}
	}
	return prefixes, nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
