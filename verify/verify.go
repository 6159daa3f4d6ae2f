// Package verify compares what partners were told about public IPs with what there is: the document, what the stack says it uses, what
// the cloud has under the stack's tags, and, in the lab, what partners have seen.
//
// The document is a promise. An IP in use that it does not have, one that it has and nobody owns any more, or one that carries
// traffic before its time each break it, and a document that is known to be wrong must not be handed out.
package verify

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/components/allowlist"
)

// Address is a public IP as a cloud has it.
type Address struct {
	IP   netip.Addr
	ID   string // the cloud's own name for it
	Name string // the name of the address as the stack tagged it; empty if the tag is missing
	// Carries says that something can send through it now: a NAT gateway has it, or a machine.
	Carries bool
}

// View is a cloud's answer to the question which addresses belong to a stack.
type View interface {
	// Addresses returns every address with the stack's tag.
	Addresses(ctx context.Context, stack string) ([]Address, error)
}

// Finding is a place where two of the views disagree.
type Finding struct {
	Source  string     `json:"source"` // cloud, state, published or partner:<name>
	IP      netip.Addr `json:"ip,omitzero"`
	Address string     `json:"address,omitempty"`
	Problem string     `json:"problem"`
	// Harmless says that nobody is cut off or surprised by it. It is reported and fails nothing.
	Harmless bool `json:"harmless,omitempty"`
}

// String is the finding for people.
func (f Finding) String() string {
	words := []string{f.Source + ":"}
	if f.IP.IsValid() {
		words = append(words, f.IP.String())
	}
	if f.Address != "" {
		words = append(words, f.Address)
	}
	words = append(words, f.Problem)
	if f.Harmless {
		words = append(words, "(harmless)")
	}
	return strings.Join(words, " ")
}

// Disagreements are the findings that are not harmless.
func Disagreements(findings []Finding) []Finding {
	return slices.DeleteFunc(slices.Clone(findings), func(f Finding) bool { return f.Harmless })
}

// inUse says whether an IP in a state may be seen by partners: a draining one finishes its connections.
func inUse(s allowlist.State) bool {
	return s == allowlist.StateActive || s == allowlist.StateDraining
}

// name is the name of an entry's address.
func name(e allowlist.Entry) string { return cmp.Or(e.Address, e.Slot) }

// Cloud compares a document with the addresses that a cloud has.
func Cloud(d allowlist.Document, cloud []Address) []Finding {
	findings := []Finding{}
	owned := map[netip.Addr]Address{}
	for _, a := range cloud {
		owned[a.IP] = a
	}
	listed := map[netip.Addr]bool{}
	for _, e := range d.Entries {
		listed[e.IP] = true
		a, exists := owned[e.IP]
		f := Finding{Source: "cloud", IP: e.IP, Address: name(e)}
		switch {
		case !exists:
			f.Problem = fmt.Sprintf("is %s in the document and does not exist under the stack's tag: it was released, or lost its tag", e.State)
		case a.Name != name(e):
			f.Problem = fmt.Sprintf("is tagged as %q (%s)", a.Name, a.ID)
		case a.Carries && !inUse(e.State):
			f.Problem = fmt.Sprintf("can carry traffic (%s) and is %s in the document", a.ID, e.State)
		case !a.Carries && e.State == allowlist.StateActive:
			f.Problem, f.Harmless = fmt.Sprintf("is active in the document and %s serves nothing now", a.ID), true
		default:
			continue
		}
		findings = append(findings, f)
	}
	for _, a := range cloud {
		if !listed[a.IP] {
			f := Finding{Source: "cloud", IP: a.IP, Address: a.Name, Problem: fmt.Sprintf("exists (%s) and is not in the document", a.ID), Harmless: !a.Carries}
			findings = append(findings, f)
		}
	}
	return sorted(findings)
}

// State compares a document with the public IPs that the stack says it sends from.
func State(d allowlist.Document, used []netip.Addr) []Finding {
	findings := []Finding{}
	states := map[netip.Addr]allowlist.Entry{}
	for _, e := range d.Entries {
		states[e.IP] = e
	}
	for _, ip := range used {
		e, listed := states[ip]
		switch {
		case !listed:
			findings = append(findings, Finding{Source: "state", IP: ip, Problem: "is used and is not in the document"})
		case !inUse(e.State):
			findings = append(findings, Finding{Source: "state", IP: ip, Address: name(e), Problem: fmt.Sprintf("is used and is %s in the document", e.State)})
		}
	}
	return sorted(findings)
}

// Published compares the document of the stack with the one that partners have.
func Published(current, published allowlist.Document) []Finding {
	if current.Stack != published.Stack {
		return []Finding{{Source: "published", Problem: fmt.Sprintf("is the document of stack %s, not of %s", published.Stack, current.Stack)}}
	}
	difference := allowlist.Diff(published, current)
	switch {
	case published.Serial > current.Serial:
		return []Finding{{Source: "published", Problem: fmt.Sprintf("has serial %d, which the stack, at %d, has not reached", published.Serial, current.Serial)}}
	case !difference.Empty():
		return []Finding{{Source: "published", Problem: fmt.Sprintf("has serial %d and the stack %d:\n%s", published.Serial, current.Serial, difference)}}
	}
	return []Finding{}
}

// Seen is what one partner saw from one IP.
type Seen struct {
	Partner string
	IP      netip.Addr
	// Requests are those that arrived, Refused those of them that the partner's own list refused.
	Requests, Refused int
}

// Partners compares a document with what partners really saw. An IP that a partner sees has to be in use and has to be on the
// partner's own view of the document; a partner who refuses it does not follow its list.
func Partners(d allowlist.Document, seen []Seen) []Finding {
	findings := []Finding{}
	for _, s := range seen {
		f := Finding{Source: "partner:" + s.Partner, IP: s.IP}
		view, err := d.ForPartner(s.Partner)
		if err != nil {
			f.Problem = "sees an IP and no IP of the document concerns it"
			findings = append(findings, f)
			continue
		}
		i := slices.IndexFunc(view.Entries, func(e allowlist.Entry) bool { return e.IP == s.IP })
		switch {
		case i < 0:
			f.Problem = "is seen and was never told to this partner"
		case !inUse(view.Entries[i].State):
			f.Address, f.Problem = name(view.Entries[i]), fmt.Sprintf("is seen and is %s in the document", view.Entries[i].State)
		case s.Refused > 0:
			f.Address, f.Problem = name(view.Entries[i]), fmt.Sprintf("was refused %d of %d times: the partner does not list it", s.Refused, s.Requests)
		default:
			continue
		}
		findings = append(findings, f)
	}
	return sorted(findings)
}

func sorted(findings []Finding) []Finding {
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), a.IP.Compare(b.IP))
	})
	return findings
}
