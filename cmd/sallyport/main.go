// Command sallyport plans the way out of a cluster and reads what has been built.
//
// Exit codes: 0 success, 1 the documents of "allowlist diff" differ or "doctor" found something, 2 anything else that ended without
// the wanted result.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

const exitCodes = `Exit codes:
  0  success; for "allowlist diff": no difference; for "doctor": nothing found
  1  "allowlist diff": the documents differ; "doctor": there is a finding
  2  wrong input, impossible demand, or an error`

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the program with everything it touches given to it; it returns the exit code.
func run(ctx context.Context, args []string, in io.Reader, out, complaints io.Writer) int {
	command := newRootCommand()
	command.SetArgs(args)
	command.SetIn(in)
	command.SetOut(out)
	command.SetErr(complaints)
	err := command.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(complaints, text) //nolint:errcheck // nowhere left to complain
	}
	var exit exitError
	if errors.As(err, &exit) {
		return exit.code
	}
	return 2
}

// newRootCommand assembles the command line. Every command lives in a file of its own name.
func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "sallyport",
		Short:         "Plan, inspect and hand out the way in which traffic leaves a Kubernetes cluster",
		Long:          "Plan, inspect and hand out the way in which traffic leaves a Kubernetes cluster.\n\n" + exitCodes,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(
		newPlanCommand(),
		newMonitoringCommand(),
		newDoctorCommand(),
		newAllowlistCommand(),
		newDNSCommand(),
		newImageCommand(),
		newLabCommand(),
	)
	return root
}

// exitError ends the program with a code of its own; an empty text prints nothing more.
type exitError struct {
	code int
	text string
}

// Error implements error.
func (e exitError) Error() string { return e.text }
