// Package podexec runs a command as if it were in a pod of a lab: in the pod's network, with the pod's resolver configuration
// and the lab's certificate authority in place of the host's, and with everything else of the host.
//
// The files are mounted over the host's in a mount namespace of the command's own, which ends with it: the host never sees a
// change. It takes two steps, because a process has to be started anew to get a mount namespace: Command makes the first,
// Inside is the second.
package podexec

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/lab/labid"
	"github.com/sallyport/sallyport/lab/namespace"
	"github.com/sallyport/sallyport/lab/pki"
	"github.com/sallyport/sallyport/lab/registry"
)

// bundle is where Debian's programs look for certificate authorities.
const bundle = "/etc/ssl/certs/ca-certificates.crt"

// nsswitch makes glibc ask the name server and nobody else, whatever the host uses (mdns, resolve, myhostname).
const nsswitch = "passwd: files\ngroup: files\nhosts: files dns\n"

// WriteFiles writes what a pod has below /etc, to the pod's directory.
func WriteFiles(lab registry.Lab, host, address, resolvConf string) error {
	files := map[string]string{
		"resolv.conf":   resolvConf,
		"hosts":         fmt.Sprintf("127.0.0.1 localhost\n%s %s\n", address, host),
		"nsswitch.conf": nsswitch,
	}
	for name, text := range files {
		if err := registry.WriteFile(filepath.Join(filesDir(lab, host), name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// filesDir holds the files that are mounted over those of the same name in /etc.
func filesDir(lab registry.Lab, host string) string { return filepath.Join(lab.HostDir(host), "etc") }

// Pods returns the hosts of a lab that are pods, sorted.
func Pods(lab registry.Lab) ([]string, error) {
	records, err := lab.Records()
	if err != nil {
		return nil, err
	}
	var pods []string
	for _, record := range records {
		if record.Kind == labid.PodHost {
			pods = append(pods, record.Host)
		}
	}
	slices.Sort(pods)
	return pods, nil
}

// Find returns the host of a pod, which is given with or without "pod-" in front.
func Find(lab registry.Lab, name string) (string, error) {
	if !lab.Exists() {
		return "", fmt.Errorf("lab %s: is not up; run `make up`", lab.ID)
	}
	pods, err := Pods(lab)
	if err != nil {
		return "", err
	}
	for _, host := range []string{name, labid.Host(labid.PodHost, name)} {
		if !slices.Contains(pods, host) {
			continue
		}
		if !namespace.Exists(labid.Netns(lab.ID, host)) {
			return "", fmt.Errorf("pod %s: its namespace is gone; run `make up` to mend the lab", host)
		}
		return host, nil
	}
	if len(pods) == 0 {
		return "", fmt.Errorf("pod %q: lab %s has no pods; run `make up`", name, lab.ID)
	}
	return "", fmt.Errorf("pod %q: is not in lab %s; its pods are %s", name, lab.ID, strings.Join(pods, ", "))
}

// Command returns the command, not yet started, that runs args in a pod; start it with Run. helper is a program with its arguments
// that calls Inside with the arguments that follow.
func Command(ctx context.Context, lab registry.Lab, host string, helper, args []string) *exec.Cmd {
	authority := lab.Path("pki", pki.CertificateFile)
	all := append(slices.Clone(helper[1:]), filesDir(lab, host), authority)
	cmd := exec.CommandContext(ctx, helper[0], append(all, args...)...)
	cmd.Env = environment(os.Environ(), authority)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	return cmd
}

// Run runs a command in a pod and returns its exit code, 128 + the signal's number if a signal ended it. An error means that it
// was not run.
func Run(lab registry.Lab, host string, cmd *exec.Cmd) (int, error) {
	if err := namespace.Start(labid.Netns(lab.ID, host), cmd); err != nil {
		return 0, fmt.Errorf("pod %s: %w", host, err)
	}
	err := cmd.Wait()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit):
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return 128 + int(status.Signal()), nil
		}
		return exit.ExitCode(), nil
	default:
		return 0, fmt.Errorf("pod %s: %w", host, err)
	}
}

// environment is the caller's, without what leads out of the pod, and with what makes the usual programs trust the lab.
func environment(caller []string, authority string) []string {
	var all []string
	for _, variable := range caller {
		name, _, _ := strings.Cut(variable, "=")
		if strings.HasSuffix(strings.ToLower(name), "_proxy") {
			continue // a proxy of the host is not reachable from a pod
		}
		all = append(all, variable)
	}
	for _, name := range []string{"SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO"} {
		all = append(all, name+"="+authority)
	}
	return all
}

// The exit codes of a shell for a command that cannot be run.
const (
	exitNotRunnable = 126
	exitNotFound    = 127
)

// Inside is the second step: it mounts the pod's files and becomes the command. It returns only if that fails, with the exit code
// a shell would give. args are the directory of the files, the file of the authority, the command and its arguments.
func Inside(args []string) (int, error) {
	if len(args) < 3 {
		return exitNotRunnable, fmt.Errorf("inside: needs the directory of files, the authority and a command, got %d arguments", len(args))
	}
	if err := mount(args[0], args[1]); err != nil {
		return exitNotRunnable, err
	}
	path, err := exec.LookPath(args[2])
	if err != nil {
		return exitNotFound, fmt.Errorf("%s: command not found", args[2])
	}
	return exitNotRunnable, fmt.Errorf("%s: %w", args[2], unix.Exec(path, args[2:], os.Environ()))
}

func mount(files, authority string) error {
	// Nothing mounted here may reach the host.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("mounts: %w", err)
	}
	if err := cover(filepath.Join(files, "resolv.conf"), "/etc/resolv.conf"); err != nil {
		return fmt.Errorf("/etc/resolv.conf: %w; create the file on this machine: it is where the pod's is mounted", err)
	}
	for source, target := range map[string]string{
		filepath.Join(files, "hosts"):         "/etc/hosts",
		filepath.Join(files, "nsswitch.conf"): "/etc/nsswitch.conf",
		authority:                             bundle,
	} {
		if err := cover(source, target); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%s: %w", target, err)
		}
	}
	// A cache of names on the host would answer for the pod.
	if _, err := os.Stat("/run/nscd"); err == nil {
		if err := unix.Mount("none", "/run/nscd", "tmpfs", 0, "size=4k"); err != nil {
			return fmt.Errorf("/run/nscd: %w", err)
		}
	}
	// Best effort: /sys then shows the pod's interfaces. Where the kernel refuses, only a few tools mind.
	_ = unix.Mount("sysfs", "/sys", "sysfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC|unix.MS_RDONLY, "")
	return nil
}

// cover mounts a file over another, following symbolic links as programs do.
func cover(source, target string) error {
	place, err := filepath.EvalSymlinks(target)
	if err != nil {
		return err
	}
	return unix.Mount(source, place, "", unix.MS_BIND, "")
}
