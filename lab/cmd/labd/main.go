// Command labd is every long-running or re-executed helper of a lab in one binary; the first argument says which. It runs
// inside the network namespace that it serves and imports neither Pulumi nor anything of the clouds.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/sallyport/sallyport/lab/container"
)

// command is one personality of labd. Run gets the arguments after the name and returns the exit code.
type command struct {
	name, summary string
	run           func(args []string) int
}

var commands = []command{
	{"container", "run the proxy image's root filesystem; started by the provider", container.Main},
	{"load", "open connections at a given rate and measure how they fare", runLoad},
	{"partner", "serve as a partner: TLS, allow list, record of source IPs", runPartner},
	{"twhold", "hold source ports in TIME_WAIT, as a cloud's NAT does", runTwhold},
}

func usage(w io.Writer) {
	fmt.Fprint(w, "labd runs one part of a Sallyport lab.\n\nUsage: labd COMMAND [FLAGS]; labd COMMAND --help explains the flags.\n\n")
	for _, c := range commands {
		fmt.Fprintf(w, "  %-10s %s\n", c.name, c.summary)
	}
}

func main() {
	if len(os.Args) < 2 {
		usage(os.Stderr)
		os.Exit(2)
	}
	switch os.Args[1] {
	case "help", "--help", "-h":
		usage(os.Stdout)
		return
	}
	for _, c := range commands {
		if c.name == os.Args[1] {
			os.Exit(c.run(os.Args[2:]))
		}
	}
	fmt.Fprintf(os.Stderr, "labd: command: unknown, got %q; see labd --help\n", os.Args[1])
	os.Exit(2)
}
