package gcppreflight

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/sallyport/sallyport/internal/problem"
	"github.com/sallyport/sallyport/preflight"
	"github.com/sallyport/sallyport/preflight/gcpapi"
)

// reader fills a project. Each step reads one part.
type reader struct {
	need    Need
	api     *gcpapi.Client
	project project
}

// step is one part of a project: the permission it takes, whether this stack depends on it, and how it is read.
type step struct {
	action string
	wanted bool
	read   func(ctx context.Context, action string) error
}

func (r *reader) steps() []step {
	n := r.need
	return []step{
		{"compute.regions.get", true, r.readRegion},
		{"compute.projects.get", len(n.Gateways) > 0, r.readProject},
		{"compute.projects.get", n.Host != "", r.readHost},
		{"compute.addresses.list", len(n.Addresses) > 0, r.readAddresses},
		{"compute.routers.list", len(n.Gateways) > 0, r.readRouters},
		{"compute.networks.get", n.Network != "", r.readNetwork},
		{"compute.subnetworks.list", n.Network != "", r.readSubnetworks},
		{"compute.machineTypes.get", n.Fleet.MachineType != "", r.readMachines},
	}
}

// Permissions are those that Check may need, sorted: all of them read. roles/compute.viewer holds them.
func Permissions() []string {
	var all []string
	for _, s := range (&reader{}).steps() {
		all = append(all, s.action)
	}
	return slices.Compact(slices.Sorted(slices.Values(all)))
}

// read makes all calls side by side and records in list, in the order of steps, those that brought no answer.
func (r *reader) read(ctx context.Context, list *problem.List) {
	steps := r.steps()
	failures := make([]error, len(steps))
	var wait sync.WaitGroup
	for i, s := range steps {
		if s.wanted {
			wait.Go(func() { failures[i] = s.read(ctx, s.action) })
		}
	}
	wait.Wait()
	for _, err := range failures {
		record(err, list)
	}
}

// record adds an *gcpapi.Error to list; nil adds nothing.
func record(err error, list *problem.List) {
	var refused *gcpapi.Error
	if errors.As(err, &refused) {
		refused.Refusal.Grant = "for example with roles/compute.viewer"
		refused.Refusal.Add(list, preflight.Off)
	}
}

func (r *reader) readRegion(ctx context.Context, action string) error {
	var found region
	err := r.api.Get(ctx, action, gcpapi.Compute("projects", r.need.Project, "regions", r.need.Region), nil, &found)
	if err != nil && !gcpapi.IsMissing(err) {
		return err
	}
	r.project.region = &found // without zones if there is none: see checkZones
	return nil
}

func (r *reader) readProject(ctx context.Context, action string) error {
	var found struct {
		Quotas []quota `json:"quotas"`
	}
	if err := r.api.Get(ctx, action, gcpapi.Compute("projects", r.need.Project), nil, &found); err != nil {
		return err
	}
	r.project.quotas = append([]quota{}, found.Quotas...)
	return nil
}

// readHost reads the project whose network this one shares. Compute Engine API, projects.getXpnHost, 2026: an empty answer for none.
func (r *reader) readHost(ctx context.Context, action string) error {
	var found struct {
		Name string `json:"name"`
	}
	err := r.api.Get(ctx, action, gcpapi.Compute("projects", r.need.Project, "getXpnHost"), nil, &found)
	if err != nil && !gcpapi.IsMissing(err) {
		return err
	}
	r.project.host = &found.Name
	return nil
}

// listPage is a page of a list of the Compute Engine API.
type listPage[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"nextPageToken"`
}

// list reads all pages of a regional list.
func list[T any](ctx context.Context, r *reader, action, project, kind string) ([]T, error) {
	all := []T{}
	err := gcpapi.Pages(ctx, r.api, action, gcpapi.Compute("projects", project, "regions", r.need.Region, kind), nil, func(p listPage[T]) string {
		all = append(all, p.Items...)
		return p.Next
	})
	if gcpapi.IsMissing(err) {
		return nil, nil // no such region or project: the region's own problem says so
	}
	if err != nil {
		return nil, err
	}
	return all, nil
}

func (r *reader) readAddresses(ctx context.Context, action string) (err error) {
	r.project.addresses, err = list[address](ctx, r, action, r.need.Project, "addresses")
	return err
}

func (r *reader) readRouters(ctx context.Context, action string) error {
	all := []router{}
	for _, project := range slices.Compact([]string{r.need.Project, r.need.networkProject()}) {
		found, err := list[router](ctx, r, action, project, "routers")
		if err != nil {
			return err
		}
		all = append(all, found...)
	}
	r.project.routers = all
	return nil
}

func (r *reader) readNetwork(ctx context.Context, action string) error {
	var found network
	err := r.api.Get(ctx, action, gcpapi.Compute("projects", r.need.networkProject(), "global", "networks", last(r.need.Network)), nil, &found)
	if err != nil && !gcpapi.IsMissing(err) {
		return err
	}
	found.missing = err != nil
	r.project.network = &found
	return nil
}

func (r *reader) readSubnetworks(ctx context.Context, action string) (err error) {
	r.project.subnetworks, err = list[subnetwork](ctx, r, action, r.need.networkProject(), "subnetworks")
	return err
}

func (r *reader) readMachines(ctx context.Context, action string) error {
	found := map[string]machine{}
	for _, zone := range r.need.fleetZones() {
		var one machine
		err := r.api.Get(ctx, action, gcpapi.Compute("projects", r.need.Project, "zones", zone, "machineTypes", r.need.Fleet.MachineType), nil, &one)
		if err != nil && !gcpapi.IsMissing(err) {
			return err
		}
		one.missing = err != nil
		found[zone] = one
	}
	r.project.machines = found
	return nil
}

func (n Need) fleetZones() []string {
	if len(n.Fleet.Zones) > 0 {
		return n.Fleet.Zones
	}
	return n.Zones
}
