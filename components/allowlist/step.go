package allowlist

import (
	"maps"
	"slices"
	"time"

	"github.com/sallyport/sallyport/internal/problem"
)

// leave takes the addresses that serve nobody any more out of use: those that carried traffic drain, the others are headroom.
func (d *deriver) leave() {
	for _, l := range d.sorted() {
		switch {
		case l.Place != "" || l.State == StateDraining || l.State == StateRetired:
		case !l.Dates.Active.IsZero():
			l.State = StateDraining
			l.Dates.Draining = first(d.drained(l), d.in.Now)
		default:
			l.State = StateReserved
			l.Slot, l.Zone, l.Dates.Announced = l.Name, "", time.Time{}
		}
	}
}

// drained is when people drained an address, zero if they did not or not yet.
func (d *deriver) drained(l *Life) time.Time {
	if r := d.record(l.Name); d.passed(r.Draining) {
		return r.Draining
	}
	return time.Time{}
}

// tell records since when the partners of an address can know it: since now if no document told them.
func (d *deriver) tell(l *Life) {
	told := map[string]time.Time{}
	for _, partner := range l.Partners {
		told[partner] = first(l.Told[partner], d.in.Now)
	}
	if d.in.Previous != nil && d.in.Previous.Version == 1 {
		for partner := range told { // version 1 does not say whom it told since when
			if slices.Contains(l.Partners, partner) && l.Told[partner].IsZero() {
				told[partner] = first(l.Dates.Listed, d.in.Now)
			}
		}
	}
	l.Told = told
	l.Dates.Listed = first(l.Dates.Listed, d.in.Now)
	maps.DeleteFunc(l.Confirmed, func(partner string, _ time.Time) bool { return !slices.Contains(l.Partners, partner) })
}

// step decides the state of an address that serves a place, and the date of the next one.
func (d *deriver) step(l *Life) {
	d.confirmations(l)
	switch {
	case l.Place != "":
		d.serveStep(l)
	case l.State == StateDraining:
		d.drainStep(l)
	case l.State == StateReserved:
		if r := d.record(l.Name); d.passed(r.Retired) || d.passed(r.Released) {
			l.State, l.Dates.Retired = StateRetired, first(r.Retired, d.in.Now)
		} else if d.passed(r.Draining) {
			d.list.Add(d.at(l.Name, "draining"), "must be an IP that carries traffic, and this one is reserved", day(r.Draining), "write retired instead")
		}
	}
}

// confirmations checks the dates that a record gives.
func (d *deriver) confirmations(l *Life) {
	r := d.record(l.Name)
	soon := d.in.Now.Add(24 * time.Hour) // a day that was written east of here
	for _, partner := range slices.Sorted(maps.Keys(r.Confirmed)) {
		at := problem.Child(d.at(l.Name, "confirmed"), partner)
		if r.Confirmed[partner].After(soon) {
			d.list.Add(at, "must not lie in the future", day(r.Confirmed[partner]), "record it when the partner has confirmed")
		}
	}
	if r.Announced.After(soon) {
		d.list.Add(d.at(l.Name, "announced"), "must not lie in the future", day(r.Announced), "record it when the partners were told")
	}
}

func (d *deriver) serveStep(l *Life) {
	r := d.record(l.Name)
	ready := l.Ready(d.in.Rules)
	founding := d.in.Previous == nil && !d.in.Rules.Wait
	switch {
	case !l.Dates.Active.IsZero(): // it carried traffic, and it goes on
		l.State = StateActive
	case r.Active.After(d.in.Now): // held back on purpose
		d.announce(l, latest(ready, r.Active))
	case founding:
		l.State, l.Dates.Active = StateActive, first(r.Active, d.in.Now)
	case !ready.After(d.in.Now):
		l.State, l.Dates.Active = StateActive, d.in.Now
	default:
		if !r.Active.IsZero() {
			d.list.Addf(d.at(l.Name, "active"), day(r.Active), "wait, or let them confirm",
				"must not come before %s, when %s had the notice", day(ready), listed(l.Waiting(d.in.Rules, d.in.Now)))
		}
		d.announce(l, ready)
	}
}

func (d *deriver) announce(l *Life, expected time.Time) {
	l.State, l.Dates.Expected = StateAnnounced, expected
	l.Dates.Announced = first(d.record(l.Name).Announced, l.Dates.Announced, d.in.Now)
}

// drainStep retires an address whose drain is over, and that the last document did not have in use any more.
func (d *deriver) drainStep(l *Life) {
	r := d.record(l.Name)
	l.Dates.Draining = first(d.drained(l), l.Dates.Draining, d.in.Now)
	end := l.Dates.Draining.Add(d.in.Rules.Drain)
	if d.passed(r.Retired) && r.Retired.Before(end) {
		d.list.Addf(d.at(l.Name, "retired"), day(r.Retired), "wait, or lower allowlist.drain", "must not come before %s, the end of the drain", day(end))
	}
	if d.lastState(l.Name) == StateActive { // this update takes it off the traffic: it is too early to say that it carries nothing
		l.Dates.Expected = latest(latest(end, r.Retired), d.in.Now)
		return
	}
	if !end.After(d.in.Now) && !r.Retired.After(d.in.Now) {
		l.State, l.Dates.Retired = StateRetired, latest(end, r.Retired)
		return
	}
	l.Dates.Expected = latest(end, r.Retired)
}

// release lets an address go if people said so and the partners were told that it is retired.
func (d *deriver) release(l *Life) {
	r := d.record(l.Name)
	if !d.passed(r.Released) {
		return
	}
	if d.lastState(l.Name) != StateRetired || l.State != StateRetired {
		remedy := "retire it first: one update has to say so to the partners"
		if l.State == StateDraining {
			remedy = "it is retired from " + day(l.Dates.Expected) + " on"
		}
		d.list.Addf(d.at(l.Name, "released"), day(r.Released), remedy, "must be an IP that the last document calls retired, and this one is %s", l.State)
		return
	}
	l.Release = true
}

// lastState is what the last document called an address, empty if it had it not.
func (d *deriver) lastState(name string) State {
	if d.in.Previous == nil {
		return ""
	}
	for _, e := range d.in.Previous.Entries {
		if e.address() == name {
			return e.State
		}
	}
	return ""
}

// listed joins names for a sentence.
func listed(names []string) string {
	switch len(names) {
	case 0:
		return "every partner"
	case 1:
		return "partner " + names[0]
	}
	text := "partners "
	for i, name := range names {
		switch i {
		case 0:
		case len(names) - 1:
			text += " and "
		default:
			text += ", "
		}
		text += name
	}
	return text
}
