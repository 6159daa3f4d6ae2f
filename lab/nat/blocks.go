package nat

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// The ports that a NAT uses: 1024 to 65535.
// 64,512 per address: cloud.google.com/nat/docs/ports-and-addresses, as of 2026-07. A VM's ports may come from several addresses:
// Compute API, VmEndpointNatMappings.natIpPortRanges.
const (
	FirstPort       = 1024
	LastPort        = 65535
	PortsPerAddress = LastPort - FirstPort + 1
)

// Block is a range of source ports of one public address that belongs to one VM.
type Block struct {
	VM        string     `json:"vm"`
	Address   netip.Addr `json:"address"`
	FirstPort int        `json:"firstPort"` // inclusive
	LastPort  int        `json:"lastPort"`  // inclusive
}

// Ports returns the number of ports in the block.
func (b Block) Ports() int { return b.LastPort - b.FirstPort + 1 }

// Blocks gives each VM portsPerVM source ports. A VM keeps the blocks it had in previous as long as they are legal: right
// number of ports, addresses still in use, no overlap with a VM before it. The others go to the address with most free ports,
// so an empty NAT is filled round-robin. A VM gets ports of several addresses only if no address has room for all.
// The result is in the order of vms. It is an error if len(vms) x portsPerVM exceeds len(addresses) x PortsPerAddress.
func Blocks(vms []string, addresses []netip.Addr, portsPerVM int, previous []Block) ([]Block, error) {
	if err := checkDemand(vms, addresses, portsPerVM); err != nil {
		return nil, err
	}
	pool := newPool(addresses)
	held := map[string][]Block{}
	for _, block := range previous {
		held[block.VM] = append(held[block.VM], block)
	}
	given := map[string][]Block{}
	for _, vm := range vms {
		if blocks := held[vm]; pool.legal(blocks, portsPerVM) {
			for _, block := range blocks {
				pool.take(block)
			}
			given[vm] = blocks
		}
	}
	var result []Block
	for _, vm := range vms {
		if given[vm] == nil {
			given[vm] = pool.allocate(vm, portsPerVM)
		}
		result = append(result, given[vm]...)
	}
	return result, nil
}

func checkDemand(vms []string, addresses []netip.Addr, portsPerVM int) error {
	if portsPerVM < 1 || portsPerVM > 65536 {
		return fmt.Errorf("nat: ports per VM: must be 1 to 65536, got %d", portsPerVM)
	}
	if twice := duplicate(vms); twice != "" {
		return fmt.Errorf("nat: VMs: names must be unique, got %q twice", twice)
	}
	names := make([]string, len(addresses))
	for i, address := range addresses {
		names[i] = address.String()
	}
	if twice := duplicate(names); twice != "" {
		return fmt.Errorf("nat: addresses: must be unique, got %s twice", twice)
	}
	need, have := len(vms)*portsPerVM, len(addresses)*PortsPerAddress
	if need > have {
		return fmt.Errorf("nat: ports: %d VMs x %d ports = %d must fit into %d addresses x %d ports = %d; give at least %d addresses",
			len(vms), portsPerVM, need, len(addresses), PortsPerAddress, have, (need+PortsPerAddress-1)/PortsPerAddress)
	}
	return nil
}

func duplicate(names []string) string {
	sorted := slices.Sorted(slices.Values(names))
	for i := 1; i < len(sorted); i++ {
		if sorted[i] == sorted[i-1] {
			return sorted[i]
		}
	}
	return ""
}

// gap is a range of free ports.
type gap struct{ first, last int }

func (g gap) ports() int { return g.last - g.first + 1 }

// pool knows the free ports of each address; gaps are sorted and never touch.
type pool struct {
	order []netip.Addr
	free  map[netip.Addr][]gap
}

func newPool(addresses []netip.Addr) *pool {
	p := &pool{order: addresses, free: map[netip.Addr][]gap{}}
	for _, address := range addresses {
		p.free[address] = []gap{{FirstPort, LastPort}}
	}
	return p
}

// legal reports whether a VM may keep the blocks.
func (p *pool) legal(blocks []Block, ports int) bool {
	total := 0
	for i, block := range blocks {
		inside := func(g gap) bool { return g.first <= block.FirstPort && block.LastPort <= g.last }
		if block.FirstPort > block.LastPort || !slices.ContainsFunc(p.free[block.Address], inside) {
			return false
		}
		for _, other := range blocks[:i] {
			if other.Address == block.Address && other.FirstPort <= block.LastPort && block.FirstPort <= other.LastPort {
				return false
			}
		}
		total += block.Ports()
	}
	return total == ports
}

// take marks a block as used; it lies inside one gap.
func (p *pool) take(block Block) {
	var rest []gap
	for _, g := range p.free[block.Address] {
		if block.LastPort < g.first || g.last < block.FirstPort {
			rest = append(rest, g)
			continue
		}
		if g.first < block.FirstPort {
			rest = append(rest, gap{g.first, block.FirstPort - 1})
		}
		if block.LastPort < g.last {
			rest = append(rest, gap{block.LastPort + 1, g.last})
		}
	}
	p.free[block.Address] = rest
}

// allocate takes ports for a VM: one block if possible, else the largest free pieces. There are enough.
func (p *pool) allocate(vm string, ports int) []Block {
	byFree := slices.Clone(p.order)
	slices.SortStableFunc(byFree, func(a, b netip.Addr) int { return p.freePorts(b) - p.freePorts(a) })
	for _, address := range byFree {
		for _, g := range p.free[address] {
			if g.ports() >= ports {
				block := Block{vm, address, g.first, g.first + ports - 1}
				p.take(block)
				return []Block{block}
			}
		}
	}
	var pieces []Block
	for _, address := range p.order {
		for _, g := range p.free[address] {
			pieces = append(pieces, Block{vm, address, g.first, g.last})
		}
	}
	slices.SortStableFunc(pieces, func(a, b Block) int { return b.Ports() - a.Ports() })
	var blocks []Block
	for _, piece := range pieces {
		if ports == 0 {
			break
		}
		piece.LastPort = min(piece.LastPort, piece.FirstPort+ports-1)
		ports -= piece.Ports()
		p.take(piece)
		blocks = append(blocks, piece)
	}
	return blocks
}

func (p *pool) freePorts(address netip.Addr) int {
	total := 0
	for _, g := range p.free[address] {
		total += g.ports()
	}
	return total
}

// Describe prints blocks one per line, for logs and `lab status`.
func Describe(blocks []Block) string {
	var b strings.Builder
	for _, block := range blocks {
		fmt.Fprintf(&b, "%s\t%s:%d-%d\n", block.VM, block.Address, block.FirstPort, block.LastPort)
	}
	return b.String()
}
