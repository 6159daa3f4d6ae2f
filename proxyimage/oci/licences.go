package oci

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
)

// licencesOfModules is where the image keeps the licences of the agent's Go modules; those of Debian's packages are in
// usr/share/doc/<package>/copyright.
const licencesOfModules = "usr/share/doc/sallyport-agent"

// licenceFile are the names that Go modules give to files which must go with the program.
var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)([.-].*)?$`)

// licences are the licence files of what is linked into the agent, by module path and file name; "stdlib" is Go itself.
type licences map[string]map[string][]byte

// readLicences collects the licence files from Go's module cache, where building the agent has put them.
func readLicences(ctx context.Context, agent []byte) (licences, error) {
	info, err := buildinfo.Read(bytes.NewReader(agent))
	if err != nil {
		return nil, fmt.Errorf("agent: must carry Go's build information: %w", err)
	}
	root, err := goCommand(ctx, "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	all := licences{}
	if all["stdlib"], err = licenceFiles(strings.TrimSpace(string(root))); err != nil {
		return nil, err
	}
	for _, module := range linkedModules(info) {
		text, err := goCommand(ctx, "mod", "download", "-json", module.Path+"@"+module.Version)
		if err != nil {
			return nil, err
		}
		var cached struct{ Dir string }
		if err := json.Unmarshal(text, &cached); err != nil {
			return nil, fmt.Errorf("module %s: %w", module.Path, err)
		}
		if all[module.Path], err = licenceFiles(cached.Dir); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// linkedModules are the modules in the agent besides its own, after replacements.
func linkedModules(info *debug.BuildInfo) []*debug.Module {
	var all []*debug.Module
	for _, module := range info.Deps {
		if module.Replace != nil {
			module = module.Replace
		}
		all = append(all, module)
	}
	return all
}

// goCommand runs the go command outside of any module, so that the answer does not depend on where the build was started.
func goCommand(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = os.TempDir()
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("licences: go %s: %w: %s", strings.Join(args, " "), err, lastLines(complaint.String(), 2))
	}
	return out, nil
}

// licenceFiles reads the licence files in the top directory of a module.
func licenceFiles(dir string) (map[string][]byte, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("licences: %w", err)
	}
	files := map[string][]byte{}
	for _, entry := range entries {
		if !entry.Type().IsRegular() || !licenceFile.MatchString(entry.Name()) {
			continue
		}
		if files[entry.Name()], err = os.ReadFile(filepath.Join(dir, entry.Name())); err != nil {
			return nil, fmt.Errorf("licences: %w", err)
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("licences: %s: must hold a licence, holds none; a program with this module must not be handed out", dir)
	}
	return files, nil
}

func (l licences) addTo(t tree) error {
	for module, files := range l {
		for name, text := range files {
			if err := t.addFile(path.Join(licencesOfModules, module, name), fs.FileMode(0o644), text); err != nil {
				return err
			}
		}
	}
	return nil
}

// licencePhrases tell common licences apart by words that only they have, the more special one first.
var licencePhrases = []struct{ spdx, phrase string }{
	{"Apache-2.0", "Apache License Version 2.0"},
	{"MPL-2.0", "Mozilla Public License Version 2.0"},
	{"MIT", "Permission is hereby granted, free of charge"},
	{"ISC", "Permission to use, copy, modify, and/or distribute"},
	{"BSD-3-Clause", "contributors may be used to endorse"},
	{"BSD-2-Clause", "Redistribution and use in source and binary forms"},
}

// spdx returns the SPDX expression for a module's licence files: all of those recognised, or NOASSERTION.
func (l licences) spdx(module string) string {
	var all strings.Builder
	for name, text := range l[module] {
		if lower := strings.ToLower(name); !strings.HasPrefix(lower, "notice") && !strings.HasPrefix(lower, "patents") {
			all.WriteString(strings.Join(strings.Fields(string(text)), " ") + " ")
		}
	}
	text := strings.ToLower(all.String())
	var found []string
	for _, l := range licencePhrases {
		special := l.spdx == "BSD-2-Clause" && strings.Contains(strings.Join(found, " "), "BSD-3-Clause")
		if strings.Contains(text, strings.ToLower(l.phrase)) && !special {
			found = append(found, l.spdx)
		}
	}
	if len(found) == 0 {
		return "NOASSERTION"
	}
	return strings.Join(found, " AND ")
}
