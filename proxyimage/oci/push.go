package oci

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// PushOptions says what to push and where to.
type PushOptions struct {
	Out     string // output directory of a build
	Ref     string // registry/repository:tag, all three of them
	Partial bool   // push also an image that lacks an architecture, for trying it out

	Progress func(format string, args ...any) // told what goes on; nil for silence
}

// Pushed says what a registry holds now.
type Pushed struct {
	Reference string   `json:"reference"` // registry/repository@sha256:...: what to deploy
	Digest    string   `json:"digest"`
	Tag       string   `json:"tag"`
	Previous  string   `json:"previous,omitempty"` // digest that the tag had; empty if it is new
	Platforms []string `json:"platforms"`          // architectures
	Unchanged bool     `json:"unchanged"`          // the tag was there already: nothing was sent
}

// Push sends the current image of an output directory to a registry. Credentials are those of other container tools: the file
// config.json in DOCKER_CONFIG or ~/.docker with its credential helpers, or podman's auth.json. Registries on loopback are also
// tried without TLS. An image with packages in other than the locked versions is refused: nobody could build it again.
func Push(ctx context.Context, o PushOptions) (Pushed, error) {
	if o.Progress == nil {
		o.Progress = func(string, ...any) {}
	}
	tag, err := name.NewTag(o.Ref, name.StrictValidation)
	if err != nil {
		return Pushed{}, fmt.Errorf("image push: reference: must be registry/repository:tag, got %q", o.Ref)
	}
	image, err := Current(o.Out)
	if err != nil {
		return Pushed{}, err
	}
	if err := image.publishable(o.Partial); err != nil {
		return Pushed{}, fmt.Errorf("image push: %w", err)
	}
	index, err := readLayout(image.Layout)
	if err != nil {
		return Pushed{}, fmt.Errorf("image push: %w", err)
	}
	digest, err := index.Digest()
	if err != nil {
		return Pushed{}, fmt.Errorf("image push: %w", err)
	}
	if digest.String() != image.Digest {
		return Pushed{}, fmt.Errorf("image push: %s: must hold %s, holds %s; build the image again", image.Layout, image.Digest, digest)
	}
	pushed := Pushed{Reference: tag.Digest(image.Digest).String(), Digest: image.Digest, Tag: tag.String(), Platforms: image.arches()}
	pushed.Previous, err = o.send(ctx, tag, index, digest)
	if err != nil {
		return Pushed{}, fmt.Errorf("image push: %s: %w", tag, explain(tag, err))
	}
	pushed.Unchanged = pushed.Previous == pushed.Digest
	return pushed, nil
}

// send writes what the registry lacks and returns the digest that the tag had before.
func (o PushOptions) send(ctx context.Context, tag name.Tag, index v1.ImageIndex, digest v1.Hash) (previous string, err error) {
	options := []remote.Option{
		remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain), remote.WithUserAgent("sallyport"),
	}
	there, err := remote.Head(tag, options...)
	if err == nil {
		previous = there.Digest.String()
	} else if status(err) != http.StatusNotFound {
		return "", err
	}
	if previous == digest.String() {
		return previous, nil
	}
	o.Progress("pushing to %s", tag)
	return previous, remote.WriteIndex(tag, index, options...)
}

// publishable refuses images that are for this machine only.
func (image Image) publishable(partial bool) error {
	for _, p := range image.Platforms {
		for _, s := range p.Substitutions {
			return fmt.Errorf("packages: must be the locked ones, got %s instead of %s; run `sallyport image lock`, review its changes and build again",
				s.Taken, s.Locked.Version)
		}
	}
	if len(image.Platforms) < len(platforms) && !partial {
		return fmt.Errorf("platforms: must be amd64 and arm64, got %s; run `make image`, or push it as it is with --partial",
			strings.Join(image.arches(), ", "))
	}
	return nil
}

func (image Image) arches() []string {
	var all []string
	for _, p := range image.Platforms {
		all = append(all, p.Arch)
	}
	return all
}

// status returns the HTTP status of a registry's refusal; 0 if it did not answer.
func status(err error) int {
	var refusal *transport.Error
	if errors.As(err, &refusal) {
		return refusal.StatusCode
	}
	return 0
}

// explain adds what to do.
func explain(tag name.Tag, err error) error {
	var network net.Error
	switch code := status(err); {
	case code == http.StatusUnauthorized:
		return fmt.Errorf("credentials: %s must accept them, answered 401; log in (docker login, podman login or a credential helper) or set DOCKER_CONFIG: %w",
			tag.RegistryStr(), err)
	case code == http.StatusForbidden:
		return fmt.Errorf("permission: %s must allow pushing to %s, answered 403; ask its owner: %w", tag.RegistryStr(), tag.RepositoryStr(), err)
	case errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &network):
		return fmt.Errorf("registry: %s must be reachable; check name, port and network: %w", tag.RegistryStr(), err)
	}
	return err
}
