// Package remains clears a lab away: every process, namespace and file of it, also those that Pulumi has lost track of, and
// nothing of any other lab.
package remains

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sallyport/sallyport/lab/daemon"
	"github.com/sallyport/sallyport/lab/labid"
	"github.com/sallyport/sallyport/lab/namespace"
	"github.com/sallyport/sallyport/lab/registry"
)

// grace is how long processes may take to end by themselves. What a lab's end cuts is cut anyway.
const grace = 2 * time.Second

// parallel bounds how many hosts are cleared at the same time.
const parallel = 8

// Clear removes everything of the lab. A lab that is gone is no error; after an error it can be called again.
func Clear(ctx context.Context, lab registry.Lab) error {
	hosts, err := hosts(lab)
	if err != nil {
		return err
	}
	var group errgroup.Group
	group.SetLimit(parallel)
	for _, host := range hosts {
		group.Go(func() error { return StopHost(ctx, lab, host, grace) })
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("lab %s: %w", lab.ID, err)
	}
	names, err := namespace.List(lab.ID)
	if err != nil {
		return fmt.Errorf("lab %s: %w", lab.ID, err)
	}
	for _, name := range names { // processes that no record knows, such as a shell that somebody left open in a pod
		if err := namespace.Kill(name, grace); err != nil {
			return fmt.Errorf("lab %s: %w", lab.ID, err)
		}
	}
	if err := namespace.DeleteAll(lab.ID); err != nil {
		return fmt.Errorf("lab %s: %w", lab.ID, err)
	}
	return lab.Remove()
}

// ClearHost removes one host of a lab: its daemons, whatever else runs in its namespace, the namespace, its files.
func ClearHost(ctx context.Context, lab registry.Lab, host string, grace time.Duration) error {
	if err := StopHost(ctx, lab, host, grace); err != nil {
		return err
	}
	name := labid.Netns(lab.ID, host)
	if err := namespace.Kill(name, grace); err != nil {
		return err
	}
	if err := namespace.Delete(name); err != nil {
		return err
	}
	if err := os.RemoveAll(lab.HostDir(host)); err != nil {
		return err
	}
	_ = os.Remove(lab.Path("hosts")) // refuses while other hosts are there
	return nil
}

// StopHost ends the recorded daemons of a host. Its namespace and its files stay.
func StopHost(ctx context.Context, lab registry.Lab, host string, grace time.Duration) error {
	daemons, err := daemon.List(lab.HostDir(host))
	if err != nil {
		return err
	}
	var errs []error
	for _, d := range daemons {
		errs = append(errs, daemon.At(lab.HostDir(host), d.Name).Stop(ctx, grace))
	}
	return errors.Join(errs...)
}

// hosts returns the hosts that have files, whether or not they have a namespace.
func hosts(lab registry.Lab) ([]string, error) {
	entries, err := os.ReadDir(lab.Path("hosts"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("lab %s: hosts: %w", lab.ID, err)
	}
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = entry.Name()
	}
	return names, nil
}
