package topology

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/components/capacity"
	"github.com/sallyport/sallyport/components/stack"
	"github.com/sallyport/sallyport/internal/clock"
	"github.com/sallyport/sallyport/internal/problem"
)

// Lifecycle says which public addresses a stack has, which place each one serves, and which may carry traffic. It is decided
// before any resource is declared, from the stack file, the plan, the last document that partners were given, and the date.
//
// Addresses and places are two things. An address is allocated, and its name never changes. A place is where an IP is used: the
// name of a [NatSlot], or an IP of a [Slot]. Most places are served by the address of their own name; one that was added later, or
// whose IP was rotated, by headroom that partners list already.
type Lifecycle struct {
	lives    []allowlist.Life
	byPlace  map[string]allowlist.Life
	slots    map[string][]string // places by slot
	previous *allowlist.Document
	settings *stack.Stack
	now      time.Time
}

// NewLifecycle decides. The error joins everything that is wrong with the dates in sallyport:allowlist.ips. Previous is nil if
// there was no update before.
func NewLifecycle(settings *stack.Stack, plan capacity.Plan, previous *allowlist.Document) (*Lifecycle, error) {
	now, err := clock.Now()
	if err != nil {
		return nil, err
	}
	l := &Lifecycle{
		byPlace: map[string]allowlist.Life{}, slots: map[string][]string{}, previous: previous, settings: settings, now: now,
	}
	places := l.places(plan)
	l.lives, err = allowlist.Derive(allowlist.Input{
		Places: places, Previous: previous, Rules: settings.Allowlist.Rules(), Now: now,
		Reserve: map[allowlist.Kind]int{
			allowlist.KindNat: plan.Nat.ReserveIPs, allowlist.KindProxy: plan.Proxies.ReserveIPs,
		},
		Partners: map[allowlist.Kind][]string{
			allowlist.KindNat:   Partners(settings.Destinations, allowlist.KindNat),
			allowlist.KindProxy: Partners(settings.Destinations, allowlist.KindProxy),
		},
	})
	if err != nil {
		return nil, err
	}
	for _, life := range l.lives {
		if life.Place != "" {
			l.byPlace[life.Place] = life
		}
	}
	return l, l.refuseStops()
}

// refuseStops finds slots that run and would get IPs that partners do not list yet: a slot runs with all its IPs or not at all, so it
// would stop until the notice is over. Headroom that partners list already comes into use at once, and stops nothing.
func (l *Lifecycle) refuseStops() error {
	var list problem.List
	rules := l.settings.Allowlist.Rules()
	stopped, late := 0, time.Time{}
	for _, places := range l.slots {
		var since time.Time // the slot has an IP in use
		for _, place := range places {
			if life := l.byPlace[place]; life.Usable() && (since.IsZero() || life.Dates.Active.Before(since)) {
				since = life.Dates.Active
			}
		}
		for _, place := range places {
			if life := l.byPlace[place]; !since.IsZero() && life.State == allowlist.StateAnnounced && life.Dates.Announced.After(since) {
				stopped++
				if ready := life.Ready(rules); ready.After(late) {
					late = ready
				}
			}
		}
	}
	if stopped > 0 {
		list.Addf("sallyport:proxies.ipsPerProxy", l.settings.Proxies.IPsPerProxy,
			fmt.Sprintf("raise allowlist.reserve to %d first: that headroom may come into use when partners list it, on %s at the latest", l.settings.Allowlist.Reserve+stopped, late.Format(time.DateOnly)),
			"must not give running proxies IPs that partners do not list yet: %d IPs would have to wait, and their proxies with them", stopped)
	}
	return list.Err()
}

// places lists where the plan uses public IPs, and remembers which of them make up a slot.
func (l *Lifecycle) places(plan capacity.Plan) []allowlist.Place {
	var places []allowlist.Place
	add := func(slot, name, zone string, kind allowlist.Kind, partners []string) {
		l.slots[slot] = append(l.slots[slot], name)
		places = append(places, allowlist.Place{Name: name, Kind: kind, Zone: zone, Partners: partners})
	}
	for _, s := range NatPlaces(l.settings, plan, l.previous) {
		add(s.Name, s.Name, s.Zone, allowlist.KindNat, s.Partners)
	}
	partners := Partners(l.settings.Destinations, allowlist.KindProxy)
	for _, s := range Slots(l.settings.Cluster.Zones, plan.Proxies.PerZone) {
		for n := 1; n <= l.settings.Proxies.IPsPerProxy; n++ {
			add(s.Name, s.IP(n), s.Zone, allowlist.KindProxy, partners)
		}
	}
	return places
}

// Addresses are all addresses to allocate or to keep, by kind and name: those in use, those that wait to be used, headroom, and those
// that drain or are retired and were not released. One with Release set is declared without protection.
func (l *Lifecycle) Addresses() []allowlist.Life { return l.lives }

// Of returns the address that serves a place. Every place of the plan has one.
func (l *Lifecycle) Of(place string) allowlist.Life { return l.byPlace[place] }

// Usable reports whether a place may carry traffic, or a slot of the fleet: then all its IPs may. What may not is allocated and
// announced, and nothing is attached to it: no gateway, no instance, no route.
func (l *Lifecycle) Usable(name string) bool {
	if life, isPlace := l.byPlace[name]; isPlace && !life.Usable() {
		return false
	}
	for _, place := range l.slots[name] {
		if !l.byPlace[place].Usable() {
			return false
		}
	}
	_, isPlace := l.byPlace[name]
	return isPlace || len(l.slots[name]) > 0
}

// Draining are the addresses of a kind that take no new connections and let the existing ones finish.
func (l *Lifecycle) Draining(kind allowlist.Kind) []allowlist.Life {
	var draining []allowlist.Life
	for _, life := range l.lives {
		if life.Kind == kind && life.State == allowlist.StateDraining {
			draining = append(draining, life)
		}
	}
	return draining
}

// Warnings say what the operator should know before the update: places that wait, and partners who are new to IPs in use.
func (l *Lifecycle) Warnings() []string {
	var warnings []string
	rules := l.settings.Allowlist.Rules()
	for _, life := range l.lives {
		waiting := life.Waiting(rules, l.now)
		if len(waiting) == 0 || l.previous == nil {
			continue
		}
		switch {
		case life.State == allowlist.StateAnnounced:
			warnings = append(warnings, fmt.Sprintf("%s: %s carries no traffic yet: waits for %v, until %s at the latest",
				life.Place, life.Name, waiting, life.Dates.Expected.Format(allowlist.DateFormat)))
		case life.Usable():
			warnings = append(warnings, fmt.Sprintf("%s: %s is in use and %v may not list it yet: send them the list before their traffic starts",
				life.Place, life.Name, waiting))
		}
	}
	return warnings
}

// Document is the partner document of this update. IPs are by the name of the address; the region is empty in stack local. Idle
// addresses may carry traffic and do not yet; they are shown as announced. It returns [allowlist.ErrIncomplete] if an address has
// no IP yet.
func (l *Lifecycle) Document(stackName, region string, ips map[string]netip.Addr, idle ...string) (allowlist.Document, error) {
	entries := make([]allowlist.Entry, 0, len(l.lives))
	for _, life := range l.lives {
		if life.State == allowlist.StateActive && slices.Contains(idle, life.Name) {
			life.State = allowlist.StateAnnounced
		}
		if !life.Release {
			entries = append(entries, life.EntryOf(string(l.settings.Cloud), region, ips[life.Name]))
		}
	}
	return allowlist.Next(l.previous, stackName, entries, l.now)
}

// JSON is the document as soon as every address has its IP. Values hold the IPs in the order of Addresses.
func (l *Lifecycle) JSON(stackName, region string, values []any) (string, error) {
	ips := map[string]netip.Addr{}
	for i, life := range l.lives {
		ip, err := netip.ParseAddr(fmt.Sprint(values[i]))
		if err != nil {
			return "", fmt.Errorf("allowlist: %s: must have an IP address, got %q", life.Name, values[i])
		}
		ips[life.Name] = ip
	}
	document, err := l.Document(stackName, region, ips)
	if err != nil {
		return "", err
	}
	return document.Render(allowlist.FormatJSON)
}
