package oci

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// LockOptions says which lock file to rewrite.
type LockOptions struct {
	Lock  string // lock file; its package names stay, versions and sums are renewed
	Cache string // directory for package indexes; safe to delete
	Arch  string // amd64 or arm64; empty for all that the lock has. An architecture new to the lock gets the packages of the others

	Progress func(format string, args ...any) // told what goes on; nil for silence
}

// Change is what a new lock says about one package.
type Change struct {
	Arch string `json:"arch"`
	Name string `json:"name"`
	From string `json:"from"` // version locked before; empty if it was not
	To   string `json:"to"`
}

// Relock rewrites the lock file with what the mirrors offer now, and returns what changed. The epoch moves to today if anything
// did; otherwise the file stays as it is. Nothing is written unless every package could be found for every architecture.
func Relock(ctx context.Context, o LockOptions) ([]Change, error) {
	if o.Progress == nil {
		o.Progress = func(string, ...any) {}
	}
	if _, ok := platforms[o.Arch]; !ok && o.Arch != "" {
		return nil, fmt.Errorf("image lock: architecture: must be amd64 or arm64, got %q", o.Arch)
	}
	lock, err := ReadLock(o.Lock)
	if err != nil {
		return nil, err
	}
	cache, err := filepath.Abs(o.Cache)
	if err != nil {
		return nil, err
	}
	release, err := exclusive(filepath.Join(cache, "debs"))
	if err != nil {
		return nil, fmt.Errorf("image lock: %w", err)
	}
	defer release()
	arches := []string{o.Arch}
	if o.Arch == "" {
		arches = lock.Arches()
	}
	var changes []Change
	names := lock.names()
	for _, arch := range arches {
		client := apt{arch: arch, dir: filepath.Join(cache, "apt-"+arch)}
		o.Progress("fetching package indexes (%s)", arch)
		if err := client.update(ctx); err != nil {
			return nil, fmt.Errorf("image lock: %w", err)
		}
		offered, err := client.candidates(ctx, names...)
		if err != nil {
			return nil, fmt.Errorf("image lock: %w", err)
		}
		changes = append(changes, lock.renew(arch, offered)...)
	}
	if len(changes) == 0 {
		return nil, nil
	}
	lock.Epoch = time.Now().UTC().Truncate(24 * time.Hour)
	temporary := o.Lock + ".tmp"
	if err := os.WriteFile(temporary, lock.Encode(), 0o644); err != nil {
		return nil, fmt.Errorf("image lock: %w", err)
	}
	return changes, os.Rename(temporary, o.Lock)
}

// names returns the names of the packages of all architectures, each once.
func (l Lock) names() []string {
	var all []string
	for _, p := range l.Packages {
		all = append(all, p.Name)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// renew replaces the packages of one architecture by what is offered, by name. An architecture new to the lock gets all of it.
func (l *Lock) renew(arch string, offered map[string]Package) []Change {
	locked := map[string]Package{}
	for _, p := range l.For(arch) {
		locked[p.Name] = p
	}
	l.Packages = slices.DeleteFunc(l.Packages, func(p Package) bool { return p.Arch == arch })
	var changes []Change
	for name, now := range offered {
		l.Packages = append(l.Packages, now)
		if before := locked[name]; now != before {
			changes = append(changes, Change{Arch: arch, Name: name, From: before.Version, To: now.Version})
		}
	}
	l.sort()
	slices.SortFunc(changes, func(a, b Change) int { return cmp.Compare(a.Name, b.Name) })
	return changes
}
