package provider

import (
	"net/netip"
	"strconv"

	"github.com/sallyport/sallyport/lab/nat"
)

// vms checks the clients of a gateway.
func (c *checker) vms(vms []VM) {
	if !c.known("vms") {
		return
	}
	names := map[string]bool{}
	for i, vm := range vms {
		place := "vms[" + strconv.Itoa(i) + "]"
		if vm.Name == "" || names[vm.Name] {
			c.fail(place+".name", "needs to be unique and not empty", vm.Name, "")
		}
		names[vm.Name] = true
		if len(vm.CIDRs) == 0 {
			c.fail(place+".cidrs", "needs at least 1 network", len(vm.CIDRs), "")
		}
		for j, cidr := range vm.CIDRs {
			c.cidr("vms", place+".cidrs["+strconv.Itoa(j)+"]", cidr)
		}
	}
}

// ruleset computes the rules. A VM keeps the blocks it had.
func ruleset(in NatGatewayArgs, public []netip.Addr, previous []Block) (nat.Ruleset, []Block, error) {
	if in.Flavor == flavorNatGateway {
		rules, err := nat.NatGateway(public, in.PortsPerAddress)
		return rules, []Block{}, err
	}
	var names []string
	var vms []nat.VM
	for _, vm := range in.VMs {
		cidrs, err := parsePrefixes(vm.CIDRs)
		if err != nil {
			return nat.Ruleset{}, nil, err
		}
		names = append(names, vm.Name)
		vms = append(vms, nat.VM{Name: vm.Name, CIDRs: cidrs})
	}
	given, err := nat.Blocks(names, public, in.PortsPerVM, natBlocks(previous))
	if err != nil {
		return nat.Ruleset{}, nil, err
	}
	rules, err := nat.CloudNat(vms, given)
	blocks := []Block{}
	for _, b := range given {
		blocks = append(blocks, Block{VM: b.VM, Address: b.Address.String(), FirstPort: b.FirstPort, LastPort: b.LastPort})
	}
	return rules, blocks, err
}

// natBlocks leaves out what is not an address: such a block is given anew.
func natBlocks(blocks []Block) []nat.Block {
	var list []nat.Block
	for _, b := range blocks {
		if address, err := netip.ParseAddr(b.Address); err == nil {
			list = append(list, nat.Block{VM: b.VM, Address: address, FirstPort: b.FirstPort, LastPort: b.LastPort})
		}
	}
	return list
}
