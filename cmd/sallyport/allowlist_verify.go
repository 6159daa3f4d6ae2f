package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/components/stack"
	"github.com/sallyport/sallyport/lab/labid"
	"github.com/sallyport/sallyport/lab/status"
	"github.com/sallyport/sallyport/verify"
	"github.com/sallyport/sallyport/verify/awsview"
	"github.com/sallyport/sallyport/verify/gcpview"
)

const verifyLong = `Compare what partners were told with what there is:

  the document  the output allowlist of the stack
  the state     the IPs that the stack says it sends from (output endpoints)
  the cloud     the addresses with the stack's tag, and which of them can carry traffic
  the partners  in stack local: the source IPs that they really saw, and whether they refused them
  --published   the document that partners have: fetched from where they fetch it

Credentials for the cloud are those of the environment; it is only read (ec2:DescribeAddresses, ec2:DescribeNatGateways;
compute.addresses.list).

Exit codes:
  0  all agree
  1  they do not: each line says where
  2  wrong input, or something could not be asked`

func newVerifyCommand() *cobra.Command {
	var stackName, published string
	var asJSON bool
	command := &cobra.Command{
		Use:   "verify",
		Short: "Compare the document with the stack's state, the cloud, and in the lab with what partners saw",
		Long:  verifyLong,
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			v, err := readVerification(command, stackName)
			if err != nil {
				return err
			}
			findings, checked, err := v.findings(command)
			if err != nil {
				return err
			}
			if published != "" {
				theirs, err := source{document: published}.read(command)
				if err != nil {
					return err
				}
				findings, checked = append(findings, verify.Published(v.document, theirs)...), append(checked, "published")
			}
			return printFindings(command.OutOrStdout(), v.document, findings, checked, asJSON)
		},
	}
	command.Flags().StringVar(&stackName, "stack", "", "verify stack `NAME`")
	command.Flags().StringVar(&published, "published", "", "compare with the document in `FILE` too, - for standard input")
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	_ = command.MarkFlagRequired("stack") // the flag exists
	return command
}

// verification is what is compared.
type verification struct {
	name     string // of the stack
	settings *stack.Stack
	document allowlist.Document
	used     []netip.Addr // what the state says
}

func readVerification(command *cobra.Command, name string) (verification, error) {
	v := verification{name: name}
	path, err := stackFile(name)
	if err != nil {
		return v, err
	}
	if v.settings, err = stack.ReadFile(path); err != nil {
		return v, err
	}
	if v.document, err = (source{stack: name}).read(command); err != nil {
		return v, err
	}
	endpoints, err := stackOutput(command, name, "endpoints")
	if err != nil {
		return v, err
	}
	var tree any
	if err := json.Unmarshal(endpoints, &tree); err != nil {
		return v, fmt.Errorf("the output endpoints: needs JSON: %w", err)
	}
	v.used, err = publicIPs(tree, false)
	return v, err
}

// publicIPs collects the values of every key publicIPs, however deep.
func publicIPs(tree any, named bool) ([]netip.Addr, error) {
	var found []netip.Addr
	add := func(inner any, named bool) error {
		ips, err := publicIPs(inner, named)
		found = append(found, ips...)
		return err
	}
	switch value := tree.(type) {
	case map[string]any:
		for _, key := range sortedKeys(value) {
			if err := add(value[key], key == "publicIPs"); err != nil {
				return nil, err
			}
		}
	case []any:
		for _, item := range value {
			if err := add(item, named); err != nil {
				return nil, err
			}
		}
	case string:
		if named {
			ip, err := netip.ParseAddr(value)
			if err != nil {
				return nil, fmt.Errorf("the output endpoints: publicIPs: %w", err)
			}
			found = append(found, ip)
		}
	}
	slices.SortFunc(found, netip.Addr.Compare)
	return slices.Compact(found), nil
}

// findings asks everybody, and says who was asked.
func (v verification) findings(command *cobra.Command) (findings []verify.Finding, checked []string, err error) {
	findings, checked = verify.State(v.document, v.used), []string{"state"}
	if v.settings.Cloud == stack.CloudLocal {
		seen, err := v.seenInLab(command.Context())
		return append(findings, verify.Partners(v.document, seen)...), append(checked, "partners"), err
	}
	view, err := v.view(command.Context())
	if err != nil {
		return nil, nil, err
	}
	addresses, err := view.Addresses(command.Context(), v.name)
	return append(findings, verify.Cloud(v.document, addresses)...), append(checked, "cloud"), err
}

func (v verification) view(ctx context.Context) (verify.View, error) {
	if v.settings.Cloud == stack.CloudGCP {
		g := v.settings.GCP
		place := gcpview.Place{Region: g.Region, Project: g.Project, Brought: g.Addresses.Existing}
		if g.Network.Existing != nil {
			place.Network = g.Network.Existing.Project
		}
		return gcpview.New(ctx, place)
	}
	return awsview.New(ctx, v.settings.AWS.Region, v.settings.AWS.Addresses.Existing)
}

// seenInLab is what the lab's partners saw since they started. Only those whose allow list is at stake are asked; one that plays a
// partner who never updated the list refuses everything and says nothing about ours.
func (v verification) seenInLab(ctx context.Context) ([]verify.Seen, error) {
	lab, err := (&labChoice{stack: v.name}).up()
	if err != nil {
		return nil, err
	}
	report, err := status.Look(ctx, lab)
	if err != nil {
		return nil, err
	}
	partners := map[string]string{} // by host
	for _, d := range v.settings.Destinations {
		if d.Partner != "" && !slices.Contains(v.settings.Lab.StalePartners, d.Partner) {
			partners[labid.PartnerHost+"-"+d.Name] = d.Partner
		}
	}
	var seen []verify.Seen
	for _, host := range report.Hosts {
		partner, concerned := partners[host.Name]
		if !concerned {
			continue
		}
		for _, text := range sortedKeys(host.Sources) {
			ip, err := netip.ParseAddr(text)
			if err != nil {
				return nil, fmt.Errorf("%s: source: %w", host.Name, err)
			}
			s := host.Sources[text]
			seen = append(seen, verify.Seen{Partner: partner, IP: ip, Requests: s.Requests, Refused: s.Refused})
		}
	}
	return seen, nil
}

func printFindings(out io.Writer, document allowlist.Document, findings []verify.Finding, checked []string, asJSON bool) error {
	wrong := verify.Disagreements(findings)
	var err error
	if asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(struct {
			Stack    string           `json:"stack"`
			Serial   uint64           `json:"serial"`
			Checked  []string         `json:"checked"`
			Agree    bool             `json:"agree"`
			Findings []verify.Finding `json:"findings"`
		}{document.Stack, document.Serial, checked, len(wrong) == 0, findings})
	} else {
		var text strings.Builder
		for _, f := range findings {
			fmt.Fprintln(&text, f)
		}
		fmt.Fprintf(&text, "document %s, serial %d, %d IPs, compared with: %s: %d disagreements\n", document.Stack, document.Serial,
			len(document.Entries), strings.Join(checked, ", "), len(wrong))
		_, err = io.WriteString(out, text.String())
	}
	if err == nil && len(wrong) > 0 {
		err = exitError{code: 1}
	}
	return err
}
