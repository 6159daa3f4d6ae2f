package allowlist

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Change is an IP that is in both documents and not the same.
type Change struct {
	Old Entry `json:"old"`
	New Entry `json:"new"`
}

// Difference is what happened between two documents.
type Difference struct {
	OldSerial uint64 `json:"oldSerial"`
	NewSerial uint64 `json:"newSerial"`
	// NewVersion and ValidFrom are those of the new document.
	NewVersion int       `json:"newVersion"`
	ValidFrom  time.Time `json:"validFrom,omitzero"`
	Added      []Entry   `json:"added"`   // never nil
	Removed    []Entry   `json:"removed"` // never nil
	Changed    []Change  `json:"changed"` // never nil
	// Warnings are what a partner or the owner should worry about. Never nil.
	Warnings []string `json:"warnings"`
}

// Diff compares two documents entry by entry. A serial that differs is no difference by itself.
func Diff(before, after Document) Difference {
	d := Difference{OldSerial: before.Serial, NewSerial: after.Serial, NewVersion: after.Version, ValidFrom: after.ValidFrom,
		Added: []Entry{}, Removed: []Entry{}, Changed: []Change{}, Warnings: []string{}}
	gone := map[netip.Addr]Entry{}
	for _, e := range before.Entries {
		gone[e.IP] = e
	}
	for _, e := range after.Entries {
		was, known := gone[e.IP]
		delete(gone, e.IP)
		switch {
		case !known:
			d.Added = append(d.Added, e)
		case len(changes(was, e)) > 0:
			d.Changed = append(d.Changed, Change{was, e})
		}
	}
	for _, e := range before.Entries { // in their order, which that of the map is not
		if _, missing := gone[e.IP]; missing {
			d.Removed = append(d.Removed, e)
		}
	}
	d.warn(before, after)
	return d
}

// Empty reports whether nothing changed that a partner could see.
func (d Difference) Empty() bool { return len(d.Added)+len(d.Removed)+len(d.Changed) == 0 }

func (d *Difference) warn(before, after Document) {
	if before.Stack != after.Stack {
		d.Warnings = append(d.Warnings, fmt.Sprintf("the documents are of different stacks: %s and %s", before.Stack, after.Stack))
	} else if !d.Empty() && after.Serial <= before.Serial {
		d.Warnings = append(d.Warnings, fmt.Sprintf("the entries differ and the serial did not rise: %d and %d", before.Serial, after.Serial))
	}
	for _, e := range d.Removed {
		if e.State != StateRetired {
			d.Warnings = append(d.Warnings, fmt.Sprintf("%s was removed while %s: an IP should be retired first", e.IP, e.State))
		}
	}
	for _, e := range d.Added {
		if e.State == StateActive {
			d.Warnings = append(d.Warnings, fmt.Sprintf("%s is new and active at once: partners had no time to list it", e.IP))
		}
	}
}

// changes names the fields that differ, for people.
func changes(before, after Entry) []string {
	var found []string
	for _, field := range []struct{ name, before, after string }{
		{"state", string(before.State), string(after.State)},
		{"partners", strings.Join(before.Partners, " "), strings.Join(after.Partners, " ")},
		{"slot", before.Slot, after.Slot},
		{"kind", string(before.Kind), string(after.Kind)},
		{"cloud", before.Cloud, after.Cloud},
		{"region", before.Region, after.Region},
		{"zone", before.Zone, after.Zone},
		{"address", before.Address, after.Address},
		{"listed", date(before.Dates.Listed), date(after.Dates.Listed)},
		{"announced", date(before.Dates.Announced), date(after.Dates.Announced)},
		{"active", date(before.Dates.Active), date(after.Dates.Active)},
		{"draining", date(before.Dates.Draining), date(after.Dates.Draining)},
		{"retired", date(before.Dates.Retired), date(after.Dates.Retired)},
		{"expected", date(before.Dates.Expected), date(after.Dates.Expected)},
		{"told", dates(before.Told), dates(after.Told)},
		{"confirmed", dates(before.Confirmed), dates(after.Confirmed)},
	} {
		if field.before != field.after {
			found = append(found, fmt.Sprintf("%s %s -> %s", field.name, orNone(field.before), orNone(field.after)))
		}
	}
	return found
}

// date writes a date, and nothing for one that has not come.
func date(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return day(t)
}

// dates writes a date per partner, sorted.
func dates(of map[string]time.Time) string {
	var words []string
	for _, partner := range slices.Sorted(maps.Keys(of)) {
		words = append(words, partner+"="+day(of[partner]))
	}
	return strings.Join(words, " ")
}

func orNone(text string) string {
	if text == "" {
		return "(none)"
	}
	return text
}

// String describes the difference for people, one IP per line; it is empty if there is none. What partners have to do comes
// first.
func (d Difference) String() string {
	if d.Empty() {
		return ""
	}
	var text strings.Builder
	fmt.Fprintf(&text, "serial %d -> %d\n", d.OldSerial, d.NewSerial)
	for _, e := range d.Added {
		fmt.Fprintf(&text, "+ %s  %s\n", e.IP, described(e))
	}
	for _, e := range d.Removed {
		fmt.Fprintf(&text, "- %s  %s\n", e.IP, described(e))
	}
	for _, c := range d.Changed {
		fmt.Fprintf(&text, "~ %s  %s\n", c.New.IP, strings.Join(changes(c.Old, c.New), ", "))
	}
	if toList := d.toList(); len(toList) > 0 {
		fmt.Fprintf(&text, "partners add: %s\n", strings.Join(toList, " "))
	}
	if toRemove := d.toRemove(); len(toRemove) > 0 {
		fmt.Fprintf(&text, "partners may remove: %s\n", strings.Join(toRemove, " "))
	}
	for _, warning := range d.Warnings {
		fmt.Fprintf(&text, "warning: %s\n", warning)
	}
	return text.String()
}

func described(e Entry) string {
	parts := []string{string(e.Kind), e.Slot, string(e.State)}
	if len(e.Partners) > 0 {
		parts = append(parts, "for "+strings.Join(e.Partners, " "))
	}
	return strings.Join(parts, " ")
}

// toList are the IPs that partners have to list now and had not to before.
func (d Difference) toList() []string {
	return d.listedOnly(d.Added, func(c Change) (with, without State) { return c.New.State, c.Old.State })
}

// toRemove are the IPs that partners had to list before and have not to any more.
func (d Difference) toRemove() []string {
	return d.listedOnly(d.Removed, func(c Change) (with, without State) { return c.Old.State, c.New.State })
}

// listedOnly are the listed ones of the entries that only one document has, and of the changed entries those listed on one side
// and not on the other.
func (d Difference) listedOnly(entries []Entry, sides func(Change) (with, without State)) []string {
	var ips []string
	for _, e := range entries {
		if e.State.Listed() {
			ips = append(ips, e.IP.String())
		}
	}
	for _, c := range d.Changed {
		if with, without := sides(c); with.Listed() && !without.Listed() {
			ips = append(ips, c.New.IP.String())
		}
	}
	return slices.Clip(ips)
}
