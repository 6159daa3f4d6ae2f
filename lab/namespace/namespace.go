// Package namespace makes the hosts of a lab: named network namespaces, the links between them, their addresses, routes
// and kernel settings, and the means to run code, dial and start processes inside.
//
// Namespaces are bind mounts below /run/netns, as `ip netns` makes them, so that the usual tools see them. Every
// namespace carries the id of its lab (as the alias of its loopback interface), therefore a lab is cleared exactly, whatever
// its neighbours are called. No link is ever made in the namespace of the caller.
//
// Every function that makes something is idempotent: it accepts what is already there, completes what a crashed run left
// half done, and leaves established connections alone.
package namespace

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/lab/labid"
)

// Dir is where named network namespaces are mounted. It is fixed by convention: `ip netns` uses the same.
const Dir = "/run/netns"

// aliasPrefix precedes the lab id in the alias of the loopback interface.
const aliasPrefix = "sallyport:"

// Path returns the file that stands for the namespace; an absolute path stands for itself.
func Path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(Dir, name)
}

// Exists reports whether the namespace is there. A plain file that a reboot left behind is not a namespace.
func Exists(name string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(Path(name), &fs) == nil && fs.Type == unix.NSFS_MAGIC
}

// Create makes the namespace of a host of a lab, labid.Netns(lab, host), with its loopback interface up and IPv6 off on
// everything else. It is an error if a namespace of that name belongs to somebody else.
func Create(lab, host string) error {
	if err := errors.Join(labid.Check(lab), labid.CheckHost(host)); err != nil {
		return err
	}
	name := labid.Netns(lab, host)
	lock, err := lockDir()
	if err != nil {
		return fmt.Errorf("namespace %s: %w", name, err)
	}
	defer lock.Close()
	if Exists(name) {
		if owner := owner(name); owner != lab {
			return fmt.Errorf("namespace %s: belongs to %q, not to lab %q; remove it with `ip netns delete %s` if nobody needs it",
				name, owner, lab, name)
		}
		return nil
	}
	if err := mountNew(lab, name); err != nil {
		return fmt.Errorf("namespace %s: %w", name, err)
	}
	return nil
}

// mountNew makes a network namespace. Do brings the thread back: it may be the main thread, which would never end and which
// stands for the whole process in /proc/self.
func mountNew(lab, name string) error {
	file, err := os.OpenFile(Path(name), os.O_CREATE|os.O_RDONLY, 0o444)
	if err != nil {
		return err
	}
	file.Close()
	err = Do("/proc/self/ns/net", func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		if err := setUpLoopback(lab); err != nil {
			return err
		}
		return unix.Mount("/proc/thread-self/ns/net", Path(name), "none", unix.MS_BIND, "")
	})
	if err != nil {
		os.Remove(Path(name))
		return err
	}
	return nil
}

// setUpLoopback works on the namespace of the current thread.
func setUpLoopback(lab string) error {
	// Links made later get no IPv6: the lab is IPv4 only, and duplicate address detection would only make noise.
	if err := writeSysctl("net.ipv6.conf.default.disable_ipv6", "1"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	if err := netlink.LinkSetAlias(lo, aliasPrefix+lab); err != nil {
		return fmt.Errorf("loopback: alias: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("loopback: up: %w", err)
	}
	return nil
}

// owner returns the lab a namespace belongs to; empty if it is not one of ours or cannot be read.
func owner(name string) string {
	handle, err := open(name)
	if err != nil {
		return ""
	}
	defer handle.Close()
	lo, err := handle.LinkByName("lo")
	if err != nil {
		return ""
	}
	lab, found := strings.CutPrefix(lo.Attrs().Alias, aliasPrefix)
	if !found {
		return ""
	}
	return lab
}

// List returns the names of the namespaces of a lab, sorted.
func List(lab string) ([]string, error) {
	entries, err := os.ReadDir(Dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		if name := entry.Name(); strings.HasPrefix(name, labid.Netns(lab, "")) && Exists(name) && owner(name) == lab {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Delete removes a namespace: first its links, so that a process which still runs inside cannot disturb a successor of the
// same name, then the name. Deleting what does not exist is no error.
func Delete(name string) error {
	lock, err := lockDir()
	if err != nil {
		return fmt.Errorf("namespace %s: %w", name, err)
	}
	defer lock.Close()
	return remove(name)
}

func remove(name string) error {
	if Exists(name) {
		if err := deleteLinks(name); err != nil {
			return fmt.Errorf("namespace %s: %w", name, err)
		}
		if err := unix.Unmount(Path(name), unix.MNT_DETACH); err != nil {
			return fmt.Errorf("namespace %s: unmount: %w", name, err)
		}
	}
	if err := os.Remove(Path(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("namespace %s: %w", name, err)
	}
	return nil
}

func deleteLinks(name string) error {
	handle, err := open(name)
	if err != nil {
		return err
	}
	defer handle.Close()
	links, err := handle.LinkList()
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	for _, link := range links {
		switch link.Type() {
		case "veth", "bridge":
			if err := handle.LinkDel(link); err != nil && !notFound(err) {
				return fmt.Errorf("link %s: %w", link.Attrs().Name, err)
			}
		}
	}
	return nil
}

// DeleteAll removes every namespace of a lab, and the mount on Dir once nothing is left in it. Processes inside are not
// ended; see Kill.
func DeleteAll(lab string) error {
	names, err := List(lab)
	if err != nil {
		return err
	}
	lock, err := lockDir()
	if err != nil {
		return err
	}
	defer lock.Close()
	var errs []error
	for _, name := range names {
		errs = append(errs, remove(name))
	}
	errs = append(errs, unmountDirIfEmpty())
	return errors.Join(errs...)
}
