package oci

import (
	"bytes"
	"debug/elf"
	"fmt"
	"path"
	"strings"
)

// haproxyPath is where package haproxy has the program, and where the agent expects it.
const haproxyPath = "usr/sbin/haproxy"

// loadedAtRunTime are libraries that no header names: libc opens libgcc_s to end a thread, and HAProxy refuses to run without it.
var loadedAtRunTime = []string{"libgcc_s.so.1"}

// keepNeededLibraries removes every library that HAProxy does not load, directly or through others, and fails if one that it
// loads is missing: the lock then lacks a package.
func (t tree) keepNeededLibraries(p platform) error {
	needed := map[string]bool{p.loader: true}
	if loader, ok := t.find(p.loader); ok {
		needed[loader] = true
	}
	if _, ok := t[haproxyPath]; !ok {
		return fmt.Errorf("/%s: must be in the image; add package haproxy to the lock", haproxyPath)
	}
	queue := []string{haproxyPath}
	wanted := func(user, library string) error {
		link := p.libraries() + library
		if path.Base(p.loader) == library {
			link = p.loader
		}
		target, ok := t.find(link)
		if !ok {
			return fmt.Errorf("/%s: needs %s, which no locked package ships; add its package to the lock", user, library)
		}
		if !needed[target] {
			queue = append(queue, target)
		}
		needed[link], needed[target] = true, true
		return nil
	}
	for _, library := range loadedAtRunTime {
		if err := wanted(haproxyPath, library); err != nil {
			return err
		}
	}
	for len(queue) > 0 {
		user := queue[0]
		queue = queue[1:]
		libraries, err := imported(t[user].data, p)
		if err != nil {
			return fmt.Errorf("/%s: %w", user, err)
		}
		for _, library := range libraries {
			if err := wanted(user, library); err != nil {
				return err
			}
		}
	}
	for name := range t {
		if strings.HasPrefix(name, p.libraries()) && !needed[name] {
			delete(t, name)
		}
	}
	return nil
}

// imported returns the libraries that an ELF file names, and checks that it is for the image's architecture.
func imported(data []byte, p platform) ([]string, error) {
	file, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("must be an ELF file: %w", err)
	}
	defer file.Close()
	if file.Machine != elf.Machine(p.machine) {
		return nil, fmt.Errorf("must be built for %s, got %s", elf.Machine(p.machine), file.Machine)
	}
	return file.ImportedLibraries()
}

// checkAgent refuses an agent that cannot run in the image.
func checkAgent(data []byte, p platform) error {
	libraries, err := imported(data, p)
	if err != nil {
		return err
	}
	if len(libraries) > 0 {
		return fmt.Errorf("must be static, needs %s; build it with CGO_ENABLED=0", strings.Join(libraries, ", "))
	}
	return nil
}
