// Package policy programs who may talk to whom in a lab: what the pods of a node may reach (node.go), and what a proxy
// must never connect to (guard.go).
//
// A refusal is loud, so that an application sees at once that it is not allowed: TCP gets a reset, anything else ICMP
// "administratively prohibited". Established connections survive every change.
package policy

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/lab/labid"
	nf "github.com/sallyport/sallyport/lab/netfilter"
)

// Target is a place that pods may open TCP connections to.
type Target struct {
	CIDR netip.Prefix `json:"cidr"` // IPv4
	Port int          `json:"port"` // 1 to 65535
}

// NodeTable is the name of the nftables table in a node's namespace.
const NodeTable = "sallyport_policy"

const (
	counterAllowed     = "allowed"
	counterRefused     = "refused"
	counterRefusedNode = "refused_node"
	dnsPort            = 53
)

var (
	nodeTable  = &nftables.Table{Name: NodeTable, Family: nftables.TableFamilyIPv4}
	targetType = nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetService)
)

func targetSet() *nftables.Set {
	return &nftables.Set{Table: nodeTable, Name: "targets", KeyType: targetType, Interval: true, Concatenation: true}
}

// ApplyNode lets the pods of a node reach the targets and the node-local DNS cache, and nothing else, in one transaction.
func ApplyNode(name string, targets []Target) error {
	elements, err := targetElements(targets)
	if err != nil {
		return fmt.Errorf("policy %s: %w", name, err)
	}
	return nf.Transact(name, func(conn *nftables.Conn) error {
		conn.AddTable(nodeTable)
		nf.AddCounters(conn, nodeTable, counterAllowed, counterRefused, counterRefusedNode)
		set := targetSet()
		if err := nf.SyncSet(conn, set, elements); err != nil {
			return err
		}
		setRules(conn, nodeTable, "forward", nftables.ChainHookForward, forwardRules(set))
		setRules(conn, nodeTable, "input", nftables.ChainHookInput, inputRules())
		return nil
	})
}

// VerifyNode returns an error unless exactly these targets are in force.
func VerifyNode(name string, targets []Target) error {
	elements, err := targetElements(targets)
	if err != nil {
		return fmt.Errorf("policy %s: %w", name, err)
	}
	return nf.VerifySet(name, targetSet(), elements)
}

// NodeCounters are packets since the node exists.
type NodeCounters struct {
	Allowed uint64 `json:"allowed"` // began a connection to a target
	Refused uint64 `json:"refused"` // refused on the way out, SYN retries included
	Node    uint64 `json:"node"`    // refused at the node itself
}

// ReadNode returns the counters of a node.
func ReadNode(name string) (NodeCounters, error) {
	packets, err := nf.Packets(name, NodeTable)
	return NodeCounters{packets[counterAllowed], packets[counterRefused], packets[counterRefusedNode]}, err
}

func targetElements(targets []Target) ([]nftables.SetElement, error) {
	var elements []nftables.SetElement
	for _, target := range targets {
		if !target.CIDR.IsValid() || !target.CIDR.Addr().Is4() {
			return nil, fmt.Errorf("target: must be an IPv4 CIDR, got %s", target.CIDR)
		}
		if target.Port < 1 || target.Port > 65535 {
			return nil, fmt.Errorf("target %s: port must be 1 to 65535, got %d", target.CIDR, target.Port)
		}
		covered := false // the kernel refuses overlapping elements
		for _, other := range targets {
			wider := other.CIDR.Bits() < target.CIDR.Bits()
			covered = covered || wider && other.Port == target.Port && other.CIDR.Overlaps(target.CIDR)
		}
		if covered {
			continue
		}
		port := append(binary.BigEndian.AppendUint16(nil, uint16(target.Port)), 0, 0)
		first, last := nf.Bounds(target.CIDR)
		elements = append(elements, nftables.SetElement{Key: append(first, port...), KeyEnd: append(last, port...)})
	}
	return elements, nil
}

const established = expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED

func forwardRules(targets *nftables.Set) [][]expr.Any {
	fromPod := nf.In(labid.PodBridge)
	lookup := []expr.Any{
		nf.LoadDestination(nf.Reg0), nf.LoadDestinationPort(nf.Reg0 + 1),
		&expr.Lookup{SourceRegister: nf.Reg0, SetName: targets.Name, SetID: targets.ID},
	}
	return [][]expr.Any{
		nf.Rule(nf.State(established), nf.Accept()),
		nf.Rule(fromPod, nf.Protocol(unix.IPPROTO_TCP), lookup, nf.Count(counterAllowed), nf.Accept()),
		nf.Rule(fromPod, nf.Count(counterRefused), nf.Protocol(unix.IPPROTO_TCP), nf.Reset()),
		nf.Rule(fromPod, nf.Prohibit()),
	}
}

func inputRules() [][]expr.Any {
	fromPod := nf.In(labid.PodBridge)
	dns := nf.Rule(fromPod, nf.Destination(netip.PrefixFrom(labid.NodeLocalDNS, 32)))
	return [][]expr.Any{
		nf.Rule(nf.State(established), nf.Accept()),
		nf.Rule(dns, nf.Protocol(unix.IPPROTO_UDP), nf.DestinationPort(dnsPort), nf.Accept()),
		nf.Rule(dns, nf.Protocol(unix.IPPROTO_TCP), nf.DestinationPort(dnsPort), nf.Accept()),
		nf.Rule(fromPod, nf.Count(counterRefusedNode), nf.Protocol(unix.IPPROTO_TCP), nf.Reset()),
		nf.Rule(fromPod, nf.Prohibit()),
	}
}

// setRules makes a chain of the filter type exist with exactly these rules; what no rule decides is accepted.
func setRules(conn *nftables.Conn, table *nftables.Table, name string, hook *nftables.ChainHook, rules [][]expr.Any) {
	chain := conn.AddChain(&nftables.Chain{Name: name, Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: hook, Priority: nftables.ChainPriorityFilter})
	conn.FlushChain(chain)
	for _, rule := range rules {
		conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: rule})
	}
}
