// Package atomicfile replaces files so that a reader sees the old text or the new one, and a crash leaves one of them.
package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
)

// Write replaces the file at path by rename. The directory must exist; the file can be read by everybody.
func Write(path string, data []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp.Name()) }() // nothing is left of it after the rename
	_, err = temp.Write(data)
	if err := errors.Join(err, temp.Chmod(0o644), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}
