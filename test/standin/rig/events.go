package rig

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"
)

// event is a line of the engine's event log, as far as it is needed.
type event struct {
	Outputs *struct {
		Metadata step
		Planning bool
	} `json:"resOutputsEvent"`
	Pre    *struct{ Metadata step } `json:"resourcePreEvent"`
	Failed *struct{ Metadata step } `json:"resOpFailedEvent"`
}

// step is what happens to one resource.
type step struct {
	Op    string   `json:"op"`
	URN   string   `json:"urn"`
	Type  string   `json:"type"`
	Diffs []string `json:"diffs"`
	Keys  []string `json:"keys"`
}

// untouched are operations that change nothing in a cloud.
var untouched = []string{"same", "read", "refresh", "read-discard", "discard"}

// touchedBy reads an event log: one line for every operation on a resource of a cloud.
func touchedBy(path string) ([]string, error) {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("event log: %w", err)
	}
	defer func() { _ = file.Close() }()
	var touched []string
	scanner := bufio.NewScanner(file)
	scanner.Buffer(nil, 64<<20)
	for scanner.Scan() {
		var e event
		if json.Unmarshal(scanner.Bytes(), &e) != nil {
			continue
		}
		switch {
		case e.Pre != nil:
			// What is planned or begun is reported again when it is done.
		case e.Failed != nil:
			touched = append(touched, "failed "+e.Failed.Metadata.line())
		case e.Outputs != nil && e.Outputs.Planning:
		case e.Outputs != nil && !slices.Contains(untouched, e.Outputs.Metadata.Op):
			touched = append(touched, e.Outputs.Metadata.line())
		}
	}
	touched = slices.DeleteFunc(touched, func(line string) bool {
		return strings.Contains(line, " pulumi:") || strings.Contains(line, " sallyport:")
	})
	sort.Strings(touched)
	return touched, scanner.Err()
}

// line is how a step reads in a golden file.
func (s step) line() string {
	name := s.URN[strings.LastIndex(s.URN, "::")+2:]
	line := s.Op + " " + s.Type + " " + name
	changed := slices.Clone(s.Diffs)
	if len(s.Keys) > 0 {
		changed = slices.Clone(s.Keys)
	}
	sort.Strings(changed)
	if len(changed) > 0 {
		line += " [" + strings.Join(slices.Compact(changed), " ") + "]"
	}
	return line
}
