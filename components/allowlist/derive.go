package allowlist

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/problem"
)

// Input is what the lives of a stack's addresses follow from.
type Input struct {
	Places []Place
	// Reserve is how many addresses of each kind are held as headroom.
	Reserve map[Kind]int
	// Partners are those whom headroom of a kind concerns.
	Partners map[Kind][]string
	// Previous is the document that was handed out last; nil if there was none.
	Previous *Document
	Rules    Rules
	Now      time.Time
}

// Derive says which addresses there have to be, which place each serves and which may carry traffic: the lives that follow from
// what the last document said, what people wrote into the stack file, and the time that went by. It is a function of its input
// alone, so that a run that crashed is repeated with the same result. The order is by kind and name.
//
//   - An address that was active stays active as long as its place exists and nobody drains it, whatever else changes.
//   - A new place is served by headroom if there is some, the one that may carry traffic first, else by a new address of its name.
//   - An address may carry traffic when every partner that it concerns has confirmed or has had the notice since a document (or an
//     announcement) told it. The addresses of a first deployment carry traffic at once unless [Rules.Wait], because without any
//     there is no way out, and no partner has a list yet.
//   - An address whose place is gone drains and then retires. It leaves only when it was released on purpose, which takes two
//     updates: one that takes its protection away, one that drops it.
//
// The error joins every [problem.Problem] of the records: dates that come too early, names that do not exist.
func Derive(in Input) ([]Life, error) {
	d := &deriver{in: in, lives: map[string]*Life{}, serving: map[string]*Life{}}
	d.recall()
	d.refuseUnknown()
	d.keep()
	d.fill()
	d.leave()
	d.holdHeadroom()
	for _, l := range d.sorted() {
		d.tell(l)
		d.step(l)
		d.release(l)
	}
	if err := d.list.Err(); err != nil {
		return nil, err
	}
	result := make([]Life, 0, len(d.lives))
	for _, l := range d.sorted() {
		result = append(result, *l)
	}
	return result, nil
}

// deriver is a derivation under way.
type deriver struct {
	in      Input
	lives   map[string]*Life // by address
	serving map[string]*Life // by place
	places  map[string]Place
	list    problem.List
}

func (d *deriver) record(name string) Record { return d.in.Rules.Records[name] }

// passed says whether a date has been given and has come.
func (d *deriver) passed(t time.Time) bool { return !t.IsZero() && !t.After(d.in.Now) }

func (d *deriver) sorted() []*Life {
	return slices.SortedFunc(maps.Values(d.lives), func(a, b *Life) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), CompareNames(a.Name, b.Name))
	})
}

func (d *deriver) at(name, field string) string {
	return problem.Child(problem.Child(d.in.Rules.Place, name), field)
}

// recall starts with what the last document said. The place that an address serves is decided anew.
func (d *deriver) recall() {
	d.places = map[string]Place{}
	for _, p := range d.in.Places {
		d.places[p.Name] = p
	}
	if d.in.Previous == nil {
		d.recollect()
		return
	}
	for name, l := range d.in.Previous.Lives(d.in.Now) {
		l.Place = ""
		for partner, date := range d.record(name).Confirmed {
			if l.Confirmed == nil {
				l.Confirmed = map[string]time.Time{}
			}
			l.Confirmed[partner] = date
		}
		d.lives[name] = &l
	}
}

// recollect takes the addresses that are on their way out from the records alone, where the last document was lost.
func (d *deriver) recollect() {
	for name, r := range d.in.Rules.Records {
		if !d.passed(r.Draining) && !d.passed(r.Retired) || d.passed(r.Released) {
			continue
		}
		l := &Life{Name: name, Kind: KindNat, Slot: cmp.Or(r.Slot, name), State: StateDraining, Confirmed: maps.Clone(r.Confirmed)}
		if strings.HasPrefix(name, string(KindProxy)+"-") {
			l.Kind = KindProxy
		}
		l.Dates = Dates{Announced: r.Announced, Active: first(r.Active, r.Draining), Draining: r.Draining}
		l.Dates.Listed = first(r.Announced, r.Active, r.Draining, r.Retired)
		if d.passed(r.Retired) {
			l.State, l.Dates.Retired = StateRetired, r.Retired
		}
		d.lives[name] = l
	}
}

// refuseUnknown finds records of addresses that neither exist nor come into being.
func (d *deriver) refuseUnknown() {
	known := slices.Collect(maps.Keys(d.lives))
	known = append(known, slices.Collect(maps.Keys(d.places))...)
	for kind, count := range d.in.Reserve {
		for n := 1; n <= count; n++ {
			known = append(known, reserveName(kind, n))
		}
	}
	slices.Sort(known)
	for _, name := range slices.Sorted(maps.Keys(d.in.Rules.Records)) {
		r := d.record(name)
		if !slices.Contains(known, name) && r.Released.IsZero() && r.Slot == "" {
			d.list.Add(problem.Child(d.in.Rules.Place, name), "must be an address of the stack", nil, problem.Suggestion(name, slices.Compact(known)))
		}
		if _, planned := d.places[r.Slot]; r.Slot != "" && !planned && d.lives[name] == nil {
			d.list.Add(d.at(name, "slot"), "must be a place that the plan has", r.Slot, problem.Suggestion(r.Slot, slices.Sorted(maps.Keys(d.places))))
		}
	}
}

// serve lets an address serve a place.
func (d *deriver) serve(p Place, l *Life) {
	l.Place, l.Slot, l.Zone, l.Partners = p.Name, p.Name, p.Zone, sortedPartners(p.Partners)
	d.serving[p.Name] = l
}

// keep leaves every place the address that it had, drained ones included that partners still list and nobody drained by hand.
func (d *deriver) keep() {
	for _, state := range []State{StateActive, StateAnnounced, StateDraining} {
		for _, l := range d.sorted() {
			place, planned := d.places[l.Slot]
			if l.State != state || !planned || d.serving[l.Slot] != nil || d.leaving(l) {
				continue
			}
			if state == StateDraining && d.over(l) {
				continue
			}
			l.Dates.Draining = time.Time{}
			d.serve(place, l)
		}
	}
}

// leaving says whether people drain, retire or release an address.
func (d *deriver) leaving(l *Life) bool {
	r := d.record(l.Name)
	return d.passed(r.Draining) || d.passed(r.Retired) || d.passed(r.Released)
}

// over says whether a draining address has been on the partners' lists long enough.
func (d *deriver) over(l *Life) bool { return !l.Dates.Draining.Add(d.in.Rules.Drain).After(d.in.Now) }

// fill finds an address for every place that has none.
func (d *deriver) fill() {
	for _, p := range d.in.Places {
		if d.serving[p.Name] != nil {
			continue
		}
		if l := d.successor(p); l != nil {
			d.serve(p, l)
		}
	}
}

// successor is the address for a place: headroom, the one that a record names before others, or a new one, of the place's own name
// if that is free.
func (d *deriver) successor(p Place) *Life {
	headroom := d.named(p)
	if headroom == nil {
		headroom = d.headroom(p)
	}
	if current := d.current(p); current != nil {
		return d.relieve(p, current, headroom)
	}
	own := d.lives[p.Name]
	switch {
	case headroom != nil:
		return headroom
	case own == nil && d.record(p.Name).Released.IsZero():
		return d.grow(p.Name, p.Kind)
	case own != nil && d.mayReturn(own):
		*own = Life{Name: own.Name, Kind: own.Kind, State: StateReserved} // partners may have removed it: it starts anew
		return own
	default: // its name is taken: the address serves another place, or people take it out of use
		return d.fresh(p.Kind)
	}
}

// current is the address of a place that is to leave it, nil if there is none.
func (d *deriver) current(p Place) *Life {
	for _, l := range d.sorted() {
		if l.Slot == p.Name && (l.State == StateActive || l.State == StateAnnounced) {
			return l
		}
	}
	return nil
}

// named is the address that a record wants to serve a place, nil if there is none or it is taken.
func (d *deriver) named(p Place) *Life {
	for _, name := range slices.Sorted(maps.Keys(d.in.Rules.Records)) {
		if r := d.record(name); r.Slot == p.Name && !d.passed(r.Released) && (d.lives[name] == nil || d.free(d.lives[name])) {
			return d.grow(name, p.Kind)
		}
	}
	return nil
}

// relieve hands a place over from an address that people take out of use to one that may carry traffic now; if there is none,
// the address stays and the record is refused.
func (d *deriver) relieve(p Place, current, headroom *Life) *Life {
	if headroom != nil && !d.readyIn(headroom, p).After(d.in.Now) {
		return headroom
	}
	r, remedy := d.record(current.Name), "raise allowlist.reserve and let the partners list the new IP first"
	if headroom != nil {
		remedy = fmt.Sprintf("%s may take over from %s on", headroom.Name, day(d.readyIn(headroom, p)))
	}
	field := "draining"
	if r.Draining.IsZero() {
		field = "retired"
	}
	d.list.Add(d.at(current.Name, field), "must wait for an IP that may take over place "+p.Name, day(first(r.Draining, r.Retired, r.Released)), remedy)
	return current
}

func sortedPartners(partners []string) []string {
	sorted := append([]string{}, partners...)
	slices.Sort(sorted)
	return slices.Compact(sorted)
}
