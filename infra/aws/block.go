package aws

import (
	"cmp"
	"net/netip"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/components/stack"
	"github.com/sallyport/sallyport/internal/problem"
)

// pick chooses addresses out of the block that the stack file asks for, by address name: those that were handed out stay, new ones
// get the lowest that is free. Nil without a block.
func pick(section stack.AWSAddresses, lives []allowlist.Life, previous *allowlist.Document) (map[string]string, error) {
	if !section.Block.IsValid() {
		return nil, nil
	}
	taken, picked := map[netip.Addr]bool{}, map[string]string{}
	known := map[string]bool{}
	if previous != nil {
		for _, entry := range previous.Entries {
			name := cmp.Or(entry.Address, entry.Slot)
			taken[entry.IP], known[name] = true, true
			if section.Block.Contains(entry.IP) {
				picked[name] = entry.IP.String()
			}
		}
	}
	next, missing := section.Block.Addr(), 0
	for _, life := range lives {
		if known[life.Name] || section.Existing[life.Name] != "" {
			continue
		}
		for section.Block.Contains(next) && taken[next] {
			next = next.Next()
		}
		if !section.Block.Contains(next) {
			missing++
			continue
		}
		picked[life.Name], taken[next] = next.String(), true
	}
	var list problem.List
	if missing > 0 {
		list.Addf("sallyport:aws.addresses.block", section.Block.String(), "give a larger block, or none: the pool then takes any address it has",
			"has no room for %d of the %d addresses", missing, len(lives))
	}
	return picked, list.Err()
}
