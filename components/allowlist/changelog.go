package allowlist

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/sallyport/sallyport/internal/problem"
)

// Changelog is how a document became what it is, serial by serial. Applied to the document of its first serial it gives that of its
// last ([Document.Replay]).
type Changelog struct {
	Stack   string       `json:"stack"`
	Changes []Difference `json:"changes"` // by serial, ascending; never nil
}

// ChangelogOf compares documents of one stack, in any order, each with the one before it by serial. It fails if two differ under
// one serial, because then nobody can say which came first.
func ChangelogOf(documents ...Document) (Changelog, error) {
	sorted := slices.Clone(documents)
	slices.SortStableFunc(sorted, func(a, b Document) int { return compareSerials(a.Serial, b.Serial) })
	log := Changelog{Changes: []Difference{}}
	var list problem.List
	for i, d := range sorted {
		if i == 0 {
			log.Stack = d.Stack
			continue
		}
		before := sorted[i-1]
		difference := Diff(before, d)
		switch {
		case d.Stack != log.Stack:
			list.Addf("stack", d.Stack, "compare documents of one stack", "must be %s in every document", log.Stack)
		case d.Serial != before.Serial:
			log.Changes = append(log.Changes, difference)
		case !difference.Empty():
			list.Add("serial", "must not stand for two documents that differ", d.Serial, "find out which one was handed out")
		}
	}
	if err := list.Err(); err != nil {
		return Changelog{}, err
	}
	return log, nil
}

func compareSerials(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Apply returns the document that a difference leads to. It fails if the difference does not start at this document.
func (d Document) Apply(difference Difference) (Document, error) {
	wrong := func(what string, value any) (Document, error) {
		return Document{}, problem.Problem{Place: "changelog", Rule: what, Value: fmt.Sprint(value), Remedy: "fetch the whole document again"}
	}
	if d.Serial != difference.OldSerial {
		return wrong(fmt.Sprintf("must continue at serial %d", d.Serial), difference.OldSerial)
	}
	entries := map[netip.Addr]Entry{}
	for _, e := range d.Entries {
		entries[e.IP] = e
	}
	for _, e := range difference.Removed {
		if _, known := entries[e.IP]; !known {
			return wrong("must remove only IPs that are there", e.IP)
		}
		delete(entries, e.IP)
	}
	for _, c := range difference.Changed {
		if was, known := entries[c.Old.IP]; !known || len(changes(was, c.Old)) > 0 {
			return wrong("must change only what is there", c.Old.IP)
		}
		entries[c.New.IP] = c.New
	}
	for _, e := range difference.Added {
		if _, known := entries[e.IP]; known {
			return wrong("must add only IPs that are not there", e.IP)
		}
		entries[e.IP] = e
	}
	result := Document{Version: difference.NewVersion, Stack: d.Stack, Serial: difference.NewSerial, ValidFrom: difference.ValidFrom}
	for _, e := range entries {
		result.Entries = append(result.Entries, e)
	}
	result.normalize()
	return result, result.Validate()
}

// Replay applies a changelog from where this document is in it.
func (d Document) Replay(log Changelog) (Document, error) {
	for _, difference := range log.Changes {
		if difference.NewSerial <= d.Serial {
			continue
		}
		var err error
		if d, err = d.Apply(difference); err != nil {
			return Document{}, err
		}
	}
	return d, nil
}
