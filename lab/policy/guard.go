package policy

import (
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	nf "github.com/sallyport/sallyport/lab/netfilter"
)

// GuardTable is the name of the nftables table in a proxy's namespace.
const GuardTable = "sallyport_guard"

// forbidden are the ranges no proxy connects to: everything that is not public unicast. The documentation ranges, the lab's
// internet, are not among them.
// IANA IPv4 special-purpose address registry, 2026-11-20.
var forbidden = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"), // carrier-grade NAT
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"), // link-local, the clouds' metadata services
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.88.99.0/24"),
	netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("224.0.0.0/4"),
	netip.MustParsePrefix("240.0.0.0/4"),
}

// firstUnprivilegedPort separates the proxy's frontends (the destinations' ports, below) from the ports on which the proxy's own
// parts talk to each other on loopback.
const firstUnprivilegedPort = 1024

// Guard is the third line against connections that a proxy must not make, behind the agent's vetting and HAProxy's
// check: a new connection from the proxy's namespace to a range that is not public unicast, or to a frontend of the proxy itself,
// is refused. Answers to clients pass, and so do queries to the DNS servers (UDP and TCP). The rules look at single packets:
// connection tracking would cost a proxy a tenth of its CPU time per connection, and a table that can run full.
func Guard(name string, dnsServers []netip.AddrPort) error {
	for _, server := range dnsServers {
		if !server.Addr().Is4() || server.Port() == 0 {
			return fmt.Errorf("guard %s: DNS server: must be IPv4 address:port, got %s", name, server)
		}
	}
	return nf.Transact(name, func(conn *nftables.Conn) error {
		table := conn.AddTable(&nftables.Table{Name: GuardTable, Family: nftables.TableFamilyIPv4})
		nf.AddCounters(conn, table, counterRefused)
		setRules(conn, table, "output", nftables.ChainHookOutput, guardRules(dnsServers))
		return nil
	})
}

func guardRules(dnsServers []netip.AddrPort) [][]expr.Any {
	syn := synOnly(expr.CmpOpEq)
	local := []expr.Any{
		&expr.Fib{Register: 1, ResultADDRTYPE: true, FlagDADDR: true},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.RTN_LOCAL, 0, 0, 0}},
	}
	privileged := []expr.Any{
		nf.LoadDestinationPort(1),
		&expr.Cmp{Op: expr.CmpOpLt, Register: 1, Data: []byte{firstUnprivilegedPort >> 8, firstUnprivilegedPort & 0xff}},
	}
	// First what nearly every packet is: only a SYN opens a TCP connection, so the others pass, older connections' included.
	rules := [][]expr.Any{nf.Rule(synOnly(expr.CmpOpNeq), nf.Accept())}
	for _, server := range dnsServers {
		for _, protocol := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_TCP} {
			rules = append(rules, nf.Rule(nf.Destination(netip.PrefixFrom(server.Addr(), 32)), nf.Protocol(protocol),
				nf.DestinationPort(server.Port()), nf.Accept()))
		}
	}
	rules = append(rules,
		nf.Rule(local, syn, privileged, nf.Count(counterRefused), nf.Reset()),
		nf.Rule(local, nf.Accept()),
	)
	for _, kind := range icmpAnswers {
		rules = append(rules, nf.Rule(nf.Protocol(unix.IPPROTO_ICMP), icmpType(kind), nf.Accept()))
	}
	for _, prefix := range forbidden {
		rules = append(rules,
			nf.Rule(nf.Destination(prefix), syn, nf.Count(counterRefused), nf.Reset()),
			nf.Rule(nf.Destination(prefix), notTCP(), nf.Count(counterRefused), nf.Prohibit()),
		)
	}
	return rules
}

// synOnly matches TCP segments that open a connection (CmpOpEq), or all others (CmpOpNeq).
func synOnly(op expr.CmpOp) []expr.Any {
	return nf.Rule(nf.Protocol(unix.IPPROTO_TCP), []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 13, Len: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{0x12}, Xor: []byte{0}}, // SYN, ACK
		&expr.Cmp{Op: op, Register: 1, Data: []byte{0x02}},
	})
}

// icmpAnswers are the ICMP messages that answer something, and never ask: echo reply, destination unreachable (path MTU
// discovery needs it), time exceeded, parameter problem.
var icmpAnswers = []byte{0, 3, 11, 12}

func icmpType(kind byte) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{kind}},
	}
}

func notTCP() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
	}
}

// Guarded reports whether the guard is in force in the namespace.
func Guarded(name string) bool { return nf.HasTable(name, GuardTable) }

// GuardRefused returns how many packets the guard refused since the namespace exists.
func GuardRefused(name string) (uint64, error) {
	packets, err := nf.Packets(name, GuardTable)
	return packets[counterRefused], err
}
