package allowlist

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// newYear is when the tests' stack is born.
var newYear = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func after(days int) time.Time { return newYear.AddDate(0, 0, days) }

// bench is a stack in miniature: what it wants now, and what it handed out last.
type bench struct {
	t        *testing.T
	in       Input
	ips      map[string]netip.Addr
	document *Document
}

func newBench(t *testing.T, places ...string) *bench {
	b := &bench{t: t, ips: map[string]netip.Addr{}}
	b.in = Input{
		Rules: Rules{
			Notice: map[string]time.Duration{DefaultNotice: 14 * 24 * time.Hour}, Drain: 7 * 24 * time.Hour,
			Records: map[string]Record{}, Place: "ips",
		},
		Partners: map[Kind][]string{KindNat: {"bank", "shop"}, KindProxy: {"bank"}},
		Reserve:  map[Kind]int{},
	}
	b.plan(places...)
	return b
}

// plan says which places there are.
func (b *bench) plan(places ...string) {
	b.in.Places = nil
	for _, name := range places {
		kind := KindNat
		if strings.HasPrefix(name, "proxy") {
			kind = KindProxy
		}
		b.in.Places = append(b.in.Places, Place{Name: name, Kind: kind, Partners: b.in.Partners[kind]})
	}
}

// derive derives on a day and does not hand out the result.
func (b *bench) derive(day int) ([]Life, error) {
	b.in.Now, b.in.Previous = after(day), b.document
	return Derive(b.in)
}

// up derives on a day and hands out the document.
func (b *bench) up(day int) {
	b.t.Helper()
	lives, err := b.derive(day)
	if err != nil {
		b.t.Fatalf("day %d: %v", day, err)
	}
	var entries []Entry
	for _, l := range lives {
		if l.Release {
			continue
		}
		if !b.ips[l.Name].IsValid() {
			b.ips[l.Name] = netip.AddrFrom4([4]byte{198, 51, 100, byte(len(b.ips) + 1)})
		}
		entries = append(entries, l.EntryOf("aws", "eu-west-1", b.ips[l.Name]))
	}
	d, err := Next(b.document, "prod", entries, after(day))
	if err != nil {
		b.t.Fatalf("day %d: %v", day, err)
	}
	b.document = &d
}

// is checks the last document: "<address>[@<slot>] <state>" each.
func (b *bench) is(want ...string) {
	b.t.Helper()
	var got []string
	for _, l := range sortedLives(b.document.Lives(b.in.Now)) {
		text := l.Name
		if l.Slot != l.Name {
			text += "@" + l.Slot
		}
		got = append(got, text+" "+string(l.State))
	}
	if !slices.Equal(got, want) {
		b.t.Errorf("%s:\ngot  %s\nwant %s", day(b.in.Now), strings.Join(got, ", "), strings.Join(want, ", "))
	}
}

func sortedLives(lives map[string]Life) []Life {
	var all []Life
	for _, l := range lives {
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b Life) int { return CompareNames(a.Name, b.Name) })
	return all
}

// refused checks that the stack cannot be derived on a day, for a reason.
func (b *bench) refused(day int, want string) {
	b.t.Helper()
	if _, err := b.derive(day); err == nil || !strings.Contains(err.Error(), want) {
		b.t.Errorf("day %d: got %v, want %s", day, err, want)
	}
}

func TestTheFirstDeploymentCarriesTrafficAtOnce(t *testing.T) {
	b := newBench(t, "nat-1", "proxy-a-1-1")
	b.in.Reserve = map[Kind]int{KindNat: 1}
	b.up(0)
	b.is("nat-1 active", "nat-reserve-1 reserved", "proxy-a-1-1 active")
	serial := b.document.Serial
	b.up(3)
	if b.document.Serial != serial || !b.document.ValidFrom.Equal(newYear) {
		t.Errorf("nothing changed, and serial %d became %d, valid from %s", serial, b.document.Serial, b.document.ValidFrom)
	}
}

func TestTheFirstDeploymentWaitsWhenAsked(t *testing.T) {
	b := newBench(t, "nat-1")
	b.in.Rules.Wait = true
	b.up(0)
	b.is("nat-1 announced")
	if e := b.document.Entries[0]; !e.Dates.Expected.Equal(after(14)) || !e.Dates.Announced.Equal(newYear) {
		t.Errorf("%+v", e.Dates)
	}
	b.up(13)
	b.is("nat-1 announced")
	b.up(14)
	b.is("nat-1 active")
}

func TestWithoutNoticeIPsCarryTrafficAtOnce(t *testing.T) {
	b := newBench(t, "nat-1")
	b.in.Rules.Notice = nil
	b.up(0)
	b.plan("nat-1", "nat-2")
	b.up(1)
	b.is("nat-1 active", "nat-2 active")
}

func TestAnIPAddedLaterWaitsForEveryPartner(t *testing.T) {
	b := newBench(t, "nat-1")
	b.in.Rules.Notice["shop"] = 30 * 24 * time.Hour
	b.up(0)
	b.plan("nat-1", "nat-2")
	b.up(10)
	b.is("nat-1 active", "nat-2 announced")
	b.up(24) // the bank's notice is over, the shop's is not
	b.is("nat-1 active", "nat-2 announced")
	b.in.Rules.Records["nat-2"] = Record{Confirmed: map[string]time.Time{"shop": after(25)}}
	b.up(25)
	b.is("nat-1 active", "nat-2 active")
	if e := b.document.Entries[1]; !e.Dates.Active.Equal(after(25)) || !e.Told["bank"].Equal(after(10)) || !e.Confirmed["shop"].Equal(after(25)) {
		t.Errorf("%+v", e)
	}
}

func TestConfirmationsOfAllEndTheNotice(t *testing.T) {
	b := newBench(t, "nat-1")
	b.up(0)
	b.plan("nat-1", "nat-2")
	b.up(10)
	b.in.Rules.Records["nat-2"] = Record{Confirmed: map[string]time.Time{"shop": after(11)}}
	b.up(11)
	b.is("nat-1 active", "nat-2 announced")
	b.in.Rules.Records["nat-2"].Confirmed["bank"] = after(12)
	b.up(12)
	b.is("nat-1 active", "nat-2 active")
}

func TestAnIPStaysActiveWhateverElseChanges(t *testing.T) {
	b := newBench(t, "nat-1")
	b.up(0)
	b.in.Rules.Notice[DefaultNotice] = 300 * 24 * time.Hour
	b.in.Partners[KindNat] = []string{"bank", "newcomer"}
	b.plan("nat-1")
	b.in.Rules.Wait = true
	b.up(1)
	b.is("nat-1 active")
	if e := b.document.Entries[0]; !e.Told["newcomer"].Equal(after(1)) || !e.Told["bank"].Equal(newYear) {
		t.Errorf("told %v", e.Told)
	}
}

func TestGrowthTakesHeadroomThatPartnersList(t *testing.T) {
	b := newBench(t, "nat-1")
	b.in.Reserve[KindNat] = 1
	b.up(0)
	b.plan("nat-1", "nat-2")
	b.up(20)
	b.is("nat-1 active", "nat-reserve-1@nat-2 active", "nat-reserve-2 reserved")
	b.up(21)
	b.is("nat-1 active", "nat-reserve-1@nat-2 active", "nat-reserve-2 reserved")
	// The headroom of day 20 is nearer to its end of notice than a new IP would be.
	b.plan("nat-1", "nat-2", "nat-3")
	b.up(22)
	b.is("nat-1 active", "nat-reserve-1@nat-2 active", "nat-reserve-2@nat-3 announced", "nat-reserve-3 reserved")
	b.up(34)
	b.is("nat-1 active", "nat-reserve-1@nat-2 active", "nat-reserve-2@nat-3 active", "nat-reserve-3 reserved")
}

func TestARemovedSlotsIPDrainsAndRetires(t *testing.T) {
	b := newBench(t, "nat-a-1", "nat-b-1")
	b.up(0)
	b.plan("nat-a-1")
	b.up(30)
	b.is("nat-a-1 active", "nat-b-1 draining")
	b.up(36)
	b.is("nat-a-1 active", "nat-b-1 draining")
	b.up(37)
	b.is("nat-a-1 active", "nat-b-1 retired")
	b.up(300)
	b.is("nat-a-1 active", "nat-b-1 retired")
}

func TestASlotThatComesBackWhilePartnersStillListItsIPIsActiveAgain(t *testing.T) {
	b := newBench(t, "nat-a-1", "nat-b-1")
	b.up(0)
	b.plan("nat-a-1")
	b.up(30)
	b.plan("nat-a-1", "nat-b-1")
	b.up(35)
	b.is("nat-a-1 active", "nat-b-1 active")
	if e := b.document.Entries[1]; !e.Dates.Draining.IsZero() || !e.Dates.Active.Equal(newYear) {
		t.Errorf("%+v", e.Dates)
	}
}

func TestARetiredIPThatIsNeededAgainIsAnnouncedAnew(t *testing.T) {
	for _, back := range []int{37, 60} { // on the day its drain ends without an update, and long after
		b := newBench(t, "nat-a-1", "nat-b-1")
		b.up(0)
		b.plan("nat-a-1")
		b.up(30)
		if back > 37 {
			b.up(40)
		}
		b.plan("nat-a-1", "nat-b-1")
		b.up(back)
		b.is("nat-a-1 active", "nat-b-1 announced")
		b.up(back + 14)
		b.is("nat-a-1 active", "nat-b-1 active")
	}
}

func TestAnAnnouncedIPWhoseSlotGoesIsHeadroom(t *testing.T) {
	b := newBench(t, "nat-1")
	b.up(0)
	b.plan("nat-1", "nat-2")
	b.up(5)
	b.plan("nat-1")
	b.up(6)
	b.is("nat-1 active", "nat-2 reserved")
	b.plan("nat-1", "nat-2")
	b.up(7)
	b.is("nat-1 active", "nat-2 announced")
	if e := b.document.Entries[1]; !e.Dates.Expected.Equal(after(19)) { // told on day 5, whatever came between
		t.Errorf("%+v", e.Dates)
	}
}

func TestRotationNeedsAnIPThatMayTakeOver(t *testing.T) {
	b := newBench(t, "nat-1")
	b.up(0)
	b.in.Rules.Records["nat-1"] = Record{Draining: after(20)}
	b.refused(20, `ips.nat-1.draining: must wait for an IP that may take over place nat-1, got "2026-01-21"; raise allowlist.reserve`)
	b.in.Rules.Records["nat-1"] = Record{}
	b.in.Reserve[KindNat] = 1
	b.up(20)
	b.in.Rules.Records["nat-1"] = Record{Draining: after(21)}
	b.refused(21, `nat-reserve-1 may take over from 2026-02-04 on`)
	b.in.Rules.Records["nat-1"] = Record{Draining: after(34)}
	b.up(33) // written ahead
	b.is("nat-1 active", "nat-reserve-1 reserved")
	b.up(34)
	b.is("nat-1 draining", "nat-reserve-1@nat-1 active", "nat-reserve-2 reserved")
	b.up(41)
	b.is("nat-1 retired", "nat-reserve-1@nat-1 active", "nat-reserve-2 reserved")
}

// Nobody updated for weeks after the drain was written: the IP carries traffic until the update, so that update cannot call it retired.
func TestAnIPIsNotRetiredInTheUpdateThatTakesItOffTheTraffic(t *testing.T) {
	b := newBench(t, "nat-1")
	b.in.Reserve[KindNat] = 1
	b.up(0)
	b.in.Rules.Records["nat-1"] = Record{Draining: after(20)}
	b.up(90)
	b.is("nat-1 draining", "nat-reserve-1@nat-1 active", "nat-reserve-2 reserved")
	b.up(90)
	b.is("nat-1 retired", "nat-reserve-1@nat-1 active", "nat-reserve-2 reserved")
}

func TestReleaseComesAfterTheDrainAndInTwoUpdates(t *testing.T) {
	b := newBench(t, "nat-1", "nat-2")
	b.up(0)
	b.in.Rules.Records["nat-2"] = Record{Released: after(1)}
	b.refused(1, "ips.nat-2.retired: must wait for an IP")
	b.plan("nat-1")
	b.refused(1, "ips.nat-2.released: must be an IP that the last document calls retired, and this one is draining")
	b.in.Rules.Records["nat-2"] = Record{}
	b.up(1)
	b.in.Rules.Records["nat-2"] = Record{Retired: after(5)}
	b.refused(5, "ips.nat-2.retired: must not come before 2026-01-09, the end of the drain")
	b.in.Rules.Records["nat-2"] = Record{Released: after(8)}
	b.refused(8, "must be an IP that the last document calls retired") // no partner has been told
	b.in.Rules.Records["nat-2"] = Record{}
	b.up(8)
	b.is("nat-1 active", "nat-2 retired")
	b.in.Rules.Records["nat-2"] = Record{Released: after(9)}
	lives, err := b.derive(9)
	if err != nil || len(lives) != 2 || !lives[1].Release || lives[0].Release {
		t.Fatalf("%v, %+v", err, lives)
	}
	b.up(9)
	b.is("nat-1 active")
	if lives, err := b.derive(10); err != nil || len(lives) != 1 {
		t.Errorf("%v, %+v", err, lives)
	}
	b.plan("nat-1", "nat-2")
	b.up(10) // a new IP, under another name than the one that is gone
	b.is("nat-1 active", "nat-reserve-1@nat-2 announced")
}

func TestHeadroomMayRetireAtOnce(t *testing.T) {
	b := newBench(t, "nat-1")
	b.in.Reserve[KindNat] = 2
	b.up(0)
	b.in.Reserve[KindNat] = 1
	b.up(1)
	b.is("nat-1 active", "nat-reserve-1 reserved", "nat-reserve-2 reserved") // nobody gives an IP away by a smaller number
	b.in.Rules.Records["nat-reserve-2"] = Record{Retired: after(2)}
	b.up(2)
	b.is("nat-1 active", "nat-reserve-1 reserved", "nat-reserve-2 retired")
}

func TestRecordsThatComeTooEarlyOrNameNothingAreRefusedAllAtOnce(t *testing.T) {
	b := newBench(t, "nat-1")
	b.up(0)
	b.plan("nat-1", "nat-2")
	b.up(1)
	b.in.Rules.Records = map[string]Record{
		"nat-2":         {Active: after(2), Announced: after(9), Confirmed: map[string]time.Time{"bank": after(30)}},
		"nat-3":         {Draining: after(2)},
		"nat-reserve-1": {Slot: "nat-7"},
	}
	_, err := b.derive(2)
	want := []string{
		`ips.nat-3: must be an address of the stack; did you mean "nat-1"?`,
		`ips.nat-reserve-1.slot: must be a place that the plan has, got "nat-7"; did you mean "nat-1"?`,
		`ips.nat-2.confirmed.bank: must not lie in the future, got "2026-01-31"; record it when the partner has confirmed`,
		`ips.nat-2.announced: must not lie in the future, got "2026-01-10"; record it when the partners were told`,
		`ips.nat-2.active: must not come before 2026-01-31, when partners bank and shop had the notice, got "2026-01-03"; wait, or let them confirm`,
	}
	if err == nil || err.Error() != strings.Join(want, "\n") {
		t.Errorf("got\n%v\nwant\n%s", err, strings.Join(want, "\n"))
	}
}

func TestAnIPCanBeHeldBackAndAnnouncedByHand(t *testing.T) {
	b := newBench(t, "nat-1")
	b.in.Reserve[KindNat] = 1
	b.up(0)
	b.plan("nat-1", "nat-2")
	b.in.Rules.Records["nat-reserve-1"] = Record{Active: after(40)}
	b.up(20)
	b.is("nat-1 active", "nat-reserve-1@nat-2 announced", "nat-reserve-2 reserved")
	b.in.Rules.Records["nat-reserve-1"] = Record{Announced: after(30)} // told by mail on day 30 only
	b.up(31)
	b.is("nat-1 active", "nat-reserve-1@nat-2 announced", "nat-reserve-2 reserved")
	if got := b.document.Lives(b.in.Now)["nat-reserve-1"].Dates.Announced; !got.Equal(after(30)) {
		t.Errorf("announced %s", got)
	}
	b.up(44)
	b.is("nat-1 active", "nat-reserve-1@nat-2 active", "nat-reserve-2 reserved")
}

func TestARecordChoosesTheHeadroomForASlot(t *testing.T) {
	b := newBench(t, "nat-1")
	b.in.Reserve[KindNat] = 2
	b.up(0)
	b.plan("nat-1", "nat-2")
	b.in.Rules.Records["nat-reserve-2"] = Record{Slot: "nat-2"}
	b.up(20)
	b.is("nat-1 active", "nat-reserve-1 reserved", "nat-reserve-2@nat-2 active", "nat-reserve-3 reserved")
}

func TestALostDocumentCutsNobodyOff(t *testing.T) {
	b := newBench(t, "nat-1", "nat-2")
	b.in.Rules.Records["nat-reserve-1"] = Record{Slot: "nat-1"}
	b.in.Rules.Records["nat-1"] = Record{Draining: after(39)}
	b.up(40)
	b.is("nat-1 draining", "nat-2 active", "nat-reserve-1@nat-1 active")
}

func TestADocumentOfVersion1Continues(t *testing.T) {
	b := newBench(t, "nat-1", "nat-2")
	b.document = &Document{Version: 1, Stack: "prod", Serial: 5, Entries: []Entry{
		{IP: netip.MustParseAddr("198.51.100.200"), Cloud: "aws", Region: "eu-west-1", Kind: KindNat, Slot: "nat-1", State: StateActive, Partners: []string{"bank", "shop"}},
		{IP: netip.MustParseAddr("198.51.100.201"), Cloud: "aws", Region: "eu-west-1", Kind: KindNat, Slot: "nat-2", State: StateReserved, Partners: []string{"bank", "shop"}},
	}}
	b.ips["nat-1"], b.ips["nat-2"] = netip.MustParseAddr("198.51.100.200"), netip.MustParseAddr("198.51.100.201")
	b.up(100)
	b.is("nat-1 active", "nat-2 announced")
	if b.document.Serial <= 5 || b.document.Version != 2 {
		t.Errorf("%+v", b.document)
	}
}

func TestAPlaceAlwaysHasAnAddressAndNamesAreOrdered(t *testing.T) {
	var places []string
	for n := 1; n <= 12; n++ {
		places = append(places, fmt.Sprintf("nat-%d", n))
	}
	b := newBench(t, places...)
	lives, err := b.derive(0)
	if err != nil || len(lives) != 12 || lives[1].Name != "nat-2" || lives[11].Name != "nat-12" {
		t.Errorf("%v, %+v", err, lives)
	}
}

func TestPeriodsAndDates(t *testing.T) {
	for text, want := range map[string]time.Duration{"0": 0, "14d": 336 * time.Hour, "2w": 336 * time.Hour, "36h": 36 * time.Hour, "90m": 90 * time.Minute, "1s": time.Second, "3660d": maxPeriod} {
		if got, err := ParsePeriod(text); err != nil || got != want {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "d", "14", "-1d", "+1d", "1.5d", "14 d", "1y", "3661d", "99999999w", "14D"} {
		if got, err := ParsePeriod(text); err == nil {
			t.Errorf("%q was read as %s", text, got)
		}
	}
	for text, want := range map[string]string{"2026-01-31": "2026-01-31T00:00:00Z", "2026-01-31T02:00:00+02:00": "2026-01-31T00:00:00Z", "2026-01-31 00:00:00 +0000 UTC": "2026-01-31T00:00:00Z", "2026-01-31 02:00:00 +0200 +0200": "2026-01-31T00:00:00Z"} {
		if got, err := ParseDate(text); err != nil || got.Format(time.RFC3339) != want {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "2026", "31.1.2026", "2026-02-30", "tomorrow"} {
		if got, err := ParseDate(text); err == nil {
			t.Errorf("%q was read as %s", text, got)
		}
	}
}
