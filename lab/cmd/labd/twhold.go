package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/lab/twhold"
)

// parse reads the flags of a command. When there is nothing to run it returns false and the exit code.
func parse(flags *flag.FlagSet, args []string) (ok bool, code int) {
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return false, 0
	}
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
		fmt.Fprintf(os.Stderr, "labd %s: %v\n", flags.Name(), err)
	}
	return err == nil, 2
}

// untilSignal returns a context that ends with SIGTERM or SIGINT.
func untilSignal() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
}

// ready prints the line for which whoever started the process waits, and makes the file if one was asked for.
func ready(file string) {
	fmt.Println("ready")
	if file == "" {
		return
	}
	if err := os.WriteFile(file, []byte("ready\n"), 0o644); err != nil {
		slog.Error("cannot announce readiness", "error", err)
	}
}

// report turns the end of a command into an exit code.
func report(name string, err error) int {
	if err != nil {
		fmt.Fprintf(os.Stderr, "labd %s: %v\n", name, err)
		return 1
	}
	return 0
}

func runTwhold(args []string) int {
	flags := flag.NewFlagSet("twhold", flag.ContinueOnError)
	timeWait := flags.Duration("time-wait", 120*time.Second, "how long a source port stays taken after its connection closed, whole seconds")
	readyFile := flags.String("ready-file", "", "file to create once ports are held")
	logEvery := flags.Duration("log-every", time.Minute, "interval of log lines with the number of held ports; 0 for none")
	if ok, code := parse(flags, args); !ok {
		return code
	}
	if err := raisePriority(); err != nil {
		slog.Warn("ports may be reused early when the machine is busy", "error", err)
	}
	ctx, stop := untilSignal()
	defer stop()
	return report("twhold", twhold.Run(ctx, twhold.Config{
		TimeWait: *timeWait, LogEvery: *logEvery, Ready: func() { ready(*readyFile) },
	}))
}

// raisePriority gives the process's threads, and those to come, real-time priority: the daemon must answer before the next connection
// looks for a port, however busy the machine is. It needs some 20 microseconds per connection.
func raisePriority() error {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, thread := range threads {
		id, err := strconv.Atoi(thread.Name())
		if err != nil {
			return err
		}
		attributes := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 1}
		if err := unix.SchedSetAttr(id, attributes, 0); err != nil {
			return fmt.Errorf("real-time priority: %w", err)
		}
	}
	return nil
}
