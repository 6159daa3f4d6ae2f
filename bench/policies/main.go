// Command policies measures what the prebuilt policy pack adds to a preview, with the real Pulumi command line, the real program and the
// stand-in providers: previews with and without it take turns, and the median of the differences counts.
//
// It fails if that is more than a second. It needs `make tools` and compiles program and pack first, which is not measured.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/sallyport/sallyport/test/standin/rig"
	"github.com/sallyport/sallyport/test/standin/world"
)

// limit is the goal of the pack.
const limit = time.Second

func main() {
	root := flag.String("root", ".", "the checkout")
	name := flag.String("stack", "aws-prod", "the stack of the checkout to preview")
	rounds := flag.Int("rounds", 7, "pairs of previews, at least 5")
	flag.Parse()
	pairs, err := run(*root, *name, *rounds)
	if err == nil {
		err = judge(os.Stdout, *name, pairs)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "policies:", err)
		os.Exit(1)
	}
}

// pair is a preview without the pack and one with it, one right after the other. CPU is that of all processes together: it tells the
// work apart from a machine that is busy otherwise.
type pair struct {
	without, with       time.Duration
	cpuWithout, cpuWith time.Duration
}

func run(root, name string, rounds int) ([]pair, error) {
	if rounds < 5 {
		return nil, fmt.Errorf("rounds: must be at least 5, got %d", rounds)
	}
	config, err := os.ReadFile(filepath.Join(root, "stacks", "Pulumi."+name+".yaml"))
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "sallyport-bench-policies-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	r, err := rig.New(root, dir)
	if err != nil {
		return nil, err
	}
	program, err := r.Compile("./infra")
	if err != nil {
		return nil, err
	}
	pack, err := r.Compile("./policies")
	if err != nil {
		return nil, err
	}
	stack, err := r.NewStack(name, program, string(config))
	if err != nil {
		return nil, err
	}
	stack.Env = []string{"SALLYPORT_PREFLIGHT=off"}
	if err := stack.World.Do(func(w *world.State) error { w.Settings.Lenient = true; return nil }); err != nil {
		return nil, err
	}
	preview := func(args ...string) (took, cpu time.Duration, err error) {
		before := childrenCPU()
		result := stack.Pulumi(append([]string{"preview", "--suppress-outputs"}, args...)...)
		if result.Err != nil {
			return 0, 0, fmt.Errorf("preview %v: %w\n%s", args, result.Err, result.Output)
		}
		return result.Took, childrenCPU() - before, nil
	}
	var pairs []pair
	for i := range rounds + 1 {
		var p pair
		if p.without, p.cpuWithout, err = preview(); err != nil {
			return nil, err
		}
		if p.with, p.cpuWith, err = preview("--policy-pack", pack); err != nil {
			return nil, err
		}
		if i > 0 { // the first warms up
			pairs = append(pairs, p)
		}
	}
	return pairs, nil
}

// childrenCPU is the CPU time of all processes that were started here and have ended, and of those they started.
func childrenCPU() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// median is the middle one of some times.
func median(times []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	return sorted[len(sorted)/2]
}

// judge prints the figures. The error says that the goal was missed.
func judge(out io.Writer, name string, pairs []pair) error {
	var without, with, more, cpu []time.Duration
	for _, p := range pairs {
		without, with, more = append(without, p.without), append(with, p.with), append(more, p.with-p.without)
		cpu = append(cpu, p.cpuWith-p.cpuWithout)
	}
	cost := median(more)
	if _, err := fmt.Fprintf(out, "preview of %s, medians of %d: %.2f s without the policies, %.2f s with them; they add %.2f s (%.2f to %.2f), at most %.2f, and %.2f s of CPU time\n",
		name, len(pairs), median(without).Seconds(), median(with).Seconds(), cost.Seconds(), slices.Min(more).Seconds(), slices.Max(more).Seconds(),
		limit.Seconds(), median(cpu).Seconds()); err != nil {
		return err
	}
	if cost > limit {
		return fmt.Errorf("the pack: must add at most %.2f s, got %.2f", limit.Seconds(), cost.Seconds())
	}
	return nil
}
