// Package gcpview reads which external addresses belong to a stack, by their labels.
package gcpview

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/preflight/gcpapi"
	"github.com/sallyport/sallyport/verify"
)

// View is the addresses of one region of a project.
type View struct {
	project, region string
	client          *gcpapi.Client
}

// New looks for credentials as Pulumi's provider does.
func New(ctx context.Context, project, region string) (*View, error) {
	client, err := gcpapi.New(ctx, "gcp "+project)
	if err != nil {
		return nil, err
	}
	return &View{project: project, region: region, client: client}, nil
}

// page is a page of addresses.list, as far as it matters.
type page struct {
	Items []struct {
		Name        string            `json:"name"`
		Address     string            `json:"address"`
		AddressType string            `json:"addressType"`
		Labels      map[string]string `json:"labels"`
		Users       []string          `json:"users"`
	} `json:"items"`
	Next string `json:"nextPageToken"`
}

// Addresses implements verify.View. An address carries traffic if a router or an instance uses it.
func (v *View) Addresses(ctx context.Context, stack string) ([]verify.Address, error) {
	of := allowlist.Labels(stack, allowlist.Life{})[allowlist.LabelKey(allowlist.TagStack)]
	query := url.Values{"filter": {fmt.Sprintf("labels.%s = %q", allowlist.LabelKey(allowlist.TagStack), of)}}
	var found []verify.Address
	var wrong error
	err := gcpapi.Pages(ctx, v.client, "compute.addresses.list", gcpapi.Compute("projects", v.project, "regions", v.region, "addresses"), query, func(p page) string {
		for _, a := range p.Items {
			if a.Labels[allowlist.LabelKey(allowlist.TagStack)] != of || strings.EqualFold(a.AddressType, "INTERNAL") {
				continue
			}
			ip, err := netip.ParseAddr(a.Address)
			if err != nil {
				wrong = fmt.Errorf("gcp %s: address %s: %w", v.project, a.Name, err)
				continue
			}
			found = append(found, verify.Address{IP: ip, ID: a.Name, Name: a.Labels[allowlist.LabelKey(allowlist.TagSlot)], Carries: len(a.Users) > 0})
		}
		return p.Next
	})
	if err != nil {
		return nil, err
	}
	return found, wrong
}
