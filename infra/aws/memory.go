package aws

import (
	"fmt"
	"slices"

	"github.com/sallyport/sallyport/infra/topology"
)

// memory is what the last update exported and this one must not forget.
type memory struct {
	primaries map[string]string // name of the primary address of each zone's NAT gateway
	routes    any               // the output routes: serial and fingerprint of the document
	picked    map[string]string // addresses chosen out of a block, by name; see pick
}

// readMemory reads the outputs of the last update. What is not there is empty.
func readMemory(previous *topology.Previous) (memory, error) {
	m := memory{primaries: map[string]string{}}
	endpoints, err := previous.Output("endpoints")
	if err != nil {
		return m, err
	}
	tree, _ := endpoints.(map[string]any)
	gateways, _ := tree["gateways"].(map[string]any)
	for zone, value := range gateways {
		object, _ := value.(map[string]any)
		if primary, ok := object["primary"].(string); ok {
			m.primaries[zone] = primary
		}
	}
	m.routes, err = previous.Output("routes")
	return m, err
}

// primaryFirst puts the address first that a gateway has as its primary one: a gateway cannot change it, and a new gateway cuts
// every connection of the zone. A gateway that is yet to come takes the first.
func primaryFirst(names []string, primary string) []string {
	i := slices.Index(names, primary)
	if i <= 0 {
		return names
	}
	return slices.Concat([]string{primary}, names[:i], names[i+1:])
}

// replaced says which gateways EC2 has to make anew, because their primary address goes out of use: a gateway cannot change it.
func replaced(gateways []gateway, primaries map[string]string) []string {
	var warnings []string
	for _, g := range gateways {
		if was := primaries[g.zone]; was != "" && was != g.addresses[0] {
			warnings = append(warnings, fmt.Sprintf("%s: its NAT gateway is replaced, because %s was its primary IP and goes out of use: "+
				"the zone's connections break, and it has no way out for some minutes; do it when that hurts least", g.zone, was))
		}
	}
	return warnings
}
