// Command proxy measures the proxy image against what people would otherwise take: nginx stream with ssl_preread, HAProxy that looks
// up every name, and no proxy at all. It runs on one machine, as root, in network namespaces of its own, and takes turns: each
// round measures every way once, so that whatever else the machine does hits all of them alike. Read the ratios; absolute figures
// belong to this machine and this hour.
//
//	make bench                          # about 8 minutes
//	make bench BENCH="-quick"           # about 2 minutes
//	make bench BENCH="-only connect"    # one measurement, or several with commas
//	make bench BENCH="-soak 10m"        # steady load on our proxy alone: does its memory stay flat?
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/sallyport/sallyport/bench/peer"
	"github.com/sallyport/sallyport/bench/rig"
)

// limit bounds a whole run without soak, whatever goes wrong.
const limit = 20 * time.Minute

// maxSoak is the longest soak.
const maxSoak = time.Hour

// options are the command line.
type options struct {
	quick         bool
	rounds        int
	only          []string
	ways          []rig.Kind
	soak          time.Duration
	build, out    string
	variantEnv    []string
	variantRootfs string
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "peer" {
		os.Exit(peer.Exit(os.Args[2:]))
	}
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = run(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/proxy:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench/proxy", flag.ContinueOnError)
	flags.BoolVar(&o.quick, "quick", false, "three short rounds: about two minutes")
	flags.IntVar(&o.rounds, "rounds", 0, "rounds of each measurement, 1 to 50 (default 5; 3 with -quick)")
	only := flags.String("only", "", "comma list of "+strings.Join(measurementNames(), ", ")+" (default all)")
	ways := flags.String("ways", "", "comma list of "+strings.Join(wayNames(), ", ")+" (default all but the variant)")
	flags.DurationVar(&o.soak, "soak", 0, "instead: steady load on our proxy for so long, 1m to 1h")
	flags.StringVar(&o.build, "build", buildDir(), "directory with bin/labd and image/rootfs")
	flags.StringVar(&o.out, "out", "", "file for the figures as JSON (default <build>/bench/proxy.json, or soak.json)")
	env := flags.String("variant-env", "", "comma list of NAME=value: measures our image with these settings, too")
	flags.StringVar(&o.variantRootfs, "variant-rootfs", "", "root filesystem of another build of our image, measured, too")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("arguments: need none, got %q", flags.Args())
	}
	o.only, o.variantEnv = list(*only), list(*env)
	for _, way := range list(*ways) {
		o.ways = append(o.ways, rig.Kind(way))
	}
	return o.withDefaults(), o.validate()
}

func buildDir() string {
	if dir := os.Getenv("SALLYPORT_BUILD_DIR"); dir != "" {
		return dir
	}
	return ".build"
}

func list(text string) []string {
	return slices.DeleteFunc(strings.Split(text, ","), func(s string) bool { return s == "" })
}

func wayNames() []string {
	names := []string{string(rig.Variant)}
	for _, kind := range rig.Kinds {
		names = append(names, string(kind))
	}
	return names
}

func (o options) withDefaults() options {
	if o.rounds == 0 {
		o.rounds = 5
		if o.quick {
			o.rounds = 3
		}
	}
	if len(o.only) == 0 {
		o.only = measurementNames()
	}
	if len(o.ways) == 0 {
		o.ways = slices.Clone(rig.Kinds)
	}
	hasVariant := len(o.variantEnv) > 0 || o.variantRootfs != ""
	if hasVariant && !slices.Contains(o.ways, rig.Variant) {
		o.ways = slices.Insert(o.ways, min(2, len(o.ways)), rig.Variant)
	}
	if o.out == "" {
		o.out = filepath.Join(o.build, "bench", "proxy.json")
		if o.soak > 0 {
			o.out = filepath.Join(o.build, "bench", "soak.json")
		}
	}
	return o
}

func (o options) validate() error {
	var errs []error
	if o.rounds < 0 || o.rounds > 50 {
		errs = append(errs, fmt.Errorf("-rounds: must be 1 to 50, got %d", o.rounds))
	}
	for _, name := range o.only {
		if !slices.Contains(measurementNames(), name) {
			errs = append(errs, fmt.Errorf("-only: must be of %s, got %q", strings.Join(measurementNames(), ", "), name))
		}
	}
	for _, way := range o.ways {
		if !slices.Contains(wayNames(), string(way)) {
			errs = append(errs, fmt.Errorf("-ways: must be of %s, got %q", strings.Join(wayNames(), ", "), way))
		}
	}
	if o.soak != 0 && (o.soak < time.Minute || o.soak > maxSoak) {
		errs = append(errs, fmt.Errorf("-soak: must be 1m to %s, got %s", maxSoak, o.soak))
	}
	if os.Geteuid() != 0 {
		errs = append(errs, fmt.Errorf("user: must be root to make network namespaces, got user %d; run it with sudo", os.Geteuid()))
	}
	return errors.Join(errs...)
}

// run builds the rig, measures, prints and writes the figures. Interrupted, it still removes the rig.
func run(o options) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, limit+o.soak, fmt.Errorf("must end within %s", limit+o.soak))
	defer cancel()
	parts, err := o.parts()
	if err != nil {
		return err
	}
	r, err := rig.New(ctx, parts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	s := &session{options: o, rig: r, began: time.Now()}
	if o.soak > 0 {
		err = s.soak(ctx)
	} else {
		err = s.measure(ctx)
	}
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	return err
}

// parts finds what the build has made.
func (o options) parts() (rig.Options, error) {
	build, err := filepath.Abs(o.build)
	if err != nil {
		return rig.Options{}, err
	}
	self, err := os.Executable()
	if err != nil {
		return rig.Options{}, err
	}
	p := rig.Options{
		Labd: filepath.Join(build, "bin/labd"), Self: self, Rootfs: filepath.Join(build, "image/rootfs"), Cache: filepath.Join(build, "cache/bench"),
	}
	for _, path := range []string{p.Labd, p.Rootfs} {
		if _, err := os.Stat(path); err != nil {
			return p, fmt.Errorf("-build: %w; run `make image-local`", err)
		}
	}
	return p, nil
}
