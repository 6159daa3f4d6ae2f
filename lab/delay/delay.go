// Package delay joins two network namespaces by a link that takes time, as a path through the internet does. The kernels the lab runs
// on need not have netem: packets pass through this process, which holds each of them for the delay. A link carries some hundred
// MB/s; it is for latency, not for throughput.
package delay

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/lab/namespace"
)

const (
	// device is the name of the link in both namespaces.
	device = "wire0"
	mtu    = 1500
	// queued is how many packets may be under way in one direction; further ones are lost.
	queued = 8192
)

// End is one end of a link.
type End struct {
	Namespace string
	Address   netip.Addr   // IPv4
	Peer      netip.Prefix // what is reached through the link
}

// Link is a running link. It ends with Close.
type Link struct {
	files [2]*os.File
	group sync.WaitGroup
}

// Start makes a link. A packet arrives after the delay; a round trip takes twice as long.
func Start(delay time.Duration, ends [2]End) (*Link, error) {
	l := &Link{}
	for i, end := range ends {
		err := namespace.Do(end.Namespace, func() (err error) {
			l.files[i], err = end.open()
			return err
		})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("delayed link in namespace %s: %w", end.Namespace, err), l.Close())
		}
	}
	for i, from := range l.files {
		packets, to := make(chan packet, queued), l.files[1-i]
		l.group.Go(func() { receive(from, delay, packets) })
		l.group.Go(func() { deliver(to, packets) })
	}
	return l, nil
}

// open makes the device of an end in the namespace of the calling thread.
func (e End) open() (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("/dev/net/tun: %w", err)
	}
	request, err := unix.NewIfreq(device)
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return nil, errors.Join(fmt.Errorf("TUNSETIFF: %w", err), unix.Close(fd))
	}
	file := os.NewFile(uintptr(fd), device)
	if err := e.configure(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

func (e End) configure() error {
	link, err := netlink.LinkByName(device)
	if err != nil {
		return err
	}
	address := &netlink.Addr{IPNet: &net.IPNet{IP: e.Address.AsSlice(), Mask: net.CIDRMask(32, 32)}}
	to := &net.IPNet{IP: e.Peer.Addr().AsSlice(), Mask: net.CIDRMask(e.Peer.Bits(), 32)}
	return errors.Join(
		netlink.AddrAdd(link, address), netlink.LinkSetMTU(link, mtu), netlink.LinkSetUp(link),
		netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: to, Scope: netlink.SCOPE_LINK, Src: e.Address.AsSlice()}),
	)
}

// Close ends the link and removes its devices.
func (l *Link) Close() error {
	var errs []error
	for _, file := range l.files {
		if file != nil {
			errs = append(errs, file.Close())
		}
	}
	l.group.Wait()
	return errors.Join(errs...)
}

type packet struct {
	data []byte
	due  time.Time
}

// receive reads packets until the device is closed.
func receive(from *os.File, delay time.Duration, out chan<- packet) {
	defer close(out)
	buffer := make([]byte, mtu)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		select {
		case out <- packet{append([]byte(nil), buffer[:n]...), time.Now().Add(delay)}:
		default: // the queue is full: lost, as in a router
		}
	}
}

// deliver writes packets when they are due. What a closed device does not take is lost.
func deliver(to *os.File, in <-chan packet) {
	for p := range in {
		time.Sleep(time.Until(p.due))
		_, _ = to.Write(p.data)
	}
}
