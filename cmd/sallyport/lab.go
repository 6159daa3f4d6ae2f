package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/lab/labid"
	"github.com/sallyport/sallyport/lab/podexec"
	"github.com/sallyport/sallyport/lab/registry"
)

const labLong = `Look at and use the lab of a stack with cloud local: the egress path in network namespaces on this machine.

Examples:
  sallyport lab exec pod-a-1-1 -- curl https://api.payments.example.com/
  sallyport lab status
  sallyport lab list

`

// insideCommand is the hidden second step of exec, see podexec.Inside.
const insideCommand = "inside"

// labChoice is how a user names a lab.
type labChoice struct{ stack, id string }

func (c *labChoice) flags(command *cobra.Command) {
	command.Flags().StringVar(&c.stack, "stack", "local", "stack of this project")
	command.Flags().StringVar(&c.id, "lab", "", "id of the lab, from `lab list`, instead of --stack")
}

// open finds the lab: by its id, or as that of a stack of the project around the working directory.
func (c *labChoice) open() (registry.Lab, error) {
	if c.id != "" {
		return registry.Open(c.id)
	}
	root, err := projectRoot()
	if err != nil {
		return registry.Lab{}, err
	}
	return registry.Open(labid.For(root, c.stack))
}

func newLabCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "lab",
		Short: "Look at and use the lab of stack local",
		Long:  labLong + exitCodes + "\n  lab exec: the exit code of the command; 126 and 127 if it cannot be run or found",
		Args:  cobra.NoArgs,
		RunE:  func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(newLabExecCommand(), newLabInsideCommand(), newLabStatusCommand(), newLabListCommand(), newLabPruneCommand(),
		newLabDemoCommand(), newLabSummaryCommand())
	return command
}

func newLabExecCommand() *cobra.Command {
	var choice labChoice
	command := &cobra.Command{
		Use:   "exec POD -- COMMAND [ARGUMENT...]",
		Short: "Run a command in a pod: its network, its resolver, the lab's certificate authority; the rest is this machine's",
		RunE: func(command *cobra.Command, args []string) error {
			pod, run := splitExec(args)
			if pod == "" || len(run) == 0 {
				return errors.New("lab exec: needs a pod and a command, such as: sallyport lab exec pod-a-1-1 -- curl https://HOST/")
			}
			lab, err := choice.open()
			if err != nil {
				return err
			}
			return execInPod(command, lab, pod, run)
		},
	}
	command.Flags().SetInterspersed(false) // what follows the pod belongs to the command
	choice.flags(command)
	return command
}

// splitExec takes POD [--] COMMAND... apart.
func splitExec(args []string) (pod string, run []string) {
	if len(args) == 0 {
		return "", nil
	}
	pod, run = args[0], args[1:]
	if len(run) > 0 && run[0] == "--" {
		run = run[1:]
	}
	return pod, run
}

// execInPod runs a command with this program's standard streams and ends with its exit code.
func execInPod(command *cobra.Command, lab registry.Lab, pod string, args []string) error {
	host, err := podexec.Find(lab, pod)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	// A terminal sends an interrupt to the command as well, which decides what it means. Termination is passed on.
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	defer signal.Stop(interrupts)
	ctx, stop := signal.NotifyContext(command.Context(), syscall.SIGTERM)
	defer stop()
	run := podexec.Command(ctx, lab, host, []string{self, "lab", insideCommand}, args)
	run.Stdin, run.Stdout, run.Stderr = command.InOrStdin(), command.OutOrStdout(), command.ErrOrStderr()
	code, err := podexec.Run(lab, host, run)
	if err != nil {
		return err
	}
	if code != 0 {
		return exitError{code: code}
	}
	return nil
}

func newLabInsideCommand() *cobra.Command {
	return &cobra.Command{
		Use:                insideCommand,
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error {
			code, err := podexec.Inside(args)
			return exitError{code: code, text: err.Error()}
		},
	}
}

// up opens a lab that has to be up.
func (c *labChoice) up() (registry.Lab, error) {
	lab, err := c.open()
	if err == nil && !lab.Exists() {
		err = fmt.Errorf("lab %s: is not up; run `make up`, or choose one of `sallyport lab list`", lab.ID)
	}
	return lab, err
}
