package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/components/capacity"
)

var designForm = regexp.MustCompile(`^([1-9][0-9]{0,6})x([1-9][0-9]{0,3})$`)

// allDesigns are the designs of the stack file and those of flags, in that order.
func (f *planFlags) allDesigns() ([]capacity.Design, error) {
	designs := f.ofStack
	for _, text := range f.designs {
		m := designForm.FindStringSubmatch(text)
		if m == nil {
			return nil, fmt.Errorf("--design: must be ports per VM x IPs, got %q; write for example 64x3", text)
		}
		ports, _ := strconv.Atoi(m[1])
		ips, _ := strconv.Atoi(m[2])
		designs = append(designs, capacity.Design{PortsPerVM: ports, IPs: ips})
	}
	if len(designs) == 0 {
		return nil, fmt.Errorf("--compare: needs a design to compare with; add --design PORTSxIPS, or gcp.nat.compare to the stack file")
	}
	return designs, nil
}

// printComparison prints designs beside the plan.
func (f *planFlags) printComparison(command *cobra.Command, title string, in capacity.Input) error {
	designs, err := f.allDesigns()
	if err != nil {
		return err
	}
	lines, err := capacity.Compare(in, designs)
	if err != nil {
		return fmt.Errorf("the designs cannot be compared\n%w", err)
	}
	out := command.OutOrStdout()
	if f.json {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		return encoder.Encode(lines)
	}
	_, err = fmt.Fprintf(out, "Designs for %s, the last one as declared\n\n%s\n"+
		"Ports and connections are to one destination. Cost is list price per month without the charge per GB, which the\n"+
		"proxies do not have. A node may use all ports of the proxies; of a NAT it has its own block and no more.\n", title, capacity.CompareText(lines))
	return err
}
