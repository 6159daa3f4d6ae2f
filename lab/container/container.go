// Package container runs a program of the proxy image inside an existing network namespace, without a container engine.
//
// The program gets what it gets in Kubernetes or on Container-Optimized OS: a read-only root, mount, process, IPC and host name
// namespaces of its own, a /proc and a minimal /dev, no capability and no way to gain one, the image's user. It is process 1 of
// its process namespace, so nothing it started survives it. Every mount is made in its private mount namespace: when the last
// process ends, the kernel removes them, however it ended, and the host never sees one.
//
// Start re-executes a helper binary ("labd container <file>"), which must call Main; Main builds the namespaces' inside and
// becomes the program.
package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/sallyport/sallyport/internal/problem"
	"github.com/sallyport/sallyport/lab/daemon"
	"github.com/sallyport/sallyport/lab/namespace"
	"github.com/sallyport/sallyport/proxyimage/haproxycfg"
)

// setupLimit bounds the time from the start of the helper to the execution of the program. It takes milliseconds.
const setupLimit = 20 * time.Second

// Spec says what to run and in which surroundings.
type Spec struct {
	Name      string // as daemon.Spec.Name; also the host name inside
	StateDir  string // absolute; holds record, log and specification
	Namespace string // network namespace: a name in /run/netns or an absolute path; empty for the host's network
	LogFile   string // empty for <StateDir>/<Name>.log

	Rootfs string   // directory that becomes the read-only root; a symbolic link is resolved at Start, so a new image does not disturb what runs
	Args   []string // program, an absolute path inside the root, and its arguments
	Env    []string // the whole environment
	UID    int      // user inside; the image's is 65532
	GID    int      // group inside; there are no supplementary groups

	Mounts  []Mount
	Tmpfs   []Tmpfs           // besides /tmp, which is always there
	Sysctls map[string]string // of the network namespace, by dotted name: only net.*
	NoFile  uint64            // limit of open files, hard and soft; 0 allows as many as the caller's hard limit
}

// Mount shows a host file or directory inside.
type Mount struct {
	Source   string // absolute host path
	Target   string // absolute path inside; must exist in the image
	ReadOnly bool   // a writable mount does not allow execution
}

// Tmpfs is an empty file system in memory that belongs to the program's user.
type Tmpfs struct {
	Target    string // absolute path inside; must exist in the image
	SizeBytes int64  // 0 for 16 MiB
}

// ProxySysctls returns what a proxy's network namespace needs: port 443 without a capability, the whole port range for its
// connections (64,512 less the agent's own 8404, which must stay free for its next start), ports in TIME_WAIT used again as
// soon as TCP timestamps allow, and the proxy's timing of keepalive as the default.
func ProxySysctls() map[string]string {
	settings := haproxycfg.KeepaliveSysctls()
	maps.Copy(settings, map[string]string{
		"net.ipv4.ip_unprivileged_port_start": "0",
		"net.ipv4.ip_local_port_range":        "1024 65535",
		"net.ipv4.ip_local_reserved_ports":    "8404",
		"net.ipv4.tcp_tw_reuse":               "1",
	})
	return settings
}

// Start runs spec and returns once the program has been executed; helper is the absolute path of the binary that calls Main when
// its first argument is "container". What is left of an earlier container of that name is killed first. The daemon returned is the
// program itself: its signals are the program's.
func Start(helper string, spec Spec) (daemon.Daemon, error) {
	d := daemon.At(spec.StateDir, spec.Name)
	root, err := filepath.EvalSymlinks(spec.Rootfs)
	if err != nil {
		return d, fmt.Errorf("container %s: rootfs: %w; build it with `sallyport image build`", spec.Name, err)
	}
	spec.Rootfs = root
	if err := spec.validate(); err != nil {
		return d, err
	}
	if err := namespace.Do(spec.Namespace, spec.writeSysctls); err != nil {
		return d, fmt.Errorf("container %s: %w", spec.Name, err)
	}
	path, err := spec.write()
	if err != nil {
		return d, fmt.Errorf("container %s: specification: %w", spec.Name, err)
	}
	report, reportEnd, err := os.Pipe()
	if err != nil {
		return d, fmt.Errorf("container %s: %w", spec.Name, err)
	}
	defer report.Close()
	d, err = daemon.Start(daemon.Spec{
		Name: spec.Name, StateDir: spec.StateDir, Namespace: spec.Namespace, LogFile: spec.LogFile,
		Path: helper, Args: []string{"container", path},
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
		ExtraFiles: []*os.File{reportEnd},
	})
	reportEnd.Close()
	if err != nil {
		return d, err
	}
	if err := awaitExec(report); err != nil {
		return d, errors.Join(fmt.Errorf("container %s: %w", spec.Name, err), d.Stop(context.Background(), 0))
	}
	return d, nil
}

// awaitExec reads what Main reports. Executing the program closes the pipe: no report means that all went well.
func awaitExec(report *os.File) error {
	if err := report.SetReadDeadline(time.Now().Add(setupLimit)); err != nil {
		return err
	}
	text, err := io.ReadAll(report)
	if err != nil {
		return fmt.Errorf("set up: must take less than %s: %w", setupLimit, err)
	}
	if len(text) > 0 {
		return errors.New(strings.TrimSpace(string(text)))
	}
	return nil
}

func (s Spec) writeSysctls() error {
	for name, value := range s.Sysctls {
		path := "/proc/sys/" + strings.ReplaceAll(name, ".", "/")
		if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
			return fmt.Errorf("sysctl %s = %q: %w", name, value, err)
		}
	}
	return nil
}

// write leaves the specification beside the log, where a person can read what a container was given.
func (s Spec) write() (string, error) {
	if err := os.MkdirAll(s.StateDir, 0o755); err != nil {
		return "", err
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return "", err
	}
	path := filepath.Join(s.StateDir, s.Name+".container.json")
	if err := os.WriteFile(path+".tmp", append(text, '\n'), 0o600); err != nil {
		return "", err
	}
	return path, os.Rename(path+".tmp", path)
}

func (s Spec) validate() error {
	var problems problem.List
	place := func(field string) string { return fmt.Sprintf("container %s: %s", s.Name, field) }
	if !filepath.IsAbs(s.StateDir) {
		problems.Add(place("state directory"), "must be an absolute path", s.StateDir, "")
	}
	if len(s.Args) == 0 || !filepath.IsAbs(s.Args[0]) {
		problems.Add(place("args"), "must begin with an absolute path inside the image", s.Args, "")
	}
	if s.UID < 0 || s.GID < 0 {
		problems.Add(place("user"), "must not be negative", fmt.Sprintf("%d:%d", s.UID, s.GID), "")
	}
	s.validateMounts(&problems)
	s.validateSysctls(&problems)
	return problems.Err()
}

func (s Spec) validateMounts(problems *problem.List) {
	for i, m := range s.Mounts {
		if !filepath.IsAbs(m.Source) || !insideRoot(m.Target) {
			problems.Add(fmt.Sprintf("container %s: mounts[%d]", s.Name, i), "source and target must be clean absolute paths, the target not /",
				m.Source+" -> "+m.Target, "")
		}
	}
	for i, t := range s.Tmpfs {
		if !insideRoot(t.Target) || t.SizeBytes < 0 {
			problems.Add(fmt.Sprintf("container %s: tmpfs[%d]", s.Name, i), "the target must be a clean absolute path, not /, and the size not negative",
				fmt.Sprintf("%s, %d bytes", t.Target, t.SizeBytes), "")
		}
	}
}

func (s Spec) validateSysctls(problems *problem.List) {
	place := fmt.Sprintf("container %s: sysctls", s.Name)
	if len(s.Sysctls) > 0 && s.Namespace == "" {
		problems.Add(place, "need a network namespace: the host's settings are not ours", s.Sysctls, "")
	}
	for name := range s.Sysctls {
		if !strings.HasPrefix(name, "net.") || slices.Contains(strings.Split(name, "."), "") || strings.Contains(name, "/") {
			problems.Add(place, "must be a dotted name below net., which belongs to the network namespace", name, "")
		}
	}
}

func insideRoot(path string) bool {
	return filepath.IsAbs(path) && path == filepath.Clean(path) && path != "/"
}
