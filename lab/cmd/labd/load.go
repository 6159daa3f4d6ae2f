package main

import (
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/sallyport/sallyport/lab/load"
)

func runLoad(args []string) int {
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	spec := flags.String("spec", "-", "file with the specification (JSON); - is standard input")
	quiet := flags.Bool("quiet", false, "no progress on standard error")
	if ok, code := parse(flags, args); !ok {
		return code
	}
	input, progress := io.Reader(os.Stdin), io.Writer(os.Stderr)
	if *spec != "-" {
		file, err := os.Open(*spec)
		if err != nil {
			fmt.Fprintf(os.Stderr, "labd load: spec: %v\n", err)
			return 2
		}
		defer file.Close()
		input = file
	}
	if *quiet {
		progress = nil
	}
	ctx, stop := untilSignal()
	defer stop()
	return report("load", load.Main(ctx, input, os.Stdout, progress))
}
