package allowlist

import (
	"fmt"
	"maps"
	"time"
)

// free says whether an address is headroom that may come into use.
func (d *deriver) free(l *Life) bool {
	return l.State == StateReserved && l.Place == "" && !d.leaving(l)
}

// headroom is the free address that may serve a place first, nil if there is none.
func (d *deriver) headroom(p Place) *Life {
	var best *Life
	for _, l := range d.sorted() {
		if l.Kind != p.Kind || !d.free(l) || d.record(l.Name).Slot != "" {
			continue
		}
		if best == nil || d.readyIn(l, p).Before(d.readyIn(best, p)) {
			best = l
		}
	}
	return best
}

// readyIn is when an address might carry traffic in a place.
func (d *deriver) readyIn(l *Life, p Place) time.Time {
	candidate := *l
	candidate.Partners, candidate.Told = sortedPartners(p.Partners), maps.Clone(l.Told)
	d.tell(&candidate)
	return candidate.Ready(d.in.Rules)
}

// grow returns an address by its name, a new one if there is none.
func (d *deriver) grow(name string, kind Kind) *Life {
	l := d.lives[name]
	if l == nil {
		l = &Life{Name: name, Slot: name, Kind: kind, State: StateReserved, Confirmed: maps.Clone(d.record(name).Confirmed)}
		d.lives[name] = l
	}
	return l
}

// fresh returns a new address that is named as headroom.
func (d *deriver) fresh(kind Kind) *Life {
	for number := 1; ; number++ {
		name := reserveName(kind, number)
		if d.lives[name] == nil && d.record(name).Released.IsZero() {
			return d.grow(name, kind)
		}
	}
}

// mayReturn says whether an address that is out of use can be announced anew: nobody has written into the stack file how its life
// ended.
func (d *deriver) mayReturn(l *Life) bool {
	r := d.record(l.Name)
	if l.Place != "" || !r.Draining.IsZero() || !r.Retired.IsZero() || !r.Released.IsZero() || len(r.Confirmed) > 0 {
		return false
	}
	return l.State == StateRetired || l.State == StateDraining && d.over(l)
}

// reserveName names an address that is headroom.
func reserveName(kind Kind, number int) string { return fmt.Sprintf("%s-reserve-%d", kind, number) }

// holdHeadroom adds addresses until each kind has its headroom.
func (d *deriver) holdHeadroom() {
	for _, kind := range []Kind{KindNat, KindProxy} {
		free := 0
		for _, l := range d.lives {
			if l.Kind == kind && d.free(l) {
				free++
				l.Partners = sortedPartners(d.in.Partners[kind])
			}
		}
		for ; free < d.in.Reserve[kind]; free++ {
			d.fresh(kind).Partners = sortedPartners(d.in.Partners[kind])
		}
	}
}
