package oci

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// User is the user and group that the image's programs run as: the "nonroot" of other small images. It owns nothing but its
// state directories.
const User = 65532

// imageTitle is the image's name for people.
const imageTitle = "sallyport-proxy"

// layerNote is one layer with what made it, as image histories show.
type layerNote struct {
	files tree
	note  string
	cache string // directory for the packed layer; empty for a layer that will not come again
}

// newImage makes an OCI image. Nothing in it depends on when or where it is made.
func newImage(arch string, epoch time.Time, layers ...layerNote) (v1.Image, error) {
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err := mutate.ConfigFile(image, imageConfig(arch, epoch))
	if err != nil {
		return nil, err
	}
	for _, layer := range layers {
		packed, err := packLayer(layer.files, epoch, layer.cache)
		if err != nil {
			return nil, err
		}
		history := v1.History{Created: v1.Time{Time: epoch}, CreatedBy: layer.note}
		image, err = mutate.Append(image, mutate.Addendum{Layer: packed, History: history, MediaType: types.OCILayer})
		if err != nil {
			return nil, err
		}
	}
	return image, nil
}

func imageConfig(arch string, epoch time.Time) *v1.ConfigFile {
	return &v1.ConfigFile{
		Architecture: arch, OS: "linux", Created: v1.Time{Time: epoch},
		RootFS: v1.RootFS{Type: "layers"},
		Config: v1.Config{
			User:       fmt.Sprintf("%d:%d", User, User),
			Entrypoint: []string{"/sallyport-agent"},
			WorkingDir: "/",
			Env:        []string{"PATH=/usr/sbin", "SSL_CERT_FILE=/" + bundlePath},
			// 443: TLS passed through or pooled; 8404: readiness and metrics.
			ExposedPorts: map[string]struct{}{"443/tcp": {}, "8404/tcp": {}},
			StopSignal:   "SIGTERM", // drain, then stop
			Labels: map[string]string{
				"org.opencontainers.image.title":       imageTitle,
				"org.opencontainers.image.description": "Egress proxy: HAProxy and its control agent, without a shell",
				"sallyport.sbom":                       "/" + sbomPath,
			},
		},
	}
}

// packLayer writes the tree as a compressed layer. Go's gzip writes neither a name nor a time unless told to. Compressing takes
// most of a build's time, so packed layers are kept in a cache by the sha256 of what is in them and the version of Go, which may
// compress in another way; what another build left there is only taken if it still unpacks to that.
func packLayer(files tree, epoch time.Time, cache string) (v1.Layer, error) {
	var plain bytes.Buffer
	if err := files.writeTar(&plain, epoch); err != nil {
		return nil, err
	}
	want := sha256.Sum256(plain.Bytes())
	path := filepath.Join(cache, hex.EncodeToString(want[:])+"-"+runtime.Version()+".tar.gz")
	if packed, err := os.ReadFile(path); err == nil && cache != "" {
		layer, err := asLayer(packed)
		if err == nil {
			if id, err := layer.DiffID(); err == nil && id.Hex == hex.EncodeToString(want[:]) {
				return layer, nil
			}
		}
	}
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed) // level 9 takes twice the time for 1 % less
	if _, err := plain.WriteTo(zip); err != nil {
		return nil, err
	}
	if err := zip.Close(); err != nil {
		return nil, err
	}
	if cache != "" {
		if err := keepLayer(path, packed.Bytes()); err != nil {
			return nil, err
		}
	}
	return asLayer(packed.Bytes())
}

func asLayer(packed []byte) (v1.Layer, error) {
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed)), nil }
	return tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer))
}

// keepLayer puts a layer into the cache, whole or not at all.
func keepLayer(path string, packed []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), "packing-")
	if err != nil {
		return err
	}
	_, err = temporary.Write(packed)
	if err = errors.Join(err, temporary.Close()); err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary.Name()))
	}
	return nil
}

// newIndex makes the image index, the one digest that names the image for every architecture.
func newIndex(epoch time.Time, platforms []packedPlatform) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, p := range platforms {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: p.image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: p.Arch}},
		})
	}
	annotated, ok := mutate.Annotations(index, map[string]string{
		"org.opencontainers.image.title":   imageTitle,
		"org.opencontainers.image.created": epoch.Format(time.RFC3339),
	}).(v1.ImageIndex)
	if !ok {
		return nil, errors.New("annotations: an index must stay an index")
	}
	return annotated, nil
}

// writeLayout writes an OCI image layout into an empty directory. Its index.json names the one image index, as the layouts of
// other builders do, so that copying tools find it without a name.
func writeLayout(dir string, index v1.ImageIndex) error {
	path, err := layout.Write(dir, mutate.IndexMediaType(empty.Index, types.OCIImageIndex))
	if err != nil {
		return err
	}
	return path.AppendIndex(index)
}

// readLayout returns the image index of a layout that writeLayout wrote.
func readLayout(dir string) (v1.ImageIndex, error) {
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	if n := len(manifest.Manifests); n != 1 {
		return nil, fmt.Errorf("%s: index.json must name one image index, got %d entries; build the image again", dir, n)
	}
	return index.ImageIndex(manifest.Manifests[0].Digest)
}
