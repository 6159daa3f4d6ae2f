package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/components/capacity"
	"github.com/sallyport/sallyport/components/destinations"
	"github.com/sallyport/sallyport/components/stack"
	"github.com/sallyport/sallyport/lab/demo"
	"github.com/sallyport/sallyport/lab/podexec"
	"github.com/sallyport/sallyport/lab/registry"
	"github.com/sallyport/sallyport/lab/status"
)

func newLabSummaryCommand() *cobra.Command {
	var name string
	var asJSON bool
	command := &cobra.Command{
		Use:   "summary",
		Short: "Print what a stack that is up offers: what to try and what to expect",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			report, err := summarize(command, name)
			if err != nil {
				return err
			}
			if asJSON {
				encoder := json.NewEncoder(command.OutOrStdout())
				encoder.SetIndent("", "  ")
				return encoder.Encode(report)
			}
			return report.print(command.OutOrStdout())
		},
	}
	command.Flags().StringVar(&name, "stack", "local", "stack of this project")
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return command
}

// summary is what a newcomer should know of a stack.
type summary struct {
	Stack     string            `json:"stack"`
	Lab       string            `json:"lab,omitempty"`      // empty unless the stack has cloud local
	Problems  []string          `json:"problems,omitempty"` // of the lab's hosts
	Pods      []string          `json:"pods,omitempty"`
	Tries     []try             `json:"tries,omitempty"`
	Allowlist []allowlist.Entry `json:"allowlist"` // what partners list
	Plan      string            `json:"plan"`
}

// try is something to do in the lab.
type try struct {
	Destination string             `json:"destination,omitempty"` // empty: nobody listed the host
	Host        string             `json:"host"`
	Route       destinations.Route `json:"route,omitempty"`
	Demand      string             `json:"demand,omitempty"`
	Command     string             `json:"command"`
	Expect      string             `json:"expect"`
}

func summarize(command *cobra.Command, name string) (summary, error) {
	file, err := stackFile(name)
	if err != nil {
		return summary{}, err
	}
	settings, err := stack.ReadFile(file)
	if err != nil {
		return summary{}, err
	}
	plan, err := settings.Plan()
	if err != nil {
		return summary{}, err
	}
	report := summary{Stack: name, Plan: planLine(plan)}
	var lab registry.Lab
	if settings.Cloud == stack.CloudLocal {
		if _, lab, err = localStack(name); err != nil {
			return summary{}, err
		}
		if !lab.Exists() {
			return summary{}, fmt.Errorf("stack %s is not up; run `%s`", name, upCommand(name))
		}
	}
	document, err := source{stack: name}.read(command)
	if err != nil {
		return summary{}, fmt.Errorf("%w\nis stack %s up? run `%s`", err, name, upCommand(name))
	}
	report.Allowlist = document.Listed().Entries
	if settings.Cloud != stack.CloudLocal {
		return report, nil
	}
	state, err := status.Look(command.Context(), lab)
	if err != nil {
		return summary{}, err
	}
	for _, host := range state.Hosts {
		for _, problem := range host.Problems {
			report.Problems = append(report.Problems, host.Name+": "+problem)
		}
	}
	report.Lab = lab.ID
	if report.Pods, err = podexec.Pods(lab); err != nil {
		return summary{}, err
	}
	if len(report.Pods) > 0 {
		report.Tries = tries(settings, document, report.Pods[0])
	}
	return report, nil
}

// planLine is the plan in one line.
func planLine(plan capacity.Plan) string {
	var parts []string
	switch {
	case plan.Nat.IPs == 0:
		parts = append(parts, "no NAT")
	case plan.Nat.Flavor == capacity.CloudNat:
		parts = append(parts, fmt.Sprintf("NAT with %d ports per VM on %d IPs (for %s)", plan.Nat.PortsPerVM, plan.Nat.IPs, plan.Nat.Deciding))
	default:
		parts = append(parts, fmt.Sprintf("NAT gateways with %d IPs per zone, %d in all (for %s)", plan.Nat.IPsPerZone, plan.Nat.IPs, plan.Nat.Deciding))
	}
	if plan.Proxies.Total > 0 {
		parts = append(parts, fmt.Sprintf("%d proxies on %d IPs (for %s)", plan.Proxies.Total, plan.Proxies.IPs, plan.Proxies.Deciding))
	}
	if reserve := plan.Nat.ReserveIPs + plan.Proxies.ReserveIPs; reserve > 0 {
		parts = append(parts, fmt.Sprintf("%d IPs in reserve", reserve))
	}
	return strings.Join(parts, ", ")
}

// tries is one thing to try per destination and unlisted host.
func tries(settings *stack.Stack, document allowlist.Document, pod string) []try {
	var all []try
	for _, d := range settings.Destinations {
		host := demo.SampleHost(d)
		expect := "the answer names a " + kinds[d.Route] + " IP as source"
		switch {
		case d.Partner != "" && slices.Contains(settings.Lab.StalePartners, d.Partner):
			expect = "the answer says allowed: false (403), as this partner has not updated its allow list"
		case d.Route != destinations.RoutePool:
			expect = "the answer names the source " + strings.Join(sources(document, d), " or ")
		}
		all = append(all, try{
			Destination: d.Name, Host: host, Route: d.Route,
			Demand:  fmt.Sprintf("%g/s x %g s", d.Demand.ConnectionsPerSecond, d.Demand.SecondsPerConnection),
			Command: tryCommand(pod, host, d.Port), Expect: expect,
		})
	}
	for _, host := range settings.Lab.UnlistedHosts {
		all = append(all, try{
			Host: host, Command: tryCommand(pod, host, 443), Expect: "refused at once: no destination lists it, so no pod may go there",
		})
	}
	return all
}

// kinds are the words for what the routes end in.
var kinds = map[destinations.Route]string{destinations.RouteNat: "NAT", destinations.RouteProxy: "proxy", destinations.RoutePool: "proxy"}

// sources are the IPs that a destination may see, neighbours joined.
func sources(document allowlist.Document, d destinations.Destination) []string {
	kind := allowlist.KindProxy
	if d.Route == destinations.RouteNat {
		kind = allowlist.KindNat
	}
	return strings.Fields(demo.Ranges(ips(document.Entries, kind, allowlist.StateActive)))
}

// ips returns the IPs of one kind and state, ascending.
func ips(entries []allowlist.Entry, kind allowlist.Kind, state allowlist.State) []string {
	var found []string
	for _, e := range entries {
		if e.Kind == kind && e.State == state {
			found = append(found, e.IP.String())
		}
	}
	return found
}

// tryCommand is what to type for a request to a host.
func tryCommand(pod, host string, port int) string {
	if port != 443 {
		host += ":" + strconv.Itoa(port)
	}
	return fmt.Sprintf("%s lab exec %s -- curl -sS https://%s/", self(), pod, host)
}

// self is how to call this program from the working directory.
func self() string {
	path, err := os.Executable()
	if err != nil {
		return "sallyport"
	}
	directory, err := os.Getwd()
	if err != nil {
		return path
	}
	relative, err := filepath.Rel(directory, path)
	if err != nil || strings.HasPrefix(relative, "..") {
		return path
	}
	return relative
}

// print writes about 25 lines.
func (s summary) print(out io.Writer) error {
	var text strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&text, format+"\n", args...) }
	line("")
	if s.Lab != "" {
		line("Stack %s is up (lab %s). Pods: %s", s.Stack, s.Lab, strings.Join(s.Pods, " "))
		for _, problem := range s.Problems {
			line("  PROBLEM %s", problem)
		}
		line("Try, from any pod:")
		for _, t := range s.Tries {
			what := "unlisted host"
			if t.Destination != "" {
				what = fmt.Sprintf("%s: by %s, %s", t.Destination, t.Route, t.Demand)
			}
			line("  # %s; %s", what, t.Expect)
			line("  %s", t.Command)
		}
	} else {
		line("Stack %s is up.", s.Stack)
	}
	line("Allow list, for partners (sallyport allowlist):")
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, kind := range []allowlist.Kind{allowlist.KindNat, allowlist.KindProxy} {
		for _, state := range []allowlist.State{allowlist.StateActive, allowlist.StateReserved, allowlist.StateAnnounced, allowlist.StateDraining} {
			if found := ips(s.Allowlist, kind, state); len(found) > 0 {
				fmt.Fprintf(table, "  %s\t%s\t%s\n", kind, state, demo.Ranges(found)) //nolint:errcheck // into a string
			}
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	line("Plan: %s; the arithmetic: sallyport plan --stack %s", s.Plan, s.Stack)
	if s.Lab != "" {
		line("Next: `make demo` sends load, `%s lab status` shows every part, `make down` removes everything.", self())
	}
	_, err := io.WriteString(out, text.String())
	return err
}
