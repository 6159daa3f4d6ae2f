package oci

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

// node is one file, directory or symbolic link.
type node struct {
	mode fs.FileMode // fs.ModeDir or fs.ModeSymlink with permissions; no other type bit
	data []byte      // files only
	link string      // links only
	uid  int         // owner and group in one
}

// tree is a file system in memory: clean relative slash paths to nodes. The root itself is not in it.
type tree map[string]node

// addDir adds a directory and its parents, or changes one.
func (t tree) addDir(name string, mode fs.FileMode, uid int) error {
	return t.add(name, node{mode: fs.ModeDir | mode, uid: uid})
}

// addFile adds a file and its parents.
func (t tree) addFile(name string, mode fs.FileMode, data []byte) error {
	return t.add(name, node{mode: mode, data: data})
}

// addLink adds a symbolic link and its parents.
func (t tree) addLink(name, target string) error {
	return t.add(name, node{mode: fs.ModeSymlink | 0o777, link: target})
}

func (t tree) add(name string, n node) error {
	if err := t.addParents(name); err != nil {
		return err
	}
	if old, ok := t[name]; ok && old.mode.IsDir() != n.mode.IsDir() {
		return fmt.Errorf("path %q: must not be a directory and something else", name)
	}
	t[name] = n
	return nil
}

// addParents makes what is missing above name. Nothing may lie below a file or a link: written to a disk, a link's children
// would land wherever the link points.
func (t tree) addParents(name string) error {
	if !fs.ValidPath(name) || name == "." {
		return fmt.Errorf("path: must be relative, clean and inside the image, got %q", name)
	}
	for parent := path.Dir(name); parent != "."; parent = path.Dir(parent) {
		above, ok := t[parent]
		if ok && !above.mode.IsDir() {
			return fmt.Errorf("path %q: %q must be a directory, is a file or a link", name, parent)
		}
		if !ok {
			t[parent] = node{mode: fs.ModeDir | 0o755}
		}
	}
	return nil
}

// find follows symbolic links inside the tree and returns the path reached; false if there is nothing.
func (t tree) find(name string) (string, bool) {
	for range 40 { // the kernel's own limit for links in a row
		n, ok := t[name]
		if !ok {
			return "", false
		}
		if n.mode&fs.ModeSymlink == 0 {
			return name, true
		}
		if path.IsAbs(n.link) {
			name = strings.TrimPrefix(path.Clean(n.link), "/")
		} else {
			name = path.Join(path.Dir(name), n.link)
		}
		name = mergeUsr(name)
	}
	return "", false
}

// names returns all paths in the order they are written: a directory before its content.
func (t tree) names() []string {
	names := make([]string, 0, len(t))
	for name := range t {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// size is the sum of the files' sizes in bytes.
func (t tree) size() int64 {
	var sum int64
	for _, n := range t {
		sum += int64(len(n.data))
	}
	return sum
}

// writeTar writes the tree as a tar archive that depends on nothing but the tree and epoch.
func (t tree) writeTar(w io.Writer, epoch time.Time) error {
	out := tar.NewWriter(w)
	for _, name := range t.names() {
		n := t[name]
		header := &tar.Header{
			Name: name, Mode: int64(n.mode.Perm()), Uid: n.uid, Gid: n.uid, ModTime: epoch, Format: tar.FormatPAX,
			Typeflag: tar.TypeReg, Size: int64(len(n.data)),
		}
		switch {
		case n.mode.IsDir():
			header.Typeflag, header.Name = tar.TypeDir, name+"/"
			if n.mode&fs.ModeSticky != 0 {
				header.Mode |= 0o1000
			}
		case n.mode&fs.ModeSymlink != 0:
			header.Typeflag, header.Linkname = tar.TypeSymlink, n.link
		}
		if err := out.WriteHeader(header); err != nil {
			return fmt.Errorf("tar: %s: %w", name, err)
		}
		if _, err := io.Copy(out, bytes.NewReader(n.data)); err != nil {
			return fmt.Errorf("tar: %s: %w", name, err)
		}
	}
	return out.Close()
}

// writeDir writes the tree into an empty directory and never outside of it. Owners are set only by root: anybody else cannot.
func (t tree) writeDir(dir string, epoch time.Time) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, name := range t.names() {
		if err := t[name].write(root, name); err != nil {
			return err
		}
	}
	names := t.names()
	slices.Reverse(names) // children first: each of them changes its directory's time
	for _, name := range names {
		if t[name].mode&fs.ModeSymlink != 0 {
			continue
		}
		if err := root.Chtimes(name, epoch, epoch); err != nil {
			return err
		}
	}
	return nil
}

func (n node) write(root *os.Root, name string) error {
	var err error
	switch {
	case n.mode.IsDir():
		err = root.Mkdir(name, 0o755)
	case n.mode&fs.ModeSymlink != 0:
		return root.Symlink(n.link, name)
	default:
		err = root.WriteFile(name, n.data, 0o644)
	}
	if err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		if err := root.Chown(name, n.uid, n.uid); err != nil {
			return err
		}
	}
	return root.Chmod(name, n.mode&(fs.ModePerm|fs.ModeSticky)) // after Chown, and whatever the umask
}
