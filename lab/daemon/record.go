package daemon

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"
)

// recordSuffix ends the file name of every record, so that List finds them.
const recordSuffix = ".daemon.json"

// Record is what is kept about a started daemon.
type Record struct {
	Name       string    `json:"name"`
	PID        int       `json:"pid"`        // in the caller's process id namespace
	StartTicks uint64    `json:"startTicks"` // start time since boot, in clock ticks (field 22 of /proc/<pid>/stat)
	BootID     string    `json:"bootId"`     // the kernel's run that StartTicks belongs to
	Path       string    `json:"path"`
	Args       []string  `json:"args"`
	SpecHash   string    `json:"specHash"`            // over program, arguments, environment and namespace; see Spec.Hash
	Namespace  string    `json:"namespace,omitempty"` // empty for the host's network
	LogFile    string    `json:"logFile"`
	Started    time.Time `json:"started"`
}

// Status is a record together with whether its process runs.
type Status struct {
	Record
	Alive bool `json:"alive"`
}

// Hash identifies what the spec runs: a caller that wants to know whether a running daemon is up to date compares it with the
// record's SpecHash.
func (s Spec) Hash() string {
	text, _ := json.Marshal([]any{s.Path, s.Args, s.Env, s.Dir, s.Namespace, s.Cloneflags}) // plain values: cannot fail
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// Record returns what is recorded about the daemon; an error that wraps os.ErrNotExist if it was never started or was stopped.
func (d Daemon) Record() (Record, error) { return readRecord(d) }

// List returns every daemon recorded in stateDir, by name. A directory that does not exist holds none.
func List(stateDir string) ([]Status, error) {
	paths, err := filepath.Glob(filepath.Join(stateDir, "*"+recordSuffix))
	if err != nil {
		return nil, fmt.Errorf("daemon: list %s: %w", stateDir, err)
	}
	sort.Strings(paths)
	var all []Status
	for _, path := range paths {
		d := At(stateDir, strings.TrimSuffix(filepath.Base(path), recordSuffix))
		record, err := readRecord(d)
		if os.IsNotExist(err) {
			continue // stopped meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("daemon: list %s: %w", stateDir, err)
		}
		all = append(all, Status{Record: record, Alive: d.Alive()})
	}
	return all, nil
}

func newRecord(spec Spec, pid int) (Record, error) {
	stat, err := readStat(pid)
	if err != nil {
		return Record{}, err
	}
	return Record{
		Name: spec.Name, PID: pid, StartTicks: stat.startTicks, BootID: bootID(), Path: spec.Path, Args: spec.Args,
		SpecHash: spec.Hash(), Namespace: spec.Namespace, LogFile: spec.logFile(), Started: time.Now().UTC(),
	}, nil
}

func (d Daemon) recordPath() string { return filepath.Join(d.StateDir, d.Name+recordSuffix) }

// write replaces the record in one step: a reader sees the old one or the new one, whole.
func (r Record) write(d Daemon) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	temporary := d.recordPath() + ".tmp"
	if err := os.WriteFile(temporary, append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(temporary, d.recordPath())
}

func readRecord(d Daemon) (Record, error) {
	var record Record
	text, err := os.ReadFile(d.recordPath())
	if err != nil {
		return record, err
	}
	if err := json.Unmarshal(text, &record); err != nil {
		return record, fmt.Errorf("%s: %w", d.recordPath(), err)
	}
	return record, nil
}

// procStat is the part of /proc/<pid>/stat that tells processes apart.
type procStat struct {
	state      byte // R, S, D, Z (zombie), X (dead), ...
	startTicks uint64
}

func readStat(pid int) (procStat, error) {
	path := "/proc/" + strconv.Itoa(pid) + "/stat"
	text, err := os.ReadFile(path)
	if err != nil {
		return procStat{}, err
	}
	// The second field is the program's name in parentheses and may itself hold blanks and parentheses: count from the last one.
	end := bytes.LastIndexByte(text, ')')
	fields := strings.Fields(string(text[end+1:]))
	const startField = 22 - 3 // fields[0] is field 3
	if end < 0 || len(fields) <= startField {
		return procStat{}, fmt.Errorf("%s: must have at least 22 fields, got %q", path, text)
	}
	ticks, err := strconv.ParseUint(fields[startField], 10, 64)
	if err != nil {
		return procStat{}, fmt.Errorf("%s: start time: %w", path, err)
	}
	return procStat{state: fields[0][0], startTicks: ticks}, nil
}

// bootID identifies the running kernel since its boot; empty if the kernel does not say.
func bootID() string {
	text, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(text))
}
