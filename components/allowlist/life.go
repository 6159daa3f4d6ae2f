package allowlist

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// DefaultNotice is the key of [Rules.Notice] for every partner without a period of its own.
const DefaultNotice = "default"

// Rules are what a stack says about the life of its IPs.
type Rules struct {
	// Notice is how long a partner may take to list an IP, by partner; [DefaultNotice] is for all others. Empty means that IPs
	// carry traffic as soon as they exist.
	Notice map[string]time.Duration
	// Drain is how long an IP that is no longer used stays on the partners' lists.
	Drain time.Duration
	// Wait says that even the IPs of a first deployment wait for notice or confirmation.
	Wait bool
	// Records are what people did to an IP, by the name of its address.
	Records map[string]Record
	// Place is where Records are written, in front of messages, for example "sallyport:allowlist.ips".
	Place string
}

// NoticeOf is the notice period of a partner.
func (r Rules) NoticeOf(partner string) time.Duration {
	if period, own := r.Notice[partner]; own {
		return period
	}
	return r.Notice[DefaultNotice]
}

// Record is what people did to an IP. Zero times stand for what nobody did.
type Record struct {
	Slot      string               // the place that a headroom address shall serve
	Announced time.Time            // partners were told; restarts the notice
	Confirmed map[string]time.Time // by partner
	Active    time.Time            // not before; by itself it never lets an IP carry traffic too early
	Draining  time.Time            // from then on another address serves the place
	Retired   time.Time            // earlier than the end of the drain only if it never was active
	Released  time.Time            // given back to the cloud
}

// Place is where a public IP is used: a slot of a NAT or one of the IPs of a proxy. The plan decides which places there are.
type Place struct {
	Name     string // unique, for example "nat-a-1" or "proxy-a-1-1"
	Kind     Kind
	Zone     string   // empty for a NAT that serves all zones
	Partners []string // those whose destinations leave through it
}

// Life is an address with what is known of it. An address is what a cloud allocates: its name never changes. It is named after
// the place that it first served, or as headroom, "<kind>-reserve-<number>".
type Life struct {
	Name      string
	Kind      Kind
	Zone      string
	Place     string // the place it serves, with or without traffic; empty for headroom and for what went out of use
	Slot      string // Place, or the place it served last, or its own name
	State     State
	Dates     Dates
	Partners  []string             // those it concerns, sorted
	Told      map[string]time.Time // when a document had it first for a partner
	Confirmed map[string]time.Time // by partner
	// Release says that the address is declared for the last time, without protection, so that the next update can drop it.
	Release bool
}

// Usable reports whether the address may carry traffic.
func (l Life) Usable() bool { return l.Place != "" && l.State == StateActive }

// Ready is when every partner that the address concerns has confirmed it or has had its notice.
func (l Life) Ready(rules Rules) time.Time {
	var ready time.Time
	for _, partner := range l.Partners {
		ready = latest(ready, l.readyFor(partner, rules))
	}
	return ready
}

func (l Life) readyFor(partner string, rules Rules) time.Time {
	if confirmed := l.Confirmed[partner]; !confirmed.IsZero() {
		return confirmed
	}
	told := latest(l.Told[partner], rules.Records[l.Name].Announced)
	return told.Add(rules.NoticeOf(partner))
}

// Waiting are the partners that keep the address from carrying traffic at a time, sorted.
func (l Life) Waiting(rules Rules, now time.Time) []string {
	var partners []string
	for _, partner := range l.Partners {
		if l.readyFor(partner, rules).After(now) {
			partners = append(partners, partner)
		}
	}
	return partners
}

// address is the name of the address that has an entry's IP.
func (e Entry) address() string { return cmp.Or(e.Address, e.Slot) }

// life is what a document says of an address. Documents of version 1 have no dates: what was listed in one was listed when it
// was made.
func (d Document) life(e Entry, now time.Time) Life {
	l := Life{
		Name: e.address(), Kind: e.Kind, Zone: e.Zone, Slot: e.Slot, State: e.State, Dates: e.Dates,
		Partners: slices.Clone(e.Partners), Told: maps.Clone(e.Told), Confirmed: maps.Clone(e.Confirmed),
	}
	l.Dates.Expected = time.Time{}
	l.Dates.Listed = first(l.Dates.Listed, d.ValidFrom, now)
	switch l.State {
	case StateActive:
		l.Dates.Active = first(l.Dates.Active, l.Dates.Listed)
	case StateDraining:
		l.Dates.Draining = first(l.Dates.Draining, l.Dates.Listed)
	case StateRetired:
		l.Dates.Retired = first(l.Dates.Retired, l.Dates.Listed)
	}
	if l.State == StateActive || l.State == StateAnnounced {
		l.Place = l.Slot
	}
	return l
}

// Lives are the addresses of a document, by name. Now stands for the dates that an older document does not have.
func (d Document) Lives(now time.Time) map[string]Life {
	lives := make(map[string]Life, len(d.Entries))
	for _, e := range d.Entries {
		l := d.life(e, now)
		lives[l.Name] = l
	}
	return lives
}

// EntryOf is an address as it goes into a document. The region is empty in stack local.
func (l Life) EntryOf(cloud, region string, ip netip.Addr) Entry {
	e := Entry{
		IP: ip, Cloud: cloud, Region: region, Zone: l.Zone, Kind: l.Kind, Slot: l.Slot, State: l.State, Dates: l.Dates,
		Partners: l.Partners, Told: l.Told, Confirmed: l.Confirmed,
	}
	if l.Name != l.Slot {
		e.Address = l.Name
	}
	return e
}

// Next makes the document that follows a previous one, nil if there was none: with the previous serial if nothing changed, else
// with a higher one, which is the time in Unix seconds, so that serials rise even where the previous document was lost.
func Next(previous *Document, stack string, entries []Entry, now time.Time) (Document, error) {
	var before uint64
	if previous != nil {
		before = previous.Serial
	}
	serial := uint64(1)
	if now.Unix() > 0 {
		serial = uint64(now.Unix())
	}
	d, err := Build(stack, max(serial, before+1), entries)
	if err != nil {
		return Document{}, err
	}
	d.ValidFrom = now
	if previous != nil && previous.Version == d.Version && previous.Stack == stack && Diff(*previous, d).Empty() {
		d.Serial, d.ValidFrom = previous.Serial, previous.ValidFrom
	}
	return d, nil
}

// CompareNames orders addresses: "nat-2" comes before "nat-10".
func CompareNames(a, b string) int {
	headA, headB := strings.TrimRight(a, "0123456789"), strings.TrimRight(b, "0123456789")
	return cmp.Or(cmp.Compare(headA, headB), cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}
