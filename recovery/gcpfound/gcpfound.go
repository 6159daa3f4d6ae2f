// Package gcpfound lists what exists in a GCP project of a stack, for package recovery.
//
// Nearly everything of a stack has a name that follows from the stack's, so what is lost is found by its name, and a second one of it
// could not be made: the next update would end with "already exists". What has labels must be labelled as the stack's own besides, public
// IPs above all: an address that somebody else gave our name is left alone.
//
// It only reads: compute.*.list (roles/compute.viewer), and the list permissions of service accounts, Artifact Registry, alert policies,
// buckets and response policies (roles/viewer has them all). An API that is not enabled in the project has nothing of the stack.
package gcpfound

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/preflight"
	"github.com/sallyport/sallyport/preflight/gcpapi"
	"github.com/sallyport/sallyport/recovery"
)

// timeout bounds the whole list.
const timeout = 2 * time.Minute

// Place is where a stack is.
type Place struct {
	Stack string
	// Project is the stack's, Network that of its VPC network: the host project of a Shared VPC, else the same.
	Project, Network string
	Region           string
	// Zones are those of the cluster.
	Zones []string
}

// List returns what exists of the stack in its projects. Creates says what the next update would create, by type token and by the name
// in the cloud: what has no label is only taken for the stack's own if it is in there.
func List(ctx context.Context, p Place, creates func(token, name string) bool) ([]recovery.Thing, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	api, err := gcpapi.New(ctx, "gcp "+p.Project)
	if err != nil {
		return nil, err
	}
	l := lister{api: api, place: p, creates: creates}
	for _, c := range p.collections() {
		if err := l.list(ctx, c); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(l.things, func(a, b recovery.Thing) int { return strings.Compare(a.Type+a.ID, b.Type+b.ID) })
	return slices.CompactFunc(l.things, func(a, b recovery.Thing) bool { return a.Type == b.Type && a.ID == b.ID }), nil
}

// lister collects things.
type lister struct {
	api     *gcpapi.Client
	place   Place
	creates func(token, name string) bool
	things  []recovery.Thing
}

// page is a page of any list: every API names the items in its own way.
type page struct {
	Items            []item
	Accounts         []item
	Repositories     []item
	AlertPolicies    []item
	ResponsePolicies []item
	NextPageToken    string
}

func (l *lister) list(ctx context.Context, c collection) error {
	err := gcpapi.Pages(ctx, l.api, c.action, c.address, c.query, func(p page) string {
		for _, i := range slices.Concat(p.Items, p.Accounts, p.Repositories, p.AlertPolicies, p.ResponsePolicies) {
			for _, t := range c.things(i) {
				if l.ours(t) {
					l.things = append(l.things, t)
				}
			}
		}
		return p.NextPageToken
	})
	var refused *gcpapi.Error
	if errors.As(err, &refused) && refused.Refusal.Why == preflight.Disabled || gcpapi.IsMissing(err) {
		return nil
	}
	return err
}

// ours says whether a thing is the stack's: by its label, or, where nothing of its kind has one, by a name that only the stack gives.
func (l *lister) ours(t recovery.Thing) bool {
	label, labelled := t.Tags[labelStack]
	if mine := allowlist.Labels(l.place.Stack, allowlist.Life{})[labelStack]; labelled {
		return label == mine || label == l.place.Stack
	}
	return !needsLabel(t) && l.creates(t.Type, t.Name)
}

// labelStack is on everything of a stack that we label.
var labelStack = allowlist.LabelKey(allowlist.TagStack)

// needsLabel says whether a thing without the stack's label cannot be the stack's: its public IPs have it from their allocation on.
func needsLabel(t recovery.Thing) bool { return t.Type == addressToken && t.About != "" }
