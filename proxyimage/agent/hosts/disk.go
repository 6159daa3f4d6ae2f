package hosts

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"time"
)

// saved is the last good answer of a host on disk.
type saved struct {
	Addresses []netip.Addr `json:"addresses"`
	Good      time.Time    `json:"good"`
}

// Load reads answers saved by an earlier run. They count as tried, and as what DNS said then: they are judged anew like any
// answer. Call it before Set. A file that is not there is no error.
func (t *Tracker) Load(path string) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("saved answers: %w", err)
	}
	loaded := map[string]saved{}
	if err := json.Unmarshal(data, &loaded); err != nil {
		return fmt.Errorf("saved answers: %s: %w", path, err)
	}
	for host, answer := range loaded {
		if len(answer.Addresses) == 0 || answer.Good.IsZero() {
			delete(loaded, host)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.loaded = loaded
	return nil
}

// Save passes all good answers to write if there are new ones since the last call.
func (t *Tracker) Save(write func([]byte) error) error {
	t.mu.Lock()
	if !t.dirty {
		t.mu.Unlock()
		return nil
	}
	t.dirty = false
	all := make(map[string]saved, len(t.hosts))
	for host, entry := range t.hosts {
		if len(entry.Addresses) > 0 {
			all[host] = saved{Addresses: entry.Addresses, Good: entry.Good}
		}
	}
	t.mu.Unlock()
	data, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		return fmt.Errorf("saved answers: %w", err)
	}
	if err := write(data); err != nil {
		return fmt.Errorf("saved answers: %w", err)
	}
	return nil
}
