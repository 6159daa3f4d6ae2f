package cloudnat

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sallyport/sallyport/internal/problem"
)

// Acknowledgement is what somebody wrote who accepts that a change cuts connections.
type Acknowledgement string

// The acknowledgements.
const (
	// LowerPorts accepts fewer ports per VM: Cloud NAT may reset connections on ports that a VM loses.
	LowerPorts Acknowledgement = "lower-ports"
	// DynamicPorts accepts that dynamic port allocation is switched on or off, which may reset connections too.
	DynamicPorts Acknowledgement = "dynamic-ports"
	// RemoveRanges accepts that a subnetwork range or a whole gateway loses its NAT, and with it its connections.
	RemoveRanges Acknowledgement = "remove-ranges"
)

// Memory is what the gateways were after an update. A stack exports it and reads it back before the next.
type Memory struct {
	Gateways map[string]GatewayMemory `json:"gateways"`
}

// GatewayMemory is one gateway after an update.
type GatewayMemory struct {
	// Router and Name are those in the project.
	Router   string `json:"router"`
	Name     string `json:"name"`
	MinPorts int    `json:"minPortsPerVm"`
	MaxPorts int    `json:"maxPortsPerVm,omitempty"` // dynamic only
	Dynamic  bool   `json:"dynamic"`
	// Ranges are the subnetwork ranges behind it, as "nodes" and "nodes/pods".
	Ranges []string `json:"ranges"`
	// Active says which addresses take connections, and for whom: "nat" for the gateway itself, "rule <name>" for a rule.
	Active map[string]string `json:"active"`
	// Draining says since when an address has taken no new connections, and for whom it did.
	Draining map[string]Drain `json:"draining,omitempty"`
}

// Drain is an address that drains.
type Drain struct {
	Owner string    `json:"owner"`
	Since time.Time `json:"since"`
}

// Own is the owner of the IPs that serve every destination that no rule has.
const Own = "nat"

// OwnerOf is the owner of a rule's IPs; of the gateway's own with an empty name.
func OwnerOf(rule string) string {
	if rule == "" {
		return Own
	}
	return "rule " + rule
}

// Change is a step from what the gateways were to what they shall be.
type Change struct {
	// Previous is nil before the first update.
	Previous *Memory
	// Next is what is wanted. Since of its draining addresses is ignored.
	Next Memory
	Now  time.Time
	// MinDrain is how long an IP must have drained before it leaves its gateway: the idle timeout of established connections
	// at least.
	MinDrain     time.Duration
	Acknowledged []Acknowledgement
	// Place is where the settings are written, in front of messages: "sallyport:gcp.nat".
	Place string
}

// Check refuses a step that would cut connections unseen, with all its reasons at once. Else it returns what the gateways will
// be: an address that is to drain and never was on its gateway is left out, because Cloud NAT refuses to drain it.
func (c Change) Check() (Memory, error) {
	next := Memory{Gateways: map[string]GatewayMemory{}}
	var list problem.List
	for _, name := range slices.Sorted(maps.Keys(c.Next.Gateways)) {
		g := c.Next.Gateways[name]
		before, existed := c.before(name)
		g.Draining = c.draining(g, before)
		next.Gateways[name] = g
		if existed {
			c.checkPorts(name, before, g, &list)
			c.checkAddresses(name, before, g, &list)
			c.checkRanges(name, before, g, &list)
		}
	}
	if c.Previous != nil {
		for _, name := range slices.Sorted(maps.Keys(c.Previous.Gateways)) {
			if _, stays := c.Next.Gateways[name]; !stays && !c.accepts(RemoveRanges) {
				list.Add(c.Place+" gateway "+name, "must not go without acknowledgement: every connection through it is cut", nil,
					acknowledge(c.Place, RemoveRanges))
			}
		}
	}
	return next, list.Err()
}

// Needless are acknowledgements that the step does not need: they should not lie around until a step does.
func (c Change) Needless() []Acknowledgement {
	var needless []Acknowledgement
	for _, a := range c.Acknowledged {
		without := c
		without.Acknowledged = slices.DeleteFunc(slices.Clone(c.Acknowledged), func(other Acknowledgement) bool { return other == a })
		if _, err := without.Check(); err == nil {
			needless = append(needless, a)
		}
	}
	return needless
}

func (c Change) before(gateway string) (GatewayMemory, bool) {
	if c.Previous == nil {
		return GatewayMemory{}, false
	}
	g, ok := c.Previous.Gateways[gateway]
	return g, ok
}

// draining are the addresses that the gateway has and that shall drain, with the time since when they do.
func (c Change) draining(g, before GatewayMemory) map[string]Drain {
	var kept map[string]Drain
	for name, drain := range g.Draining {
		if was, already := before.Draining[name]; already && was.Owner == drain.Owner {
			drain.Since = was.Since
		} else if before.Active[name] == drain.Owner {
			drain.Since = c.Now
		} else {
			continue
		}
		if kept == nil {
			kept = map[string]Drain{}
		}
		kept[name] = drain
	}
	return kept
}

func (c Change) accepts(a Acknowledgement) bool { return slices.Contains(c.Acknowledged, a) }

func acknowledge(place string, a Acknowledgement) string {
	return fmt.Sprintf("add %s to %s.acknowledge for this update if connections may be cut", a, place)
}

func (c Change) checkPorts(name string, before, after GatewayMemory, list *problem.List) {
	at := c.Place + " gateway " + name
	if before.Dynamic != after.Dynamic {
		if !c.accepts(DynamicPorts) {
			list.Addf(at, nil, acknowledge(c.Place, DynamicPorts), "must not switch dynamic port allocation %s without acknowledgement: established connections may be reset",
				map[bool]string{true: "on", false: "off"}[after.Dynamic])
		}
		return // which ports there were before means nothing any more
	}
	for _, ports := range []struct {
		what          string
		before, after int
	}{{"ports per VM", before.MinPorts, after.MinPorts}, {"maximum of ports per VM", before.MaxPorts, after.MaxPorts}} {
		if ports.after < ports.before && !c.accepts(LowerPorts) {
			list.Addf(at, ports.after, fmt.Sprintf("keep %d (sallyport:nat.portsPerVM, or gcp.nat.dynamicPorts), or %s", ports.before, acknowledge(c.Place, LowerPorts)),
				"must not lower the %s from %d without acknowledgement: connections on the ports that go are reset", ports.what, ports.before)
		}
	}
}

func (c Change) checkRanges(name string, before, after GatewayMemory, list *problem.List) {
	for _, r := range before.Ranges {
		if !slices.Contains(after.Ranges, r) && !c.accepts(RemoveRanges) {
			list.Add(c.Place+" gateway "+name, "must not lose a range without acknowledgement: every connection from it is cut", r,
				acknowledge(c.Place, RemoveRanges))
		}
	}
}

// checkAddresses demands that an IP that leaves has drained.
func (c Change) checkAddresses(name string, before, after GatewayMemory, list *problem.List) {
	at := c.Place + " gateway " + name + ": "
	for _, ip := range slices.Sorted(maps.Keys(before.Active)) {
		owner := before.Active[ip]
		if after.Active[ip] == owner || after.Draining[ip].Owner == owner {
			continue
		}
		list.Addf(at+ip, nil, fmt.Sprintf("drain it first (`sallyport allowlist drain`), and leave at least %s before it is retired (allowlist.drain)", c.MinDrain),
			"must not leave %s without a drain: its connections are cut at once", owner)
	}
	for _, ip := range slices.Sorted(maps.Keys(before.Draining)) {
		drain := before.Draining[ip]
		_, drains := after.Draining[ip]
		serves := after.Active[ip] == drain.Owner
		if end := drain.Since.Add(c.MinDrain); !drains && !serves && c.Now.Before(end) {
			list.Addf(at+ip, nil, "wait until then, or set allowlist.drain to a longer time",
				"must drain until %s before it leaves: it has drained since %s", end.Format(time.RFC3339), drain.Since.Format(time.RFC3339))
		}
	}
}

// Remember is what the arguments make of the gateways, for [Change].
func (args *Args) Remember() Memory {
	m := Memory{Gateways: map[string]GatewayMemory{}}
	for _, g := range args.Gateways {
		entry := GatewayMemory{
			Router: RouterName(args.Stack), Name: GatewayName(args.Stack, g.Name),
			MinPorts: args.Ports.PerVM, MaxPorts: args.Ports.Max, Dynamic: args.Ports.Dynamic, Ranges: g.ranges(), Active: map[string]string{},
		}
		entry.add(Own, g.IPs, g.Draining)
		for _, r := range g.Rules {
			entry.add(OwnerOf(r.Name), r.IPs, r.Draining)
		}
		m.Gateways[g.Name] = entry
	}
	return m
}

func (g *GatewayMemory) add(owner string, active, draining []IP) {
	for _, ip := range active {
		g.Active[ip.Name] = owner
	}
	for _, ip := range draining {
		if g.Draining == nil {
			g.Draining = map[string]Drain{}
		}
		g.Draining[ip.Name] = Drain{Owner: owner}
	}
}

// Drop returns the gateways without the draining IPs that a checked memory does not have.
func (m Memory) Drop(gateways []Gateway) []Gateway {
	out := slices.Clone(gateways)
	for i := range out {
		known := m.Gateways[out[i].Name].Draining
		gone := func(ip IP) bool { _, ok := known[ip.Name]; return !ok }
		out[i].Draining = slices.DeleteFunc(slices.Clone(out[i].Draining), gone)
		out[i].Rules = slices.Clone(out[i].Rules)
		for r := range out[i].Rules {
			out[i].Rules[r].Draining = slices.DeleteFunc(slices.Clone(out[i].Rules[r].Draining), gone)
		}
	}
	return out
}
