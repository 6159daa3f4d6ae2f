package main

import (
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/proxyimage/oci"
)

func newImagePushCommand() *cobra.Command {
	var (
		options oci.PushOptions
		asJSON  bool
	)
	command := &cobra.Command{
		Use:   "push --ref registry/repository:tag",
		Short: "Push the built image to a registry and print the reference to deploy",
		Long: "Push the built image to a registry and print the reference to deploy, registry/repository@sha256:...\n" +
			"Credentials are those of other container tools: config.json in DOCKER_CONFIG or ~/.docker, its credential helpers, podman's auth.json.\n" +
			"Sends only what the registry lacks; does nothing if the tag is there already.",
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			root, err := repository(options.Out)
			if err != nil {
				return err
			}
			under(root, &options.Out, ".build/image")
			options.Progress = progress(command.ErrOrStderr())
			return runImagePush(command, options, asJSON)
		},
	}
	flags := command.Flags()
	flags.StringVar(&options.Ref, "ref", "", "where to: registry/repository:tag")
	flags.StringVar(&options.Out, "out", "", "directory of the image (default .build/image of the repository)")
	flags.BoolVar(&options.Partial, "partial", false, "push also an image that lacks an architecture")
	flags.BoolVar(&asJSON, "json", false, "print the result as JSON")
	if err := command.MarkFlagRequired("ref"); err != nil {
		panic(err) // the flag above is gone
	}
	return command
}

func runImagePush(command *cobra.Command, options oci.PushOptions, asJSON bool) error {
	ctx, stop := signal.NotifyContext(command.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	pushed, err := oci.Push(ctx, options)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(command.OutOrStdout(), pushed)
	}
	told := command.ErrOrStderr()
	switch {
	case pushed.Unchanged:
		fmt.Fprintf(told, "image: %s is there already\n", pushed.Tag)
	case pushed.Previous != "":
		fmt.Fprintf(told, "image: %s was %s before\n", pushed.Tag, pushed.Previous)
	}
	fmt.Fprintf(told, "image: platforms: %s\n", strings.Join(pushed.Platforms, ", "))
	_, err = fmt.Fprintln(command.OutOrStdout(), pushed.Reference)
	return err
}
