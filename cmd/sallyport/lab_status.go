package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/lab/namespace"
	"github.com/sallyport/sallyport/lab/registry"
	"github.com/sallyport/sallyport/lab/remains"
	"github.com/sallyport/sallyport/lab/status"
)

func newLabStatusCommand() *cobra.Command {
	var choice labChoice
	var asJSON bool
	command := &cobra.Command{
		Use:   "status",
		Short: "Print every host with its addresses, processes and problems, and the source IPs that the partners have seen",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			lab, err := choice.up()
			if err != nil {
				return err
			}
			report, err := status.Look(command.Context(), lab)
			if err != nil {
				return err
			}
			if asJSON {
				encoder := json.NewEncoder(command.OutOrStdout())
				encoder.SetIndent("", "  ")
				return encoder.Encode(report)
			}
			return printStatus(command.OutOrStdout(), report)
		},
	}
	choice.flags(command)
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return command
}

func printStatus(out io.Writer, report status.Lab) error {
	health := "healthy"
	if !report.Healthy {
		health = "NOT healthy"
	}
	fmt.Fprintf(out, "lab %s: %s, state in %s\n", report.ID, health, report.StateDir)
	if report.Owner != "" {
		fmt.Fprintf(out, "owner %s, ended: %v\n", report.Owner, report.Orphan)
	}
	if report.Routes != nil {
		fmt.Fprintf(out, "routes serial %d: %s\n", report.Routes.Serial, strings.Join(report.Routes.Hosts, ", "))
	}
	fmt.Fprintln(out)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "HOST\tADDRESSES\tPROCESSES\tSTATE")
	for _, host := range report.Hosts {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", host.Name, orDash(hostAddresses(host)), orDash(hostProcesses(host)), hostState(host))
	}
	return table.Flush()
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func hostAddresses(host status.Host) string {
	var all []string
	for _, link := range sortedKeys(host.Addresses) {
		all = append(all, host.Addresses[link]...)
	}
	return strings.Join(all, " ")
}

func hostProcesses(host status.Host) string {
	var all []string
	for _, process := range host.Processes {
		text := fmt.Sprintf("%s(%d)", process.Name, process.PID)
		if !process.Alive {
			text = process.Name + "(dead)"
		}
		all = append(all, text)
	}
	return strings.Join(all, " ")
}

// hostState says what is special about a host: problems first.
func hostState(host status.Host) string {
	var all []string
	if len(host.Problems) > 0 {
		all = append(all, "PROBLEM: "+strings.Join(host.Problems, "; "))
	}
	if host.Ready != nil && *host.Ready {
		all = append(all, fmt.Sprintf("ready, routes serial %d", host.Serial))
	}
	for _, ip := range sortedKeys(host.Sources) {
		source := host.Sources[ip]
		text := fmt.Sprintf("%s: %d requests", ip, source.Requests)
		if source.Refused > 0 {
			text += fmt.Sprintf(" (%d refused)", source.Refused)
		}
		all = append(all, text)
	}
	if len(all) == 0 {
		return "ok"
	}
	return strings.Join(all, ", ")
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func newLabListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "Print the labs on this machine",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			labs, err := registry.All()
			if err != nil {
				return err
			}
			table := tabwriter.NewWriter(command.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "LAB\tNAMESPACES\tOWNER\tSTATE DIRECTORY")
			for _, lab := range labs {
				spaces, err := namespace.List(lab.ID)
				if err != nil {
					return err
				}
				owner, err := remains.OwnerOf(lab)
				if err != nil {
					return err
				}
				text := orDash(string(owner))
				if owner.Gone() {
					text += " (ended)"
				}
				fmt.Fprintf(table, "%s\t%d\t%s\t%s\n", lab.ID, len(spaces), text, lab.Dir)
			}
			return table.Flush()
		},
	}
}

func newLabPruneCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "prune",
		Short: "Remove the labs of tests whose process has ended; others are left alone",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			removed, err := remains.Prune(command.Context())
			for _, id := range removed {
				fmt.Fprintf(command.OutOrStdout(), "removed lab %s\n", id)
			}
			return err
		},
	}
}
