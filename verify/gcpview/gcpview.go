// Package gcpview reads which external addresses belong to a stack, by their labels; those that were brought to it have none and are
// known by their names.
package gcpview

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/preflight/gcpapi"
	"github.com/sallyport/sallyport/verify"
)

// View is the addresses of one region.
type View struct {
	region   string
	projects []string
	brought  map[string]string // names in the stack, by name of the resource
	client   *gcpapi.Client
}

// Place is where a stack has its addresses.
type Place struct {
	// Region is the region.
	Region string
	// Project is the stack's. Network is the project of the network, where the NAT's addresses are: another one with a Shared VPC,
	// empty or the same otherwise.
	Project, Network string
	// Brought are the resources that the stack file gives to addresses of the stack (gcp.addresses.existing), by the name of the
	// address. May be nil.
	Brought map[string]string
}

// New looks for credentials as Pulumi's provider does.
func New(ctx context.Context, place Place) (*View, error) {
	client, err := gcpapi.New(ctx, "gcp "+place.Project)
	if err != nil {
		return nil, err
	}
	v := &View{region: place.Region, projects: []string{place.Project}, brought: map[string]string{}, client: client}
	if place.Network != "" && place.Network != place.Project {
		v.projects = append(v.projects, place.Network)
	}
	for name, resource := range place.Brought {
		v.brought[resource] = name
	}
	return v, nil
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
	if len(v.brought) > 0 {
		query = nil
	}
	var found []verify.Address
	for _, project := range v.projects {
		var wrong error
		err := gcpapi.Pages(ctx, v.client, "compute.addresses.list", gcpapi.Compute("projects", project, "regions", v.region, "addresses"), query, func(p page) string {
			for _, a := range p.Items {
				name, brought := v.brought[a.Name]
				if !brought && a.Labels[allowlist.LabelKey(allowlist.TagStack)] != of || strings.EqualFold(a.AddressType, "INTERNAL") {
					continue
				}
				if !brought {
					name = a.Labels[allowlist.LabelKey(allowlist.TagSlot)]
				}
				ip, err := netip.ParseAddr(a.Address)
				if err != nil {
					wrong = fmt.Errorf("gcp %s: address %s: %w", project, a.Name, err)
					continue
				}
				found = append(found, verify.Address{IP: ip, ID: a.Name, Name: name, Carries: len(a.Users) > 0})
			}
			return p.Next
		})
		if err := errors.Join(err, wrong); err != nil {
			return nil, err
		}
	}
	return found, nil
}
