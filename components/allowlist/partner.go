package allowlist

import (
	"fmt"
	"slices"
	"time"

	"github.com/sallyport/sallyport/internal/problem"
)

// Partners returns all partners that occur in the document, sorted.
func (d Document) Partners() []string {
	partners := []string{}
	for _, e := range d.Entries {
		partners = append(partners, e.Partners...)
	}
	slices.Sort(partners)
	return slices.Compact(partners)
}

// ForPartner returns the part of the document that concerns one partner: the IPs that serve it, and the headroom (not yet in
// use, serving nobody) of the kinds that do. Other partners are not named in it. An unknown partner is an error, because an
// empty list would read as "nothing to list".
func (d Document) ForPartner(partner string) (Document, error) {
	kinds := map[Kind]bool{}
	for _, e := range d.Entries {
		if slices.Contains(e.Partners, partner) {
			kinds[e.Kind] = true
		}
	}
	if len(kinds) == 0 {
		known := d.Partners()
		p := problem.Problem{Place: "partner", Rule: "must be one that the list serves", Value: fmt.Sprintf("%q", partner)}
		if len(known) > 0 {
			p.Remedy = problem.Suggestion(partner, known)
		}
		return Document{}, p
	}
	entries := []Entry{}
	for _, e := range d.Entries {
		headroom := len(e.Partners) == 0 && (e.State == StateReserved || e.State == StateAnnounced) && kinds[e.Kind]
		if headroom || slices.Contains(e.Partners, partner) {
			e.Partners = []string{partner}
			e.Told, e.Confirmed = only(e.Told, partner), only(e.Confirmed, partner)
			entries = append(entries, e)
		}
	}
	d.Entries = entries
	return d, nil
}

// only is what a map says of one partner.
func only(dates map[string]time.Time, partner string) map[string]time.Time {
	if date, known := dates[partner]; known {
		return map[string]time.Time{partner: date}
	}
	return nil
}
