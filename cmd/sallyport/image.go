package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/proxyimage/oci"
)

// lockPath is where the repository keeps the lock file of the proxy image; finding it finds the repository.
const lockPath = "proxyimage/oci/packages.lock"

func newImageCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "image",
		Short: "Build and push the proxy image without a container engine",
		Args:  cobra.NoArgs,
		RunE:  func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(newImageBuildCommand(), newImageLockCommand(), newImagePushCommand())
	return command
}

func newImageBuildCommand() *cobra.Command {
	var (
		options      oci.Options
		asJSON, both bool
	)
	command := &cobra.Command{
		Use:   "build",
		Short: "Build the image from packages.lock and the agent, the same digest every time",
		Long: "Build the image from packages.lock and the agent: an OCI layout in <out>/oci and the same files in <out>/rootfs.\n" +
			"Does nothing if neither has changed. Needs apt-get and dpkg-deb with Debian 12 sources, and no root.",
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			root, err := repository(options.Lock)
			if err != nil {
				return err
			}
			under(root, &options.Lock, lockPath)
			under(root, &options.Agent, ".build/bin/sallyport-agent")
			under(root, &options.Out, ".build/image")
			under(root, &options.Cache, ".build/cache")
			if both {
				options.Foreign = foreignAgents(options)
			}
			options.Progress = progress(command.ErrOrStderr())
			return runImageBuild(command, options, asJSON)
		},
	}
	flags := command.Flags()
	flags.StringVar(&options.Agent, "agent", "", "static agent binary (default .build/bin/sallyport-agent of the repository)")
	flags.StringVar(&options.Out, "out", "", "directory for the image (default .build/image of the repository)")
	flags.StringVar(&options.Lock, "lock", "", "lock file (default "+lockPath+" of the repository)")
	flags.StringVar(&options.Cache, "cache", "", "directory for packages (default .build/cache of the repository)")
	flags.StringVar(&options.Arch, "arch", "", "architecture: amd64 or arm64 (default this machine's)")
	flags.BoolVar(&both, "all-platforms", false, "build for amd64 and arm64; the other one's agent is <agent>-<architecture>")
	flags.BoolVar(&options.AllowNewer, "allow-newer", false, "take what the mirrors offer where they dropped a locked version; never for an image to publish")
	flags.BoolVar(&asJSON, "json", false, "print the result as JSON")
	return command
}

// foreignAgents names the agents of the architectures besides the one asked for.
func foreignAgents(options oci.Options) map[string]string {
	agents := map[string]string{}
	for _, arch := range oci.Architectures() {
		if arch != cmp.Or(options.Arch, runtime.GOARCH) {
			agents[arch] = options.Agent + "-" + arch
		}
	}
	return agents
}

func runImageBuild(command *cobra.Command, options oci.Options, asJSON bool) error {
	ctx, stop := signal.NotifyContext(command.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	image, err := oci.Build(ctx, options)
	if err != nil {
		return err
	}
	out := command.OutOrStdout()
	if asJSON {
		return printJSON(out, image)
	}
	state := "built"
	if image.Unchanged {
		state = "unchanged"
	}
	fmt.Fprintf(out, "%s %s\n", state, image.Digest)
	for _, p := range image.Platforms {
		fmt.Fprintf(out, "%-6s %s (%d packages, %.1f MB, %.1f MB packed)\n", p.Arch, p.Digest, len(p.Packages), float64(p.Bytes)/1e6, float64(p.PackedBytes)/1e6)
		for _, s := range p.Substitutions {
			fmt.Fprintf(out, "NOT AS LOCKED: %s instead of %s\n", s.Taken, s.Locked.Version)
		}
	}
	_, err = fmt.Fprintf(out, "layout %s\nrootfs %s (%s)\n", image.Layout, image.Rootfs, image.Arch)
	return err
}

func newImageLockCommand() *cobra.Command {
	var (
		options oci.LockOptions
		asJSON  bool
	)
	command := &cobra.Command{
		Use:   "lock",
		Short: "Rewrite packages.lock with what the Debian mirrors offer now",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			root, err := repository(options.Lock)
			if err != nil {
				return err
			}
			under(root, &options.Lock, lockPath)
			under(root, &options.Cache, ".build/cache")
			options.Progress = progress(command.ErrOrStderr())
			return runImageLock(command.Context(), command.OutOrStdout(), options, asJSON)
		},
	}
	flags := command.Flags()
	flags.StringVar(&options.Lock, "lock", "", "lock file (default "+lockPath+" of the repository)")
	flags.StringVar(&options.Cache, "cache", "", "directory for package indexes (default .build/cache of the repository)")
	flags.StringVar(&options.Arch, "arch", "", "architecture: amd64 or arm64 (default all in the lock file)")
	flags.BoolVar(&asJSON, "json", false, "print the changes as JSON")
	return command
}

func runImageLock(ctx context.Context, out io.Writer, options oci.LockOptions, asJSON bool) error {
	changes, err := oci.Relock(ctx, options)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(out, append([]oci.Change{}, changes...))
	}
	for _, c := range changes {
		from := c.From
		if from == "" {
			from = "(new)"
		}
		fmt.Fprintf(out, "%s %s: %s -> %s\n", c.Arch, c.Name, from, c.To)
	}
	_, err = fmt.Fprintf(out, "%s: %d packages changed\n", options.Lock, len(changes))
	return err
}

// repository returns the root of the repository that the current directory is in; it is not looked for if a lock file was named.
func repository(lock string) (string, error) {
	here, err := os.Getwd()
	if err != nil || lock != "" {
		return here, err
	}
	for dir := here; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, lockPath)); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("image: %s: must be in the current directory or above, not found from %s; name it with --lock", lockPath, here)
		}
	}
}

// under fills a path that was not given.
func under(root string, path *string, fallback string) {
	if *path == "" {
		*path = filepath.Join(root, fallback)
	}
}

func progress(out io.Writer) func(string, ...any) {
	return func(format string, args ...any) { fmt.Fprintf(out, "image: "+format+"\n", args...) }
}

func printJSON(out io.Writer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}
