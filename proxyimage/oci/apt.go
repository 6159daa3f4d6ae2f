package oci

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// apt is the machine's package client, asked about one architecture. It never changes the machine: nothing is installed, and
// package indexes that it has to fetch go to a directory of their own.
type apt struct {
	arch string
	dir  string // indexes and caches of our own; empty for the machine's indexes, which are only read
}

// machineApt reads the machine's package indexes. They are of no use for a foreign architecture.
func machineApt(arch string) (apt, bool) { return apt{arch: arch}, arch == runtime.GOARCH }

// update fetches the package indexes of the machine's sources.
func (a apt) update(ctx context.Context) error {
	for _, dir := range []string{"lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(a.dir, dir), 0o755); err != nil {
			return err
		}
	}
	_, err := a.run(ctx, "", "apt-get", "update")
	return err
}

// download fetches packages into dir, all or none.
func (a apt) download(ctx context.Context, dir string, packages ...Package) error {
	args := []string{"download"}
	for _, p := range packages {
		args = append(args, p.Name+"="+p.Version)
	}
	_, err := a.run(ctx, dir, "apt-get", args...)
	return err
}

// candidates returns what the indexes offer of each package, with the sha256 that they vouch for. It fails if one is unknown.
func (a apt) candidates(ctx context.Context, names ...string) (map[string]Package, error) {
	text, err := a.run(ctx, "", "apt-cache", append([]string{"show", "--no-all-versions"}, names...)...)
	if err != nil {
		return nil, err
	}
	offered := map[string]Package{}
	for _, stanza := range strings.Split(text, "\n\n") {
		p := Package{Arch: a.arch}
		for line := range strings.Lines(stanza) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			switch key {
			case "Package":
				p.Name = value
			case "Version":
				p.Version = value
			case "SHA256":
				p.SHA256 = value
			}
		}
		if packageVersion.MatchString(p.Version) && sha256Hex.MatchString(p.SHA256) {
			offered[p.Name] = p
		}
	}
	for _, name := range names {
		if _, ok := offered[name]; !ok {
			return nil, fmt.Errorf("package %s (%s): must be in the indexes of the machine's apt sources, is not; they must be those of Debian 12", name, a.arch)
		}
	}
	return offered, nil
}

// run calls one of apt's programs with settings that make it independent of what is installed and keep it from trying to drop
// to a user who cannot write into dir.
func (a apt) run(ctx context.Context, dir, program string, args ...string) (string, error) {
	options := []string{
		"-q", "-o", "APT::Sandbox::User=root", "-o", "Dir::State::status=/dev/null",
		"-o", "APT::Architecture=" + a.arch, "-o", "APT::Architectures::=" + a.arch,
	}
	if a.dir == "" {
		options = append(options, "-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=") // write nothing
	} else {
		options = append(options, "-o", "Dir::State::Lists="+filepath.Join(a.dir, "lists"), "-o", "Dir::Cache="+filepath.Join(a.dir, "cache"),
			"-o", "Dir::Cache::pkgcache=pkgcache.bin", "-o", "Dir::Cache::srcpkgcache=srcpkgcache.bin")
	}
	cmd := exec.CommandContext(ctx, program, append(options, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", program, args[0], err, lastLines(complaint.String(), 3))
	}
	return out.String(), nil
}

// lastLines returns the end of a program's complaint in one line.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "; ")
}
