package oci

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// testRegistry is a registry on loopback; it asks for the password unless that is empty.
type testRegistry struct {
	host   string
	writes atomic.Int64 // requests that would change something
}

func newRegistry(t *testing.T, password string) *testRegistry {
	t.Helper()
	r := &testRegistry{}
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if _, given, _ := req.BasicAuth(); given != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if strings.Contains(req.URL.Path, "/forbidden/") && req.Method != http.MethodHead && req.Method != http.MethodGet {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		if req.Method != http.MethodHead && req.Method != http.MethodGet {
			r.writes.Add(1)
		}
		inner.ServeHTTP(w, req)
	}))
	t.Cleanup(server.Close)
	r.host = strings.TrimPrefix(server.URL, "http://")
	return r
}

// credentials writes the file that `docker login` would.
func credentials(t *testing.T, host, password string) {
	t.Helper()
	dir := t.TempDir()
	secret := base64.StdEncoding.EncodeToString([]byte("deployer:" + password))
	text := fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, host, secret)
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DOCKER_CONFIG", dir)
}

func push(t *testing.T, o PushOptions) Pushed {
	t.Helper()
	pushed, err := Push(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return pushed
}

func TestPush(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir()) // whoever runs the tests may be logged in somewhere
	o := bothPlatforms(t)
	image := build(t, o)
	forgetSubstitutions(t, o, image)

	t.Run("the registry holds the image for both architectures", func(t *testing.T) {
		r := newRegistry(t, "")
		pushed := push(t, PushOptions{Out: o.Out, Ref: r.host + "/egress/proxy:v1"})
		if pushed.Reference != r.host+"/egress/proxy@"+image.Digest || pushed.Unchanged || pushed.Previous != "" {
			t.Errorf("pushed = %+v", pushed)
		}
		reference, err := name.ParseReference(pushed.Reference)
		if err != nil {
			t.Fatal(err)
		}
		index, err := remote.Index(reference)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Index(index); err != nil {
			t.Error(err)
		}
		manifest, err := index.IndexManifest()
		if err != nil || len(manifest.Manifests) != 2 {
			t.Errorf("index = %+v, %v", manifest, err)
		}
	})
	t.Run("pushing again sends nothing", func(t *testing.T) {
		r := newRegistry(t, "")
		options := PushOptions{Out: o.Out, Ref: r.host + "/proxy:v1"}
		push(t, options)
		before := r.writes.Load()
		if again := push(t, options); !again.Unchanged || before == 0 || r.writes.Load() != before {
			t.Errorf("unchanged = %v, %d writes then %d", again.Unchanged, before, r.writes.Load())
		}
	})
	t.Run("a tag that moves says where it was", func(t *testing.T) {
		r := newRegistry(t, "")
		one := o
		one.Foreign, one.Out = nil, filepath.Join(workDir, "alone")
		alone := build(t, one)
		forgetSubstitutions(t, one, alone)
		push(t, PushOptions{Out: one.Out, Ref: r.host + "/proxy:v1", Partial: true})
		if moved := push(t, PushOptions{Out: o.Out, Ref: r.host + "/proxy:v1"}); moved.Previous != alone.Digest || moved.Unchanged {
			t.Errorf("moved = %+v, want previous %s", moved, alone.Digest)
		}
	})
	t.Run("with the password of DOCKER_CONFIG", func(t *testing.T) {
		r := newRegistry(t, "s3cret")
		options := PushOptions{Out: o.Out, Ref: r.host + "/proxy:v1"}
		if _, err := Push(context.Background(), options); err == nil || !strings.Contains(err.Error(), "docker login") || !strings.Contains(err.Error(), "401") {
			t.Errorf("without a password: %v", err)
		}
		credentials(t, r.host, "wrong")
		if _, err := Push(context.Background(), options); err == nil || !strings.Contains(err.Error(), "DOCKER_CONFIG") || strings.Contains(err.Error(), "wrong") {
			t.Errorf("with a wrong password: %v", err)
		}
		if r.writes.Load() != 0 {
			t.Errorf("%d writes without a password", r.writes.Load())
		}
		credentials(t, r.host, "s3cret")
		if pushed := push(t, options); pushed.Digest != image.Digest {
			t.Errorf("pushed = %+v", pushed)
		}
	})
	t.Run("refusals", func(t *testing.T) { checkPushRefusals(t, o, image) })
}

func checkPushRefusals(t *testing.T, o Options, image Image) {
	r := newRegistry(t, "")
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	nobody := closed.Addr().String()
	one := o
	one.Foreign, one.Out = nil, filepath.Join(workDir, "alone")
	forgetSubstitutions(t, one, build(t, one))
	for title, c := range map[string]struct {
		options PushOptions
		want    string
	}{
		"nobody listens":         {PushOptions{Out: o.Out, Ref: nobody + "/proxy:v1"}, "must be reachable"},
		"not allowed":            {PushOptions{Out: o.Out, Ref: r.host + "/forbidden/proxy:v1"}, "answered 403"},
		"no tag":                 {PushOptions{Out: o.Out, Ref: r.host + "/proxy"}, "must be registry/repository:tag, got"},
		"no registry":            {PushOptions{Out: o.Out, Ref: "proxy:v1"}, "must be registry/repository:tag"},
		"a digest":               {PushOptions{Out: o.Out, Ref: r.host + "/proxy@" + image.Digest}, "must be registry/repository:tag"},
		"nothing":                {PushOptions{Out: o.Out}, `got ""`},
		"no image":               {PushOptions{Out: t.TempDir(), Ref: r.host + "/proxy:v1"}, "sallyport image build"},
		"one architecture alone": {PushOptions{Out: one.Out, Ref: r.host + "/proxy:v1"}, "must be amd64 and arm64, got amd64; run `make image`"},
	} {
		if _, err := Push(context.Background(), c.options); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", title, err, c.want)
		}
	}
	if r.writes.Load() != 0 {
		t.Errorf("%d writes", r.writes.Load())
	}
	substituted := image
	substituted.Platforms = append([]Platform{}, image.Platforms...)
	substituted.Platforms[0].Substitutions = []Substitution{{Locked: Package{Version: "1"}, Taken: Package{Arch: "amd64", Name: "tool", Version: "2"}}}
	if err := substituted.publishable(true); err == nil || !strings.Contains(err.Error(), "got tool 2 (amd64) instead of 1") {
		t.Errorf("an image with substitutes: %v", err)
	}
}

// forgetSubstitutions makes an image pushable on the day when a package has left the mirrors; what is pushed is the same.
func forgetSubstitutions(t *testing.T, o Options, image Image) {
	t.Helper()
	image.Platforms = slices.Clone(image.Platforms)
	for i := range image.Platforms {
		image.Platforms[i].Substitutions = nil
	}
	if err := publish(o.Out, image); err != nil {
		t.Fatal(err)
	}
}
