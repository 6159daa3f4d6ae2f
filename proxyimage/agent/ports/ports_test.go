package ports

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOutgoingConnectionsAreCountedByDestination(t *testing.T) {
	at := netip.MustParseAddrPort
	sockets := []Socket{
		{unix.BPF_TCP_LISTEN, at("0.0.0.0:443"), at("0.0.0.0:0")},
		{unix.BPF_TCP_ESTABLISHED, at("10.0.0.1:443"), at("10.0.0.2:40000")}, // a client's
		{unix.BPF_TCP_ESTABLISHED, at("198.51.100.1:2000"), at("203.0.113.10:443")},
		{unix.BPF_TCP_SYN_SENT, at("198.51.100.1:2001"), at("203.0.113.10:443")},
		{unix.BPF_TCP_ESTABLISHED, at("198.51.100.1:2000"), at("203.0.113.11:443")}, // the same port for another destination
		{unix.BPF_TCP_ESTABLISHED, at("198.51.100.2:2000"), at("203.0.113.10:443")},
		{unix.BPF_TCP_TIME_WAIT, at("198.51.100.2:2002"), at("203.0.113.10:443")},
		{unix.BPF_TCP_ESTABLISHED, at("127.0.0.1:3000"), at("127.0.0.1:3001")},
		{unix.BPF_TCP_CLOSE, at("198.51.100.2:2003"), at("0.0.0.0:0")},
	}
	u := tally(sockets)
	one, two := netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("198.51.100.2")
	for use, want := range map[Use]int{{one, at("203.0.113.10:443")}: 2, {one, at("203.0.113.11:443")}: 1, {two, at("203.0.113.10:443")}: 1} {
		if u.Open[use] != want {
			t.Errorf("%v: %d, want %d", use, u.Open[use], want)
		}
	}
	if len(u.Open) != 3 || len(u.TimeWait) != 1 || u.TimeWait[two] != 1 {
		t.Errorf("got %+v", u)
	}
}

func TestTheKernelTellsOfASocketOfThisProcess(t *testing.T) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	conn, err := net.Dial("tcp4", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sockets, err := list()
	if err != nil {
		t.Fatal(err)
	}
	own, other := conn.LocalAddr().(*net.TCPAddr).AddrPort(), conn.RemoteAddr().(*net.TCPAddr).AddrPort()
	found := 0
	for _, s := range sockets {
		if s.State == unix.BPF_TCP_LISTEN && s.Local == other || s.State == unix.BPF_TCP_ESTABLISHED && s.Local == own && s.Remote == other {
			found++
		}
	}
	if found != 2 {
		t.Errorf("%d of 2 sockets among %d", found, len(sockets))
	}
	if _, err := Count(); err != nil {
		t.Error(err)
	}
	if n, err := Ceiling(); err != nil || n < 2 {
		t.Errorf("ceiling %d, %v", n, err)
	}
}

func TestSizeOfARange(t *testing.T) {
	for text, want := range map[string]int{"1024\t65535\n": 64512, "32768 60999": 28232, "5 5": 1, "9 5": 0, "": 0, "1": 0, "0 10": 0, "1 65536": 0, "a b": 0} {
		if got, err := size(text); got != want || (want == 0) != (err != nil) {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	message := func(kind uint16, body []byte) []byte {
		data := binary.NativeEndian.AppendUint32(nil, uint32(headerBytes+len(body)))
		data = binary.NativeEndian.AppendUint16(data, kind)
		return append(append(data, make([]byte, headerBytes-6)...), body...)
	}
	one := message(unix.SOCK_DIAG_BY_FAMILY, bytes.Repeat([]byte{2}, messageBytes))
	f.Add(one)
	f.Add(append(bytes.Clone(one), message(unix.NLMSG_DONE, nil)...))
	f.Add(message(unix.NLMSG_ERROR, []byte{0xff, 0xff, 0xff, 0xff}))
	f.Add(one[:30])
	f.Fuzz(func(t *testing.T, data []byte) {
		sockets, _, _ := parse(data)
		if len(sockets)*messageBytes > len(data) {
			t.Errorf("%d sockets in %d bytes", len(sockets), len(data))
		}
		tally(sockets)
	})
}
