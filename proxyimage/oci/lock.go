package oci

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/problem"
)

// lockHeader begins every lock file.
const lockHeader = `# Debian packages of the proxy image. Written by "sallyport image lock"; the image is built from exactly these.
# epoch is the time stamp of every file in the image. A package line is: architecture, name, version, sha256 of the .deb.
`

var (
	packageName    = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]{0,63}$`)
	packageVersion = regexp.MustCompile(`^[0-9][0-9A-Za-z.+:~-]{0,63}$`)
	sha256Hex      = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// Package is one Debian package of an image.
type Package struct {
	Arch    string `json:"arch"` // Debian's name: amd64, arm64
	Name    string `json:"name"`
	Version string `json:"version"`
	SHA256  string `json:"sha256"` // of the .deb, hexadecimal
}

// Lock is the content of a lock file.
type Lock struct {
	Epoch    time.Time // UTC, whole seconds
	Packages []Package // sorted by architecture and name
}

// ReadLock reads and checks a lock file. The error holds every problem with its line.
func ReadLock(path string) (Lock, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Lock{}, fmt.Errorf("image lock: %w", err)
	}
	return ParseLock(filepath.Base(path), text)
}

// ParseLock decodes a lock file; name is for messages.
func ParseLock(name string, text []byte) (Lock, error) {
	var (
		lock     Lock
		problems problem.List
		seen     = map[string]int{}
		number   int
	)
	for scanner := bufio.NewScanner(bytes.NewReader(text)); scanner.Scan(); {
		number++
		place := fmt.Sprintf("%s:%d", name, number)
		fields := strings.Fields(scanner.Text())
		switch {
		case len(fields) == 0 || strings.HasPrefix(fields[0], "#"):
		case fields[0] == "epoch":
			lock.parseEpoch(place, fields, &problems)
		default:
			p, ok := parsePackage(place, fields, &problems)
			if !ok {
				continue
			}
			key := p.Arch + " " + p.Name
			if first, twice := seen[key]; twice {
				problems.Add(place, fmt.Sprintf("a package is named once per architecture (first in line %d)", first), key, "remove one line")
				continue
			}
			seen[key] = number
			lock.Packages = append(lock.Packages, p)
		}
	}
	if lock.Epoch.IsZero() && problems.Len() == 0 {
		problems.Add(name, `needs one line "epoch <time>"`, nil, "write a new one with `sallyport image lock`")
	}
	lock.sort()
	return lock, problems.Err()
}

func (l *Lock) parseEpoch(place string, fields []string, problems *problem.List) {
	if len(fields) != 2 || !l.Epoch.IsZero() {
		problems.Add(place, `"epoch" stands once, with one time`, strings.Join(fields, " "), "")
		return
	}
	at, err := time.Parse(time.RFC3339, fields[1])
	if err != nil || at.Unix() <= 0 || at.Nanosecond() != 0 {
		problems.Add(place, "epoch must be a time after 1970 in whole seconds", fields[1], "for example 2026-11-20T00:00:00Z")
		return
	}
	l.Epoch = at.UTC()
}

func parsePackage(place string, fields []string, problems *problem.List) (Package, bool) {
	before := problems.Len()
	if len(fields) != 4 {
		problems.Add(place, "a package line has 4 fields: architecture, name, version, sha256", strings.Join(fields, " "), "")
		return Package{}, false
	}
	p := Package{Arch: fields[0], Name: fields[1], Version: fields[2], SHA256: fields[3]}
	if _, ok := platforms[p.Arch]; !ok {
		problems.Add(place, "architecture must be amd64 or arm64", p.Arch, "")
	}
	if !packageName.MatchString(p.Name) {
		problems.Add(place, "not a Debian package name", p.Name, "")
	}
	if !packageVersion.MatchString(p.Version) {
		problems.Add(place, "not a Debian version", p.Version, "")
	}
	if !sha256Hex.MatchString(p.SHA256) {
		problems.Add(place, "sha256 must be 64 hexadecimal digits in lower case", p.SHA256, "")
	}
	return p, problems.Len() == before
}

// For returns the packages of one architecture, by name.
func (l Lock) For(arch string) []Package {
	var all []Package
	for _, p := range l.Packages {
		if p.Arch == arch {
			all = append(all, p)
		}
	}
	return all
}

// Arches returns the architectures that the lock has packages for, sorted.
func (l Lock) Arches() []string {
	var all []string
	for _, p := range l.Packages {
		all = append(all, p.Arch)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Encode returns the lock file.
func (l Lock) Encode() []byte {
	l.sort()
	var out bytes.Buffer
	out.WriteString(lockHeader)
	fmt.Fprintf(&out, "epoch %s\n", l.Epoch.UTC().Format(time.RFC3339))
	for _, p := range l.Packages {
		fmt.Fprintf(&out, "%s %s %s %s\n", p.Arch, p.Name, p.Version, p.SHA256)
	}
	return out.Bytes()
}

func (l *Lock) sort() {
	slices.SortFunc(l.Packages, func(a, b Package) int {
		return cmp.Or(cmp.Compare(a.Arch, b.Arch), cmp.Compare(a.Name, b.Name))
	})
}

// file is the name that apt gives the package's .deb.
func (p Package) file() string {
	return fmt.Sprintf("%s_%s_%s.deb", p.Name, strings.ReplaceAll(p.Version, ":", "%3a"), p.Arch)
}

func (p Package) String() string { return fmt.Sprintf("%s %s (%s)", p.Name, p.Version, p.Arch) }
