package allowlist

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/problem"
)

// Action is what people do in the life of an IP.
type Action string

// The actions, in the order of a life.
const (
	ActionAnnounce Action = "announce" // partners were told, by other means than the document
	ActionConfirm  Action = "confirm"  // a partner says that it lists the IP
	ActionActivate Action = "activate" // let it carry traffic from now on
	ActionDrain    Action = "drain"    // let another IP take over
	ActionRetire   Action = "retire"   // partners may remove it
	ActionRelease  Action = "release"  // give it back to the cloud
)

// Step is one action on one IP.
type Step struct {
	Action  Action
	Target  string // an IP, the name of an address, or the place that it serves
	Partner string // who confirms
	Slot    string // the place that headroom shall serve, with activate; empty: the plan decides
}

// Field is a value of a record in a stack file, for example confirmed.payments.
type Field struct {
	Path  []string `json:"path"` // below the address
	Value string   `json:"value"`
}

// Transition is what a step changes in the stack file, and what follows.
type Transition struct {
	Address string     `json:"address"`
	IP      netip.Addr `json:"ip"`
	From    State      `json:"from"`
	Fields  []Field    `json:"fields"`
	Effect  string     `json:"effect"` // for people
}

// illegal is a step that must not be taken.
func illegal(step Step, l Life, reason, remedy string) error {
	return problem.Problem{Place: fmt.Sprintf("%s %s", step.Action, l.Name), Rule: reason, Remedy: remedy}
}

// Step says what an action changes, from where the document says that an IP is. A step that the rules forbid is a
// [problem.Problem] with the reason and, if it becomes legal by waiting, the first date.
func (d Document) Step(step Step, rules Rules, now time.Time) (Transition, error) {
	e, err := d.find(step.Target)
	if err != nil {
		return Transition{}, err
	}
	l := d.life(e, now)
	for partner, date := range rules.Records[l.Name].Confirmed {
		if l.Confirmed == nil {
			l.Confirmed = map[string]time.Time{}
		}
		l.Confirmed[partner] = date
	}
	s := stepper{document: d, step: step, life: l, rules: rules, now: now}
	take, known := map[Action]func() ([]Field, string, error){
		ActionAnnounce: s.announce, ActionConfirm: s.confirm, ActionActivate: s.activate,
		ActionDrain: s.drain, ActionRetire: s.retire, ActionRelease: s.release,
	}[step.Action]
	if !known {
		return Transition{}, problem.Problem{Place: "action", Rule: "is unknown", Value: string(step.Action)}
	}
	fields, effect, err := take()
	return Transition{Address: l.Name, IP: e.IP, From: l.State, Fields: fields, Effect: effect}, err
}

// find returns the entry that people mean by an IP, an address or a place.
func (d Document) find(target string) (Entry, error) {
	var found, others []Entry
	ip, _ := netip.ParseAddr(target)
	var words []string
	for _, e := range d.Entries {
		switch {
		case ip.IsValid() && e.IP == ip, e.address() == target:
			found = append(found, e)
		case e.Slot == target && (e.State == StateActive || e.State == StateAnnounced):
			others = append(others, e)
		}
		words = append(words, e.address(), e.IP.String())
	}
	if found = append(found, others...); len(found) == 1 {
		return found[0], nil
	}
	p := problem.Problem{Place: "IP", Rule: "must be an IP, an address or a slot of the allow list", Value: fmt.Sprintf("%q", target)}
	if len(found) == 0 {
		p.Remedy = problem.Suggestion(target, words)
		return Entry{}, p
	}
	p.Rule = "must mean one IP"
	var ips []string
	for _, e := range found {
		ips = append(ips, fmt.Sprintf("%s (%s)", e.IP, e.State))
	}
	p.Remedy = "write one of " + strings.Join(ips, ", ")
	return Entry{}, p
}

// stepper takes one step.
type stepper struct {
	document Document
	step     Step
	life     Life
	rules    Rules
	now      time.Time
}

func (s stepper) refuse(reason, remedy string) ([]Field, string, error) {
	return nil, "", illegal(s.step, s.life, reason, remedy)
}

// date is a field with the date of the step.
func (s stepper) date(path ...string) []Field {
	return []Field{{Path: path, Value: s.now.UTC().Format(DateFormat)}}
}

func (s stepper) announce() ([]Field, string, error) {
	switch {
	case s.life.State != StateReserved && s.life.State != StateAnnounced:
		return s.refuse(fmt.Sprintf("must be an IP before its use, this one is %s", s.life.State), "")
	case !s.rules.Records[s.life.Name].Announced.IsZero():
		return s.refuse("must not be done twice, it was announced on "+day(s.rules.Records[s.life.Name].Announced), "")
	}
	told := s.life
	rules := s.rules
	rules.Records = map[string]Record{told.Name: {Announced: s.now}}
	return s.date("announced"), fmt.Sprintf("may carry traffic from %s on, or as soon as %s confirmed",
		day(told.Ready(rules)), listed(told.Waiting(rules, s.now))), nil
}

func (s stepper) confirm() ([]Field, string, error) {
	l := s.life
	if !slices.Contains(l.Partners, s.step.Partner) {
		return nil, "", problem.Problem{Place: "--partner", Rule: "must be a partner whom the IP concerns",
			Value: fmt.Sprintf("%q", s.step.Partner), Remedy: problem.Suggestion(s.step.Partner, l.Partners)}
	}
	if l.State == StateDraining || l.State == StateRetired {
		return s.refuse(fmt.Sprintf("must be an IP that is to be listed, this one is %s", l.State), "")
	}
	if was := l.Confirmed[s.step.Partner]; !was.IsZero() {
		return s.refuse(fmt.Sprintf("must not be done twice, %s confirmed on %s", s.step.Partner, day(was)), "")
	}
	confirmed := l
	confirmed.Confirmed = map[string]time.Time{s.step.Partner: s.now}
	for partner, date := range l.Confirmed {
		confirmed.Confirmed[partner] = date
	}
	effect := "may carry traffic"
	if waiting := confirmed.Waiting(s.rules, s.now); l.State == StateActive {
		effect = "carries traffic already; the confirmation is kept"
	} else if len(waiting) > 0 {
		effect = fmt.Sprintf("waits for %s, until %s at the latest", listed(waiting), day(confirmed.Ready(s.rules)))
	}
	return s.date("confirmed", s.step.Partner), effect, nil
}

func (s stepper) activate() ([]Field, string, error) {
	l := s.life
	switch l.State {
	case StateActive:
		return s.refuse("must not be done twice, it carries traffic since "+day(l.Dates.Active), "")
	case StateDraining:
		return s.refuse("must be an IP that comes into use, this one drains since "+day(l.Dates.Draining), "it comes back by itself while its slot is in the plan again")
	case StateRetired:
		return s.refuse("must be an IP that partners list, this one was retired on "+day(l.Dates.Retired), "it is announced anew when the plan needs it")
	}
	if ready := l.Ready(s.rules); ready.After(s.now) {
		return s.refuse(fmt.Sprintf("must wait for %s, until %s at the latest", listed(l.Waiting(s.rules, s.now)), day(ready)),
			"record what partners say with `sallyport allowlist confirm`")
	}
	fields := s.date("active")
	if s.step.Slot != "" {
		for _, other := range s.document.Lives(s.now) {
			if other.Place == s.step.Slot && other.Name != l.Name {
				return s.refuse(fmt.Sprintf("must be for a slot without an IP, %s has %s", s.step.Slot, other.Name), "drain that one: headroom takes over")
			}
		}
		return append([]Field{{Path: []string{"slot"}, Value: s.step.Slot}}, fields...), "serves " + s.step.Slot + " with the next update", nil
	}
	if l.State == StateReserved {
		return s.refuse("must serve a slot, this one is headroom", "write --slot; or let the plan grow or drain another IP, which takes headroom by itself")
	}
	return fields, "carries traffic with the next update", nil
}

func (s stepper) drain() ([]Field, string, error) {
	l := s.life
	if l.State != StateActive {
		return s.refuse(fmt.Sprintf("must be an IP that carries traffic, this one is %s", l.State), "")
	}
	var best *Life
	for _, other := range s.document.Lives(s.now) {
		candidate := other
		candidate.Confirmed = s.rules.Records[other.Name].Confirmed
		r := s.rules.Records[other.Name]
		if other.Kind != l.Kind || other.State != StateReserved || !r.Retired.IsZero() || r.Slot != "" && r.Slot != l.Slot {
			continue
		}
		candidate.Partners = l.Partners
		if best == nil || candidate.Ready(s.rules).Before(best.Ready(s.rules)) || candidate.Ready(s.rules).Equal(best.Ready(s.rules)) && CompareNames(candidate.Name, best.Name) < 0 {
			best = &candidate
		}
	}
	if best == nil {
		return s.refuse(fmt.Sprintf("must leave %s with an IP, and there is no headroom of kind %s", l.Slot, l.Kind),
			"raise allowlist.reserve and let the partners list the new IP; to remove the slot itself, change the plan")
	}
	if ready := best.Ready(s.rules); ready.After(s.now) {
		return s.refuse(fmt.Sprintf("must wait for an IP that may take over %s: %s may from %s on", l.Slot, best.Name, day(ready)),
			"or let "+listed(best.Waiting(s.rules, s.now))+" confirm it")
	}
	return s.date("draining"), fmt.Sprintf("%s takes over %s with the next update; partners may remove this IP from %s on",
		best.Name, l.Slot, day(s.now.Add(s.rules.Drain))), nil
}

func (s stepper) retire() ([]Field, string, error) {
	l := s.life
	switch l.State {
	case StateRetired:
		return s.refuse("must not be done twice, it was retired on "+day(l.Dates.Retired), "")
	case StateActive:
		return s.refuse("must have drained, this one carries traffic", "drain it first; it can be retired from "+day(s.now.Add(s.rules.Drain))+" on at the earliest")
	case StateAnnounced:
		return s.refuse("must be an IP that nobody needs, this one is to serve "+l.Slot, "remove the slot from the plan first")
	case StateDraining:
		if end := l.Dates.Draining.Add(s.rules.Drain); end.After(s.now) {
			return s.refuse("must have drained, this one drains until "+day(end), "wait until then")
		}
	}
	return s.date("retired"), "partners may remove it when the next update has said so", nil
}

func (s stepper) release() ([]Field, string, error) {
	l := s.life
	if l.State != StateRetired {
		first := s.now.Add(s.rules.Drain)
		if l.State == StateDraining {
			first = l.Dates.Draining.Add(s.rules.Drain)
		}
		reason := fmt.Sprintf("must be retired in the document that partners have, this one is %s", l.State)
		if l.State == StateReserved || l.State == StateAnnounced {
			return s.refuse(reason, "retire it first and run an update")
		}
		return s.refuse(reason, "it can be retired from "+day(first)+" on at the earliest")
	}
	if was := s.rules.Records[l.Name].Released; !was.IsZero() {
		return s.refuse("must not be done twice, it was released on "+day(was), "")
	}
	return s.date("released"), "the next update takes its protection away, the one after gives it back to the cloud: somebody else may get this IP", nil
}
