package oci

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"
)

// buildVersion is part of the stamp of a build: raise it when this package makes other images from the same inputs.
const buildVersion = "1"

// Options says what to build and where. All paths must be given.
type Options struct {
	Lock       string // lock file
	Agent      string // static agent binary
	Out        string // directory of the outputs
	Cache      string // directory for .deb files and package indexes; safe to delete
	Arch       string // amd64 or arm64; empty for this machine's
	AllowNewer bool   // take newer packages where the mirrors dropped the locked ones; for local images only

	Progress func(format string, args ...any) // told what goes on; nil for silence
}

// Image is a finished build.
type Image struct {
	Digest        string         `json:"digest"` // of the manifest, "sha256:..."
	Arch          string         `json:"arch"`
	Rootfs        string         `json:"rootfs"` // absolute path of the directory for this digest
	Layout        string         `json:"layout"` // absolute path of the OCI layout for this digest
	Packages      []Package      `json:"packages"`
	Substitutions []Substitution `json:"substitutions,omitempty"` // empty if every package has its locked version
	Bytes         int64          `json:"bytes"`                   // sum of the files, not compressed
	PackedBytes   int64          `json:"packedBytes"`             // sum of the layers, as a registry stores them
	Unchanged     bool           `json:"unchanged"`               // the inputs were those of the build before
	Stamp         string         `json:"stamp"`                   // identifies the inputs
}

// Build makes the image, or returns the one before if no input has changed. Two builds of one output directory wait for each
// other.
func Build(ctx context.Context, o Options) (Image, error) {
	o, err := o.withDefaults()
	if err != nil {
		return Image{}, err
	}
	lockText, err := os.ReadFile(o.Lock)
	if err != nil {
		return Image{}, fmt.Errorf("image: lock: %w", err)
	}
	lock, err := ParseLock(filepath.Base(o.Lock), lockText)
	if err != nil {
		return Image{}, err
	}
	agent, err := os.ReadFile(o.Agent)
	if err != nil {
		return Image{}, fmt.Errorf("image: agent: %w; build it first (`make build`) or name it with --agent", err)
	}
	release, err := exclusive(o.Out)
	if err != nil {
		return Image{}, fmt.Errorf("image: %w", err)
	}
	defer release()
	stamp := o.stamp(lockText, agent)
	if last, err := Current(o.Out); err == nil && last.Stamp == stamp {
		last.Unchanged = true
		return last, nil
	}
	removeAll(filepath.Join(o.Out, ".rootfs-*"), filepath.Join(o.Out, ".oci-*"))
	image, err := o.build(ctx, lock, agent)
	if err != nil {
		return Image{}, fmt.Errorf("image: %w", err)
	}
	image.Stamp = stamp
	if err := publish(o.Out, image); err != nil {
		return Image{}, fmt.Errorf("image: %w", err)
	}
	removeOldGenerations(o.Out, image)
	return image, nil
}

// build makes the image's directories; they are not current yet.
func (o Options) build(ctx context.Context, lock Lock, agent []byte) (Image, error) {
	p := platforms[o.Arch]
	if err := checkAgent(agent, p); err != nil {
		return Image{}, fmt.Errorf("agent: %s: %w", o.Agent, err)
	}
	locked := lock.For(o.Arch)
	if len(locked) == 0 {
		return Image{}, fmt.Errorf("%s: needs packages for %s, got none; run `sallyport image lock --arch %s`", o.Lock, o.Arch, o.Arch)
	}
	source := fetcher{lockName: filepath.Base(o.Lock), debs: o.debs(), private: o.privateApt(), allowNewer: o.AllowNewer, progress: o.Progress}
	packages, substitutions, err := source.fetch(ctx, locked)
	if err != nil {
		return Image{}, err
	}
	for _, s := range substitutions {
		o.Progress("WARNING: %s: the mirrors no longer have the locked %s; this image is not reproducible, run `sallyport image lock`", s.Taken, s.Locked.Version)
	}
	o.Progress("unpacking %d packages", len(packages))
	base, err := baseTree(ctx, o.debs(), packages, p)
	if err != nil {
		return Image{}, err
	}
	top, err := agentTree(contents{arch: o.Arch, epoch: lock.Epoch, packages: packages, substitutions: substitutions, agent: agent})
	if err != nil {
		return Image{}, err
	}
	o.Progress("packing the image")
	packed, err := newImage(o.Arch, lock.Epoch, layerNote{base, "Debian packages of packages.lock"}, layerNote{top, "sallyport-agent"})
	if err != nil {
		return Image{}, err
	}
	image, err := o.write(packed, base, top, lock.Epoch)
	image.Packages, image.Substitutions = packages, substitutions
	return image, err
}

// write stores the layout and the root directory under the image's digest.
func (o Options) write(packed v1.Image, base, top tree, epoch time.Time) (Image, error) {
	digest, err := packed.Digest()
	if err != nil {
		return Image{}, err
	}
	image := Image{Digest: digest.String(), Arch: o.Arch, Bytes: base.size() + top.size()}
	manifest, err := packed.Manifest()
	if err != nil {
		return Image{}, err
	}
	for _, layer := range manifest.Layers {
		image.PackedBytes += layer.Size
	}
	image.Layout, err = generation(o.Out, "oci", digest.Hex, func(dir string) error { return writeLayout(dir, packed, o.Arch) })
	if err != nil {
		return Image{}, err
	}
	all := maps.Clone(base)
	maps.Copy(all, top)
	image.Rootfs, err = generation(o.Out, "rootfs", digest.Hex, func(dir string) error { return all.writeDir(dir, epoch) })
	return image, err
}

// Current returns the last finished build of an output directory: an error that wraps os.ErrNotExist if there is none, or if
// somebody has removed its files.
func Current(out string) (Image, error) {
	var image Image
	text, err := os.ReadFile(filepath.Join(out, recordName))
	if err != nil {
		return image, fmt.Errorf("image: %w; build it with `sallyport image build`", err)
	}
	if err := json.Unmarshal(text, &image); err != nil {
		return image, fmt.Errorf("image: %s: %w", recordName, err)
	}
	for _, path := range []string{filepath.Join(image.Rootfs, haproxyPath), filepath.Join(image.Layout, "index.json")} {
		if _, err := os.Stat(path); err != nil {
			return image, fmt.Errorf("image: %w; build it with `sallyport image build`", err)
		}
	}
	return image, nil
}

func (o Options) withDefaults() (Options, error) {
	if o.Arch == "" {
		o.Arch = runtime.GOARCH
	}
	if o.Progress == nil {
		o.Progress = func(string, ...any) {}
	}
	if _, ok := platforms[o.Arch]; !ok {
		return o, fmt.Errorf("image: architecture: must be amd64 or arm64, got %q", o.Arch)
	}
	for _, path := range []*string{&o.Lock, &o.Agent, &o.Out, &o.Cache} {
		if *path == "" {
			return o, errors.New("image: options: lock, agent, out and cache must be given")
		}
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return o, err
		}
		*path = absolute
	}
	return o, nil
}

func (o Options) debs() string { return filepath.Join(o.Cache, "debs") }
func (o Options) privateApt() apt {
	return apt{arch: o.Arch, dir: filepath.Join(o.Cache, "apt-"+o.Arch)}
}

// stamp identifies everything that the image depends on.
func (o Options) stamp(lock, agent []byte) string {
	hash := sha256.New()
	fmt.Fprintf(hash, "%s %s %v %d %d\n", buildVersion, o.Arch, o.AllowNewer, len(lock), len(agent))
	hash.Write(lock)
	hash.Write(agent)
	return hex.EncodeToString(hash.Sum(nil))
}

// exclusive takes the lock of a directory, waiting for it if need be, and returns how to give it back. The kernel gives it back when a build is
// killed.
func exclusive(dir string) (release func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, fs.FileMode(0o644))
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		file.Close()
		return nil, fmt.Errorf("lock %s: %w", file.Name(), err)
	}
	return func() { file.Close() }, nil
}
