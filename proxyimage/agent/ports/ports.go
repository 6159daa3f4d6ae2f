// Package ports counts the source ports that a proxy's outgoing connections take.
//
// A port is taken for one pair of source address and destination (address and port), so what runs out is not a port but a
// port towards a destination. The kernel is asked over sock_diag, which tells of the network namespace of the caller only and
// is spared the formatting of /proc/net/tcp.
package ports

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Socket is a TCP socket of IPv4.
type Socket struct {
	State  uint8 // unix.BPF_TCP_ESTABLISHED and its siblings
	Local  netip.AddrPort
	Remote netip.AddrPort
}

// Use is what one source address has open to one destination.
type Use struct {
	Source      netip.Addr
	Destination netip.AddrPort
}

// Usage says how many ports are taken.
type Usage struct {
	Open     map[Use]int        // connections that are open or being opened or closed
	TimeWait map[netip.Addr]int // ports of connections that have ended, by source; the kernel reuses them after a second if tcp_tw_reuse is 1
}

// Count returns what the outgoing connections of this network namespace take.
func Count() (Usage, error) {
	sockets, err := list()
	if err != nil {
		return Usage{}, fmt.Errorf("sock_diag: %w", err)
	}
	return tally(sockets), nil
}

// tally counts outgoing connections: those whose local port nobody listens on.
func tally(sockets []Socket) Usage {
	listening := map[uint16]bool{}
	for _, s := range sockets {
		if s.State == unix.BPF_TCP_LISTEN {
			listening[s.Local.Port()] = true
		}
	}
	u := Usage{Open: map[Use]int{}, TimeWait: map[netip.Addr]int{}}
	for _, s := range sockets {
		switch {
		case s.State == unix.BPF_TCP_LISTEN || s.State == unix.BPF_TCP_CLOSE || listening[s.Local.Port()] || s.Local.Addr().IsLoopback():
		case s.State == unix.BPF_TCP_TIME_WAIT:
			u.TimeWait[s.Local.Addr()]++
		default:
			u.Open[Use{s.Local.Addr(), s.Remote}]++
		}
	}
	return u
}

// Sizes of the kernel's structures; include/uapi/linux/inet_diag.h.
const (
	headerBytes  = unix.SizeofNlMsghdr
	requestBytes = 56 // inet_diag_req_v2
	messageBytes = 72 // inet_diag_msg
)

// list asks the kernel for all TCP sockets of IPv4.
func list() ([]Socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_INET_DIAG)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 2}); err != nil {
		return nil, err
	}
	request := make([]byte, headerBytes+requestBytes)
	binary.NativeEndian.PutUint32(request[0:], uint32(len(request)))
	binary.NativeEndian.PutUint16(request[4:], unix.SOCK_DIAG_BY_FAMILY)
	binary.NativeEndian.PutUint16(request[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	request[headerBytes], request[headerBytes+1] = unix.AF_INET, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(request[headerBytes+4:], 1<<32-1) // every state
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	var all []Socket
	buffer := make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(fd, buffer, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		} else if err != nil {
			return nil, err
		}
		sockets, done, err := parse(buffer[:n])
		all = append(all, sockets...)
		if err != nil || done {
			return all, err
		}
	}
}

// errShort is returned for a reply that ends within a message.
var errShort = errors.New("short message")

// parse reads the messages of one reply; done reports that it was the last.
func parse(data []byte) (sockets []Socket, done bool, err error) {
	for len(data) > 0 {
		if len(data) < headerBytes {
			return sockets, false, errShort
		}
		length, kind := int(binary.NativeEndian.Uint32(data)), binary.NativeEndian.Uint16(data[4:])
		if length < headerBytes || length > len(data) {
			return sockets, false, errShort
		}
		body := data[headerBytes:length]
		switch kind {
		case unix.NLMSG_DONE:
			return sockets, true, nil
		case unix.NLMSG_ERROR:
			if len(body) < 4 {
				return sockets, false, errShort
			}
			return sockets, false, unix.Errno(-int32(binary.NativeEndian.Uint32(body)))
		case unix.SOCK_DIAG_BY_FAMILY:
			if len(body) < messageBytes {
				return sockets, false, errShort
			}
			sockets = append(sockets, socket(body))
		}
		data = data[min((length+3)&^3, len(data)):]
	}
	return sockets, false, nil
}

// socket reads one inet_diag_msg of AF_INET.
func socket(body []byte) Socket {
	address := func(at int) netip.Addr { return netip.AddrFrom4([4]byte(body[at : at+4])) }
	return Socket{
		State:  body[1],
		Local:  netip.AddrPortFrom(address(8), binary.BigEndian.Uint16(body[4:])),
		Remote: netip.AddrPortFrom(address(24), binary.BigEndian.Uint16(body[6:])),
	}
}

// rangePath holds the range that the kernel takes ports from.
const rangePath = "/proc/sys/net/ipv4/ip_local_port_range"

// Ceiling returns how many ports each source address has for one destination.
func Ceiling() (int, error) {
	text, err := os.ReadFile(rangePath)
	if err != nil {
		return 0, err
	}
	return size(string(text))
}

// size returns how many ports a range "<first> <last>" has.
func size(text string) (int, error) {
	var first, last int
	if _, err := fmt.Sscan(strings.TrimSpace(text), &first, &last); err != nil || first < 1 || last > 65535 || first > last {
		return 0, fmt.Errorf("%s: must be two ports, got %q", rangePath, text)
	}
	return last - first + 1, nil
}
