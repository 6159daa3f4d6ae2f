package oci

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Substitution says that a package was taken in another version than the locked one.
type Substitution struct {
	Locked Package `json:"locked"`
	Taken  Package `json:"taken"`
}

// fetcher brings the packages of one architecture into the cache.
type fetcher struct {
	lockName   string // for messages
	debs       string // the cache
	private    apt    // with indexes of our own
	allowNewer bool
	progress   func(format string, args ...any)
	updated    bool // the private indexes are fresh
}

// fetch returns the packages to unpack, each of them in the cache with the sha256 it names. With allowNewer, packages that the
// mirrors no longer have in the locked version are replaced by what they offer.
func (f *fetcher) fetch(ctx context.Context, locked []Package) ([]Package, []Substitution, error) {
	if err := os.MkdirAll(f.debs, 0o755); err != nil {
		return nil, nil, err
	}
	missing, err := f.missing(locked)
	if err != nil {
		return nil, nil, err
	}
	if len(missing) > 0 { // other builds may share the cache; what they fetch meanwhile need not be fetched again
		release, err := exclusive(f.debs)
		if err != nil {
			return nil, nil, err
		}
		defer release()
		removeAll(filepath.Join(f.debs, "download-*"))
		if missing, err = f.missing(locked); err != nil {
			return nil, nil, err
		}
	}
	taken := make(map[string]Package, len(missing)) // by name
	if f.allowNewer {
		missing = f.takeEarlierSubstitutes(missing, taken)
	}
	var cause error
	if len(missing) > 0 {
		if missing, cause = f.download(ctx, missing); ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
	}
	var errs []error
	for _, p := range missing {
		newer, err := f.substitute(ctx, p, cause)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		taken[p.Name] = newer
	}
	if err := errors.Join(errs...); err != nil {
		return nil, nil, err
	}
	packages, substitutions := make([]Package, len(locked)), []Substitution(nil)
	for i, p := range locked {
		packages[i] = p
		if newer, ok := taken[p.Name]; ok {
			packages[i] = newer
			substitutions = append(substitutions, Substitution{Locked: p, Taken: newer})
		}
	}
	return packages, substitutions, nil
}

// missing returns those packages that are not in the cache. A cached file with another sha256 is removed.
func (f *fetcher) missing(packages []Package) ([]Package, error) {
	var missing []Package
	for _, p := range packages {
		path := filepath.Join(f.debs, p.file())
		sum, err := fileSHA256(path)
		if errors.Is(err, os.ErrNotExist) {
			missing = append(missing, p)
			continue
		}
		if err != nil {
			return nil, err
		}
		if sum != p.SHA256 {
			f.progress("%s: cached file has another sha256, fetching it again", p)
			if err := os.Remove(path); err != nil {
				return nil, err
			}
			missing = append(missing, p)
		}
	}
	return missing, nil
}

// download tries the machine's package indexes, then fresh ones of our own, and returns what could not be had and why.
func (f *fetcher) download(ctx context.Context, packages []Package) ([]Package, error) {
	f.progress("fetching %d Debian packages", len(packages))
	if machine, ok := machineApt(f.private.arch); ok {
		if f.into(ctx, machine, packages...) == nil {
			return nil, nil
		}
	}
	if err := f.update(ctx); err != nil {
		return packages, err
	}
	var (
		missing []Package
		cause   error
	)
	for _, p := range packages { // one by one, to learn which of them is the trouble
		if err := f.into(ctx, f.private, p); err != nil {
			missing, cause = append(missing, p), err
		}
	}
	return missing, cause
}

func (f *fetcher) update(ctx context.Context) error {
	if f.updated {
		return nil
	}
	f.progress("fetching package indexes (%s)", f.private.arch)
	if err := f.private.update(ctx); err != nil {
		return err
	}
	f.updated = true
	return nil
}

// into downloads packages and moves them into the cache if all of them have the sha256 they name.
func (f *fetcher) into(ctx context.Context, client apt, packages ...Package) error {
	dir, err := os.MkdirTemp(f.debs, "download-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // what a killed build leaves, the next one removes
	if err := client.download(ctx, dir, packages...); err != nil {
		return err
	}
	for _, p := range packages {
		path := downloaded(dir, p)
		sum, err := fileSHA256(path)
		if err != nil {
			return err
		}
		if sum != p.SHA256 {
			return fmt.Errorf("%s: sha256: must be %s, got %s", p, p.SHA256, sum)
		}
		if err := os.Rename(path, filepath.Join(f.debs, p.file())); err != nil {
			return err
		}
	}
	return nil
}

// downloaded returns the path of a package that apt has put into dir: a package for all architectures says so in its file name.
func downloaded(dir string, p Package) string {
	ownArch := filepath.Join(dir, p.file())
	if _, err := os.Stat(ownArch); err == nil {
		return ownArch
	}
	forAll := p
	forAll.Arch = "all"
	return filepath.Join(dir, forAll.file())
}

// substitute takes what the mirrors offer instead of p, or says what to do.
func (f *fetcher) substitute(ctx context.Context, p Package, cause error) (Package, error) {
	all, err := f.private.candidates(ctx, p.Name)
	offered := all[p.Name]
	if err != nil || offered.Version == p.Version {
		return Package{}, fmt.Errorf("%s: %s: must be downloadable: %w", f.lockName, p, errors.Join(cause, err))
	}
	if !f.allowNewer {
		return Package{}, fmt.Errorf("%s: %s: the mirrors must have this version, they offer %s; "+
			"run `sallyport image lock` and review its changes, or build a local image with --allow-newer", f.lockName, p, offered.Version)
	}
	if err := f.into(ctx, f.private, offered); err != nil {
		return Package{}, fmt.Errorf("%s: instead of %s: %w", offered, p, err)
	}
	text, err := json.Marshal(offered)
	if err != nil {
		return Package{}, err
	}
	return offered, os.WriteFile(f.substitutePath(p), text, 0o644)
}

// takeEarlierSubstitutes moves from missing to taken what an earlier build has substituted, so that this one works offline.
func (f *fetcher) takeEarlierSubstitutes(missing []Package, taken map[string]Package) []Package {
	var rest []Package
	for _, p := range missing {
		var newer Package
		text, err := os.ReadFile(f.substitutePath(p))
		if err == nil {
			err = json.Unmarshal(text, &newer)
		}
		if err == nil && newer.Name == p.Name && newer.Arch == p.Arch {
			sum, sumErr := fileSHA256(filepath.Join(f.debs, newer.file()))
			if sumErr == nil && sum == newer.SHA256 {
				taken[p.Name] = newer
				continue
			}
		}
		rest = append(rest, p)
	}
	return rest
}

func (f *fetcher) substitutePath(p Package) string {
	return filepath.Join(f.debs, p.file()+".substitute.json")
}

func fileSHA256(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
