// Package allowlist is the document that partners put on their allow lists: every public IP the cluster may come from, with
// its owner and its state, so that an IP is announced before it carries traffic and withdrawn only after it stopped.
//
// A list with a hole is worse than none, because a partner who enforces it cuts us off: [Build] withholds a document that is
// known to be incomplete ([ErrIncomplete]).
package allowlist

import (
	"net/netip"
	"slices"
	"time"
)

// Version is the format written by this release. Documents of version 1, which have no dates, are read too.
const Version = 2

// Kind says what owns an IP.
type Kind string

// The kinds.
const (
	KindNat   Kind = "nat"
	KindProxy Kind = "proxy"
)

// State is where an IP is in its life.
type State string

// The states, in order. Partners list an IP in every state but the last.
const (
	StateReserved  State = "reserved"  // allocated as headroom; partners list it so that growth needs no new round
	StateAnnounced State = "announced" // coming into use, no traffic yet
	StateActive    State = "active"    // may carry traffic
	StateDraining  State = "draining"  // no new connections, existing ones finish
	StateRetired   State = "retired"   // carries nothing; partners may remove it
)

// Listed reports whether partners have to list an IP in this state.
func (s State) Listed() bool { return s != StateRetired }

// Entry is one public IP.
type Entry struct {
	IP     netip.Addr `json:"ip"`
	Cloud  string     `json:"cloud"`  // local, aws, gcp
	Region string     `json:"region"` // empty in stack local
	Zone   string     `json:"zone,omitempty"`
	Kind   Kind       `json:"kind"`
	Slot   string     `json:"slot"` // what the IP serves or served last, for example "proxy-a-1-1"; stable
	// Address names what the cloud allocated, if it is not named after the slot: headroom that came into use, for example
	// "nat-reserve-1". Empty if it is.
	Address string `json:"address,omitempty"`
	State   State  `json:"state"`
	// Partners are those whose destinations this IP serves, sorted. Empty if it serves none yet.
	Partners []string `json:"partners"`
	// Dates are the turning points of the IP's life. Zero in documents of version 1.
	Dates Dates `json:"dates,omitzero"`
	// Told is when a document had the IP first for each partner. Empty in documents of version 1.
	Told map[string]time.Time `json:"told,omitempty"`
	// Confirmed is when each partner said that it lists the IP. Partners who did not are left out.
	Confirmed map[string]time.Time `json:"confirmed,omitempty"`
}

// Document is what is handed out. Entries are sorted by IP.
type Document struct {
	Version int    `json:"version"`
	Stack   string `json:"stack"`
	Serial  uint64 `json:"serial"` // rises with every change of the entries; at least 1
	// ValidFrom is when the entries became what they are. Zero in documents of version 1.
	ValidFrom time.Time `json:"validFrom,omitzero"`
	Entries   []Entry   `json:"entries"`
}

// Build makes a document of entries in any order. It returns [ErrIncomplete], among all other problems, if an IP is missing or
// occurs twice, or if there is none.
func Build(stack string, serial uint64, entries []Entry) (Document, error) {
	d := Document{Version: Version, Stack: stack, Serial: serial, Entries: slices.Clone(entries)}
	d.normalize()
	if err := d.Validate(); err != nil {
		return Document{}, err
	}
	return d, nil
}

// normalize sorts entries and partners, writes dates in UTC, and lets no list be null. What the entries refer to is copied before it
// is changed.
func (d *Document) normalize() {
	d.ValidFrom = d.ValidFrom.UTC()
	for i := range d.Entries {
		d.Entries[i].normalize()
	}
	slices.SortStableFunc(d.Entries, func(a, b Entry) int { return a.IP.Compare(b.IP) })
	if d.Entries == nil {
		d.Entries = []Entry{}
	}
}

func (e *Entry) normalize() {
	e.Partners = sortedPartners(e.Partners)
	for _, date := range []*time.Time{&e.Dates.Listed, &e.Dates.Announced, &e.Dates.Active, &e.Dates.Draining, &e.Dates.Retired, &e.Dates.Expected} {
		*date = date.UTC()
	}
	for _, dates := range []*map[string]time.Time{&e.Told, &e.Confirmed} {
		var copied map[string]time.Time
		for partner, date := range *dates {
			if copied == nil {
				copied = map[string]time.Time{}
			}
			copied[partner] = date.UTC()
		}
		*dates = copied
	}
}

// Listed returns the document with only those entries that partners have to list.
func (d Document) Listed() Document {
	listed := []Entry{}
	for _, e := range d.Entries {
		if e.State.Listed() {
			listed = append(listed, e)
		}
	}
	d.Entries = listed
	return d
}

// IPs returns the IPs of all entries, ascending.
func (d Document) IPs() []netip.Addr {
	ips := make([]netip.Addr, len(d.Entries))
	for i, e := range d.Entries {
		ips[i] = e.IP
	}
	return ips
}
