package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// serial is one counter: the number and the digest of the content that has it.
type serial struct {
	Value  uint64 `json:"value"`
	Digest string `json:"digest"`
}

func (l Lab) serialFile() string { return l.Path("serials.json") }

// Serial returns the serial of a content under a name: the same for the same content as last time, else one more. It never
// falls: least is the lowest serial that may be given, for callers that remember a higher one than the disk does (0 if not).
func (l Lab) Serial(ctx context.Context, name, content string, least uint64) (uint64, error) {
	sum := sha256.Sum256([]byte(content))
	digest := hex.EncodeToString(sum[:])
	if err := l.Create(); err != nil {
		return 0, err
	}
	unlock, err := l.Lock(ctx)
	if err != nil {
		return 0, err
	}
	defer unlock()
	all := map[string]serial{}
	if err := readJSON(l.serialFile(), &all); err != nil {
		return 0, fmt.Errorf("lab %s: serials: %w", l.ID, err)
	}
	current := all[name]
	if current.Digest != digest {
		current = serial{Value: current.Value + 1, Digest: digest}
	}
	current.Value = max(current.Value, least)
	all[name] = current
	if err := writeJSON(l.serialFile(), all); err != nil {
		return 0, fmt.Errorf("lab %s: serials: %w", l.ID, err)
	}
	return current.Value, nil
}

// DropSerial forgets a serial. The next one under this name starts at 1.
func (l Lab) DropSerial(ctx context.Context, name string) error {
	if !l.Exists() {
		return nil
	}
	unlock, err := l.Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	all := map[string]serial{}
	if err := readJSON(l.serialFile(), &all); err != nil {
		return fmt.Errorf("lab %s: serials: %w", l.ID, err)
	}
	delete(all, name)
	if err := writeJSON(l.serialFile(), all); err != nil {
		return fmt.Errorf("lab %s: serials: %w", l.ID, err)
	}
	return nil
}
