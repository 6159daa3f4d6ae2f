package nat

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/ti-mo/conntrack"
	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/lab/labid"
	"github.com/sallyport/sallyport/lab/namespace"
	nf "github.com/sallyport/sallyport/lab/netfilter"
)

// Table is the name of the nftables table in the NAT host's namespace.
const Table = "sallyport_nat"

const (
	setBlocks         = "blocks"
	counterTranslated = "translated"
	counterNoBlock    = "no_block"
	counterInvalid    = "invalid"
	counterRefused    = "refused"
)

// Apply makes the ruleset the one in force in the NAT host's namespace, in one transaction: established connections
// go on, new ones follow the new rules at once, and VMs whose blocks did not change notice nothing.
func Apply(name string, r Ruleset) error {
	if len(r.entries) == 0 {
		return fmt.Errorf("nat %s: ruleset is empty", name)
	}
	return nf.Transact(name, func(conn *nftables.Conn) error {
		table := conn.AddTable(&nftables.Table{Name: Table, Family: nftables.TableFamilyIPv4})
		nf.AddCounters(conn, table, counterTranslated, counterNoBlock, counterInvalid, counterRefused)
		blocks := blockMap()
		if err := nf.SyncSet(conn, blocks, r.elements()); err != nil {
			return err
		}
		setForwardRules(conn, table)
		post := conn.AddChain(&nftables.Chain{Name: "postrouting", Table: table, Type: nftables.ChainTypeNAT,
			Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource})
		conn.FlushChain(post)
		conn.AddRule(&nftables.Rule{Table: table, Chain: post, Exprs: r.translate(blocks)})
		conn.AddRule(&nftables.Rule{Table: table, Chain: post,
			Exprs: nf.Rule(nf.Out(labid.InternetInterface), nf.Count(counterNoBlock), nf.Drop())})
		return nil
	})
}

// setForwardRules lets through what a cloud's NAT translates (TCP, UDP, ICMP from inside) and the answers, and nothing else.
func setForwardRules(conn *nftables.Conn, table *nftables.Table) {
	drop := nftables.ChainPolicyDrop
	forward := conn.AddChain(&nftables.Chain{Name: "forward", Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter, Policy: &drop})
	conn.FlushChain(forward)
	outward := nf.Rule(nf.In(labid.VPCInterface), nf.Out(labid.InternetInterface))
	inward := nf.Rule(nf.In(labid.InternetInterface), nf.Out(labid.VPCInterface))
	rules := [][]expr.Any{
		// A packet that belongs to no connection is not translated: it would leave with its private source address.
		nf.Rule(nf.State(expr.CtStateBitINVALID), nf.Count(counterInvalid), nf.Drop()),
		nf.Rule(inward, nf.State(expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED), nf.Accept()),
		nf.Rule(outward, nf.Protocol(unix.IPPROTO_TCP), nf.Accept()),
		nf.Rule(outward, nf.Protocol(unix.IPPROTO_UDP), nf.Accept()),
		nf.Rule(outward, nf.Protocol(unix.IPPROTO_ICMP), nf.Accept()),
		nf.Rule(nf.Count(counterRefused), nf.Drop()),
	}
	for _, rule := range rules {
		conn.AddRule(&nftables.Rule{Table: table, Chain: forward, Exprs: rule})
	}
}

func blockMap() *nftables.Set {
	table := &nftables.Table{Name: Table, Family: nftables.TableFamilyIPv4}
	return &nftables.Set{Table: table, Name: setBlocks, KeyType: keyType, DataType: dataType,
		IsMap: true, Interval: true, Concatenation: true}
}

// Verify returns an error unless exactly this ruleset's blocks are in force in the namespace.
func Verify(name string, r Ruleset) error {
	return nf.VerifySet(name, blockMap(), r.elements())
}

// Timeouts of a NAT for what holds a port besides established connections, as the clouds have them.
// Cloud NAT's defaults: RouterNat tcpTransitoryIdleTimeoutSec 30, udpIdleTimeoutSec 30, tcpEstablishedIdleTimeoutSec 1200 in
// the Pulumi GCP SDK v7.38.0 of 2024-08-26.
const (
	transitoryTimeout  = 30 * time.Second
	udpTimeout         = 30 * time.Second
	establishedTimeout = 1200 * time.Second
)

// Prepare sets the kernel of the NAT host: forwarding, and how long an unused port stays taken. timeWait is the hold after
// close; package twhold enforces it against eviction. Call it after Apply, which loads connection tracking.
func Prepare(name string, timeWait time.Duration) error {
	if timeWait < time.Second {
		return fmt.Errorf("nat %s: time wait: must be at least 1s, got %s", name, timeWait)
	}
	seconds := func(d time.Duration) string { return strconv.Itoa(int(d.Round(time.Second).Seconds())) }
	return namespace.Sysctl(name, map[string]string{
		"net.ipv4.ip_forward":                                "1",
		"net.ipv4.conf.all.send_redirects":                   "0",
		"net.ipv4.conf.all.rp_filter":                        "0",
		"net.netfilter.nf_conntrack_events":                  "1", // for connections older than twhold, too
		"net.netfilter.nf_conntrack_tcp_loose":               "0", // no new port for half a connection
		"net.netfilter.nf_conntrack_tcp_timeout_syn_sent":    seconds(transitoryTimeout),
		"net.netfilter.nf_conntrack_tcp_timeout_syn_recv":    seconds(transitoryTimeout),
		"net.netfilter.nf_conntrack_tcp_timeout_fin_wait":    seconds(transitoryTimeout),
		"net.netfilter.nf_conntrack_tcp_timeout_close_wait":  seconds(transitoryTimeout),
		"net.netfilter.nf_conntrack_tcp_timeout_last_ack":    seconds(transitoryTimeout),
		"net.netfilter.nf_conntrack_tcp_timeout_established": seconds(establishedTimeout),
		"net.netfilter.nf_conntrack_tcp_timeout_time_wait":   seconds(timeWait),
		"net.netfilter.nf_conntrack_tcp_timeout_close":       seconds(timeWait),
		"net.netfilter.nf_conntrack_udp_timeout":             seconds(udpTimeout),
		"net.netfilter.nf_conntrack_udp_timeout_stream":      seconds(udpTimeout),
	})
}

// Counters tell what a NAT did since its namespace exists. All are packets that began a connection, SYN retries included, except
// Invalid and Refused (any packet).
type Counters struct {
	Translated uint64 `json:"translated"` // looked up a block
	NoPort     uint64 `json:"noPort"`     // dropped: all ports of the block are taken for this destination
	NoBlock    uint64 `json:"noBlock"`    // dropped: the source belongs to no VM
	Invalid    uint64 `json:"invalid"`    // dropped: belongs to no connection
	Refused    uint64 `json:"refused"`    // dropped: not from inside to outside, or not TCP, UDP or ICMP
	Tracked    uint64 `json:"tracked"`    // connections in the table now, held ones included
}

// Read returns the counters of the NAT host's namespace.
func Read(name string) (Counters, error) {
	packets, err := nf.Packets(name, Table)
	if err != nil {
		return Counters{}, err
	}
	c := Counters{Translated: packets[counterTranslated], NoBlock: packets[counterNoBlock],
		Invalid: packets[counterInvalid], Refused: packets[counterRefused]}
	err = namespace.Do(name, func() error {
		conn, err := conntrack.Dial(nil)
		if err != nil {
			return err
		}
		perCPU, err := conn.Stats()
		if err == nil {
			for _, cpu := range perCPU {
				c.NoPort += uint64(cpu.InsertFailed)
			}
			var global conntrack.StatsGlobal
			global, err = conn.StatsGlobal()
			c.Tracked = uint64(global.Entries)
		}
		return errors.Join(err, conn.Close())
	})
	if err != nil {
		return Counters{}, fmt.Errorf("nat %s: connection tracking: %w", name, err)
	}
	return c, nil
}
