// Package allowlist is the document that partners put on their allow lists: every public IP the cluster may come from, with
// its state and since when, so that an IP is announced before it carries traffic and withdrawn only after it stopped.
package allowlist

import "net/netip"

// Kind says what owns an IP.
type Kind string

// The kinds.
const (
	KindNat   Kind = "nat"
	KindProxy Kind = "proxy"
)

// State is where an IP is in its life.
type State string

// The states, in order.
const (
	StateReserved  State = "reserved"  // allocated, not yet told to partners as coming into use
	StateAnnounced State = "announced" // partners have been told, no traffic yet
	StateActive    State = "active"    // may carry traffic
	StateDraining  State = "draining"  // no new connections, existing ones finish
	StateRetired   State = "retired"   // carries nothing; partners may remove it
)

// Entry is one public IP.
type Entry struct {
	IP     netip.Addr `json:"ip"`
	Cloud  string     `json:"cloud"`  // local, aws, gcp
	Region string     `json:"region"` // empty in stack local
	Zone   string     `json:"zone,omitempty"`
	Kind   Kind       `json:"kind"`
	Slot   string     `json:"slot"` // stable name of the owner, for example "proxy-a-1"
	State  State      `json:"state"`
	// Partners are those whose destinations this IP serves, sorted. Empty if it serves none yet.
	Partners []string `json:"partners"`
}

// Document is what is handed out. Entries are sorted by IP.
type Document struct {
	Version int     `json:"version"`
	Stack   string  `json:"stack"`
	Serial  uint64  `json:"serial"` // rises with every change of the entries
	Entries []Entry `json:"entries"`
}
