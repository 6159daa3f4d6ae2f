// Command preview measures how long a preview of a large stack takes and how much memory, on AWS and on GCP, with the real Pulumi
// command line, the real program and the stand-in providers, at 10, 30 and 60 slots: 1,000 nodes and 500 destinations in one, three
// and six zones.
//
// It fails if 60 slots take more than 20 s or 1.5 GiB (all processes together), or if time or memory grow faster than the slots.
// It needs `make tools` and compiles the program first, which is not measured.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/sallyport/sallyport/test/standin/rig"
	"github.com/sallyport/sallyport/test/standin/world"
)

// The goals of the issue, for the largest stack.
const (
	maxTime   = 20 * time.Second
	maxMemory = 1.5 * (1 << 30)
)

// figures are what one size came to: the best time and the largest memory of its runs.
type figures struct {
	cloud                          string
	slots, destinations, resources int
	took                           time.Duration
	cpu                            time.Duration // all processes; tells the work apart from a machine that is busy otherwise
	memory                         int64         // bytes, all processes of the run together
}

func main() {
	root := flag.String("root", ".", "the checkout")
	runs := flag.Int("runs", 3, "previews of each size; the fastest counts")
	nodes := flag.Int("nodes", 1000, "nodes of the cluster")
	destinations := flag.Int("destinations", 500, "destinations, every other one through the proxies")
	cloud := flag.String("cloud", "", "aws or gcp; both if empty")
	flag.Parse()
	if err := run(*root, *cloud, *runs, size{slotsPerZone: 10, nodes: *nodes, destinations: *destinations}); err != nil {
		fmt.Fprintln(os.Stderr, "preview:", err)
		os.Exit(1)
	}
}

func run(root, cloud string, runs int, s size) error {
	if runs < 1 {
		return fmt.Errorf("runs: must be at least 1, got %d", runs)
	}
	if cloud != "" && clouds[cloud] == nil {
		return fmt.Errorf("cloud: must be aws or gcp, got %q", cloud)
	}
	dir, err := os.MkdirTemp(rig.Scratch(), "sallyport-bench-preview-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	r, err := rig.New(root, dir)
	if err != nil {
		return err
	}
	program, err := r.Compile("./infra")
	if err != nil {
		return err
	}
	var missed []error
	for _, name := range slices.Sorted(maps.Keys(clouds)) {
		if cloud != "" && name != cloud {
			continue
		}
		s.cloud = name
		missed = append(missed, compare(os.Stdout, r, program, s, runs))
	}
	return errors.Join(missed...)
}

// compare measures one cloud in one, three and six zones.
func compare(out io.Writer, r *rig.Rig, program string, s size, runs int) error {
	var all []figures
	for _, zones := range []int{1, 3, 6} {
		s.zones = zones
		measured, err := measure(r, program, s, runs)
		if err != nil {
			return err
		}
		all = append(all, measured)
	}
	if err := write(out, all); err != nil {
		return err
	}
	return judge(out, all)
}

// measure previews one size, once to warm up and then as often as asked.
func measure(r *rig.Rig, program string, s size, runs int) (figures, error) {
	f := figures{cloud: s.cloud, slots: s.zones * s.slotsPerZone, destinations: s.destinations}
	config, err := s.file()
	if err != nil {
		return f, err
	}
	stack, err := r.NewStack(fmt.Sprintf("bench-%s-%d", f.cloud, f.slots), program, config)
	if err != nil {
		return f, err
	}
	stack.Env = append(stack.Env, "SALLYPORT_PREFLIGHT=off")
	if err := stack.World.Do(func(w *world.State) error { w.Settings.Lenient = true; return nil }); err != nil {
		return f, err
	}
	for i := range runs + 1 {
		watch := watchMemory(os.Getpid(), 50*time.Millisecond)
		before := childrenCPU()
		result := stack.Pulumi("preview", "--suppress-outputs")
		cpu := childrenCPU() - before
		peak := watch.stop()
		if result.Err != nil {
			return f, fmt.Errorf("preview of %d slots: %w\n%s", f.slots, result.Err, result.Output)
		}
		if f.resources, err = planned(result.Output); err != nil {
			return f, err
		}
		f.memory = max(f.memory, peak)
		if i > 0 && (f.took == 0 || result.Took < f.took) {
			f.took = result.Took
		}
		if i > 0 && (f.cpu == 0 || cpu < f.cpu) {
			f.cpu = cpu
		}
	}
	return f, nil
}

// toCreate is what the command line says at the end of a preview.
var toCreate = regexp.MustCompile(`\+ (\d+) to create`)

// planned reads the number of resources off a preview's output.
func planned(output string) (int, error) {
	found := toCreate.FindStringSubmatch(output)
	if found == nil {
		return 0, fmt.Errorf("preview: says nothing of resources to create\n%s", output)
	}
	return strconv.Atoi(found[1])
}

// childrenCPU is the CPU time of all processes that were started here and have ended, and of those they started.
func childrenCPU() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func write(out io.Writer, all []figures) error {
	table := tabwriter.NewWriter(out, 0, 4, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(table, "cloud\tslots\tdestinations\tresources\ttime\tCPU\tmemory\t")
	for _, f := range all {
		_, _ = fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%.1f s\t%.1f s\t%d MiB\t\n",
			f.cloud, f.slots, f.destinations, f.resources, f.took.Seconds(), f.cpu.Seconds(), f.memory>>20)
	}
	return table.Flush()
}

// judge compares the figures with the goals. The error names what was missed.
func judge(out io.Writer, all []figures) error {
	first, last := all[0], all[len(all)-1]
	factor := float64(last.slots) / float64(first.slots)
	var missed []error
	for _, goal := range []struct {
		what       string
		got, limit float64
	}{
		{"seconds for the largest stack", last.took.Seconds(), maxTime.Seconds()},
		{"MiB for the largest stack", float64(last.memory >> 20), maxMemory / (1 << 20)},
		{fmt.Sprintf("times the CPU time for %.0f times the slots", factor), last.cpu.Seconds() / first.cpu.Seconds(), factor},
		{fmt.Sprintf("times the memory for %.0f times the slots", factor), float64(last.memory) / float64(first.memory), factor},
	} {
		_, _ = fmt.Fprintf(out, "%-44s %8.1f  at most %8.1f\n", goal.what, goal.got, goal.limit)
		if !(goal.got <= goal.limit) {
			missed = append(missed, fmt.Errorf("%s %s: must be at most %.1f, got %.1f", last.cloud, goal.what, goal.limit, goal.got))
		}
	}
	return errors.Join(missed...)
}
