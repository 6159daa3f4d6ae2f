package world

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
)

// Event is one call of a provider.
type Event struct {
	// Op is create, update, delete, read, invoke, or an effect the cloud adds by itself: launch, terminate, release.
	Op string `json:"op"`
	// Type is the type token of the resource or function.
	Type string `json:"type"`
	// Name is the resource's name in the program, empty for what no program named.
	Name string `json:"name,omitempty"`
	// ID is empty as long as the call has no effect.
	ID string `json:"id,omitempty"`
	// PublicIP is the IP that the object is, if any.
	PublicIP string `json:"publicIp,omitempty"`
	// Fault is the injected fault, if any.
	Fault string `json:"fault,omitempty"`
	// Error is why the call failed, empty if it did not.
	Error string `json:"error,omitempty"`
}

// Record appends to the journal. A world in memory keeps none.
func (w *World) Record(e Event) error {
	if w.InMemory() {
		return nil
	}
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(w.dir, "journal.jsonl"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	_, err = file.Write(append(line, '\n'))
	return errors.Join(err, file.Close())
}

// Journal are all events so far. The last line may be cut short by a kill and is then left out.
func (w *World) Journal() ([]Event, error) {
	file, err := os.Open(filepath.Join(w.dir, "journal.jsonl"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	defer func() { _ = file.Close() }()
	var events []Event
	scanner := bufio.NewScanner(file)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		var e Event
		if json.Unmarshal(scanner.Bytes(), &e) == nil {
			events = append(events, e)
		}
	}
	return events, scanner.Err()
}

// Mode is how a call goes wrong.
type Mode string

// The ways in which a call goes wrong.
const (
	// Before fails without effect, as a refused or throttled request does.
	Before Mode = "before"
	// Lost has its effect, and the caller gets an error and no id: the answer was lost.
	Lost Mode = "lost"
	// Partial has its effect, and the caller gets the id together with an error: waiting for the resource failed.
	Partial Mode = "partial"
	// Slow has its effect at once and answers after Seconds.
	Slow Mode = "slow"
)

// Fault makes matching calls go wrong.
type Fault struct {
	// ID names the fault in the count of what it met. Required, unique.
	ID string `json:"id"`
	// Op is create, update, delete or read.
	Op string `json:"op"`
	// Type is a pattern as of path.Match over the type token with "/" read as "."; empty matches all.
	Type string `json:"type,omitempty"`
	// Name is a pattern over the resource's name; empty matches all.
	Name string `json:"name,omitempty"`
	// Nth is the number of the first matching call that goes wrong, from 1; 0 means all do.
	Nth int `json:"nth,omitempty"`
	// Times is how many calls from the Nth on go wrong; 0 means one.
	Times int `json:"times,omitempty"`
	// Each lets the first matching call of every resource go wrong, whatever Nth and Times say.
	Each bool `json:"each,omitempty"`
	// Mode is how.
	Mode Mode `json:"mode"`
	// Seconds is how long a slow call takes.
	Seconds float64 `json:"seconds,omitempty"`
	// Message is the error, empty for a throttled request's.
	Message string `json:"message,omitempty"`
}

// SetFaults replaces what shall go wrong.
func (w *World) SetFaults(faults ...Fault) error {
	text, err := json.MarshalIndent(faults, "", "  ")
	if err != nil {
		return fmt.Errorf("faults: %w", err)
	}
	temporary := filepath.Join(w.dir, "faults.json.new")
	if err := os.WriteFile(temporary, text, 0o644); err != nil {
		return fmt.Errorf("faults: %w", err)
	}
	return os.Rename(temporary, filepath.Join(w.dir, "faults.json"))
}

// Strike returns the fault that a call meets, nil if none, and counts the call for every fault that it matches.
func (w *World) Strike(op, kind, name string) (*Fault, error) {
	if w.InMemory() {
		return nil, nil
	}
	text, err := os.ReadFile(filepath.Join(w.dir, "faults.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("faults: %w", err)
	}
	var faults []Fault
	if err := json.Unmarshal(text, &faults); err != nil {
		return nil, fmt.Errorf("faults: %w", err)
	}
	if len(faults) == 0 {
		return nil, nil
	}
	var struck *Fault
	err = w.Do(func(s *State) error {
		for i := range faults {
			f := &faults[i]
			if !f.matches(op, kind, name) {
				continue
			}
			if s.Matched == nil {
				s.Matched = map[string]int{}
			}
			if f.Each {
				one := f.ID + " " + kind + " " + name
				if s.Matched[one]++; s.Matched[one] == 1 {
					struck = f
				}
				continue
			}
			s.Matched[f.ID]++
			first, last := f.Nth, f.Nth+max(f.Times, 1)-1
			if n := s.Matched[f.ID]; f.Nth == 0 || (n >= first && n <= last) {
				struck = f
			}
		}
		return nil
	})
	return struck, err
}

func (f *Fault) matches(op, kind, name string) bool {
	return f.Op == op && patternMatches(f.Type, kind) && patternMatches(f.Name, name)
}

func patternMatches(pattern, text string) bool {
	if pattern == "" {
		return true
	}
	flat := func(s string) string {
		out := []byte(s)
		for i := range out {
			if out[i] == '/' {
				out[i] = '.'
			}
		}
		return string(out)
	}
	matched, err := path.Match(flat(pattern), flat(text))
	return err == nil && matched
}
