package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/internal/problem"
)

const allowlistLong = `Print the public IPs that partners have to list.

The document comes from the outputs of a stack (--stack, or the selected one), or from a file (--document, - for standard
input). The formats:
  json    the whole document with states, retired IPs included
  text    one IP per line
  cidr    one IP per line as a network: 198.51.100.7/32
  csv     with a header line
  blocks  the fewest networks that hold exactly these IPs
  nginx, nft, aws-prefix-list, terraform
          allow directives, sets for "nft -f", entries for "aws ec2 create-managed-prefix-list", a tfvars file

Examples:
  sallyport allowlist --format text
  sallyport allowlist --partner payments --format csv
  sallyport allowlist diff old.json new.json
  sallyport allowlist confirm nat-a-2 --partner payments

`

// source says where a document comes from.
type source struct{ document, stack string }

func newAllowlistCommand() *cobra.Command {
	var from source
	var format, partner string
	command := &cobra.Command{
		Use:   "allowlist",
		Short: "Print the public IPs that partners have to list, or what changed between two documents",
		Long:  allowlistLong + exitCodes,
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			document, err := from.read(command)
			if err != nil {
				return err
			}
			if partner != "" {
				if document, err = document.ForPartner(partner); err != nil {
					return err
				}
			}
			text, err := document.Render(allowlist.Format(format))
			if err != nil {
				return err
			}
			_, err = io.WriteString(command.OutOrStdout(), text)
			return err
		},
	}
	command.Flags().StringVar(&from.document, "document", "", "read the document from `FILE`, - for standard input")
	command.Flags().StringVar(&from.stack, "stack", "", "read the output of stack `NAME` (default the selected stack)")
	command.Flags().StringVar(&format, "format", string(allowlist.FormatText), "json, text, cidr, csv, blocks, nginx, nft, aws-prefix-list or terraform")
	command.Flags().StringVar(&partner, "partner", "", "only what partner `NAME` has to list")
	command.AddCommand(newAllowlistDiffCommand(), newChangelogCommand(), newSchemaCommand(), newVerifyCommand())
	command.AddCommand(newLifeCommands()...)
	command.AddCommand(newSignCommands()...)
	return command
}

func newAllowlistDiffCommand() *cobra.Command {
	var asJSON bool
	command := &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "Compare two documents; exit code 0 if they agree, 1 if they differ, 2 on errors",
		Long:  "Compare two documents, each a file or - for standard input.\n\n" + exitCodes,
		Args:  cobra.ExactArgs(2),
		RunE: func(command *cobra.Command, args []string) error {
			if args[0] == "-" && args[1] == "-" {
				return fmt.Errorf("diff: only one of the documents can come from standard input")
			}
			before, err := source{document: args[0]}.read(command)
			if err != nil {
				return err
			}
			after, err := source{document: args[1]}.read(command)
			if err != nil {
				return err
			}
			return printDifference(command, allowlist.Diff(before, after), asJSON)
		},
	}
	command.Flags().BoolVar(&asJSON, "json", false, "print the difference as JSON")
	return command
}

func printDifference(command *cobra.Command, difference allowlist.Difference, asJSON bool) error {
	text := difference.String()
	if asJSON {
		data, err := json.MarshalIndent(difference, "", "  ")
		if err != nil {
			return err
		}
		text = string(data) + "\n"
	}
	if _, err := io.WriteString(command.OutOrStdout(), text); err != nil {
		return err
	}
	if difference.Empty() {
		return nil
	}
	return exitError{code: 1}
}

func (s source) read(command *cobra.Command) (allowlist.Document, error) {
	if s.document != "" && s.stack != "" {
		return allowlist.Document{}, fmt.Errorf("--document: cannot be combined with --stack; leave one of the two out")
	}
	name, data, err := s.bytes(command)
	if err != nil {
		return allowlist.Document{}, err
	}
	document, err := allowlist.Parse(data)
	if err != nil {
		return allowlist.Document{}, fmt.Errorf("%s is no allow list that can be handed out\n%w", name, err)
	}
	return document, nil
}

// bytes returns a document unread, and what to call it in messages.
func (s source) bytes(command *cobra.Command) (name string, data []byte, err error) {
	switch s.document {
	case "":
		data, err = stackOutput(command, s.stack, "allowlist")
		return "the output allowlist", data, err
	case "-":
		data, err = io.ReadAll(io.LimitReader(command.InOrStdin(), problem.MaxBytes+1))
		return "standard input", data, err
	}
	file, err := os.Open(s.document)
	if err != nil {
		return "", nil, err
	}
	defer file.Close() //nolint:errcheck // only read from
	data, err = io.ReadAll(io.LimitReader(file, problem.MaxBytes+1))
	return s.document, data, err
}

// stackOutput asks Pulumi for one output as JSON, through the project's own wrapper.
func stackOutput(command *cobra.Command, stack, output string) ([]byte, error) {
	root, err := projectRoot()
	if err != nil {
		return nil, err
	}
	args := []string{"stack", "output", "--json", output}
	if stack != "" {
		args = append(args, "--stack", stack)
	}
	wrapper := filepath.Join(root, "tools", "pulumi.sh")
	if _, err := os.Stat(wrapper); err != nil {
		wrapper = "pulumi"
	}
	var complaint strings.Builder
	run := exec.CommandContext(command.Context(), wrapper, args...)
	run.Dir, run.Stderr = root, &complaint
	data, err := run.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", filepath.Base(wrapper), strings.Join(args, " "), err, strings.TrimSpace(complaint.String()))
	}
	return data, nil
}
