package gcp

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/components/cloudnat"
	"github.com/sallyport/sallyport/components/stack"
	"github.com/sallyport/sallyport/internal/problem"
)

// memory is what the last update exported and this one must not forget.
type memory struct {
	nat    *cloudnat.Memory      // nil before the first update
	next   cloudnat.Memory       // what this update makes of it
	routes any                   // the output routes: serial and fingerprint of the document
	picked map[string]netip.Addr // addresses chosen out of a prefix, by name; see pick
	kept   map[string]any        // every output that a failed run must not lose
}

// remembered are the outputs that the next update, or whoever looks at the stack until then, decides by.
var remembered = []string{"allowlist", "endpoints", "kubernetes", "nat", "routes"}

// remember reads the outputs of the last update. What is not there is empty; what cannot be read is an error, because the steps
// that protect connections rest on it.
func (d *deployment) remember() error {
	d.memory.kept = map[string]any{}
	for _, name := range remembered {
		value, err := d.previous.Output(name)
		if err != nil {
			return err
		}
		if value != nil {
			d.memory.kept[name] = value
		}
	}
	d.memory.routes = d.memory.kept["routes"]
	if d.memory.kept["nat"] == nil {
		return nil
	}
	text, err := json.Marshal(d.memory.kept["nat"])
	if err != nil {
		return fmt.Errorf("previous output nat: %w", err)
	}
	d.memory.nat = &cloudnat.Memory{}
	if err := json.Unmarshal(text, d.memory.nat); err != nil {
		return fmt.Errorf("previous output nat: %w", err)
	}
	return nil
}

// keepOutputs exports what the last update exported. A program that fails still replaces the stack's outputs
// (sdk/v3/go/pulumi/run.go), and a run after that would take the gateways for new and cut what they carry.
func (d *deployment) keepOutputs() {
	for name, value := range d.memory.kept {
		d.export(name, pulumi.Any(value))
	}
}

// pick chooses addresses out of a prefix of one's own, by address name: those that were handed out stay, those that the stack
// file fixes are as it says, and others get the lowest that is free. Nil without a prefix.
func pick(section stack.GCPAddresses, lives []allowlist.Life, previous *allowlist.Document) (map[string]netip.Addr, error) {
	if !section.Prefix.IsValid() {
		return nil, nil
	}
	taken, picked, known := map[netip.Addr]bool{}, map[string]netip.Addr{}, map[string]bool{}
	if previous != nil {
		for _, entry := range previous.Entries {
			name := cmp.Or(entry.Address, entry.Slot)
			taken[entry.IP], known[name] = true, true
			if section.Prefix.Contains(entry.IP) {
				picked[name] = entry.IP
			}
		}
	}
	for name, ip := range section.Fixed {
		if !known[name] {
			picked[name], taken[ip] = ip, true
		}
	}
	next, missing := section.Prefix.Addr(), 0
	for _, life := range lives {
		if _, has := picked[life.Name]; has || known[life.Name] || section.Existing[life.Name] != "" {
			continue
		}
		for section.Prefix.Contains(next) && taken[next] {
			next = next.Next()
		}
		if !section.Prefix.Contains(next) {
			missing++
			continue
		}
		picked[life.Name], taken[next] = next, true
	}
	var list problem.List
	if missing > 0 {
		list.Addf("sallyport:gcp.addresses.prefix", section.Prefix.String(), "delegate a larger prefix, or none: the region then gives any address",
			"has no room for %d of the %d addresses", missing, len(lives))
	}
	return picked, list.Err()
}
