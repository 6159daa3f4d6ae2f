package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/components/destinations"
	"github.com/sallyport/sallyport/components/poddns"
	"github.com/sallyport/sallyport/components/stack"
)

const dnsLong = `Say which search domains of pods cost how many DNS queries.

With --log, the queries in a log of CoreDNS are counted (Corefile: "log"; --log - reads standard input). Without, the report is
what the resolver's rules make of the stack's declared peak, if every connection looks its host up, with ndots 5, which
Kubernetes gives to pods, and with --ndots.

Examples:
  sallyport dns --stack aws-prod
  kubectl -n kube-system logs -l k8s-app=kube-dns --tail=-1 | sallyport dns --log - --search '*.svc.cluster.local'

`

// dnsFlags are the flags of the command.
type dnsFlags struct {
	planFlags
	log      string
	searches []string
	ndots    int
	json     bool
}

func newDNSCommand() *cobra.Command {
	f := &dnsFlags{}
	command := &cobra.Command{
		Use:   "dns",
		Short: "Say which search domains of pods cost how many DNS queries",
		Long:  dnsLong + exitCodes,
		Args:  cobra.NoArgs,
		RunE:  func(command *cobra.Command, _ []string) error { return f.run(command) },
	}
	set := command.Flags()
	set.SortFlags = false
	set.StringVar(&f.stack, "stack", "", "use stacks/Pulumi.`NAME`.yaml of the project around the working directory")
	set.StringVar(&f.file, "file", "", "use the stack file at `PATH`")
	set.StringVar(&f.log, "log", "", "count the queries in the log of CoreDNS at `PATH`, - for standard input")
	set.StringSliceVar(&f.searches, "search", []string{"*.svc.cluster.local", "svc.cluster.local", "cluster.local"},
		"search `DOMAINS` of pods; a leading *. stands for one label, as for the namespaces. Add those of the cloud")
	set.IntVar(&f.ndots, "ndots", 2, "the `NUMBER` of dots to compare with")
	set.BoolVar(&f.json, "json", false, "print JSON")
	return command
}

func (f *dnsFlags) run(command *cobra.Command) error {
	if f.ndots < 1 || f.ndots > 15 {
		return fmt.Errorf("--ndots: must be between 1 and 15, got %d", f.ndots)
	}
	if f.log != "" {
		costs, err := f.measured(command.InOrStdin())
		if err != nil {
			return err
		}
		return f.print(command.OutOrStdout(), map[string][]poddns.Cost{"measured": costs}, []string{"measured"}, "queries")
	}
	path, err := f.path()
	if err != nil {
		return err
	}
	if path == "" {
		return fmt.Errorf("--stack: is required; give it, --file or --log")
	}
	s, err := stack.ReadFile(path)
	if err != nil {
		return fmt.Errorf("%s cannot be used\n%w", path, err)
	}
	lookups := lookupsOf(s.Destinations)
	ours := fmt.Sprintf("ndots %d", f.ndots)
	reports := map[string][]poddns.Cost{"ndots 5": poddns.Expect(lookups, f.searches, 5), ours: poddns.Expect(lookups, f.searches, f.ndots)}
	order := []string{"ndots 5", ours}
	if f.ndots == 5 {
		order = order[:1]
	}
	return f.print(command.OutOrStdout(), reports, order, "queries/s")
}

// measured reads the log.
func (f *dnsFlags) measured(in io.Reader) ([]poddns.Cost, error) {
	if f.log == "-" {
		return poddns.ReadLog(in, f.searches)
	}
	file, err := os.Open(f.log)
	if err != nil {
		return nil, fmt.Errorf("--log: %w", err)
	}
	defer file.Close() //nolint:errcheck // it was only read
	return poddns.ReadLog(file, f.searches)
}

// lookupsOf spreads a destination's connections evenly over its hosts; a wildcard stands for a name one label longer.
func lookupsOf(list []destinations.Destination) []poddns.Lookup {
	var all []poddns.Lookup
	for _, d := range list {
		for _, host := range d.Hosts {
			all = append(all, poddns.Lookup{Name: host, PerSecond: d.Demand.ConnectionsPerSecond / float64(len(d.Hosts))})
		}
	}
	return all
}

func (f *dnsFlags) print(out io.Writer, reports map[string][]poddns.Cost, order []string, unit string) error {
	if f.json {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(reports)
	}
	for i, name := range order {
		if i > 0 {
			fmt.Fprintln(out)
		}
		if name != "measured" {
			fmt.Fprintf(out, "With %s:\n", name)
		}
		if _, err := io.WriteString(out, poddns.Text(reports[name], unit)); err != nil {
			return err
		}
	}
	return nil
}
