package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// buildVersion is part of the stamp of a build: raise it when this package makes other images from the same inputs.
const buildVersion = "3"

// Options says what to build and where. All paths must be given.
type Options struct {
	Lock       string            // lock file
	Agent      string            // static agent binary for Arch
	Arch       string            // amd64 or arm64; empty for this machine's. The root directory is for this one
	Foreign    map[string]string // static agent binaries of further architectures, by name; empty for an image of one platform
	Out        string            // directory of the outputs
	Cache      string            // directory for .deb files and package indexes; safe to delete
	AllowNewer bool              // take newer packages where the mirrors dropped the locked ones; for local images only

	Progress func(format string, args ...any) // told what goes on; nil for silence
}

// Image is a finished build.
type Image struct {
	Digest    string     `json:"digest"`    // of the image index, "sha256:..."
	Platforms []Platform `json:"platforms"` // by architecture; at least one
	Arch      string     `json:"arch"`      // which platform the root directory is
	Rootfs    string     `json:"rootfs"`    // absolute path of the directory for that platform's digest
	Layout    string     `json:"layout"`    // absolute path of the OCI layout for this digest
	Unchanged bool       `json:"unchanged"` // the inputs were those of the build before
}

// Platform is the image for one architecture.
type Platform struct {
	Arch          string         `json:"arch"`
	Digest        string         `json:"digest"` // of the manifest, "sha256:..."
	Packages      []Package      `json:"packages"`
	Substitutions []Substitution `json:"substitutions,omitempty"` // empty if every package has its locked version
	Bytes         int64          `json:"bytes"`                   // sum of the files, not compressed
	PackedBytes   int64          `json:"packedBytes"`             // sum of the layers, as a registry stores them
	Stamp         string         `json:"stamp"`                   // identifies the inputs
}

// Build makes the image, or returns the one before if no input has changed. That one may have more platforms than were asked
// for. Two builds of one output directory wait for each other.
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
	jobs, err := o.jobs(lock, lockText)
	if err != nil {
		return Image{}, fmt.Errorf("image: %w", err)
	}
	release, err := exclusive(o.Out)
	if err != nil {
		return Image{}, fmt.Errorf("image: %w", err)
	}
	defer release()
	if last, err := Current(o.Out); err == nil && last.serves(o, jobs) {
		last.Unchanged = true
		return last, nil
	}
	removeAll(filepath.Join(o.Out, ".rootfs-*"), filepath.Join(o.Out, ".oci-*"))
	image, err := o.build(ctx, jobs)
	if err != nil {
		return Image{}, fmt.Errorf("image: %w", err)
	}
	if err := publish(o.Out, image); err != nil {
		return Image{}, fmt.Errorf("image: %w", err)
	}
	removeOldGenerations(o.Out, image)
	return image, nil
}

// serves says whether a build of these inputs would change nothing.
func (image Image) serves(o Options, jobs []job) bool {
	if image.Arch != o.Arch {
		return false
	}
	for _, j := range jobs {
		have := slices.ContainsFunc(image.Platforms, func(p Platform) bool {
			return p.Stamp == j.stamp() && (o.AllowNewer || len(p.Substitutions) == 0)
		})
		if !have {
			return false
		}
	}
	return true
}

// build makes the image's directories; they are not current yet.
func (o Options) build(ctx context.Context, jobs []job) (Image, error) {
	var (
		image  = Image{Arch: o.Arch}
		packed []packedPlatform
	)
	for _, j := range jobs {
		one, err := o.buildPlatform(ctx, j)
		if err != nil {
			return Image{}, err
		}
		packed = append(packed, one)
		image.Platforms = append(image.Platforms, one.Platform)
	}
	index, err := newIndex(jobs[0].lock.Epoch, packed)
	if err != nil {
		return Image{}, err
	}
	digest, err := index.Digest()
	if err != nil {
		return Image{}, err
	}
	image.Digest = digest.String()
	image.Layout, err = generation(o.Out, "oci", digest.Hex, func(dir string) error { return writeLayout(dir, index) })
	if err != nil {
		return Image{}, err
	}
	own := packed[slices.IndexFunc(packed, func(p packedPlatform) bool { return p.Arch == o.Arch })]
	image.Rootfs, err = generation(o.Out, "rootfs", strings.TrimPrefix(own.Digest, "sha256:"), func(dir string) error {
		return own.files.writeDir(dir, jobs[0].lock.Epoch)
	})
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
	agents := map[string]string{o.Arch: o.Agent}
	for arch, agent := range o.Foreign {
		if arch == o.Arch {
			return o, fmt.Errorf("image: foreign architectures: must be others than %s, got it twice", arch)
		}
		agents[arch] = agent
	}
	o.Foreign = map[string]string{} // the caller's stays as it is
	for arch, agent := range agents {
		if _, ok := platforms[arch]; !ok {
			return o, fmt.Errorf("image: architecture: must be amd64 or arm64, got %q", arch)
		}
		path, err := absolute(agent)
		if err != nil {
			return o, err
		}
		if arch == o.Arch {
			o.Agent = path
		} else {
			o.Foreign[arch] = path
		}
	}
	for _, path := range []*string{&o.Lock, &o.Out, &o.Cache} {
		var err error
		if *path, err = absolute(*path); err != nil {
			return o, err
		}
	}
	return o, nil
}

func absolute(path string) (string, error) {
	if path == "" {
		return "", errors.New("image: options: lock, agents, out and cache must be given")
	}
	return filepath.Abs(path)
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
