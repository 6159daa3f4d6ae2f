package container

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/lab/daemon"
)

// reportFile is where Main writes what went wrong, for Start to read.
const reportFile = 3

// defaultTmpfsBytes is the size of a tmpfs that names none.
const defaultTmpfsBytes = 16 << 20

// Main is the inside of Start: called in new namespaces with the path of a specification, it builds the root, gives up every
// privilege and becomes the program. It returns only when that fails, with the exit code.
func Main(args []string) int {
	runtime.LockOSThread() // capabilities and no_new_privs belong to a thread; the one that executes must be the one that set them
	err := run(args)
	fmt.Fprintln(os.Stderr, "container:", err)
	if report := os.NewFile(reportFile, "report"); report != nil {
		fmt.Fprintln(report, err)
	}
	return 1
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("container: arguments: need the path of one specification, got %q", args)
	}
	text, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	var spec Spec
	if err := json.Unmarshal(text, &spec); err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	// Without namespaces of our own, every mount below would hit the host.
	if os.Getpid() != 1 {
		return errors.New("container: must be process 1 of a new process namespace; run it through container.Start")
	}
	for _, step := range []func(Spec) error{makeRoot, makeDevices, makeMounts, enterRoot, dropPrivileges} {
		if err := step(spec); err != nil {
			return err
		}
	}
	environment := append(spec.Env, daemon.EnvIdentity+"="+os.Getenv(daemon.EnvIdentity))
	if err := unix.CloseRange(reportFile, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("close files: %w", err)
	}
	return fmt.Errorf("execute %s: %w", spec.Args[0], syscall.Exec(spec.Args[0], spec.Args, environment))
}

// makeRoot puts a read-only view of the image in its own place and fills /proc and /tmp.
func makeRoot(spec Spec) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	if err := unix.Mount(spec.Rootfs, spec.Rootfs, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("root %s: %w", spec.Rootfs, err)
	}
	const flags = unix.MS_BIND | unix.MS_REMOUNT | unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV
	if err := unix.Mount("", spec.Rootfs, "", flags, ""); err != nil {
		return fmt.Errorf("root %s read-only: %w", spec.Rootfs, err)
	}
	if err := mountAt(spec, "proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return err
	}
	return makeTmpfs(spec, Tmpfs{Target: "/tmp"})
}

// makeDevices makes a /dev of the few devices that programs expect, taken from the host's.
func makeDevices(spec Spec) error {
	if err := mountAt(spec, "tmpfs", "/dev", "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC, "mode=0755,size=64k"); err != nil {
		return err
	}
	dev := filepath.Join(spec.Rootfs, "dev")
	for _, name := range []string{"null", "zero", "full", "random", "urandom"} {
		target := filepath.Join(dev, name)
		if err := os.WriteFile(target, nil, 0o666); err != nil {
			return err
		}
		if err := unix.Mount("/dev/"+name, target, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("device %s: %w", name, err)
		}
	}
	for name, target := range map[string]string{
		"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
	} {
		if err := os.Symlink(target, filepath.Join(dev, name)); err != nil {
			return err
		}
	}
	if err := os.Mkdir(filepath.Join(dev, "shm"), 0o755); err != nil {
		return err
	}
	if err := makeTmpfs(spec, Tmpfs{Target: "/dev/shm"}); err != nil {
		return err
	}
	const readOnly = unix.MS_REMOUNT | unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NOEXEC
	if err := unix.Mount("", dev, "", readOnly, "mode=0755,size=64k"); err != nil {
		return fmt.Errorf("/dev read-only: %w", err)
	}
	return nil
}

func makeMounts(spec Spec) error {
	for _, t := range spec.Tmpfs {
		if err := makeTmpfs(spec, t); err != nil {
			return err
		}
	}
	for _, m := range spec.Mounts {
		if err := mountAt(spec, m.Source, m.Target, "", unix.MS_BIND, ""); err != nil {
			return err
		}
		flags := uintptr(unix.MS_BIND | unix.MS_REMOUNT | unix.MS_NOSUID | unix.MS_NODEV)
		if m.ReadOnly {
			flags |= unix.MS_RDONLY
		} else {
			flags |= unix.MS_NOEXEC // nothing that the program wrote can be executed
		}
		if err := mountAt(spec, "", m.Target, "", flags, ""); err != nil {
			return err
		}
	}
	return nil
}

func makeTmpfs(spec Spec, t Tmpfs) error {
	size := t.SizeBytes
	if size == 0 {
		size = defaultTmpfsBytes
	}
	options := fmt.Sprintf("mode=0700,uid=%d,gid=%d,size=%d", spec.UID, spec.GID, size)
	return mountAt(spec, "tmpfs", t.Target, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, options)
}

// mountAt mounts on a path as the program will see it: a symbolic link of the image leads to a place inside the root, never to one
// on the host.
func mountAt(spec Spec, source, target, kind string, flags uintptr, options string) error {
	root, err := unix.Open(spec.Rootfs, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("root %s: %w", spec.Rootfs, err)
	}
	defer unix.Close(root) //nolint:errcheck // opened without reading or writing
	place, err := unix.Openat2(root, strings.TrimPrefix(target, "/"), &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT,
	})
	if err != nil {
		return fmt.Errorf("mount on %s: the image must have it: %w", target, err)
	}
	defer unix.Close(place) //nolint:errcheck // opened without reading or writing
	if err := unix.Mount(source, fmt.Sprintf("/proc/self/fd/%d", place), kind, flags, options); err != nil {
		return fmt.Errorf("mount %s on %s: %w", source, target, err)
	}
	return nil
}

// enterRoot makes the image the root and lets go of the host's files.
func enterRoot(spec Spec) error {
	if err := unix.Chdir(spec.Rootfs); err != nil {
		return err
	}
	// The old root ends up mounted over the new one, at the same place, and is then taken off: no directory is needed for it.
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave the host's root: %w", err)
	}
	if err := unix.Sethostname([]byte(spec.Name)); err != nil {
		return fmt.Errorf("host name: %w", err)
	}
	return unix.Chdir("/")
}

// dropPrivileges leaves no capability in any set, no supplementary group, and no way to gain either by executing a file.
func dropPrivileges(spec Spec) error {
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return fmt.Errorf("limit of open files: %w", err)
	}
	if spec.NoFile > 0 {
		files.Max = spec.NoFile
	}
	files.Cur = files.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return fmt.Errorf("limit of open files %d: %w", files.Max, err)
	}
	for capability := uintptr(0); ; capability++ {
		err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0)
		if errors.Is(err, unix.EINVAL) {
			break // beyond the kernel's last capability
		}
		if err != nil {
			return fmt.Errorf("drop capability %d: %w", capability, err)
		}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("clear ambient capabilities: %w", err)
	}
	if err := syscall.Setgroups(nil); err != nil {
		return fmt.Errorf("supplementary groups: %w", err)
	}
	if err := syscall.Setresgid(spec.GID, spec.GID, spec.GID); err != nil {
		return fmt.Errorf("group %d: %w", spec.GID, err)
	}
	if err := syscall.Setresuid(spec.UID, spec.UID, spec.UID); err != nil {
		return fmt.Errorf("user %d: %w", spec.UID, err)
	}
	var none [2]unix.CapUserData
	if err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0]); err != nil {
		return fmt.Errorf("clear capabilities: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	return nil
}
