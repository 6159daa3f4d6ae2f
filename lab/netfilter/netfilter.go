// Package netfilter holds what the lab's nftables rulesets share: transactions inside a namespace, and the building blocks of
// rules.
//
// All changes of one Transact take effect at the same instant or not at all. Chains are never removed by an update, so
// established connections keep their translation and their state.
package netfilter

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/lab/namespace"
)

// Reg0 is the first register of 4 bytes; a longer value takes the ones that follow too.
const Reg0 uint32 = unix.NFT_REG32_00

// Open connects to nftables in a namespace. The connection needs no closing.
func Open(name string) (*nftables.Conn, func(), error) {
	ns, err := netns.GetFromPath(namespace.Path(name))
	if err != nil {
		return nil, nil, fmt.Errorf("namespace %s: %w", name, err)
	}
	conn, err := nftables.New(nftables.WithNetNSFd(int(ns)))
	if err != nil {
		ns.Close()
		return nil, nil, fmt.Errorf("namespace %s: nftables: %w", name, err)
	}
	return conn, func() { ns.Close() }, nil
}

// Transact applies what prepare queues as one transaction.
func Transact(name string, prepare func(*nftables.Conn) error) error {
	conn, closeConn, err := Open(name)
	if err != nil {
		return err
	}
	defer closeConn()
	if err := prepare(conn); err != nil {
		return fmt.Errorf("namespace %s: nftables: %w", name, err)
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("namespace %s: nftables: %w", name, err)
	}
	return nil
}

// HasTable reports whether the namespace exists and has an IPv4 table of that name with at least one rule.
func HasTable(name, table string) bool {
	conn, closeConn, err := Open(name)
	if err != nil {
		return false
	}
	defer closeConn()
	t, err := conn.ListTableOfFamily(table, nftables.TableFamilyIPv4)
	if err != nil {
		return false
	}
	chains, err := conn.ListChainsOfTableFamily(nftables.TableFamilyIPv4)
	if err != nil {
		return false
	}
	for _, chain := range chains {
		if chain.Table.Name != table {
			continue
		}
		if rules, err := conn.GetRules(t, chain); err == nil && len(rules) > 0 {
			return true
		}
	}
	return false
}

// AddCounters makes named counters, which keep their value when rules are replaced.
func AddCounters(conn *nftables.Conn, table *nftables.Table, names ...string) {
	for _, name := range names {
		conn.AddObj(&nftables.NamedObj{Table: table, Name: name, Type: nftables.ObjTypeCounter, Obj: &expr.Counter{}})
	}
}

// Packets returns the packets seen by each named counter of a table.
func Packets(name, table string) (map[string]uint64, error) {
	conn, closeConn, err := Open(name)
	if err != nil {
		return nil, err
	}
	defer closeConn()
	objects, err := conn.GetNamedObjects(&nftables.Table{Name: table, Family: nftables.TableFamilyIPv4})
	if err != nil {
		return nil, fmt.Errorf("namespace %s: table %s: counters: %w", name, table, err)
	}
	packets := map[string]uint64{}
	for _, object := range objects {
		if named, ok := object.(*nftables.NamedObj); ok {
			if counter, ok := named.Obj.(*expr.Counter); ok {
				packets[named.Name] = counter.Packets
			}
		}
	}
	return packets, nil
}

// Rule concatenates parts to the expressions of one rule.
func Rule(parts ...[]expr.Any) []expr.Any {
	var all []expr.Any
	for _, part := range parts {
		all = append(all, part...)
	}
	return all
}

// In matches packets that came in by an interface.
func In(link string) []expr.Any { return matchName(expr.MetaKeyIIFNAME, link) }

// Out matches packets that leave by an interface.
func Out(link string) []expr.Any { return matchName(expr.MetaKeyOIFNAME, link) }

func matchName(key expr.MetaKey, link string) []expr.Any {
	name := make([]byte, unix.IFNAMSIZ)
	copy(name, link)
	return []expr.Any{
		&expr.Meta{Key: key, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: name},
	}
}

// Protocol matches a transport protocol, such as unix.IPPROTO_TCP.
func Protocol(number byte) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{number}},
	}
}

// State matches packets whose connection tracking state is one of the bits (expr.CtStateBitNEW and so on).
func State(bits uint32) []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: native(bits), Xor: native(0)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: native(0)},
	}
}

// Destination matches packets to a range of addresses.
func Destination(prefix netip.Prefix) []expr.Any {
	first, last := Bounds(prefix)
	return []expr.Any{LoadDestination(1), &expr.Range{Op: expr.CmpOpEq, Register: 1, FromData: first, ToData: last}}
}

// DestinationPort matches packets of TCP or UDP to a port; match the protocol first.
func DestinationPort(port uint16) []expr.Any {
	return []expr.Any{
		LoadDestinationPort(1),
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binary.BigEndian.AppendUint16(nil, port)},
	}
}

// LoadSource puts the source address into a register.
func LoadSource(register uint32) expr.Any {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: 12, Len: 4}
}

// LoadDestination puts the destination address into a register.
func LoadDestination(register uint32) expr.Any {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4}
}

// LoadDestinationPort puts the destination port of TCP or UDP into a register.
func LoadDestinationPort(register uint32) expr.Any {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}
}

// Count adds a packet to a named counter.
func Count(counter string) []expr.Any {
	return []expr.Any{&expr.Objref{Type: int(nftables.ObjTypeCounter), Name: counter}}
}

// Accept lets the packet pass.
func Accept() []expr.Any { return []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}} }

// Drop discards the packet silently.
func Drop() []expr.Any { return []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}} }

// Reset refuses a TCP packet with a reset.
func Reset() []expr.Any { return []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_TCP_RST}} }

// Prohibit refuses a packet with ICMP "communication administratively prohibited".
func Prohibit() []expr.Any {
	const administrativelyProhibited = 13 // ICMP destination unreachable, RFC 1812 5.2.7.1
	return []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: administrativelyProhibited}}
}

// Bounds returns the first and the last address of an IPv4 prefix in network byte order.
func Bounds(prefix netip.Prefix) (first, last []byte) {
	start := prefix.Masked().Addr().As4()
	end := binary.BigEndian.Uint32(start[:]) | uint32(uint64(1)<<(32-prefix.Bits())-1)
	return start[:], binary.BigEndian.AppendUint32(nil, end)
}

func native(value uint32) []byte { return binary.NativeEndian.AppendUint32(nil, value) }
