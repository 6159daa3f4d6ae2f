package oci

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// job is the input for the image of one architecture.
type job struct {
	arch      string
	agentPath string
	agent     []byte
	lock      Lock
	lockText  []byte
}

// packedPlatform is a finished image with the files it holds.
type packedPlatform struct {
	Platform
	image v1.Image
	files tree
}

// jobs reads the agents and returns what is to be built, by architecture.
func (o Options) jobs(lock Lock, lockText []byte) ([]job, error) {
	agents := maps.Clone(o.Foreign)
	agents[o.Arch] = o.Agent
	var all []job
	for _, arch := range slices.Sorted(maps.Keys(agents)) {
		agent, err := os.ReadFile(agents[arch])
		if err != nil {
			return nil, fmt.Errorf("agent (%s): %w; build it first (`make build`; `make image` for all architectures) or name it with --agent", arch, err)
		}
		all = append(all, job{arch: arch, agentPath: agents[arch], agent: agent, lock: lock, lockText: lockText})
	}
	return all, nil
}

// buildPlatform packs the image for one architecture in memory.
func (o Options) buildPlatform(ctx context.Context, j job) (packedPlatform, error) {
	p := platforms[j.arch]
	if err := checkAgent(j.agent, p); err != nil {
		return packedPlatform{}, fmt.Errorf("agent: %s: %w", j.agentPath, err)
	}
	locked := j.lock.For(j.arch)
	if len(locked) == 0 {
		return packedPlatform{}, fmt.Errorf("%s: needs packages for %s, got none; run `sallyport image lock --arch %s`", o.Lock, j.arch, j.arch)
	}
	source := fetcher{lockName: filepath.Base(o.Lock), debs: o.debs(), private: o.privateApt(j.arch), allowNewer: o.AllowNewer, progress: o.Progress}
	packages, substitutions, err := source.fetch(ctx, locked)
	if err != nil {
		return packedPlatform{}, err
	}
	for _, s := range substitutions {
		o.Progress("WARNING: %s: the mirrors no longer have the locked %s; this image is not reproducible, run `sallyport image lock`", s.Taken, s.Locked.Version)
	}
	o.Progress("unpacking %d packages (%s)", len(packages), j.arch)
	base, err := baseTree(ctx, o.debs(), packages, p)
	if err != nil {
		return packedPlatform{}, err
	}
	terms, err := readLicences(ctx, j.agent)
	if err != nil {
		return packedPlatform{}, err
	}
	top, err := agentTree(contents{
		arch: j.arch, epoch: j.lock.Epoch, packages: packages, substitutions: substitutions, agent: j.agent, licences: terms,
	})
	if err != nil {
		return packedPlatform{}, err
	}
	o.Progress("packing the image (%s)", j.arch)
	image, err := newImage(j.arch, j.lock.Epoch,
		layerNote{base, "Debian packages of packages.lock", filepath.Join(o.Cache, "layers")}, layerNote{top, "sallyport-agent", ""})
	if err != nil {
		return packedPlatform{}, err
	}
	all := maps.Clone(base)
	maps.Copy(all, top)
	packed := packedPlatform{image: image, files: all, Platform: Platform{
		Arch: j.arch, Packages: packages, Substitutions: substitutions, Bytes: all.size(), Stamp: j.stamp(),
	}}
	return packed, packed.measure()
}

// measure notes the digest and what a registry will store.
func (p *packedPlatform) measure() error {
	digest, err := p.image.Digest()
	if err != nil {
		return err
	}
	p.Digest = digest.String()
	manifest, err := p.image.Manifest()
	if err != nil {
		return err
	}
	for _, layer := range manifest.Layers {
		p.PackedBytes += layer.Size
	}
	return nil
}

func (o Options) debs() string { return filepath.Join(o.Cache, "debs") }

func (o Options) privateApt(arch string) apt {
	return apt{arch: arch, dir: filepath.Join(o.Cache, "apt-"+arch)}
}

// stamp identifies everything that the platform's image depends on.
func (j job) stamp() string {
	hash := sha256.New()
	fmt.Fprintf(hash, "%s %s %d %d\n", buildVersion, j.arch, len(j.lockText), len(j.agent))
	hash.Write(j.lockText)
	hash.Write(j.agent)
	return hex.EncodeToString(hash.Sum(nil))
}
