package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// recordDir is the directory of the records, below the state directory.
const recordDir = "resources"

// Record says that a resource exists and what it is made of, for those who look at a lab without Pulumi: `sallyport lab`.
type Record struct {
	ID   string          `json:"id"`   // of this incarnation, see Pulumi's id
	Kind string          `json:"kind"` // lower case type, for example "proxy"
	Name string          `json:"name"`
	Host string          `json:"host"` // host of the lab it lives on, for example "proxy-a-1"; empty if none
	Data json.RawMessage `json:"data"` // inputs and outputs as Pulumi knows them
}

func (l Lab) recordFile(kind, name string) string {
	return l.Path(recordDir, kind+"."+name+".json")
}

// PutRecord writes the record of a resource, with its data.
func (l Lab) PutRecord(record Record, data any) error {
	raw, err := json.Marshal(data)
	if err == nil {
		record.Data = raw
		err = writeJSON(l.recordFile(record.Kind, record.Name), record)
	}
	if err != nil {
		return fmt.Errorf("lab %s: record of %s %s: %w", l.ID, record.Kind, record.Name, err)
	}
	return nil
}

// Record returns the record of a resource, or the zero Record if there is none.
func (l Lab) Record(kind, name string) (Record, error) {
	var record Record
	if err := readJSON(l.recordFile(kind, name), &record); err != nil {
		return Record{}, fmt.Errorf("lab %s: record of %s %s: %w", l.ID, kind, name, err)
	}
	return record, nil
}

// RemoveRecord forgets a resource. Forgetting what is unknown is no error.
func (l Lab) RemoveRecord(kind, name string) error {
	if err := os.Remove(l.recordFile(kind, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("lab %s: record of %s %s: %w", l.ID, kind, name, err)
	}
	return nil
}

// FindRecord reads the record of a resource and decodes its data into value. It returns false if there is none.
func (l Lab) FindRecord(kind, name string, value any) (bool, error) {
	record, err := l.Record(kind, name)
	if err != nil {
		return false, err
	}
	if record.Kind == "" {
		return false, nil
	}
	if err := json.Unmarshal(record.Data, value); err != nil {
		return false, fmt.Errorf("lab %s: record of %s %s: %w", l.ID, kind, name, err)
	}
	return true, nil
}

// Records returns all records, sorted by kind and name.
func (l Lab) Records() ([]Record, error) {
	entries, err := os.ReadDir(l.Path(recordDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("lab %s: records: %w", l.ID, err)
	}
	var records []Record
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			continue // a write that is under way
		}
		var record Record
		if err := readJSON(l.Path(recordDir, entry.Name()), &record); err != nil {
			return nil, fmt.Errorf("lab %s: records: %w", l.ID, err)
		}
		if record.Kind != "" {
			records = append(records, record)
		}
	}
	return records, nil
}
