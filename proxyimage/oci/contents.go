package oci

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

const (
	agentPath  = "sallyport-agent"
	bundlePath = "etc/ssl/certs/ca-certificates.crt"
)

// baseTree unpacks the packages and adds what an installer would have made: users, the certificate bundle, the directories that
// mounts go to.
func baseTree(ctx context.Context, debs string, packages []Package, p platform) (tree, error) {
	t := tree{}
	for _, pkg := range packages {
		if err := t.unpack(ctx, filepath.Join(debs, pkg.file()), p); err != nil {
			return nil, err
		}
	}
	if err := t.keepNeededLibraries(p); err != nil {
		return nil, err
	}
	if err := t.bundleCertificates(); err != nil {
		return nil, err
	}
	if err := t.addUsers(); err != nil {
		return nil, err
	}
	return t, t.addPlaces()
}

// bundleCertificates puts all certificates into the one file that programs read; ca-certificates would do so when installed.
func (t tree) bundleCertificates() error {
	var bundle bytes.Buffer
	for _, name := range t.names() {
		if !strings.HasPrefix(name, certificates) {
			continue
		}
		bundle.Write(bytes.TrimSpace(t[name].data))
		bundle.WriteByte('\n')
		delete(t, name)
	}
	if bundle.Len() == 0 {
		return fmt.Errorf("/%s: needs at least one certificate, got none; add package ca-certificates to the lock", bundlePath)
	}
	for dir := strings.TrimSuffix(certificates, "/"); strings.Contains(dir, "ca-certificates"); dir = filepath.Dir(dir) {
		delete(t, dir)
	}
	return t.addFile(bundlePath, 0o644, bundle.Bytes())
}

func (t tree) addUsers() error {
	for name, text := range map[string]string{
		"etc/passwd":        fmt.Sprintf("root:x:0:0:root:/:/sbin/nologin\nsallyport:x:%d:%d:sallyport:/var/lib/sallyport:/sbin/nologin\n", User, User),
		"etc/group":         fmt.Sprintf("root:x:0:\nsallyport:x:%d:\n", User),
		"etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
	} {
		if err := t.addFile(name, 0o644, []byte(text)); err != nil {
			return err
		}
	}
	return nil
}

// addPlaces adds the directories that are mounted over, and the links of a merged /usr that the dynamic loader's path needs.
func (t tree) addPlaces() error {
	for _, place := range []struct {
		name string
		mode fs.FileMode
		uid  int
	}{
		{"proc", 0o555, 0}, {"sys", 0o555, 0}, {"dev", 0o755, 0},
		{"tmp", fs.ModeSticky | 0o777, 0},
		{"etc/sallyport/routes", 0o755, 0},
		{"run/sallyport", 0o700, User},
		{"var/lib/sallyport", 0o700, User},
	} {
		if err := t.addDir(place.name, place.mode, place.uid); err != nil {
			return err
		}
	}
	for _, dir := range []string{"lib", "lib64"} {
		if _, ok := t["usr/"+dir]; !ok {
			continue
		}
		if err := t.addLink(dir, "usr/"+dir); err != nil {
			return err
		}
	}
	return nil
}

// agentTree holds what changes with the agent, in a layer of its own, so that a new agent does not push HAProxy again.
func agentTree(c contents) (tree, error) {
	list, err := sbom(c)
	if err != nil {
		return nil, err
	}
	t := tree{}
	if err := t.addFile(agentPath, 0o755, c.agent); err != nil {
		return nil, err
	}
	if err := c.licences.addTo(t); err != nil {
		return nil, err
	}
	return t, t.addFile(sbomPath, 0o644, list)
}
