// Package daemon runs the long-lived processes of a lab: detached from the provider that starts them, found again by the next
// provider, and stopped for certain.
//
// A daemon is known by its state directory and its name. A record beside its log says which process it is: the process id
// together with the start time that the kernel keeps for it, so that a process id given to somebody else is never trusted, let
// alone killed. Every process also carries its identity in its environment (EnvIdentity), which its children inherit. So remains
// of a provider that died between starting a process and recording it are found as well.
//
// Two callers must not start or stop the same daemon at the same time; Pulumi's lock on the stack sees to that.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/sallyport/sallyport/lab/namespace"
)

// EnvIdentity is the environment variable that names the daemon a process belongs to: "<state directory>/<name>".
const EnvIdentity = "SALLYPORT_DAEMON"

// killWait bounds the wait for processes to vanish after SIGKILL. Only a process stuck in the kernel takes longer.
const killWait = 10 * time.Second

// validName keeps names fit for file names: at most 64 characters, no path separator.
var validName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// Spec says what to run.
type Spec struct {
	Name     string // lower-case letters, digits, dot, dash, underscore; at most 64 characters; unique in StateDir
	StateDir string // absolute; holds the record and the log, made if missing

	Namespace string   // network namespace: a name in /run/netns or an absolute path; empty for the caller's own
	Path      string   // absolute path of the program
	Args      []string // arguments without the program's name
	Env       []string // the whole environment; empty for a PATH only. EnvIdentity is added
	Dir       string   // working directory; empty for /
	LogFile   string   // standard output and error; empty for <StateDir>/<Name>.log. The log of the run before is kept as <LogFile>.1

	Cloneflags uintptr    // further kernel namespaces (syscall.CLONE_NEW...); 0 for none
	ExtraFiles []*os.File // inherited as file descriptors 3, 4, ...; the caller closes its own copies
}

// Daemon names one daemon. The zero value is not useful: see At and Start.
type Daemon struct {
	StateDir string // absolute
	Name     string
}

// At returns the daemon of that name, running or not.
func At(stateDir, name string) Daemon { return Daemon{StateDir: filepath.Clean(stateDir), Name: name} }

// Start runs spec detached: in a session of its own, without the caller's terminal, files or parent. What is left of an earlier
// run of that name is killed first. When Start returns, the program has been executed and is recorded; whether it is ready to
// serve is for the caller to find out.
func Start(spec Spec) (Daemon, error) {
	d := At(spec.StateDir, spec.Name)
	if err := spec.validate(); err != nil {
		return d, err
	}
	if err := os.MkdirAll(spec.StateDir, 0o755); err != nil {
		return d, fmt.Errorf("daemon %s: state directory: %w", spec.Name, err)
	}
	if err := d.Stop(context.Background(), 0); err != nil {
		return d, err
	}
	logFile, err := openLog(spec.logFile())
	if err != nil {
		return d, fmt.Errorf("daemon %s: log: %w", spec.Name, err)
	}
	defer logFile.Close()

	cmd := exec.Command(spec.Path, spec.Args...)
	cmd.Dir = spec.Dir
	if cmd.Dir == "" {
		cmd.Dir = "/"
	}
	cmd.Env = append(spec.environment(), EnvIdentity+"="+d.identity())
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.ExtraFiles = spec.ExtraFiles
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: spec.Cloneflags}
	if err := namespace.Do(spec.Namespace, cmd.Start); err != nil {
		return d, fmt.Errorf("daemon %s: start: %w", spec.Name, err)
	}
	record, recordErr := newRecord(spec, cmd.Process.Pid)
	go cmd.Wait() //nolint:errcheck // reaps the process while this program lives; how it ended is in the log
	if recordErr == nil {
		recordErr = record.write(d)
	}
	if recordErr != nil {
		return d, errors.Join(fmt.Errorf("daemon %s: record: %w", spec.Name, recordErr), d.Stop(context.Background(), 0))
	}
	return d, nil
}

// Alive says whether the recorded process runs. A zombie does not.
func (d Daemon) Alive() bool {
	_, ok := d.process()
	return ok
}

// PID returns the process id, or 0 if the daemon does not run.
func (d Daemon) PID() int {
	record, ok := d.process()
	if !ok {
		return 0
	}
	return record.PID
}

// Signal sends sig to the daemon's own process, not to its children. It fails with os.ErrProcessDone if the daemon does not run.
func (d Daemon) Signal(sig syscall.Signal) error {
	record, err := readRecord(d)
	if err != nil {
		return fmt.Errorf("daemon %s: signal %v: %w", d.Name, sig, os.ErrProcessDone)
	}
	handle, err := record.open()
	if err != nil {
		return fmt.Errorf("daemon %s: signal %v: %w", d.Name, sig, err)
	}
	defer handle.close()
	return handle.signal(sig)
}

// Stop ends the daemon and everything it started, and returns when all of it is gone. The daemon's own process gets SIGTERM and
// up to grace to end by itself (none if grace is 0); then, or when ctx ends, whatever is left gets SIGKILL. It is no error if
// nothing runs. The log stays.
func (d Daemon) Stop(ctx context.Context, grace time.Duration) error {
	if record, err := readRecord(d); err == nil && grace > 0 {
		if handle, err := record.open(); err == nil {
			if handle.signal(syscall.SIGTERM) == nil {
				handle.wait(ctx, grace)
			}
			handle.close()
		}
	}
	if err := killAll(d.remains); err != nil {
		return fmt.Errorf("daemon %s: stop: %w", d.Name, err)
	}
	if err := os.Remove(d.recordPath()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("daemon %s: stop: %w", d.Name, err)
	}
	return nil
}

// StopAll ends every daemon whose state directory is root or lies below it, recorded or not, all at once, and returns when all are
// gone. Grace and ctx are as for Stop. It is for the end of a lab: what a killed provider left unrecorded ends, too.
func StopAll(ctx context.Context, root string, grace time.Duration) error {
	root = filepath.Clean(root)
	below := func(identity string) bool { return strings.HasPrefix(identity, root+string(filepath.Separator)) }
	handles, err := carriers(below)
	if err != nil {
		return fmt.Errorf("daemons of %s: stop: %w", root, err)
	}
	for _, h := range handles {
		if grace > 0 {
			h.signal(syscall.SIGTERM) //nolint:errcheck // it may have ended by itself
		}
	}
	deadline := time.Now().Add(grace)
	for _, h := range handles {
		h.wait(ctx, time.Until(deadline))
		h.close()
	}
	if err := killAll(func() ([]handle, error) { return carriers(below) }); err != nil {
		return fmt.Errorf("daemons of %s: stop: %w", root, err)
	}
	return nil
}

// killAll kills what find returns until it returns nothing more: a process may start another one between the search and the
// signal.
func killAll(find func() ([]handle, error)) error {
	deadline := time.Now().Add(killWait)
	for {
		handles, err := find()
		if err != nil {
			return err
		}
		if len(handles) == 0 {
			return nil
		}
		for _, h := range handles {
			h.signal(syscall.SIGKILL) //nolint:errcheck // it may have ended by itself
		}
		for _, h := range handles {
			h.wait(context.Background(), time.Until(deadline))
			h.close()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("process %d: must end within %s of SIGKILL, is still there", handles[0].pid, killWait)
		}
	}
}

func (d Daemon) identity() string { return filepath.Join(d.StateDir, d.Name) }

func (s Spec) validate() error {
	switch {
	case !validName.MatchString(s.Name):
		return fmt.Errorf("daemon: name: must match %s, got %q", validName, s.Name)
	case !filepath.IsAbs(s.StateDir):
		return fmt.Errorf("daemon %s: state directory: must be an absolute path, got %q", s.Name, s.StateDir)
	case !filepath.IsAbs(s.Path):
		return fmt.Errorf("daemon %s: program: must be an absolute path, got %q", s.Name, s.Path)
	}
	return nil
}

func (s Spec) environment() []string {
	if len(s.Env) == 0 {
		return []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	}
	return append([]string(nil), s.Env...)
}

func (s Spec) logFile() string {
	if s.LogFile == "" {
		return filepath.Join(s.StateDir, s.Name+".log")
	}
	return s.LogFile
}

// openLog starts a new log and keeps the one before: two runs bound what a lab leaves on disk.
func openLog(path string) (*os.File, error) {
	if err := os.Rename(path, path+".1"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
}
