package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// nginxDebs are nginx, its stream module and the libraries they load besides the C library.
var nginxDebs = []string{"nginx", "libnginx-mod-stream", "libpcre2-8-0", "libssl3", "zlib1g", "libcrypt1"}

// nginxPackages returns a directory with the unpacked packages. They are fetched once, by the machine's own package client; nothing
// is installed. The directory is named when it is complete, so an interrupted run leaves none that looks so.
func nginxPackages(ctx context.Context, cache string) (string, error) {
	root := filepath.Join(cache, "nginx-"+arch)
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	lock, err := os.Open(cache)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock %s: %w", cache, err)
	}
	if _, err := os.Stat(root); err == nil {
		return root, nil
	}
	work, err := os.MkdirTemp(cache, "fetch-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	unpacked := filepath.Join(work, "root")
	if err := fetchDebs(ctx, work, nginxDebs...); err != nil {
		return "", fmt.Errorf("nginx, to compare with: %w", err)
	}
	debs, err := filepath.Glob(filepath.Join(work, "*.deb"))
	if err != nil {
		return "", err
	}
	for _, deb := range slices.Sorted(slices.Values(debs)) {
		if err := run(ctx, work, "dpkg-deb", "-x", deb, unpacked); err != nil {
			return "", err
		}
	}
	for _, dir := range []string{work, unpacked} { // the workers run as nobody
		if err := os.Chmod(dir, 0o755); err != nil {
			return "", err
		}
	}
	return root, os.Rename(unpacked, root)
}

// fetchDebs downloads packages into dir: by the machine's indexes, or by fresh ones of our own if those are missing or old.
func fetchDebs(ctx context.Context, dir string, names ...string) error {
	download := append([]string{"-q", "-o", "APT::Sandbox::User=root", "download"}, names...)
	first := run(ctx, dir, "apt-get", download...)
	if first == nil {
		return nil
	}
	lists, archives := filepath.Join(dir, "lists"), filepath.Join(dir, "cache")
	if err := errors.Join(os.MkdirAll(filepath.Join(lists, "partial"), 0o755), os.MkdirAll(filepath.Join(archives, "archives/partial"), 0o755)); err != nil {
		return err
	}
	own := []string{"-o", "Dir::State::Lists=" + lists, "-o", "Dir::Cache=" + archives}
	if err := run(ctx, dir, "apt-get", append(slices.Clone(own), "-q", "-o", "APT::Sandbox::User=root", "update")...); err != nil {
		return errors.Join(first, err)
	}
	return run(ctx, dir, "apt-get", append(own, download...)...)
}

func run(ctx context.Context, dir, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	if err := cmd.Run(); err != nil {
		lines := strings.Split(strings.TrimSpace(complaint.String()), "\n")
		return fmt.Errorf("%s %s: %w: %s", program, args[0], err, strings.Join(lines[max(0, len(lines)-3):], "; "))
	}
	return nil
}
