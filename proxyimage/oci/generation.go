package oci

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// recordName is the file that describes the current image.
const recordName = "image.json"

// generation returns the directory <out>/<kind>-<digest>, filled by fill unless it is there already. It appears whole or not at
// all.
func generation(out, kind, digest string, fill func(dir string) error) (string, error) {
	path := filepath.Join(out, kind+"-"+digest[:16])
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	temporary, err := os.MkdirTemp(out, "."+kind+"-")
	if err != nil {
		return "", err
	}
	if err := os.Chmod(temporary, 0o755); err != nil {
		return "", err
	}
	if err := fill(temporary); err != nil {
		return "", errors.Join(err, os.RemoveAll(temporary))
	}
	return path, os.Rename(temporary, path)
}

// publish makes the image current: the links rootfs and oci first, the record last.
func publish(out string, image Image) error {
	for name, target := range map[string]string{"rootfs": image.Rootfs, "oci": image.Layout} {
		temporary := filepath.Join(out, "."+name+"-link")
		if err := os.Remove(temporary); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err := os.Symlink(filepath.Base(target), temporary); err != nil {
			return err
		}
		if err := os.Rename(temporary, filepath.Join(out, name)); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(image, "", "  ")
	if err != nil {
		return err
	}
	temporary := filepath.Join(out, "."+recordName)
	if err := os.WriteFile(temporary, append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(temporary, filepath.Join(out, recordName))
}

// removeAll clears what a killed build has left half done. The caller holds the directory's lock. What cannot be removed does no
// harm.
func removeAll(patterns ...string) {
	for _, pattern := range patterns {
		paths, _ := filepath.Glob(pattern) // constant patterns are good
		for _, path := range paths {
			os.RemoveAll(path) //nolint:errcheck // see above
		}
	}
}

// removeOldGenerations removes the directories of earlier images except the last one before, which a lab that has not been brought
// up to date yet may start again, and except those that a container runs from. Without the right to see who runs from what,
// everything stays.
func removeOldGenerations(out string, current Image) {
	used, err := mountTables()
	if err != nil {
		return
	}
	for _, kept := range []string{current.Rootfs, current.Layout} {
		kind, _, _ := strings.Cut(filepath.Base(kept), "-")
		for i, path := range newestFirst(filepath.Join(out, kind+"-*"), kept) {
			if i > 0 && !bytes.Contains(used, []byte(filepath.Base(path))) {
				os.RemoveAll(path) //nolint:errcheck // the next build tries again
			}
		}
	}
}

// newestFirst returns the paths that match, by time, except one.
func newestFirst(pattern, except string) []string {
	paths, _ := filepath.Glob(pattern) // constant patterns are good
	paths = slices.DeleteFunc(paths, func(path string) bool { return path == except })
	age := func(path string) int64 {
		info, err := os.Stat(path)
		if err != nil {
			return 0
		}
		return info.ModTime().UnixNano()
	}
	slices.SortFunc(paths, func(a, b string) int { return cmp.Compare(age(b), age(a)) })
	return paths
}

// mountTables returns the mount tables of all processes: a container's names the directory that is its root.
func mountTables() ([]byte, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/mountinfo")
	if err != nil {
		return nil, err
	}
	var all []byte
	for _, path := range paths {
		table, err := os.ReadFile(path)
		gone := errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) // ended meanwhile
		if err != nil && !gone {
			return nil, err
		}
		all = append(all, table...)
	}
	return all, nil
}
