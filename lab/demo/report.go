package demo

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/lab/load"
)

// Report is everything the demo measured. A part that was not measured is empty.
type Report struct {
	Stack   string    `json:"stack"`
	Lab     string    `json:"lab"`
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"` // that the demo took

	Exhaustion []Point     `json:"exhaustion"` // a NAT with too few ports, measured beside predicted
	Computed   *Point      `json:"computed"`   // the heaviest of these loads with as many ports as the planner asks for
	Paths      []Path      `json:"paths"`      // the ways out of the stack at the declared demand
	NoPort     uint64      `json:"noPort"`     // SYNs that the stack's NAT dropped meanwhile for want of a port
	Sources    *Sources    `json:"sources"`    // source IPs that partners saw, beside the allow list
	DNS        []DNSLookup `json:"dns"`        // queries a lookup costs
	Pooling    *Pooling    `json:"pooling"`    // requests with and without the pooling controller; nil if not measured
	Failover   *Failover   `json:"failover"`   // a proxy killed under load; nil if the fleet has only one
}

// Point is one offered load on VMs with a block of ports each.
type Point struct {
	Ports       int     `json:"ports"`       // per VM
	VMs         int     `json:"vms"`         // that were measured together
	OfferedLoad float64 `json:"offeredLoad"` // per VM, ports in use if there were enough: measured rate x OccupiedSeconds
	Attempts    int     `json:"attempts"`
	Failed      int     `json:"failed"`
	Other       int     `json:"other"`     // failures of the whole run that are not blocked SYNs: something else went wrong
	Predicted   float64 `json:"predicted"` // share, by Erlang B
	// OccupiedSeconds is how long a connection held its port, measured: its life and TIME_WAIT.
	OccupiedSeconds float64 `json:"occupiedSeconds"`
}

// Measured is the share of attempts that found no port.
func (p Point) Measured() float64 { return share(p.Failed, p.Attempts) }

// Path is one way out under load.
type Path struct {
	Name        string             `json:"name"`
	Destination string             `json:"destination"`
	Rate        float64            `json:"rate"` // new connections per second that were really offered
	Attempts    int                `json:"attempts"`
	Failed      int                `json:"failed"`
	Failures    map[load.Class]int `json:"failures,omitempty"` // by class
	P50Millis   float64            `json:"p50Millis"`          // DNS, connect, TLS and first answer together; of the slowest pod
	P99Millis   float64            `json:"p99Millis"`
	Sources     []string           `json:"sources"`            // source IPs the partner saw, ascending
	Unlisted    []string           `json:"unlisted,omitempty"` // those of the sources that are not active on the partner's allow list
}

// Sources compares what partners saw with what they were told.
type Sources struct {
	Seen   []string `json:"seen"`   // by any partner, ascending
	Active []string `json:"active"` // on the allow list, ascending
}

// Same reports whether exactly the active IPs were seen.
func (s Sources) Same() bool { return slices.Equal(s.Seen, s.Active) }

// DNSLookup says what resolving one external name costs.
type DNSLookup struct {
	Host     string  `json:"host"`
	NDots    int     `json:"ndots"`
	Lookups  int     `json:"lookups"`
	Queries  float64 `json:"queriesPerLookup"`  // from the pod
	Upstream float64 `json:"upstreamPerLookup"` // of these, past the node's cache
}

// Failover is what clients saw when a whole proxy was killed.
type Failover struct {
	Proxy            string             `json:"proxy"`
	Rate             float64            `json:"rate"`             // new connections per second of all clients
	Attempts         int                `json:"attempts"`         // connections of clients that try a second address
	FirstRefused     int                `json:"firstRefused"`     // of these, first tries that failed
	Failed           int                `json:"failed"`           // of these, failed even after the second try
	Failures         map[load.Class]int `json:"failures"`         // the same by class
	LastFinalFailure float64            `json:"lastFinalFailure"` // seconds after the kill, rounded up; 0 if nothing failed
	OnceAttempts     int                `json:"onceAttempts"`     // connections of clients that try once
	OnceFailed       int                `json:"onceFailed"`       // of these, failed
	LastFailure      float64            `json:"lastFailure"`      // seconds after the kill, rounded up, of clients that try once; 0 if nothing failed

	Addresses     []string `json:"addresses"`     // of the proxy, private and public, before the kill
	RepairSeconds float64  `json:"repairSeconds"` // until pulumi up had it serving again; 0 if it did not
	SameAddresses bool     `json:"sameAddresses"` // after the repair
}

// share is part of whole, 0 for an empty whole.
func share(part, whole int) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

// compare fills Sources from the paths.
func (r *Report) compare(document allowlist.Document) {
	r.Sources = &Sources{Seen: []string{}, Active: []string{}}
	seen := map[string]bool{}
	for _, p := range r.Paths {
		for _, source := range p.Sources {
			seen[source] = true
		}
	}
	for _, e := range document.Entries { // sorted by IP
		ip := e.IP.String()
		if e.State == allowlist.StateActive {
			r.Sources.Active = append(r.Sources.Active, ip)
		}
		if seen[ip] {
			r.Sources.Seen = append(r.Sources.Seen, ip)
			delete(seen, ip)
		}
	}
	r.Sources.Seen = append(r.Sources.Seen, slices.Sorted(maps.Keys(seen))...) // not on the list at all
}

// Write writes report.json and, if there is a curve, blocking.svg and blocking.png into a folder.
func (r Report) Write(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if err := os.WriteFile(filepath.Join(folder, "report.json"), append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if len(r.Exhaustion) == 0 {
		return nil
	}
	return plotBlocking(r, folder)
}
