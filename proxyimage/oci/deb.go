package oci

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os/exec"
	"path"
	"slices"
	"strings"
)

// maxFileBytes bounds one file of a package; the largest that the image keeps has 5 MB.
const maxFileBytes = 256 << 20

// certificates is where package ca-certificates keeps its certificates; they go into one bundle and are dropped.
const certificates = "usr/share/ca-certificates/mozilla/"

// platform is what depends on the architecture.
type platform struct {
	triplet string // Debian's library directory
	loader  string // path of the dynamic loader in its package, after mergeUsr
	machine uint16 // ELF machine
}

// platforms are the architectures that an image can be built for, by Debian's name (Go's and OCI's are the same).
var platforms = map[string]platform{
	"amd64": {triplet: "x86_64-linux-gnu", loader: "usr/lib64/ld-linux-x86-64.so.2", machine: 62},
	"arm64": {triplet: "aarch64-linux-gnu", loader: "usr/lib/ld-linux-aarch64.so.1", machine: 183},
}

// Architectures returns the architectures that an image can be built for, sorted.
func Architectures() []string { return slices.Sorted(maps.Keys(platforms)) }

func (p platform) libraries() string { return "usr/lib/" + p.triplet + "/" }

// keep says whether a file of a package goes into the image. Everything else stays out, above all shells, scripts, gconv and
// NSS modules, documentation and translations.
func (p platform) keep(name string) bool {
	if name == haproxyPath || name == p.loader {
		return true
	}
	for _, pattern := range []string{
		p.libraries() + "*.so", p.libraries() + "*.so.*",
		"usr/share/doc/*", "usr/share/doc/*/copyright", "usr/share/common-licenses/*",
		"usr/lib/os-release", "etc/os-release", "etc/debian_version",
		certificates + "*.crt",
	} {
		if ok, _ := path.Match(pattern, name); ok { // the patterns are constant and good
			return true
		}
	}
	return false
}

// mergeUsr moves a package's path to where it lies on a system with a merged /usr, as Debian's is.
func mergeUsr(name string) string {
	first, _, _ := strings.Cut(name, "/")
	switch first {
	case "bin", "sbin", "lib", "lib64":
		return "usr/" + name
	}
	return name
}

// unpack adds the files of a .deb that the image needs.
func (t tree) unpack(ctx context.Context, deb string, p platform) error {
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", deb)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("unpack %s: %w; install dpkg", deb, err)
	}
	readErr := t.addArchive(out, p)
	if readErr != nil {
		cmd.Process.Kill() //nolint:errcheck // it may have ended; Wait says how
	}
	if err := cmd.Wait(); readErr == nil && err != nil {
		readErr = fmt.Errorf("%w: %s", err, strings.TrimSpace(complaint.String()))
	}
	if readErr != nil {
		return fmt.Errorf("unpack %s: %w", deb, readErr)
	}
	return nil
}

// addArchive adds what keep wants from a package's tar archive. Permissions come from us, not from the package.
func (t tree) addArchive(archive io.Reader, p platform) error {
	in := tar.NewReader(archive)
	for {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			_, err := io.Copy(io.Discard, archive) // the padding, so that the writer ends in peace
			return err
		}
		if err != nil {
			return err
		}
		name, err := entryName(header.Name)
		if err != nil {
			return err
		}
		if !p.keep(name) {
			continue
		}
		if err := t.addEntry(in, header, name); err != nil {
			return err
		}
	}
}

// entryName turns "./lib/x" into "usr/lib/x" and refuses a path that leaves the archive's root.
func entryName(raw string) (string, error) {
	name := strings.TrimSuffix(strings.TrimPrefix(raw, "./"), "/")
	if name == "" {
		return ".", nil
	}
	if !fs.ValidPath(name) {
		return "", fmt.Errorf("entry: must be a clean path inside the package, got %q", raw)
	}
	return mergeUsr(name), nil
}

func (t tree) addEntry(in io.Reader, header *tar.Header, name string) error {
	switch header.Typeflag {
	case tar.TypeDir:
		return nil // directories come with what lies in them
	case tar.TypeSymlink:
		return t.addLink(name, header.Linkname)
	case tar.TypeLink:
		target, err := entryName(header.Linkname)
		if err != nil {
			return err
		}
		n, ok := t[target]
		if !ok || !n.mode.IsRegular() {
			return fmt.Errorf("hard link %q: its target %q must come before it and be kept", name, target)
		}
		return t.addFile(name, n.mode.Perm(), n.data)
	case tar.TypeReg:
		if header.Size > maxFileBytes {
			return fmt.Errorf("file %q: at most %d bytes, got %d", name, int64(maxFileBytes), header.Size)
		}
		data, err := io.ReadAll(in)
		if err != nil {
			return fmt.Errorf("file %q: %w", name, err)
		}
		mode := fs.FileMode(0o644)
		if header.Mode&0o111 != 0 {
			mode = 0o755
		}
		return t.addFile(name, mode, data)
	}
	return fmt.Errorf("entry %q: must be a file, a directory or a link, got type %q", name, header.Typeflag)
}
