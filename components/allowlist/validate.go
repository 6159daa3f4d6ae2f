package allowlist

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/sallyport/sallyport/internal/problem"
)

// ErrIncomplete says that a document is withheld because it is known to lack an IP.
var ErrIncomplete = errors.New("the allow list is incomplete and is withheld")

// maxEntries bounds a document: 300 IPs of a Cloud NAT and 1,000 proxies with several IPs each.
const maxEntries = 20000

// label is a name as it goes into DNS, CSV files and messages.
var label = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// stackName is what Pulumi accepts as a stack, with organisation and project.
var stackName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,100}(/[A-Za-z0-9_.-]{1,100}){0,2}$`)

const labelRule = "must be a DNS label: 1 to 63 of a-z, 0-9 and -, starting and ending with a letter or digit"

// Validate checks a document as a whole. The error joins every [problem.Problem], and [ErrIncomplete] if it must be withheld.
func (d Document) Validate() error {
	var list problem.List
	d.validate(&list)
	incomplete := d.holes(&list)
	if err := list.Err(); !incomplete {
		return err
	}
	return errors.Join(ErrIncomplete, list.Err())
}

func (d Document) validate(list *problem.List) {
	if d.Version < 1 || d.Version > Version {
		list.Addf("version", d.Version, "use the release of sallyport that wrote it", "must be 1 to %d", Version)
	}
	if !stackName.MatchString(d.Stack) {
		list.Add("stack", "must be the name of a Pulumi stack", d.Stack, "")
	}
	if d.Serial == 0 {
		list.Add("serial", "must be at least 1", d.Serial, "")
	}
	if len(d.Entries) > maxEntries {
		list.Addf("entries", len(d.Entries), "", "must not have more than %d entries", maxEntries)
		return
	}
	for i, e := range d.Entries {
		e.validate(problem.Index("entries", i), list)
	}
}

func (e Entry) validate(at string, list *problem.List) {
	oneOf(list, at+".cloud", e.Cloud, "local", "aws", "gcp")
	oneOf(list, at+".kind", e.Kind, KindNat, KindProxy)
	oneOf(list, at+".state", e.State, StateReserved, StateAnnounced, StateActive, StateDraining, StateRetired)
	if e.Region == "" && e.Cloud != "local" {
		list.Add(at+".region", "is required outside of stack local", nil, "")
	}
	optionalLabel(list, at+".region", e.Region)
	optionalLabel(list, at+".zone", e.Zone)
	if !label.MatchString(e.Slot) {
		list.Add(at+".slot", labelRule, e.Slot, "")
	}
	if e.Address != "" && !label.MatchString(e.Address) {
		list.Add(at+".address", labelRule, e.Address, "")
	}
	e.validateDates(at, list)
	for i, partner := range e.Partners {
		if !label.MatchString(partner) {
			list.Add(problem.Index(at+".partners", i), labelRule, partner, "")
		}
	}
	switch ip := e.IP; {
	case !ip.IsValid(): // a hole, see holes
	case ip.Zone() != "" || ip.Is4In6():
		list.Add(at+".ip", "must be a plain IPv4 or IPv6 address", ip, "")
	case ip.IsPrivate() || !ip.IsGlobalUnicast():
		list.Add(at+".ip", "must be a public address", ip, "partners never see this one")
	}
}

// validateDates checks that the turning points come in the order of a life, and that the state's own date is there if any is.
func (e Entry) validateDates(at string, list *problem.List) {
	before := time.Time{}
	for _, step := range []struct {
		name string
		date time.Time
	}{{"listed", e.Dates.Listed}, {"active", e.Dates.Active}, {"draining", e.Dates.Draining}, {"retired", e.Dates.Retired}} {
		if !step.date.IsZero() && step.date.Before(before) && step.name != "active" { // traffic may be older than the document
			list.Addf(at+".dates."+step.name, day(step.date), "", "must not come before the state before it, %s", day(before))
		}
		before = latest(before, step.date)
	}
	for _, of := range []struct {
		name  string
		dates map[string]time.Time
	}{{"told", e.Told}, {"confirmed", e.Confirmed}} {
		for _, partner := range slices.Sorted(maps.Keys(of.dates)) {
			if !label.MatchString(partner) {
				list.Add(at+"."+of.name, "must have partners as keys, which are DNS labels", partner, "")
			}
		}
	}
}

func optionalLabel(list *problem.List, at, text string) {
	if text != "" && !label.MatchString(text) {
		list.Add(at, labelRule, text, "")
	}
}

func oneOf[T ~string](list *problem.List, at string, value T, known ...T) {
	if slices.Contains(known, value) {
		return
	}
	words := make([]string, len(known))
	for i, k := range known {
		words[i] = string(k)
	}
	list.Add(at, "is unknown", value, problem.Suggestion(string(value), words))
}

// holes records what shows that an IP is missing: there is none, one has no value, or one stands for two.
func (d Document) holes(list *problem.List) bool {
	before := list.Len()
	if len(d.Entries) == 0 {
		list.Add("entries", "needs at least 1 entry", nil, "")
	}
	first := map[string]int{}
	for i, e := range d.Entries {
		at := problem.Index("entries", i) + ".ip"
		if !e.IP.IsValid() {
			list.Add(at, fmt.Sprintf("is missing for slot %.63q", e.Slot), nil, "create the address before the list is handed out")
			continue
		}
		ip := e.IP.Unmap().String()
		if j, taken := first[ip]; taken {
			list.Addf(at, e.IP, "", "must be unique and %s has the same", problem.Index("entries", j))
			continue
		}
		first[ip] = i
	}
	return list.Len() > before
}
