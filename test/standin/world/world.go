// Package world keeps what a stand-in provider pretends to be: the resources of a cloud account or a cluster, in a folder that
// outlives the provider process, as the cloud outlives the Pulumi command line.
//
// A folder holds world.json (everything that exists), journal.jsonl (every call, in order), faults.json (what shall go wrong;
// written by tests) and lock. Every operation takes the lock for its whole duration, so the providers of several clouds and the
// test that watches them see one history.
package world

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Props are the properties of a resource as the provider protocol has them: nil, bool, float64, string, []any and map[string]any.
type Props = map[string]any

// Object is one thing that exists.
type Object struct {
	// Type is the Pulumi type token, as "aws:ec2/eip:Eip".
	Type string `json:"type"`
	// ID is unique among the objects of a type.
	ID string `json:"id"`
	// Inputs are what the owner asked for.
	Inputs Props `json:"inputs,omitempty"`
	// Props are what the cloud shows: inputs, defaults and computed properties.
	Props Props `json:"props"`
	// Born orders objects by creation.
	Born int `json:"born"`
	// Foreign is set on what the cloud itself made, as an instance by its group; no provider call creates or deletes it.
	Foreign bool `json:"foreign,omitempty"`
}

// String returns a property as text, empty if it is absent or no text.
func (o *Object) String(property string) string {
	if o == nil {
		return ""
	}
	text, _ := o.Props[property].(string)
	return text
}

// Settings are the limits of the account. Zero means the default in parentheses.
type Settings struct {
	// EIPs is AWS quota L-0263D0A3, Elastic IPs per region (5).
	EIPs int `json:"eips,omitempty"`
	// EIPsPerNat is AWS quota L-5F53652F, Elastic IPs per NAT gateway (2, at most 8).
	EIPsPerNat int `json:"eipsPerNat,omitempty"`
	// NatsPerZone is AWS quota L-FE5A380F, NAT gateways per Availability Zone (5).
	NatsPerZone int `json:"natsPerZone,omitempty"`
	// Addresses is the GCP quota of external addresses per region (8).
	Addresses int `json:"addresses,omitempty"`
	// Zones are the zones of every region, as suffixes (a, b, c, d, e, f).
	Zones []string `json:"zones,omitempty"`
	// Lenient takes references to things that nobody created at their word, as a preview without an account must.
	Lenient bool `json:"lenient,omitempty"`
}

// State is everything that exists, and the history that must not be forgotten.
type State struct {
	Settings Settings           `json:"settings"`
	Sequence int                `json:"sequence"`
	Objects  map[string]*Object `json:"objects"`
	// Released are the public IPs that were given back, with the id that had them.
	Released map[string]string `json:"released,omitempty"`
	// Cut says which connections were cut by an operation that should not have cut any.
	Cut []string `json:"cut,omitempty"`
	// Matched counts how often each fault's pattern was met.
	Matched map[string]int `json:"matched,omitempty"`
}

// World is a folder with a state, or a state in memory when the folder is empty.
type World struct {
	dir   string
	mutex sync.Mutex
	state *State
	stamp time.Time // of world.json when state was read or written
	size  int64
}

// Open returns the world in a folder, which is created. An empty dir is a lenient world in memory.
func Open(dir string) (*World, error) {
	if dir == "" {
		return &World{state: &State{Settings: Settings{Lenient: true}, Objects: map[string]*Object{}}}, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("world: %w", err)
	}
	return &World{dir: dir}, nil
}

// InMemory says whether the world ends with the process.
func (w *World) InMemory() bool { return w.dir == "" }

// Do runs an operation on the state with nobody else in it, and keeps the result if the operation returns no error.
func (w *World) Do(operation func(*State) error) error {
	return w.locked(func() error {
		if err := operation(w.state); err != nil {
			w.stamp = time.Time{} // read again: the operation may have changed something before it failed
			return err
		}
		return w.save()
	})
}

// Look runs a read-only operation.
func (w *World) Look(operation func(*State)) error {
	return w.locked(func() error { operation(w.state); return nil })
}

func (w *World) locked(operation func() error) error {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.InMemory() {
		return operation()
	}
	lock, err := os.OpenFile(filepath.Join(w.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("world: %w", err)
	}
	defer func() { _ = lock.Close() }()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("world: %w", err)
	}
	if err := w.load(); err != nil {
		return err
	}
	return operation()
}

func (w *World) file() string { return filepath.Join(w.dir, "world.json") }

// load reads the state unless the file is the one read or written last.
func (w *World) load() error {
	info, err := os.Stat(w.file())
	switch {
	case errors.Is(err, os.ErrNotExist):
		w.state = &State{Objects: map[string]*Object{}}
		return nil
	case err != nil:
		return fmt.Errorf("world: %w", err)
	case w.state != nil && info.ModTime().Equal(w.stamp) && info.Size() == w.size:
		return nil
	}
	text, err := os.ReadFile(w.file())
	if err != nil {
		return fmt.Errorf("world: %w", err)
	}
	state := &State{}
	if err := json.Unmarshal(text, state); err != nil {
		return fmt.Errorf("world: %s: %w", w.file(), err)
	}
	if state.Objects == nil {
		state.Objects = map[string]*Object{}
	}
	w.state, w.stamp, w.size = state, info.ModTime(), info.Size()
	return nil
}

// save writes beside the file and renames, so that a killed provider leaves the old world or the new one.
func (w *World) save() error {
	if w.InMemory() {
		return nil
	}
	text, err := json.Marshal(w.state)
	if err != nil {
		return fmt.Errorf("world: %w", err)
	}
	temporary := w.file() + ".new"
	if err := os.WriteFile(temporary, text, 0o644); err != nil {
		return fmt.Errorf("world: %w", err)
	}
	if err := os.Rename(temporary, w.file()); err != nil {
		return fmt.Errorf("world: %w", err)
	}
	info, err := os.Stat(w.file())
	if err != nil {
		return fmt.Errorf("world: %w", err)
	}
	w.stamp, w.size = info.ModTime(), info.Size()
	return nil
}

// key is where an object is kept.
func key(kind, id string) string { return kind + " " + id }

// Find returns an object, nil if there is none.
func (s *State) Find(kind, id string) *Object { return s.Objects[key(kind, id)] }

// Put adds or replaces an object. A new one is numbered.
func (s *State) Put(o *Object) {
	if o.Born == 0 {
		s.Sequence++
		o.Born = s.Sequence
	}
	s.Objects[key(o.Type, o.ID)] = o
}

// Remove takes an object out of the world.
func (s *State) Remove(o *Object) { delete(s.Objects, key(o.Type, o.ID)) }

// All are the objects of the given types, or of all types if none is given, in order of creation.
func (s *State) All(kinds ...string) []*Object {
	var found []*Object
	for _, o := range s.Objects {
		for _, kind := range kinds {
			if o.Type == kind {
				found = append(found, o)
			}
		}
		if len(kinds) == 0 {
			found = append(found, o)
		}
	}
	sort.Slice(found, func(i, j int) bool { return found[i].Born < found[j].Born })
	return found
}

// By returns the first object of a type whose property has a value, nil if there is none.
func (s *State) By(kind, property, value string) *Object {
	if property == "id" {
		return s.Find(kind, value)
	}
	for _, o := range s.All(kind) {
		if o.String(property) == value {
			return o
		}
	}
	return nil
}

// publicRanges are the documentation ranges (RFC 5737), then the benchmarking range (RFC 2544).
var publicRanges = []struct {
	prefix string
	count  int
}{{"198.51.100.", 254}, {"203.0.113.", 254}, {"192.0.2.", 254}}

// NextPublicIP returns a public IP that nobody has and nobody ever had: an IP that was released never comes back, as one cannot
// count on that in a cloud either.
func (s *State) NextPublicIP() string {
	s.Sequence++
	taken := map[string]bool{}
	for ip := range s.Released {
		taken[ip] = true
	}
	for _, o := range s.Objects {
		if ip := PublicIP(o); ip != "" {
			taken[ip] = true
		}
	}
	for _, r := range publicRanges {
		for n := 1; n <= r.count; n++ {
			if ip := fmt.Sprintf("%s%d", r.prefix, n); !taken[ip] {
				return ip
			}
		}
	}
	for n := 0; ; n++ {
		if ip := fmt.Sprintf("198.18.%d.%d", n/250, n%250+1); !taken[ip] {
			return ip
		}
	}
}

// PublicIP is the public IP that an object is, empty if it is none.
func PublicIP(o *Object) string {
	switch o.Type {
	case "aws:ec2/eip:Eip":
		return o.String("publicIp")
	case "gcp:compute/address:Address", "gcp:compute/globalAddress:GlobalAddress":
		if o.String("addressType") != "INTERNAL" {
			return o.String("address")
		}
	}
	return ""
}

// Cloud is the package of a type token.
func Cloud(kind string) string {
	cloud, _, _ := strings.Cut(kind, ":")
	return cloud
}
