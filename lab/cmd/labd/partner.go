package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/sallyport/sallyport/lab/partner"
)

func runPartner(args []string) int {
	flags := flag.NewFlagSet("partner", flag.ContinueOnError)
	config := flags.String("config", "", "configuration file (JSON); read again when it changes and on SIGHUP")
	readyFile := flags.String("ready-file", "", "file to create once connections are accepted")
	if ok, code := parse(flags, args); !ok {
		return code
	}
	if *config == "" {
		fmt.Fprintln(os.Stderr, "labd partner: --config is required")
		return 2
	}
	ctx, stop := untilSignal()
	defer stop()
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	reload := make(chan struct{}, 1)
	go func() {
		for range hangups {
			select {
			case reload <- struct{}{}:
			default: // one is waiting already
			}
		}
	}()
	return report("partner", partner.Run(ctx, *config, reload, func() { ready(*readyFile) }))
}
