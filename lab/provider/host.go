package provider

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/lab/daemon"
	"github.com/sallyport/sallyport/lab/labid"
	"github.com/sallyport/sallyport/lab/namespace"
	"github.com/sallyport/sallyport/lab/registry"
	"github.com/sallyport/sallyport/lab/remains"
)

// BinDirVariable is the environment variable that says where labd and coredns are. Default: beside the provider.
const BinDirVariable = "SALLYPORT_BIN_DIR"

// Times of processes.
const (
	startTimeout = 30 * time.Second      // for a process of ours to be ready; it takes far less
	stopGrace    = 2 * time.Second       // for a process that holds no connection of a client
	pollInterval = 20 * time.Millisecond // between looks at something that is about to happen
)

// hostName is the name of a host of a kind: "proxy-a-1" for "a-1", and for "proxy-a-1" as well, so that callers may use either.
func hostName(kind, name string) string {
	if name == kind || strings.HasPrefix(name, kind+"-") {
		return name
	}
	return labid.Host(kind, name)
}

// nodeOf is the host of a node that is given by its id, "<lab>/<host>/<incarnation>", or by its name.
func nodeOf(reference string) string {
	if parts := strings.Split(reference, "/"); len(parts) > 1 {
		reference = parts[1]
	}
	return hostName(labid.NodeHost, reference)
}

// binary returns the path of one of our programs.
func binary(name string) (string, error) {
	dir := os.Getenv(BinDirVariable)
	if dir == "" {
		self, err := os.Executable()
		if err != nil {
			return "", err
		}
		dir = filepath.Dir(self)
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("program %s: %w; run `make build tools`, or set %s to the directory that holds it", name, err, BinDirVariable)
	}
	return path, nil
}

// newHost makes the namespace of a host, after clearing what an earlier one of that name left: processes, links, files.
func newHost(ctx context.Context, lab registry.Lab, host string) error {
	if err := remains.ClearHost(ctx, lab, host, stopGrace); err != nil {
		return err
	}
	return namespace.Create(lab.ID, host)
}

// joinVPC puts a host on the private network. Pods of all nodes are reached on the link itself: nodes answer for them.
func joinVPC(lab registry.Lab, host string, address netip.Addr) error {
	name := labid.Netns(lab.ID, host)
	err := namespace.Attach(namespace.Attachment{
		Namespace: name, Interface: labid.VPCInterface,
		Switch: labid.Netns(lab.ID, labid.VPCHost), Bridge: labid.Bridge,
		Addresses: []netip.Prefix{netip.PrefixFrom(address, labid.VPC.Bits())},
	})
	if err != nil {
		return err
	}
	return namespace.EnsureRoutes(name, namespace.Route{To: labid.Pods, Interface: labid.VPCInterface})
}

// joinInternet puts a host on the internet. It reaches the public ranges and nothing else.
func joinInternet(lab registry.Lab, host string, addresses []netip.Addr) error {
	name := labid.Netns(lab.ID, host)
	single := make([]netip.Prefix, len(addresses))
	for i, address := range addresses {
		single[i] = netip.PrefixFrom(address, 32)
	}
	err := namespace.Attach(namespace.Attachment{
		Namespace: name, Interface: labid.InternetInterface,
		Switch: labid.Netns(lab.ID, labid.InternetHost), Bridge: labid.Bridge, Addresses: single,
	})
	if err != nil {
		return err
	}
	for _, to := range labid.PublicRanges() {
		if err := namespace.EnsureRoutes(name, namespace.Route{To: to, Interface: labid.InternetInterface}); err != nil {
			return err
		}
	}
	return nil
}

// hasAddresses reports whether an interface of a host is there, up to the bridge, with all the addresses.
func hasAddresses(lab registry.Lab, host, link string, addresses ...netip.Addr) bool {
	have, err := namespace.Addresses(labid.Netns(lab.ID, host), link)
	if err != nil {
		return false
	}
	for _, address := range addresses {
		if !slices.ContainsFunc(have, func(p netip.Prefix) bool { return p.Addr() == address }) {
			return false
		}
	}
	return true
}

// parseAddresses parses addresses that have been checked.
func parseAddresses(texts []string) ([]netip.Addr, error) {
	list := make([]netip.Addr, len(texts))
	for i, text := range texts {
		address, err := netip.ParseAddr(text)
		if err != nil {
			return nil, err
		}
		list[i] = address
	}
	return list, nil
}

// parsePrefixes parses networks that have been checked.
func parsePrefixes(texts []string) ([]netip.Prefix, error) {
	list := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, err
		}
		list[i] = prefix
	}
	return list, nil
}

// await calls ready until it returns nil. It gives up when ctx or startTimeout ends, or when the process has died, with what
// ready said last and the end of the process's log.
func await(ctx context.Context, d daemon.Daemon, ready func() error) error {
	deadline := time.Now().Add(startTimeout)
	for {
		err := ready()
		if err == nil {
			return nil
		}
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("%s: not ready: %w", d.Name, errors.Join(ctx.Err(), err))
		case !d.Alive():
			return fmt.Errorf("%s: ended before it was ready: %w\n%s", d.Name, err, logTail(d))
		case time.Now().After(deadline):
			return fmt.Errorf("%s: must be ready within %s: %w\n%s", d.Name, startTimeout, err, logTail(d))
		}
		select {
		case <-ctx.Done():
		case <-time.After(pollInterval):
		}
	}
}

// logTail returns the last lines of a process's log, for an error message.
func logTail(d daemon.Daemon) string {
	const most = 2000
	text, err := os.ReadFile(filepath.Join(d.StateDir, d.Name+".log"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text[max(0, len(text)-most):]))
}
