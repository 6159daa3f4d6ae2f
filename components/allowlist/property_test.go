package allowlist

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// partnerModel is a partner who does the least that was agreed: lists an IP on the last day of its notice unless it confirmed
// earlier, and removes it on the first day on which a document calls it retired or has it no more.
type partnerModel struct {
	told map[string]time.Time // by address, from documents that were handed out
	list map[string]bool
}

// world is a stack, its partners, and what really carries traffic. Updates crash at any point.
type world struct {
	t         *testing.T
	r         *rand.Rand
	in        Input
	ips       map[string]netip.Addr
	documents []Document
	partners  map[string]*partnerModel
	attached  map[string][]string // address -> partners who see it
	log       []string
}

const universe = 6 // places of each kind that a plan may have

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, r: rand.New(rand.NewPCG(seed, 7)), ips: map[string]netip.Addr{}, attached: map[string][]string{}}
	w.in = Input{
		Now: newYear, Reserve: map[Kind]int{}, Partners: map[Kind][]string{KindNat: {"bank", "shop"}, KindProxy: {"bank"}},
		Rules: Rules{
			Notice: map[string]time.Duration{DefaultNotice: 14 * 24 * time.Hour, "shop": 5 * 24 * time.Hour},
			Drain:  7 * 24 * time.Hour, Records: map[string]Record{}, Place: "ips", Wait: seed%3 == 0,
		},
	}
	w.partners = map[string]*partnerModel{}
	for _, name := range []string{"bank", "shop"} {
		w.partners[name] = &partnerModel{told: map[string]time.Time{}, list: map[string]bool{}}
	}
	w.replan()
	return w
}

func (w *world) say(format string, args ...any) {
	w.log = append(w.log, day(w.in.Now)+" "+fmt.Sprintf(format, args...))
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("%s\n%s", fmt.Sprintf(format, args...), strings.Join(w.log, "\n"))
}

// replan chooses places at random; slots of either kind come and go.
func (w *world) replan() {
	w.in.Places = nil
	for n := 1; n <= universe; n++ {
		for _, kind := range []Kind{KindNat, KindProxy} {
			if n == 1 || w.r.IntN(2) == 0 {
				w.in.Places = append(w.in.Places, Place{Name: fmt.Sprintf("%s-%d", kind, n), Kind: kind, Partners: w.in.Partners[kind]})
			}
		}
	}
	w.in.Reserve = map[Kind]int{KindNat: w.r.IntN(3), KindProxy: w.r.IntN(2)}
}

func (w *world) latest() *Document {
	if len(w.documents) == 0 {
		return nil
	}
	return &w.documents[len(w.documents)-1]
}

// derive derives; records that are refused are taken out of the stack file, as the messages say, until it succeeds.
func (w *world) derive() []Life {
	w.in.Previous = w.latest()
	for range 50 {
		lives, err := Derive(w.in)
		if err == nil {
			return lives
		}
		w.say("refused: %v", err)
		before := len(w.in.Rules.Records)
		for name := range w.in.Rules.Records {
			if strings.Contains(err.Error(), "ips."+name+".") || strings.Contains(err.Error(), "ips."+name+":") {
				delete(w.in.Rules.Records, name)
			}
		}
		if len(w.in.Rules.Records) == before {
			w.fail("a refusal names no record: %v", err)
		}
	}
	w.fail("no way out of refusals")
	return nil
}

// up is an update. One that crashes has attached and detached some of what it wanted, and handed out nothing.
func (w *world) up(crash bool) {
	before := map[string]Life{}
	if w.latest() != nil {
		before = w.latest().Lives(w.in.Now)
	}
	lives := w.derive()
	w.checkPlaces(lives, before)
	wanted := map[string][]string{}
	for _, l := range lives {
		if l.Usable() {
			wanted[l.Name] = l.Partners
		}
	}
	founding := w.latest() == nil
	if crash {
		w.say("up crashes")
		for name := range maps.Keys(merged(wanted, w.attached)) {
			if w.r.IntN(2) == 0 {
				continue
			}
			if partners, wants := wanted[name]; wants {
				w.attached[name] = partners
			} else {
				delete(w.attached, name)
			}
		}
		if founding { // no partner has a list, and nothing was handed out: there is nothing to hold against it
			w.attached = map[string][]string{}
		}
		return
	}
	w.attached = wanted
	w.publish(lives, founding && !w.in.Rules.Wait)
}

func merged(a, b map[string][]string) map[string][]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// checkPlaces looks at what an update is going to do.
func (w *world) checkPlaces(lives []Life, before map[string]Life) {
	serving := map[string]Life{}
	for _, l := range lives {
		if l.Place == "" {
			continue
		}
		if other, twice := serving[l.Place]; twice {
			w.fail("%s and %s serve %s", other.Name, l.Name, l.Place)
		}
		serving[l.Place] = l
	}
	for _, p := range w.in.Places {
		if serving[p.Name].Name == "" {
			w.fail("%s has no address", p.Name)
		}
	}
	names := map[string]bool{}
	for _, l := range lives {
		names[l.Name] = true
	}
	for name, l := range before {
		if l.State == StateActive && serving[l.Place].Name != "" && !serving[l.Place].Usable() {
			w.fail("%s loses its way out: %s was active, %s is %s", l.Place, name, serving[l.Place].Name, serving[l.Place].State)
		}
		if !names[name] && l.State != StateRetired {
			w.fail("%s is dropped while %s", name, l.State)
		}
	}
	for name := range w.attached {
		if !names[name] {
			w.fail("%s is dropped while it carries traffic", name)
		}
	}
}

// publish hands out a document, and the partners take note.
func (w *world) publish(lives []Life, founding bool) {
	var entries []Entry
	for _, l := range lives {
		if l.Release {
			continue
		}
		if !w.ips[l.Name].IsValid() {
			w.ips[l.Name] = netip.AddrFrom4([4]byte{198, 51, 100, byte(len(w.ips) + 1)})
		}
		entries = append(entries, l.EntryOf("aws", "eu-west-1", w.ips[l.Name]))
	}
	d, err := Next(w.latest(), "prod", entries, w.in.Now)
	if err != nil {
		w.fail("%v", err)
	}
	if before := w.latest(); before != nil {
		if changed := !Diff(*before, d).Empty(); changed != (d.Serial > before.Serial) || d.Serial < before.Serial {
			w.fail("serial %d -> %d, changed %v", before.Serial, d.Serial, changed)
		}
	}
	if before := w.latest(); before != nil {
		for _, e := range Diff(*before, d).Removed {
			if e.State != StateRetired {
				w.fail("%s leaves the document while %s", e.address(), e.State)
			}
		}
	}
	w.say("up hands out serial %d", d.Serial)
	if w.latest() == nil || d.Serial != w.latest().Serial {
		w.documents = append(w.documents, d)
	}
	for name, partner := range w.partners {
		view, err := d.ForPartner(name)
		if err != nil {
			w.fail("%v", err)
		}
		listed := map[string]bool{}
		for _, e := range view.Listed().Entries {
			listed[e.address()] = true
			if _, known := partner.told[e.address()]; !known {
				partner.told[e.address()] = w.in.Now
				partner.list[e.address()] = founding // they are told before their first traffic
			}
		}
		maps.DeleteFunc(partner.told, func(address string, _ time.Time) bool { return !listed[address] })
		maps.DeleteFunc(partner.list, func(address string, _ bool) bool { return !listed[address] })
	}
}

// pass lets days go by; partners list what they have to when their notice is over.
func (w *world) pass(days int) {
	w.in.Now = w.in.Now.AddDate(0, 0, days)
	for name, partner := range w.partners {
		for address, told := range partner.told {
			if !told.Add(w.in.Rules.NoticeOf(name)).After(w.in.Now) {
				partner.list[address] = true
			}
		}
	}
}

// act is a random step of an operator, mostly an illegal one, or a slip of the pen in the stack file.
func (w *world) act() {
	d := w.latest()
	if d == nil {
		return
	}
	e := d.Entries[w.r.IntN(len(d.Entries))]
	name := e.address()
	record := w.in.Rules.Records[name]
	if w.r.IntN(4) == 0 {
		slips := []Record{{Active: w.in.Now}, {Draining: w.in.Now}, {Retired: w.in.Now}, {Released: w.in.Now}, {Slot: "nat-2"}, {Draining: w.in.Now.AddDate(0, 0, 9)}}
		w.in.Rules.Records[name] = slips[w.r.IntN(len(slips))]
		w.say("slip: %s %+v", name, w.in.Rules.Records[name])
		return
	}
	actions := []Action{ActionAnnounce, ActionConfirm, ActionConfirm, ActionConfirm, ActionActivate, ActionDrain, ActionRetire, ActionRelease}
	step := Step{Action: actions[w.r.IntN(len(actions))], Target: e.IP.String(), Partner: []string{"bank", "shop"}[w.r.IntN(2)]}
	transition, err := d.Step(step, w.in.Rules, w.in.Now)
	if err != nil {
		return
	}
	w.say("%s %s %s: %s", step.Action, name, step.Partner, transition.Effect)
	for _, f := range transition.Fields {
		date, _ := time.Parse(DateFormat, f.Value)
		switch f.Path[0] {
		case "announced":
			record.Announced = date
		case "active":
			record.Active = date
		case "draining":
			record.Draining = date
		case "retired":
			record.Retired = date
		case "released":
			record.Released = date
		case "slot":
			record.Slot = f.Value
		case "confirmed":
			record.Confirmed = maps.Clone(record.Confirmed)
			if record.Confirmed == nil {
				record.Confirmed = map[string]time.Time{}
			}
			record.Confirmed[f.Path[1]] = date
			w.partners[f.Path[1]].list[name] = true // it did what it says
		}
	}
	w.in.Rules.Records[name] = record
}

// checkPartners is the promise: whoever sees an IP has it on its list.
func (w *world) checkPartners() {
	for name, partners := range w.attached {
		for _, partner := range partners {
			if !w.partners[partner].list[name] {
				w.fail("%s sees %s and does not list it (told %s)", partner, name, date(w.partners[partner].told[name]))
			}
		}
	}
}

func TestNoPartnerEverSeesAnIPThatItDoesNotList(t *testing.T) {
	worlds := 200
	if testing.Short() {
		worlds = 60
	}
	handedOut, taken := 0, map[State]int{}
	for seed := range uint64(worlds) {
		w := newWorld(t, seed)
		for range 80 {
			switch w.r.IntN(9) {
			case 0:
				w.replan()
				w.say("plan %v, reserve %v", w.in.Places, w.in.Reserve)
			case 1, 2, 3:
				w.act()
			case 4, 5:
				w.pass(w.r.IntN(9))
			case 6:
				w.up(true)
			default:
				w.up(false)
			}
			w.checkPartners()
		}
		for i, d := range w.documents {
			if i == 0 {
				continue
			}
			if d.Serial <= w.documents[i-1].Serial {
				w.fail("serial %d after %d", d.Serial, w.documents[i-1].Serial)
			}
		}
		if len(w.documents) > 1 {
			log, err := ChangelogOf(w.documents...)
			if err != nil {
				w.fail("%v", err)
			}
			from := w.documents[w.r.IntN(len(w.documents))]
			replayed, err := from.Replay(log)
			if err != nil || rendered(t, replayed, FormatJSON) != rendered(t, *w.latest(), FormatJSON) {
				w.fail("the changelog leads elsewhere: %v", err)
			}
		}
		handedOut += len(w.documents)
		for _, d := range w.documents {
			for _, e := range d.Entries {
				taken[e.State]++
			}
		}
	}
	t.Logf("%d worlds, %d documents, entries by state %v", worlds, handedOut, taken)
	for _, state := range []State{StateReserved, StateAnnounced, StateActive, StateDraining, StateRetired} {
		if taken[state] < worlds {
			t.Errorf("only %d entries were ever %s: the test shows little", taken[state], state)
		}
	}
	if slices.Max([]int{handedOut / worlds, 5}) == 5 {
		t.Errorf("only %d documents in %d worlds", handedOut, worlds)
	}
}
