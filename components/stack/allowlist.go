package stack

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/components/destinations"
	"github.com/sallyport/sallyport/internal/minisign"
	"github.com/sallyport/sallyport/internal/problem"
)

// Allowlist configures what partners are given, and holds what people did in the life of each public IP.
type Allowlist struct {
	// Reserve is the number of extra public IPs per kind (nat, proxy) that are published before they carry traffic. Growth takes
	// them first. Default 0.
	Reserve int `json:"reserve,omitempty"`
	// Protect guards public IPs against deletion. Default true on clouds, false in stack local.
	Protect *bool `json:"protect,omitempty"`
	// Notice is how long partners may take to list a new IP before it carries traffic without their confirmation: a period per
	// partner, and one under "default" for all others. Default none: new IPs carry traffic at once.
	Notice map[string]string `json:"notice,omitempty"`
	// Drain is how long an IP that is not used any more stays on the partners' lists. Default 7d.
	Drain string `json:"drain,omitempty"`
	// Founding says whether the IPs of the first deployment carry traffic at once (open) or wait for notice and confirmation too
	// (wait). Default open: no partner has a list yet, and without any IP there is no way out.
	Founding Founding `json:"founding,omitempty"`
	// IPs is what people did to public IPs, by the name of the address (nat-a-1, proxy-a-1-1, nat-reserve-1). `sallyport allowlist
	// announce`, confirm, activate, drain and retire write it. Default none.
	IPs map[string]IPRecord `json:"ips,omitempty"`
	// Publish is where the stack puts the document for partners to fetch. Default nowhere. Clouds only.
	Publish *Publish `json:"publish,omitempty"`
}

// Founding is how the IPs of the first deployment come into use.
type Founding string

// The ways.
const (
	FoundingOpen Founding = "open"
	FoundingWait Founding = "wait"
)

// IPRecord is what people did to one public IP. Dates are days (2026-01-31, UTC) or times (2026-01-31T00:00:00Z); all are optional.
type IPRecord struct {
	// Slot is the place that a headroom address shall serve. Default the first place that needs one.
	Slot string `json:"slot,omitempty"`
	// Announced is when partners were told, if not by the document alone. The notice starts then.
	Announced string `json:"announced,omitempty"`
	// Confirmed is when each partner said that it lists the IP.
	Confirmed map[string]string `json:"confirmed,omitempty"`
	// Active is the day before which the IP carries no traffic. It never shortens a notice.
	Active string `json:"active,omitempty"`
	// Draining is when another address takes over.
	Draining string `json:"draining,omitempty"`
	// Retired is when partners may remove it; for an IP that carried traffic not before the end of the drain.
	Retired string `json:"retired,omitempty"`
	// Released is when it is given back to the cloud, which needs two updates. Only for a retired IP.
	Released string `json:"released,omitempty"`
}

// Publish is where the document for partners is put.
type Publish struct {
	// Bucket is an existing bucket; empty for one of the stack's own.
	Bucket string `json:"bucket,omitempty"`
	// Prefix is in front of the objects' names, for example "partners/". Default none.
	Prefix string `json:"prefix,omitempty"`
	// Access says who reads the objects: private (credentials or signed URLs) or public. Default private.
	Access PublishAccess `json:"access,omitempty"`
	// Notices makes a topic (SNS, Pub/Sub) that hears of every new serial. Default false.
	Notices bool `json:"notices,omitempty"`
	// PublicKey is the minisign key that partners check the document with (the line that starts with RW). The environment variable
	// SALLYPORT_SIGNING_KEY then has to name the file of its secret key on every update. Empty: not signed.
	PublicKey string `json:"publicKey,omitempty"`
}

// PublishAccess says who reads what is published.
type PublishAccess string

// The ways.
const (
	AccessPrivate PublishAccess = "private"
	AccessPublic  PublishAccess = "public"
)

// Defaults fills in what does not depend on other sections.
func (a *Allowlist) Defaults() { *a = Allowlist{Drain: "7d", Founding: FoundingOpen} }

// Defaults fills in what does not depend on other sections.
func (p *Publish) Defaults() { *p = Publish{Access: AccessPrivate} }

// Rules are the section as the life of the IPs follows from it. The section must be valid.
func (a Allowlist) Rules() allowlist.Rules {
	rules := allowlist.Rules{
		Notice: map[string]time.Duration{}, Wait: a.Founding == FoundingWait, Records: map[string]allowlist.Record{}, Place: ipsPlace,
	}
	rules.Drain, _ = allowlist.ParsePeriod(a.Drain)
	for partner, period := range a.Notice {
		rules.Notice[partner], _ = allowlist.ParsePeriod(period)
	}
	for name, r := range a.IPs {
		rules.Records[name] = r.parsed()
	}
	return rules
}

// parsed is a record with real dates. What is no date is left out.
func (r IPRecord) parsed() allowlist.Record {
	at := func(text string) time.Time {
		date, _ := allowlist.ParseDate(text)
		return date
	}
	record := allowlist.Record{
		Slot: r.Slot, Announced: at(r.Announced), Active: at(r.Active), Draining: at(r.Draining), Retired: at(r.Retired), Released: at(r.Released),
	}
	for partner, date := range r.Confirmed {
		if record.Confirmed == nil {
			record.Confirmed = map[string]time.Time{}
		}
		record.Confirmed[partner] = at(date)
	}
	return record
}

// ipsPlace is where records are written.
const ipsPlace = Namespace + "allowlist.ips"

func validateReserve(s *Stack, list *problem.List) {
	between(list, Namespace+"allowlist.reserve", s.Allowlist.Reserve, 0, maxReserve, "leave it out for 0")
}

func validateNotice(s *Stack, list *problem.List) {
	place, partners := Namespace+"allowlist.notice", destinations.Partners(s.Destinations)
	for _, partner := range slices.Sorted(maps.Keys(s.Allowlist.Notice)) {
		at := problem.Child(place, partner)
		if partner != allowlist.DefaultNotice && !slices.Contains(partners, partner) {
			list.Add(at, "must be the partner of a destination, or default", partner, problem.Suggestion(partner, append(partners, allowlist.DefaultNotice)))
		}
		period(list, at, s.Allowlist.Notice[partner])
	}
	period(list, Namespace+"allowlist.drain", s.Allowlist.Drain)
	oneOf(list, Namespace+"allowlist.founding", string(s.Allowlist.Founding), string(FoundingOpen), string(FoundingWait))
}

func validateIPRecords(s *Stack, list *problem.List) {
	partners := destinations.Partners(s.Destinations)
	for _, name := range slices.Sorted(maps.Keys(s.Allowlist.IPs)) {
		r, at := s.Allowlist.IPs[name], problem.Child(ipsPlace, name)
		if !destinations.IsLabel(name) || !strings.HasPrefix(name, "nat-") && !strings.HasPrefix(name, "proxy-") {
			list.Add(at, "must be the name of an address, which starts with nat- or proxy-", name, "`sallyport allowlist --format csv` lists them")
		}
		for _, field := range []struct{ name, value string }{
			{"announced", r.Announced}, {"active", r.Active}, {"draining", r.Draining}, {"retired", r.Retired}, {"released", r.Released},
		} {
			if field.value != "" {
				calendar(list, problem.Child(at, field.name), field.value)
			}
		}
		if r.Slot != "" && !destinations.IsLabel(r.Slot) {
			list.Add(problem.Child(at, "slot"), destinations.LabelRule, r.Slot, "write a place as the plan names it")
		}
		for _, partner := range slices.Sorted(maps.Keys(r.Confirmed)) {
			place := problem.Child(problem.Child(at, "confirmed"), partner)
			if !destinations.IsLabel(partner) {
				list.Add(place, "must be the name of a partner", partner, problem.Suggestion(partner, partners))
			}
			calendar(list, place, r.Confirmed[partner])
		}
	}
}

func validatePublish(s *Stack, list *problem.List) {
	p, place := s.Allowlist.Publish, Namespace+"allowlist.publish"
	if p == nil {
		return
	}
	if s.Cloud == CloudLocal {
		list.Add(place, "must be left out with cloud local, which has no buckets", nil, "remove it")
	}
	oneOf(list, place+".access", string(p.Access), string(AccessPrivate), string(AccessPublic))
	if len(p.Prefix) > 200 || strings.HasPrefix(p.Prefix, "/") || strings.ContainsFunc(p.Prefix, func(r rune) bool { return r <= ' ' || r > '~' }) {
		list.Add(place+".prefix", "must be at most 200 printable characters and not start with /", p.Prefix, "write for example partners/")
	}
	if p.PublicKey != "" {
		if _, err := minisign.ParsePublicKey(p.PublicKey); err != nil {
			list.Add(place+".publicKey", strings.TrimPrefix(formOf(err), "public key: "), p.PublicKey, "`sallyport allowlist keygen` prints it")
		}
	}
}

func period(list *problem.List, at, text string) {
	if _, err := allowlist.ParsePeriod(text); err != nil {
		list.Add(at, formOf(err), text, "write for example 14d")
	}
}

func calendar(list *problem.List, at, text string) {
	if _, err := allowlist.ParseDate(text); err != nil {
		list.Add(at, formOf(err), text, "write for example 2026-01-31")
	}
}

// formOf is what an error says about the form that it expects; the value is shown apart from it.
func formOf(err error) string {
	rule, _, _ := strings.Cut(fmt.Sprint(err), ", got ")
	return rule
}
