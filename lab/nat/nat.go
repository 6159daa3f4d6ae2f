// Package nat programs the NAT of a lab's NAT gateway host with nftables, in the two flavours that clouds offer: a block of
// source ports per VM (Cloud NAT), or a number of ports per public address and destination that all clients share (AWS NAT
// gateway).
//
// The limit that matters: a source port is taken per destination (address, port, protocol). The kernel's own translation keeps to
// it, but it hands out a port in TIME_WAIT again; package twhold prevents that.
//
// Both flavours are one ruleset: a map from (source range, slot) to (public address, port range). The slot comes from a counter
// modulo the number of slots; a VM with one block owns all slots, one whose block spans addresses owns slots in proportion.
package nat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/lab/labid"
	nf "github.com/sallyport/sallyport/lab/netfilter"
)

// DefaultPortsPerAddress is what an AWS NAT gateway offers per public address and destination.
// docs.aws.amazon.com/vpc/latest/userguide/nat-gateway-basics.html, as of 2023-06-15.
const DefaultPortsPerAddress = 55000

// splitSlots is the resolution with which a VM's connections are shared out between blocks of different size: 65,536 ports
// on two addresses are 64,512 + 1,024 = 63 + 1 slots.
const splitSlots = 64

// VM is a client of a NAT of flavour Cloud NAT.
type VM struct {
	Name  string         `json:"name"`
	CIDRs []netip.Prefix `json:"cidrs"` // the VM's address and its pods' range
}

// Ruleset is what a NAT does. Make it with CloudNat or NatGateway.
type Ruleset struct {
	slots   int
	entries []entry
}

// entry sends connections from a range of sources, when the slot is in a range too, to a port range of a public address.
type entry struct {
	sources             netip.Prefix
	firstSlot, lastSlot int
	target              Block
}

// CloudNat returns the ruleset that gives each VM its blocks, as Blocks computed them.
func CloudNat(vms []VM, blocks []Block) (Ruleset, error) {
	owned := map[string][]Block{}
	slots := 1
	for _, block := range blocks {
		owned[block.VM] = append(owned[block.VM], block)
		if len(owned[block.VM]) > 1 {
			slots = splitSlots
		}
	}
	set := Ruleset{slots: slots}
	for _, vm := range vms {
		if len(owned[vm.Name]) == 0 {
			return Ruleset{}, fmt.Errorf("nat: VM %q: has no block", vm.Name)
		}
		if len(owned[vm.Name]) > splitSlots {
			return Ruleset{}, fmt.Errorf("nat: VM %q: at most %d blocks, got %d", vm.Name, splitSlots, len(owned[vm.Name]))
		}
		for _, share := range share(owned[vm.Name], slots) {
			for _, cidr := range vm.CIDRs {
				share.sources = cidr.Masked()
				set.entries = append(set.entries, share)
			}
		}
	}
	return set, set.check()
}

// share divides the slots between blocks in proportion to their ports, at least one each, and interleaves them.
func share(blocks []Block, slots int) []entry {
	quota := quotas(blocks, slots)
	given := make([]int, len(blocks))
	var entries []entry
	for slot := range slots {
		next, most := 0, 0
		for i := range blocks { // the block that lags most behind its quota
			if lag := quota[i]*(slot+1) - given[i]*slots; lag > most {
				next, most = i, lag
			}
		}
		given[next]++
		entries = append(entries, entry{firstSlot: slot, lastSlot: slot, target: blocks[next]})
	}
	return merge(entries)
}

// quotas returns how many slots each block gets; the largest block takes what rounding leaves.
func quotas(blocks []Block, slots int) []int {
	total, largest := 0, 0
	for i, block := range blocks {
		total += block.Ports()
		if block.Ports() > blocks[largest].Ports() {
			largest = i
		}
	}
	quota := make([]int, len(blocks))
	rest := slots
	for i, block := range blocks {
		quota[i] = max(1, slots*block.Ports()/total)
		rest -= quota[i]
	}
	quota[largest] += rest
	return quota
}

// merge joins neighbouring slots with the same target.
func merge(entries []entry) []entry {
	var merged []entry
	for _, e := range entries {
		if last := len(merged) - 1; last >= 0 && merged[last].target == e.target {
			merged[last].lastSlot = e.lastSlot
			continue
		}
		merged = append(merged, e)
	}
	return merged
}

// NatGateway returns the ruleset of an AWS-like NAT: connections take the addresses in turn, each with portsPerAddress ports
// (1 to PortsPerAddress, 0 means DefaultPortsPerAddress) per destination from 1024 upwards.
//
//nolint:revive // nat.NatGateway stutters, but it is the flavour's name, beside CloudNat.
func NatGateway(addresses []netip.Addr, portsPerAddress int) (Ruleset, error) {
	if portsPerAddress == 0 {
		portsPerAddress = DefaultPortsPerAddress
	}
	if portsPerAddress < 1 || portsPerAddress > PortsPerAddress {
		return Ruleset{}, fmt.Errorf("nat: ports per address: must be 1 to %d, got %d", PortsPerAddress, portsPerAddress)
	}
	if len(addresses) == 0 {
		return Ruleset{}, errors.New("nat: addresses: needs at least 1, got 0")
	}
	set := Ruleset{slots: len(addresses)}
	for i, address := range addresses {
		set.entries = append(set.entries, entry{
			sources: netip.MustParsePrefix("0.0.0.0/0"), firstSlot: i, lastSlot: i,
			target: Block{Address: address, FirstPort: FirstPort, LastPort: FirstPort + portsPerAddress - 1},
		})
	}
	return set, set.check()
}

// check finds what the kernel would refuse or what would give one client two meanings.
func (r Ruleset) check() error {
	for i, e := range r.entries {
		if !e.sources.Addr().Is4() || !e.target.Address.Is4() {
			return fmt.Errorf("nat: only IPv4 is supported, got %s to %s", e.sources, e.target.Address)
		}
		if e.target.FirstPort < FirstPort || e.target.LastPort > LastPort || e.target.Ports() < 1 {
			return fmt.Errorf("nat: ports must be within %d-%d, got %d-%d", FirstPort, LastPort, e.target.FirstPort, e.target.LastPort)
		}
		for _, other := range r.entries[:i] {
			if e.sources.Overlaps(other.sources) && e.firstSlot <= other.lastSlot && other.firstSlot <= e.lastSlot {
				return fmt.Errorf("nat: source ranges must not overlap, got %s (VM %q) and %s (VM %q)",
					e.sources, e.target.VM, other.sources, other.target.VM)
			}
		}
	}
	return nil
}

// keyType is (source address, slot); dataType is (first address, first port, last address, last port), ports padded to 4 bytes.
var (
	keyType  = nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeMark)
	dataType = nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetService, nftables.TypeIPAddr, nftables.TypeInetService)
)

// elements encodes the entries for the kernel.
func (r Ruleset) elements() []nftables.SetElement {
	var elements []nftables.SetElement
	for _, e := range r.entries {
		first, last := nf.Bounds(e.sources)
		address := e.target.Address.As4()
		value := slices.Concat(address[:], port(e.target.FirstPort), address[:], port(e.target.LastPort))
		elements = append(elements, nftables.SetElement{
			Key:    binary.BigEndian.AppendUint32(first, uint32(e.firstSlot)),
			KeyEnd: binary.BigEndian.AppendUint32(last, uint32(e.lastSlot)),
			Val:    value,
		})
	}
	return elements
}

func port(number int) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(number)), 0, 0) }

// translate is the rule that looks up the target and applies it.
func (r Ruleset) translate(blocks *nftables.Set) []expr.Any {
	source, slot, target := nf.Reg0, nf.Reg0+1, nf.Reg0+4
	return nf.Rule(nf.Out(labid.InternetInterface), []expr.Any{
		nf.LoadSource(source),
		&expr.Numgen{Register: slot, Modulus: uint32(r.slots), Type: unix.NFT_NG_INCREMENTAL},
		&expr.Byteorder{SourceRegister: slot, DestRegister: slot, Op: expr.ByteorderHton, Len: 4, Size: 4},
		&expr.Lookup{SourceRegister: source, DestRegister: target, IsDestRegSet: true, SetName: blocks.Name, SetID: blocks.ID},
	}, nf.Count(counterTranslated), []expr.Any{
		&expr.NAT{Type: expr.NATTypeSourceNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: target, RegProtoMin: target + 1,
			RegAddrMax: target + 2, RegProtoMax: target + 3, Specified: true},
	})
}
