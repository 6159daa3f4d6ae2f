package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/components/stack"
	"github.com/sallyport/sallyport/lab/demo"
	"github.com/sallyport/sallyport/lab/labid"
	"github.com/sallyport/sallyport/lab/registry"
)

const labDemoLong = `Send load through stack local and print, side by side, what was measured and what the model predicts:
a NAT that runs out of ports, the ways out at the declared demand, a proxy killed under load, and what a DNS lookup costs.

It ends within two minutes. The killed proxy is repaired with pulumi up before it ends, also after Ctrl-C.

`

// binDirEnv is the directory of the lab's programs. Default: beside this one.
const binDirEnv = "SALLYPORT_BIN_DIR"

func newLabDemoCommand() *cobra.Command {
	var name, out string
	command := &cobra.Command{
		Use:   "demo",
		Short: "Send load through stack local and print measured beside predicted, within two minutes",
		Long:  labDemoLong + exitCodes,
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(command.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			context.AfterFunc(ctx, stop) // a second interrupt ends the program at once
			command.SetContext(ctx)
			return runDemo(command, name, out)
		},
	}
	command.Flags().StringVar(&name, "stack", "local", "stack of this project")
	command.Flags().StringVar(&out, "out", filepath.Join(".build", "demo"), "write report.json, blocking.svg and blocking.png to `FOLDER`")
	return command
}

func runDemo(command *cobra.Command, name, out string) error {
	target, err := demoTarget(command, name)
	if err != nil {
		return err
	}
	root, err := projectRoot()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	complaints := command.ErrOrStderr()
	say := func(format string, args ...any) {
		fmt.Fprintf(complaints, "==> "+format+"\n", args...) //nolint:errcheck // nowhere left to complain
	}
	report, err := demo.Run(command.Context(), target, demo.Options{Say: say, Repair: repairWith(root, name, filepath.Join(out, "repair.log"))})
	if command.Context().Err() != nil {
		if rest := notInterrupt(err); rest != nil {
			return fmt.Errorf("demo: interrupted\n%w", rest)
		}
		return fmt.Errorf("demo: interrupted; stack %s is as it was before", name)
	}
	// What was measured before an error is worth seeing.
	if err := errors.Join(err, report.Print(command.OutOrStdout()), report.Write(out)); err != nil {
		return err
	}
	_, err = fmt.Fprintf(command.OutOrStdout(), "\nAll in %.0f s. The figures: %s, the curve: %s\n",
		report.Seconds, filepath.Join(out, "report.json"), filepath.Join(out, "blocking.svg"))
	return err
}

// notInterrupt drops errors that only say that the context ended.
func notInterrupt(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var rest []error
		for _, one := range joined.Unwrap() {
			rest = append(rest, notInterrupt(one))
		}
		return errors.Join(rest...)
	}
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// demoTarget finds a stack local that is up.
func demoTarget(command *cobra.Command, name string) (demo.Target, error) {
	settings, lab, err := localStack(name)
	if err != nil {
		return demo.Target{}, err
	}
	if !lab.Exists() {
		return demo.Target{}, fmt.Errorf("stack %s is not up; run `%s`", name, upCommand(name))
	}
	document, err := source{stack: name}.read(command)
	if err != nil {
		return demo.Target{}, fmt.Errorf("%w\nis stack %s up? run `%s`", err, name, upCommand(name))
	}
	directory := os.Getenv(binDirEnv)
	if directory == "" {
		self, err := os.Executable()
		if err != nil {
			return demo.Target{}, err
		}
		directory = filepath.Dir(self)
	}
	labd := filepath.Join(directory, "labd")
	if _, err := os.Stat(labd); err != nil {
		return demo.Target{}, fmt.Errorf("labd: %w; run `make build`", err)
	}
	return demo.Target{Lab: lab, Stack: settings, Allowlist: document, Labd: labd}, nil
}

// localStack reads the file of a stack, which must have cloud local, and names its lab, which need not be up.
func localStack(name string) (*stack.Stack, registry.Lab, error) {
	file, err := stackFile(name)
	if err != nil {
		return nil, registry.Lab{}, err
	}
	settings, err := stack.ReadFile(file)
	if err != nil {
		return nil, registry.Lab{}, err
	}
	if settings.Cloud != stack.CloudLocal {
		return settings, registry.Lab{}, fmt.Errorf("--stack: must be a stack with cloud local, got %q with cloud %s", name, settings.Cloud)
	}
	root, err := projectRoot()
	if err != nil {
		return nil, registry.Lab{}, err
	}
	lab, err := registry.Open(labid.For(root, name))
	return settings, lab, err
}

// upCommand brings a stack up.
func upCommand(name string) string {
	if name == "local" {
		return "make up"
	}
	return "make up STACK=" + name
}

// repairWith runs pulumi up for a stack, with its output in a file. A terminal's interrupt does not reach it: a repair that has begun is
// finished. When the context ends, Pulumi is asked to stop.
func repairWith(root, name, logFile string) func(context.Context) error {
	return func(ctx context.Context) error {
		log, err := os.Create(logFile)
		if err != nil {
			return err
		}
		defer log.Close() //nolint:errcheck // read only when something went wrong
		run := exec.CommandContext(ctx, filepath.Join(root, "tools", "pulumi.sh"), "up", "--stack", name, "--refresh", "--yes", "--non-interactive",
			"--suppress-outputs", "--color", "never")
		run.Dir, run.Stdout, run.Stderr = root, log, log
		run.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		run.Cancel = func() error { return run.Process.Signal(os.Interrupt) }
		run.WaitDelay = 5 * time.Second
		if err := run.Run(); err != nil {
			text, _ := os.ReadFile(logFile)
			return fmt.Errorf("pulumi up: %w; run `%s` to repair the stack, after a lock `make recover`\n%s", err, upCommand(name), lastLines(string(text), 15))
		}
		return nil
	}
}

// lastLines returns the end of a text.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
