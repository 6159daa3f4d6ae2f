// Package status looks at a lab from outside, without Pulumi: which hosts it has, what runs on them and whether it works, what the
// partners have seen.
package status

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sallyport/sallyport/lab/daemon"
	"github.com/sallyport/sallyport/lab/labid"
	"github.com/sallyport/sallyport/lab/namespace"
	"github.com/sallyport/sallyport/lab/partner"
	"github.com/sallyport/sallyport/lab/registry"
	"github.com/sallyport/sallyport/lab/remains"
	"github.com/sallyport/sallyport/proxyimage/routes"
)

// PartnerSocket is where a partner's process tells what it saw, see partner.Stats.
func PartnerSocket(lab registry.Lab, host string) string { return lab.HostDir(host) + "/control" }

// Lab is what there is to say about a lab.
type Lab struct {
	ID       string        `json:"lab"`
	StateDir string        `json:"stateDir"`
	Owner    remains.Owner `json:"owner,omitempty"` // empty if the lab stays until it is destroyed
	Orphan   bool          `json:"orphan"`          // its owner has ended
	Healthy  bool          `json:"healthy"`         // no host has a problem
	Routes   *Routes       `json:"routes,omitempty"`
	Hosts    []Host        `json:"hosts"` // sorted by kind, in the order of the path, and name
}

// Routes is the routes document in force.
type Routes struct {
	Serial uint64   `json:"serial"`
	Hosts  []string `json:"hosts"` // proxied names
}

// Host is a host of the lab.
type Host struct {
	Name      string                    `json:"name"`
	Kind      string                    `json:"kind"`
	Addresses map[string][]string       `json:"addresses,omitempty"` // by interface
	Processes []Process                 `json:"processes,omitempty"`
	Ready     *bool                     `json:"ready,omitempty"`   // of a proxy; nil for others
	Serial    uint64                    `json:"serial,omitempty"`  // of the routes that a proxy follows
	Sources   map[string]partner.Source `json:"sources,omitempty"` // source IPs that a partner has seen
	Problems  []string                  `json:"problems,omitempty"`
}

// Process is a long-running process of a host.
type Process struct {
	Name  string `json:"name"`
	PID   int    `json:"pid"`
	Alive bool   `json:"alive"`
	Log   string `json:"log"` // file
}

// kinds are the hosts in the order of the path from a pod to a partner.
var kinds = []string{
	labid.PodHost, labid.NodeHost, labid.NatHost, labid.ProxyHost, labid.DNSHost, labid.PartnerHost, labid.VPCHost, labid.InternetHost,
}

// Look collects the status of a lab. It takes at most about two seconds, however much is broken.
func Look(ctx context.Context, lab registry.Lab) (Lab, error) {
	report := Lab{ID: lab.ID, StateDir: lab.Dir, Healthy: true, Hosts: []Host{}}
	if !lab.Exists() {
		return report, fmt.Errorf("lab %s: is not up", lab.ID)
	}
	var err error
	if report.Owner, err = remains.OwnerOf(lab); err != nil {
		return report, err
	}
	report.Orphan = report.Owner.Gone()
	if report.Routes, err = readRoutes(lab); err != nil {
		return report, err
	}
	names, err := hostNames(lab)
	if err != nil {
		return report, err
	}
	report.Hosts = make([]Host, len(names))
	var group sync.WaitGroup
	for i, name := range names {
		group.Go(func() { report.Hosts[i] = lookAt(ctx, lab, name) })
	}
	group.Wait()
	for _, host := range report.Hosts {
		report.Healthy = report.Healthy && len(host.Problems) == 0
	}
	return report, nil
}

func readRoutes(lab registry.Lab) (*Routes, error) {
	text, err := os.ReadFile(lab.Path("routes", "routes.json"))
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	document, err := routes.Decode(text)
	if err != nil {
		return nil, err
	}
	found := &Routes{Serial: document.Serial}
	for _, route := range document.Routes {
		found.Hosts = append(found.Hosts, route.Hosts...)
	}
	return found, nil
}

// hostNames returns the hosts that have a record or a namespace, in the order of kinds.
func hostNames(lab registry.Lab) ([]string, error) {
	records, err := lab.Records()
	if err != nil {
		return nil, err
	}
	spaces, err := namespace.List(lab.ID)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, record := range records {
		if record.Host != "" {
			names = append(names, record.Host)
		}
	}
	for _, space := range spaces {
		names = append(names, strings.TrimPrefix(space, labid.Netns(lab.ID, "")))
	}
	slices.SortFunc(names, func(a, b string) int {
		if order := slices.Index(kinds, kindOf(a)) - slices.Index(kinds, kindOf(b)); order != 0 {
			return order
		}
		return strings.Compare(a, b)
	})
	return slices.Compact(names), nil
}

func kindOf(host string) string {
	kind, _, _ := strings.Cut(host, "-")
	return kind
}

func lookAt(ctx context.Context, lab registry.Lab, name string) Host {
	host := Host{Name: name, Kind: kindOf(name)}
	space := labid.Netns(lab.ID, name)
	if !namespace.Exists(space) {
		host.Problems = append(host.Problems, "its namespace is gone")
		return host
	}
	host.Addresses = addresses(space)
	daemons, err := daemon.List(lab.HostDir(name))
	if err != nil {
		host.Problems = append(host.Problems, err.Error())
	}
	for _, d := range daemons {
		host.Processes = append(host.Processes, Process{Name: d.Name, PID: d.PID, Alive: d.Alive, Log: d.LogFile})
		if !d.Alive {
			host.Problems = append(host.Problems, d.Name+" is dead")
		}
	}
	switch host.Kind {
	case labid.ProxyHost:
		host.lookAtProxy(ctx, space)
	case labid.PartnerHost:
		stats, err := partner.Stats(PartnerSocket(lab, name))
		if err != nil {
			host.Problems = append(host.Problems, err.Error())
		}
		host.Sources = stats.Sources
	}
	return host
}

// addresses returns the addresses of the interfaces that a host may have.
func addresses(space string) map[string][]string {
	all := map[string][]string{}
	for _, link := range []string{labid.PodInterface, labid.PodBridge, labid.NodeLocalDNSLink, labid.VPCInterface, labid.InternetInterface} {
		prefixes, err := namespace.Addresses(space, link)
		if err != nil {
			continue // it has none of that name
		}
		for _, prefix := range prefixes {
			all[link] = append(all[link], prefix.Addr().String())
		}
	}
	return all
}

// lookAtProxy asks a proxy whether it is ready.
func (h *Host) lookAtProxy(ctx context.Context, space string) {
	private := h.Addresses[labid.VPCInterface]
	ready := false
	h.Ready = &ready
	if len(private) == 0 {
		h.Problems = append(h.Problems, "it has no private address")
		return
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+private[0]+":8404/readyz", nil)
	if err != nil {
		h.Problems = append(h.Problems, err.Error())
		return
	}
	response, err := namespace.HTTPClient(space, 2*time.Second).Do(request)
	if err != nil {
		h.Problems = append(h.Problems, "it does not answer: "+err.Error())
		return
	}
	defer response.Body.Close()
	var said struct {
		Problems []string
		Serial   uint64
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(&said); err != nil {
		h.Problems = append(h.Problems, "it answers nonsense: "+err.Error())
		return
	}
	ready = response.StatusCode == http.StatusOK
	h.Serial = said.Serial
	h.Problems = append(h.Problems, said.Problems...)
}
