package haproxy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/proxyimage/agent/atomicfile"
	"github.com/sallyport/sallyport/proxyimage/haproxycfg"
)

const (
	// chunkBytes is how much of a map is sent in one command. HAProxy's limit is its buffer, 128 KiB; it works on nothing
	// else while it reads a chunk.
	chunkBytes = 16 << 10
	// maxDelta is the number of changed entries up to which they are changed one by one: one host replaced by another.
	// Beyond, the whole map is replaced in one transaction. HAProxy 2.6 searches an entry to change from the first to the
	// last. Measured with 4,000 hosts (48,000 entries): 48 changes one by one take 50 ms, 288 take 245 ms and hold up new
	// connections for 180 ms; a transaction takes 190 ms and holds up none.
	maxDelta = 24
)

// Maps keeps the map files and the maps of the running HAProxy the same. A change is written to the file first and then made
// at run time, so that a restarted HAProxy, which reads the files, never knows a host that was removed. Not for concurrent use.
type Maps struct {
	admin *Admin
	files map[string]string            // text of each file, by path
	known map[string]map[string]string // entries the running HAProxy has, by path; absent if not known
}

// NewMaps returns Maps that change HAProxy through admin.
func NewMaps(admin *Admin) *Maps {
	return &Maps{admin: admin, files: map[string]string{}, known: map[string]map[string]string{}}
}

// Forget makes the next Commit replace every map: HAProxy was started anew or did not answer.
func (m *Maps) Forget() { clear(m.known) }

// Loaded tells that HAProxy has just read the files.
func (m *Maps) Loaded(want map[string][]haproxycfg.Entry) {
	clear(m.known)
	for path, entries := range want {
		m.known[path] = index(entries)
	}
}

// Write writes the map files that differ from want.
func (m *Maps) Write(want map[string][]haproxycfg.Entry) error {
	for _, path := range slices.Sorted(maps.Keys(want)) {
		text := haproxycfg.MapFile(want[path])
		if old, ok := m.files[path]; ok && old == text {
			continue
		}
		if err := atomicfile.Write(path, []byte(text)); err != nil {
			return fmt.Errorf("map file: %w", err)
		}
		m.files[path] = text
	}
	return nil
}

// Prune removes the map files in dir that want lacks, those of an earlier run included. Call it when HAProxy runs with a
// configuration that does not name them any more.
func (m *Maps) Prune(dir string, want map[string][]haproxycfg.Entry) error {
	paths, err := filepath.Glob(filepath.Join(dir, "*.map"))
	if err != nil {
		return fmt.Errorf("map file: %w", err)
	}
	for _, path := range paths {
		if _, ok := want[path]; ok {
			continue
		}
		delete(m.files, path)
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("map file: %w", err)
		}
	}
	return nil
}

// Commit brings the maps of the running HAProxy to want: few changes one by one, many in one transaction per map.
func (m *Maps) Commit(ctx context.Context, want map[string][]haproxycfg.Entry) error {
	for _, path := range slices.Sorted(maps.Keys(want)) {
		entries := index(want[path])
		if err := m.commitMap(ctx, path, entries, want[path]); err != nil {
			delete(m.known, path)
			return fmt.Errorf("map %s: %w", filepath.Base(path), err)
		}
		m.known[path] = entries
	}
	for path := range m.known {
		if _, ok := want[path]; !ok {
			delete(m.known, path)
		}
	}
	return nil
}

func (m *Maps) commitMap(ctx context.Context, path string, want map[string]string, ordered []haproxycfg.Entry) error {
	known, ok := m.known[path]
	if !ok {
		return m.replace(ctx, path, ordered)
	}
	commands := delta(path, known, want)
	if len(commands) > maxDelta || len(commands) > 0 && haproxycfg.Ordered(path) {
		return m.replace(ctx, path, ordered)
	}
	for _, line := range chunk(commands, "; ") {
		if err := m.admin.silent(ctx, line); err != nil {
			return m.replace(ctx, path, ordered) // somebody else changed the map: start over
		}
	}
	return nil
}

// delta returns the commands that turn known into want: first what is new, last what goes.
func delta(path string, known, want map[string]string) []string {
	var add, set, del []string
	for key, value := range want {
		if old, ok := known[key]; !ok {
			add = append(add, "add map "+path+" "+key+" "+value)
		} else if old != value {
			set = append(set, "set map "+path+" "+key+" "+value)
		}
	}
	for key := range known {
		if _, ok := want[key]; !ok {
			del = append(del, "del map "+path+" "+key)
		}
	}
	slices.Sort(add)
	slices.Sort(set)
	slices.Sort(del)
	return slices.Concat(add, set, del)
}

// replace replaces a map in one transaction: lookups see the old entries or the new ones, never a mixture.
func (m *Maps) replace(ctx context.Context, path string, entries []haproxycfg.Entry) error {
	reply, err := m.admin.Do(ctx, "prepare map "+path)
	if err != nil {
		return err
	}
	_, version, ok := strings.Cut(strings.TrimSpace(reply), "New version created: ")
	if !ok {
		return fmt.Errorf("haproxy admin socket: `prepare map`: %.200q", reply)
	}
	lines := make([]string, len(entries))
	for i, e := range entries {
		lines[i] = e.Key + " " + e.Value
	}
	for _, payload := range chunk(lines, "\n") {
		if err := m.admin.silent(ctx, "add map @"+version+" "+path+" <<\n"+payload+"\n"); err != nil {
			return err
		}
	}
	return m.admin.silent(ctx, "commit map @"+version+" "+path)
}

// chunk joins parts to strings of at most chunkBytes, or of one part.
func chunk(parts []string, separator string) []string {
	var chunks []string
	var current strings.Builder
	for _, part := range parts {
		if current.Len() > 0 && current.Len()+len(separator)+len(part) > chunkBytes {
			chunks = append(chunks, current.String())
			current.Reset()
		}
		if current.Len() > 0 {
			current.WriteString(separator)
		}
		current.WriteString(part)
	}
	if current.Len() > 0 {
		chunks = append(chunks, current.String())
	}
	return chunks
}

func index(entries []haproxycfg.Entry) map[string]string {
	m := make(map[string]string, len(entries))
	for _, e := range entries {
		m[e.Key] = e.Value
	}
	return m
}
