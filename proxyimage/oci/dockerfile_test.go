package oci

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// instruction is one line of a Dockerfile, continuation lines joined.
type instruction struct{ name, rest string }

func dockerfile(t *testing.T) (build, final []instruction) {
	t.Helper()
	text, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	joined := strings.ReplaceAll(string(text), "\\\n", " ")
	var stages [][]instruction
	for line := range strings.Lines(joined) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name == "" || strings.HasPrefix(name, "#") {
			continue
		}
		if name == "FROM" {
			stages = append(stages, nil)
		}
		stages[len(stages)-1] = append(stages[len(stages)-1], instruction{name, strings.TrimSpace(rest)})
	}
	if len(stages) != 2 || stages[1][0].rest != "scratch" {
		t.Fatalf("stages = %v, want one that builds and one from scratch", stages)
	}
	return stages[0], stages[1]
}

// TestDockerfileSaysWhatTheImageSays compares the settings of the final stage with those of our own image.
func TestDockerfileSaysWhatTheImageSays(t *testing.T) {
	_, final := dockerfile(t)
	got := map[string]string{}
	for _, i := range final {
		got[i.name] = strings.Join(strings.Fields(got[i.name]+" "+i.rest), " ")
	}
	want := imageConfig("amd64", time.Now()).Config
	ports := slices.Sorted(maps.Keys(want.ExposedPorts))
	for name, expected := range map[string]string{
		"USER": want.User, "WORKDIR": want.WorkingDir, "STOPSIGNAL": want.StopSignal, "ENV": strings.Join(want.Env, " "),
		"EXPOSE": strings.Join(ports, " "), "ENTRYPOINT": fmt.Sprintf("[%q]", want.Entrypoint[0]),
	} {
		if got[name] != expected {
			t.Errorf("%s %s, the image has %s", name, got[name], expected)
		}
	}
	labels := map[string]string{}
	for _, m := range regexp.MustCompile(`(\S+)="([^"]*)"`).FindAllStringSubmatch(got["LABEL"], -1) {
		labels[m[1]] = m[2]
	}
	if !maps.Equal(labels, want.Labels) {
		t.Errorf("LABEL %v, the image has %v", labels, want.Labels)
	}
	own := fmt.Sprintf("--chown=%d:%d", User, User)
	for _, dir := range []string{"run/sallyport", "var/lib/sallyport"} {
		if line := fmt.Sprintf("%s /out/rootfs/%s /%s", own, dir, dir); !strings.Contains(got["COPY"], line) {
			t.Errorf("COPY %s, want %s", got["COPY"], line)
		}
	}
}

// TestDockerfileBuildsTheSameFiles runs the commands of the first stage here and compares what the final stage would copy.
func TestDockerfileBuildsTheSameFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("links two programs")
	}
	stage, _ := dockerfile(t)
	out := t.TempDir()
	if err := os.CopyFS(filepath.Join(out, "cache/debs"), os.DirFS(filepath.Join(cache, "debs"))); err != nil {
		t.Fatal(err)
	}
	commands := 0
	for _, i := range stage {
		if i.name != "RUN" {
			continue
		}
		commands++
		command := i.rest
		if strings.Contains(command, "image build") {
			command += " --allow-newer" // so that the test also passes on the day when a package leaves the mirrors
		}
		cmd := exec.Command("sh", "-ec", command)
		cmd.Dir = "../.."
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "TARGETARCH=amd64", "OUT="+out)
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("RUN %s: %v: %s", i.rest, err, text)
		}
	}
	if commands != 3 {
		t.Fatalf("%d RUN instructions", commands)
	}
	o := options(t, "amd64")
	o.Agent = filepath.Join(out, "sallyport-agent")
	image := build(t, o)
	built, want := listing(t, filepath.Join(out, "rootfs")), listing(t, image.Rootfs)
	if !maps.Equal(built, want) || len(want) < 50 {
		t.Errorf("%d files and directories, want %d", len(built), len(want))
		for name, is := range built {
			if want[name] != is {
				t.Errorf("%s: %s, want %s", name, is, want[name])
			}
		}
	}
	lock, err := ReadLock("packages.lock")
	if err != nil {
		t.Fatal(err)
	}
	if len(image.Platforms[0].Substitutions) == 0 && !slices.Equal(image.Platforms[0].Packages, lock.For("amd64")) {
		t.Errorf("packages = %v, want those of the lock", image.Platforms[0].Packages)
	}
}

// listing describes everything below a directory: mode, owner, and content or target.
func listing(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, path)
		content := ""
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			content, err = os.Readlink(path)
		case info.Mode().IsRegular():
			content, err = fileSHA256(path)
		}
		all[name] = fmt.Sprintf("%v %d %s", info.Mode(), info.Sys().(*syscall.Stat_t).Uid, content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
