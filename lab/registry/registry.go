// Package registry is the memory of a lab on disk: which address belongs to which name, how far each serial has risen, and
// what every resource of the lab is made of. It outlives the CLI, so that an interrupted run finds its own remains again and
// a name keeps its address.
//
// A lab's memory is the directory <root>/<lab>. It is locked with flock on the directory itself: the lock ends with the
// process that held it, however that process died, and leaves no file behind.
package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/lab/labid"
)

// ErrGone says that the state directory of the lab does not exist.
var ErrGone = errors.New("lab does not exist")

// Lab is the memory of one lab.
type Lab struct {
	ID  string // see labid.Check
	Dir string // absolute path of the state directory
}

// Open names the memory of a lab. It touches nothing on disk: Create makes the directory.
func Open(id string) (Lab, error) {
	if err := labid.Check(id); err != nil {
		return Lab{}, err
	}
	dir, err := filepath.Abs(labid.StateDir(id))
	if err != nil {
		return Lab{}, fmt.Errorf("lab %s: state directory: %w", id, err)
	}
	return Lab{ID: id, Dir: dir}, nil
}

// All returns the labs that have a state directory, sorted by id.
func All() ([]Lab, error) {
	entries, err := os.ReadDir(labid.RootDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("labs: %w", err)
	}
	var labs []Lab
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		if lab, err := Open(entry.Name()); err == nil {
			labs = append(labs, lab)
		}
	}
	return labs, nil
}

// Create makes the state directory. It keeps what is there.
func (l Lab) Create() error {
	err := os.MkdirAll(l.Dir, 0o755)
	if errors.Is(err, fs.ErrNotExist) { // the last other lab has just removed the parent
		err = os.MkdirAll(l.Dir, 0o755)
	}
	if err != nil {
		return fmt.Errorf("lab %s: state directory: %w", l.ID, err)
	}
	return nil
}

// Exists reports whether the state directory is there.
func (l Lab) Exists() bool {
	info, err := os.Stat(l.Dir)
	return err == nil && info.IsDir()
}

// Remove deletes the state directory and, if no other lab is left, its parent.
func (l Lab) Remove() error {
	if err := os.RemoveAll(l.Dir); err != nil {
		return fmt.Errorf("lab %s: state directory: %w", l.ID, err)
	}
	_ = os.Remove(filepath.Dir(l.Dir)) // refuses while another lab is there, as it should
	return nil
}

// Tidy removes the state directory if nothing is left in it that a resource needs: no record, no address, no file of a host.
// Callers that forget something call it last; that it finds something is no error.
func (l Lab) Tidy(ctx context.Context) {
	unlock, err := l.Lock(ctx)
	if err != nil {
		return
	}
	defer unlock()
	all := addresses{}
	if err := readJSON(l.addressFile(), &all); err != nil || !all.empty() {
		return
	}
	// Removing a directory refuses unless it is empty.
	if err := os.Remove(l.Path(recordDir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return
	}
	_ = os.Remove(l.addressFile())
	_ = os.Remove(l.serialFile()) // whoever still counts remembers how far it was
	if os.Remove(l.Dir) == nil {
		_ = os.Remove(filepath.Dir(l.Dir))
	}
}

// Path returns a path below the state directory.
func (l Lab) Path(elements ...string) string {
	return filepath.Join(append([]string{l.Dir}, elements...)...)
}

// Lock waits until this process alone may change the lab's memory, or until ctx ends. The directory must exist.
func (l Lab) Lock(ctx context.Context) (unlock func(), err error) {
	for {
		fd, err := unix.Open(l.Dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.ENOENT) {
			return nil, fmt.Errorf("lab %s: %w", l.ID, ErrGone)
		}
		if err != nil {
			return nil, fmt.Errorf("lab %s: lock: %w", l.ID, err)
		}
		err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		if err == nil && l.sameDir(fd) {
			return func() { _ = unix.Close(fd) }, nil
		}
		_ = unix.Close(fd)
		if err != nil && !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, fmt.Errorf("lab %s: lock: %w", l.ID, err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("lab %s: lock: %w", l.ID, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// sameDir reports whether the open directory is still the one at l.Dir: between open and lock another process may have
// removed the lab and made a new one.
func (l Lab) sameDir(fd int) bool {
	var open, named unix.Stat_t
	if unix.Fstat(fd, &open) != nil || unix.Stat(l.Dir, &named) != nil {
		return false
	}
	return open.Dev == named.Dev && open.Ino == named.Ino
}

// HostDir is the directory of a host's daemons: their records, logs and files.
func (l Lab) HostDir(host string) string { return l.Path("hosts", host) }

// WriteFile replaces a file by rename: a reader sees the old content or the new, never a part.
func WriteFile(path string, content []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err == nil {
		err = file.Chmod(mode)
	}
	err = errors.Join(err, file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
	return err
}

func writeJSON(path string, value any) error {
	content, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	return WriteFile(path, append(content, '\n'), 0o644)
}

// readJSON leaves value alone if the file does not exist.
func readJSON(path string, value any) error {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(content, value); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
