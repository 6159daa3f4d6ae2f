package oci

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// cache is the repository's: packages are downloaded once.
const cache = "../../.build/cache"

// workDir outlives single tests: it holds what several of them use.
var workDir string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		if runInside() {
			return 1 // it does not come back unless it failed
		}
		dir, err := os.MkdirTemp("", "sallyport-oci-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		workDir = dir
		return m.Run()
	}())
}

// buildAgent returns an agent that does nothing, built once for the same arguments.
func buildAgent(t *testing.T, arch string, flags ...string) string {
	t.Helper()
	return goBuild(t, arch, append(slices.Clone(flags), "./testdata/agent")...)
}

// realAgent returns the agent of the repository for this machine, with the flags of the Makefile.
func realAgent(t *testing.T) string {
	t.Helper()
	return goBuild(t, runtime.GOARCH, "-ldflags", "-s -w -buildid=", "../cmd/sallyport-agent")
}

func goBuild(t *testing.T, arch string, args ...string) string {
	t.Helper()
	path := filepath.Join(workDir, fmt.Sprintf("agent-%s-%x", arch, strings.Join(args, " ")))
	if _, err := os.Stat(path); err == nil {
		return path
	}
	cmd := exec.Command("go", append([]string{"build", "-trimpath", "-o", path}, args...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+arch)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

func options(t *testing.T, arch string) Options {
	t.Helper()
	return Options{Lock: "packages.lock", Agent: buildAgent(t, arch), Out: t.TempDir(), Cache: cache, Arch: arch, Progress: t.Logf,
		AllowNewer: true} // so that the tests also pass on the day when a package leaves the mirrors
}

func build(t *testing.T, o Options) Image {
	t.Helper()
	image, err := Build(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func TestImage(t *testing.T) {
	o := options(t, "amd64")
	image := build(t, o)

	t.Run("the same inputs give the same digest", func(t *testing.T) {
		other := o
		other.Out = t.TempDir()
		if again := build(t, other); again.Digest != image.Digest {
			t.Errorf("digests %s and %s", image.Digest, again.Digest)
		}
	})
	t.Run("unchanged inputs cost nothing", func(t *testing.T) {
		begun := time.Now()
		again := build(t, o)
		if !again.Unchanged || again.Digest != image.Digest || time.Since(begun) > time.Second {
			t.Errorf("unchanged = %v after %s", again.Unchanged, time.Since(begun))
		}
	})
	t.Run("the layout is a valid OCI image for user 65532", func(t *testing.T) { checkLayout(t, image) })
	t.Run("the root holds what the programs load and nothing to break in with", func(t *testing.T) { checkRoot(t, image.Rootfs) })
	t.Run("HAProxy finds its libraries", func(t *testing.T) { checkLibraries(t, image.Rootfs) })
	t.Run("the list of contents is complete", func(t *testing.T) { checkSBOM(t, image) })
	t.Run("a lost output is made again", func(t *testing.T) {
		if err := os.RemoveAll(image.Rootfs); err != nil {
			t.Fatal(err)
		}
		if _, err := Current(o.Out); err == nil {
			t.Error("an image without its root counts as current")
		}
		if again := build(t, o); again.Unchanged || again.Digest != image.Digest {
			t.Errorf("unchanged = %v, digest %s", again.Unchanged, again.Digest)
		}
		if _, err := os.Stat(filepath.Join(o.Out, "rootfs", haproxyPath)); err != nil {
			t.Error(err)
		}
	})
	t.Run("another agent gives another digest over the same base layer", func(t *testing.T) {
		other := o
		other.Agent, other.Out = buildAgent(t, "amd64", "-ldflags", "-s -w"), t.TempDir()
		changed := build(t, other)
		if changed.Digest == image.Digest {
			t.Error("the digest does not depend on the agent")
		}
		if a, b := layers(t, image), layers(t, changed); a[0] != b[0] || a[1] == b[1] {
			t.Errorf("layers %v and %v", a, b)
		}
	})
}

// platformImage reads one platform's image from the layout, through the index that names it.
func platformImage(t *testing.T, image Image, arch string) v1.Image {
	t.Helper()
	index, err := readLayout(image.Layout)
	if err != nil {
		t.Fatal(err)
	}
	if digest, err := index.Digest(); err != nil || digest.String() != image.Digest {
		t.Errorf("the layout holds %s, %v, want %s", digest, err, image.Digest)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != len(image.Platforms) {
		t.Fatalf("index = %+v, want %d platforms", manifest.Manifests, len(image.Platforms))
	}
	for i, m := range manifest.Manifests {
		if m.Digest.String() != image.Platforms[i].Digest || m.Platform.Architecture != image.Platforms[i].Arch || m.Platform.OS != "linux" {
			t.Errorf("entry %d = %+v, want %s for %s", i, m, image.Platforms[i].Digest, image.Platforms[i].Arch)
		}
		if m.Platform.Architecture == arch {
			packed, err := index.Image(m.Digest)
			if err != nil {
				t.Fatal(err)
			}
			return packed
		}
	}
	t.Fatalf("no platform %s in %+v", arch, manifest.Manifests)
	return nil
}

func layers(t *testing.T, image Image) []string {
	t.Helper()
	content, err := platformImage(t, image, image.Arch).Manifest()
	if err != nil {
		t.Fatal(err)
	}
	var digests []string
	for _, layer := range content.Layers {
		digests = append(digests, layer.Digest.String())
	}
	return digests
}

func checkLayout(t *testing.T, image Image) {
	index, err := layout.ImageIndexFromPath(image.Layout)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	for _, p := range image.Platforms {
		config, err := platformImage(t, image, p.Arch).ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if config.Config.User != "65532:65532" || !slices.Equal(config.Config.Entrypoint, []string{"/sallyport-agent"}) {
			t.Errorf("user %q, entrypoint %q", config.Config.User, config.Config.Entrypoint)
		}
		if config.Architecture != p.Arch || len(config.History) != 2 {
			t.Errorf("architecture %q, want %q; history %v", config.Architecture, p.Arch, config.History)
		}
	}
}

func checkRoot(t *testing.T, root string) {
	var executables []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, path)
		if info.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
		if info.Mode().IsRegular() && info.Mode().Perm()&0o022 != 0 {
			t.Errorf("%s can be written by others: %v", name, info.Mode())
		}
		if info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 && !strings.Contains(name, ".so") {
			executables = append(executables, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(executables, []string{"sallyport-agent", "usr/sbin/haproxy"}) {
		t.Errorf("programs = %v", executables)
	}
	bundle, err := os.ReadFile(filepath.Join(root, "etc/ssl/certs/ca-certificates.crt"))
	if n := bytes.Count(bundle, []byte("-----BEGIN CERTIFICATE-----\n")); err != nil || n < 100 {
		t.Errorf("%d certificates, %v", n, err)
	}
	for _, dir := range []string{"etc/sallyport/routes", "run/sallyport", "var/lib/sallyport", "tmp", "proc", "dev", "sys"} {
		if info, err := os.Stat(filepath.Join(root, dir)); err != nil || !info.IsDir() {
			t.Errorf("%s: %v", dir, err)
		}
	}
	licences, _ := filepath.Glob(filepath.Join(root, "usr/share/doc/*/copyright"))
	if len(licences) < 20 {
		t.Errorf("%d copyright files for 20 packages", len(licences))
	}
}

// checkLibraries follows HAProxy's libraries on the disk, apart from the code that chose them.
func checkLibraries(t *testing.T, root string) {
	dir := filepath.Join(root, "usr/lib/x86_64-linux-gnu")
	seen, queue := map[string]bool{}, []string{filepath.Join(root, haproxyPath)}
	for len(queue) > 0 {
		file, err := elf.Open(queue[0])
		if err != nil {
			t.Fatal(err)
		}
		libraries, err := file.ImportedLibraries()
		if err != nil {
			t.Fatal(err)
		}
		for _, library := range libraries {
			if !seen[library] {
				seen[library] = true
				queue = append(queue, filepath.Join(dir, library))
			}
		}
		file.Close()
		queue = queue[1:]
	}
	if len(seen) < 10 || !seen["libssl.so.3"] {
		t.Errorf("libraries = %v", seen)
	}
}

func checkSBOM(t *testing.T, image Image) {
	text, err := os.ReadFile(filepath.Join(image.Rootfs, sbomPath))
	if err != nil {
		t.Fatal(err)
	}
	var doc spdxDocument
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	for _, complaint := range spdxComplaints(t, text) {
		t.Error(complaint)
	}
	versions := map[string]string{}
	for _, p := range doc.Packages {
		versions[p.Name] = p.Version
		if p.Name == "stdlib" && p.LicenseDeclared != "BSD-3-Clause" {
			t.Errorf("licence of Go = %q", p.LicenseDeclared)
		}
	}
	for _, p := range image.Platforms[0].Packages {
		if versions[p.Name] != p.Version {
			t.Errorf("%s is listed as %q", p, versions[p.Name])
		}
	}
	if versions["stdlib"] == "" || len(doc.Packages) != len(doc.Relationships) {
		t.Errorf("stdlib %q, %d packages, %d relationships", versions["stdlib"], len(doc.Packages), len(doc.Relationships))
	}
	if licence, err := os.ReadFile(filepath.Join(image.Rootfs, licencesOfModules, "stdlib/LICENSE")); err != nil || !bytes.Contains(licence, []byte("Redistribution")) {
		t.Errorf("licence of Go: %q, %v", licence, err)
	}
}

func TestBuildsAtTheSameTimeAndAfterAKilledOne(t *testing.T) {
	o := options(t, "amd64")
	o.Progress = nil
	leftovers := []string{filepath.Join(o.Out, ".rootfs-123/usr"), filepath.Join(o.Out, ".oci-123/blobs")}
	for _, dir := range leftovers {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	type result struct {
		image Image
		err   error
	}
	results := make(chan result)
	for range 3 {
		go func() {
			image, err := Build(context.Background(), o)
			results <- result{image, err}
		}()
	}
	built := 0
	for range 3 {
		r := <-results
		if r.err != nil {
			t.Fatal(r.err)
		}
		if !r.image.Unchanged {
			built++
		}
	}
	if built != 1 {
		t.Errorf("%d of 3 builds built the image", built)
	}
	for _, dir := range leftovers {
		if _, err := os.Stat(filepath.Dir(dir)); err == nil {
			t.Errorf("%s of a killed build is still there", dir)
		}
	}
}

// bothPlatforms returns options for the whole image; all tests that use them as they are share one build.
func bothPlatforms(t *testing.T) Options {
	t.Helper()
	o := options(t, "amd64")
	o.Foreign = map[string]string{"arm64": buildAgent(t, "arm64")}
	o.Out = filepath.Join(workDir, "image")
	return o
}

func TestImageForBothArchitectures(t *testing.T) {
	o := bothPlatforms(t)
	image := build(t, o)
	if arches := image.arches(); !slices.Equal(arches, []string{"amd64", "arm64"}) {
		t.Fatalf("platforms = %v", arches)
	}
	t.Run("the layout is valid and names both", func(t *testing.T) { checkLayout(t, image) })
	t.Run("the root is for this machine", func(t *testing.T) {
		if machine := elfMachine(t, filepath.Join(image.Rootfs, haproxyPath)); machine != elf.EM_X86_64 || image.Arch != "amd64" {
			t.Errorf("HAProxy is for %s, root for %s", machine, image.Arch)
		}
	})
	t.Run("another cache gives the same digest", func(t *testing.T) {
		other := o
		other.Cache, other.Out = t.TempDir(), t.TempDir()
		if err := os.CopyFS(other.debs(), os.DirFS(o.debs())); err != nil {
			t.Fatal(err)
		}
		if again := build(t, other); again.Digest != image.Digest {
			t.Errorf("digests %s and %s", image.Digest, again.Digest)
		}
	})
	t.Run("the root of this machine is that of an image for it alone", func(t *testing.T) {
		alone := o
		alone.Foreign, alone.Out = nil, filepath.Join(workDir, "alone")
		if a := build(t, alone); a.Platforms[0].Digest != image.Platforms[0].Digest || filepath.Base(a.Rootfs) != filepath.Base(image.Rootfs) || a.Digest == image.Digest {
			t.Errorf("alone %s, %s; with the other %s, %s", a.Platforms[0].Digest, a.Rootfs, image.Platforms[0].Digest, image.Rootfs)
		}
	})
	t.Run("a build for this machine leaves the whole image as it is", func(t *testing.T) {
		local := o
		local.Foreign = nil
		if again := build(t, local); !again.Unchanged || again.Digest != image.Digest {
			t.Errorf("unchanged = %v, digest %s", again.Unchanged, again.Digest)
		}
	})
	t.Run("a strict build does not take over substitutes", func(t *testing.T) {
		substituted := image
		substituted.Platforms = slices.Clone(image.Platforms)
		substituted.Platforms[1].Substitutions = []Substitution{{}}
		strict := Options{Arch: "amd64"}
		jobs := []job{{arch: "arm64"}}
		substituted.Platforms[1].Stamp = jobs[0].stamp()
		if substituted.serves(strict, jobs) {
			t.Error("an image with substitutes serves a build without --allow-newer")
		}
		if strict.AllowNewer = true; !substituted.serves(strict, jobs) {
			t.Error("an image with substitutes does not serve a build with --allow-newer")
		}
	})
}

func TestADamagedLayerIsPackedAgain(t *testing.T) {
	files, at, dir := tree{}, time.Unix(1e9, 0), t.TempDir()
	if err := files.addFile("etc/x", 0o644, []byte("text")); err != nil {
		t.Fatal(err)
	}
	digest := func() string {
		layer, err := packLayer(files, at, dir)
		if err != nil {
			t.Fatal(err)
		}
		id, err := layer.Digest()
		if err != nil {
			t.Fatal(err)
		}
		return id.String()
	}
	want := digest()
	cached, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(cached) != 1 {
		t.Fatalf("cache = %v, %v", cached, err)
	}
	other, err := packLayer(tree{}, at, "")
	if err != nil {
		t.Fatal(err)
	}
	stream, err := other.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	tampered, err := io.ReadAll(stream)
	if err != nil {
		t.Fatal(err)
	}
	for _, damage := range [][]byte{nil, []byte("no gzip"), tampered} {
		if err := os.WriteFile(cached[0], damage, 0o644); err != nil {
			t.Fatal(err)
		}
		if got := digest(); got != want {
			t.Errorf("with %q in the cache: %s, want %s", damage, got, want)
		}
	}
}

func TestImageForArm64(t *testing.T) {
	image := build(t, options(t, "arm64"))
	if machine := elfMachine(t, filepath.Join(image.Rootfs, haproxyPath)); machine != elf.EM_AARCH64 || image.Arch != "arm64" {
		t.Errorf("HAProxy is for %s, image for %s", machine, image.Arch)
	}
}

func elfMachine(t *testing.T, path string) elf.Machine {
	t.Helper()
	file, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	return file.Machine
}

func TestBadInputsAreRefused(t *testing.T) {
	good := options(t, "amd64")
	lines := func(change func(line string) string) string {
		text, err := os.ReadFile("packages.lock")
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		for line := range strings.Lines(string(text)) {
			out.WriteString(change(line))
		}
		path := filepath.Join(t.TempDir(), "packages.lock")
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	without := func(name string) string {
		return lines(func(line string) string {
			if strings.Contains(line, " "+name+" ") {
				return ""
			}
			return line
		})
	}
	for name, c := range map[string]struct {
		change func(*Options)
		want   string
	}{
		"no agent":                     {func(o *Options) { o.Agent = filepath.Join(t.TempDir(), "none") }, "--agent"},
		"an agent for another machine": {func(o *Options) { o.Agent = buildAgent(t, "arm64") }, "must be built for EM_X86_64, got EM_AARCH64"},
		"an agent that is a script":    {func(o *Options) { o.Agent = "packages.lock" }, "must be an ELF file"},
		"an agent that is not static":  {func(o *Options) { o.Agent = "/bin/ls" }, "CGO_ENABLED=0"},
		"the same architecture twice":  {func(o *Options) { o.Foreign = map[string]string{"amd64": o.Agent} }, "must be others than amd64"},
		"a foreign architecture":       {func(o *Options) { o.Foreign = map[string]string{"sparc": o.Agent} }, "must be amd64 or arm64"},
		"a foreign agent for us":       {func(o *Options) { o.Foreign = map[string]string{"arm64": o.Agent} }, "must be built for EM_AARCH64"},
		"a foreign agent not built":    {func(o *Options) { o.Foreign = map[string]string{"arm64": "none"} }, "make image"},
		"another architecture":         {func(o *Options) { o.Arch = "sparc" }, "must be amd64 or arm64"},
		"a lock without a library":     {func(o *Options) { o.Lock = without("liblz4-1") }, "needs liblz4.so.1, which no locked package ships"},
		"a lock without libgcc":        {func(o *Options) { o.Lock = without("libgcc-s1") }, "needs libgcc_s.so.1"},
		"a lock without HAProxy":       {func(o *Options) { o.Lock = without("haproxy") }, "add package haproxy"},
		"a lock without certificates":  {func(o *Options) { o.Lock = without("ca-certificates") }, "add package ca-certificates"},
		"no lock":                      {func(o *Options) { o.Lock = "none" }, "no such file"},
		"a lock for another machine": {func(o *Options) {
			o.Lock = lines(func(line string) string {
				if strings.HasPrefix(line, "amd64") {
					return ""
				}
				return line
			})
		}, "sallyport image lock --arch amd64"},
	} {
		o := good
		o.Out = t.TempDir()
		c.change(&o)
		_, err := Build(context.Background(), o)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
		if left, _ := filepath.Glob(filepath.Join(o.Out, "*")); len(left) > 1 || len(left) == 1 && filepath.Base(left[0]) != ".lock" {
			t.Errorf("%s: left %v", name, left)
		}
	}
}

// fakeApt puts programs in front of PATH that play a mirror with one package in version 2.
func fakeApt(t *testing.T, content string) {
	t.Helper()
	dir := t.TempDir()
	digest := fmt.Sprintf("$(printf %%s '%s' | sha256sum | cut -d' ' -f1)", content)
	for name, script := range map[string]string{
		"apt-get": `for last; do :; done
case "$last" in
update) exit 0;;
tool=2*) printf %s '` + content + `' > tool_2_amd64.deb; exit 0;;
esac
echo "E: Version '1' for 'tool' was not found" >&2; exit 100`,
		"apt-cache": `printf 'Package: tool\nVersion: 2\nSHA256: %s\n' "` + digest + `"`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestPackagesThatLeftTheMirrors(t *testing.T) {
	locked := Package{Arch: "amd64", Name: "tool", Version: "1", SHA256: sum}
	newFetcher := func(dir string, allowNewer bool) *fetcher {
		return &fetcher{lockName: "packages.lock", debs: filepath.Join(dir, "debs"), private: apt{arch: "amd64", dir: filepath.Join(dir, "apt")},
			allowNewer: allowNewer, progress: t.Logf}
	}
	dir := t.TempDir()
	fakeApt(t, "version two")

	_, _, err := newFetcher(dir, false).fetch(context.Background(), []Package{locked})
	for _, want := range []string{"packages.lock: tool 1 (amd64)", "they offer 2", "`sallyport image lock`", "--allow-newer"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a locked version that is gone: %v, want %q", err, want)
		}
	}
	packages, substitutions, err := newFetcher(dir, true).fetch(context.Background(), []Package{locked})
	if err != nil || len(substitutions) != 1 || packages[0].Version != "2" || substitutions[0].Locked != locked || substitutions[0].Taken != packages[0] {
		t.Fatalf("with allow-newer: %v, %v, %v", packages, substitutions, err)
	}
	if sum, err := fileSHA256(filepath.Join(dir, "debs", "tool_2_amd64.deb")); err != nil || sum != packages[0].SHA256 {
		t.Errorf("cached package: %s, %v", sum, err)
	}

	t.Setenv("PATH", "/nonexistent") // neither network nor apt from here on
	again, _, err := newFetcher(dir, true).fetch(context.Background(), []Package{locked})
	if err != nil || again[0] != packages[0] {
		t.Errorf("the second build offline: %v, %v", again, err)
	}
	if _, _, err := newFetcher(dir, false).fetch(context.Background(), []Package{locked}); err == nil {
		t.Error("a substitute was taken without allow-newer")
	}
}

func TestAPackageWithAnotherSumIsNeverTaken(t *testing.T) {
	fakeApt(t, "tampered")
	dir := t.TempDir()
	locked := Package{Arch: "amd64", Name: "tool", Version: "2", SHA256: sum}
	f := &fetcher{lockName: "packages.lock", debs: filepath.Join(dir, "debs"), private: apt{arch: "amd64", dir: filepath.Join(dir, "apt")},
		allowNewer: true, progress: t.Logf}
	_, _, err := f.fetch(context.Background(), []Package{locked})
	if err == nil || !strings.Contains(err.Error(), "sha256: must be "+sum) {
		t.Errorf("got %v", err)
	}
	// The same for a file that changed in the cache.
	if err := os.WriteFile(filepath.Join(dir, "debs", locked.file()), []byte("changed"), 0o644); err != nil {
		t.Fatal(err)
	}
	if missing, err := f.missing([]Package{locked}); err != nil || len(missing) != 1 {
		t.Errorf("missing = %v, %v", missing, err)
	}
}
