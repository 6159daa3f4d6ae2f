package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/components/allowlist"
)

func newSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of a document",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			_, err := command.OutOrStdout().Write(allowlist.Schema)
			return err
		},
	}
}

func newChangelogCommand() *cobra.Command {
	var asJSON bool
	command := &cobra.Command{
		Use:   "changelog DOCUMENT DOCUMENT...",
		Short: "Print what changed from serial to serial",
		Long: "Print what changed from serial to serial between documents of one stack, in any order. As JSON (--json) it can be\n" +
			"applied: whoever has the first document gets the last one.\n\n" + exitCodes,
		Args: cobra.MinimumNArgs(2),
		RunE: func(command *cobra.Command, args []string) error {
			var documents []allowlist.Document
			for _, path := range args {
				document, err := source{document: path}.read(command)
				if err != nil {
					return err
				}
				documents = append(documents, document)
			}
			log, err := allowlist.ChangelogOf(documents...)
			if err != nil {
				return err
			}
			if asJSON {
				encoder := json.NewEncoder(command.OutOrStdout())
				encoder.SetIndent("", "  ")
				return encoder.Encode(log)
			}
			for _, difference := range log.Changes {
				if _, err := fmt.Fprint(command.OutOrStdout(), difference); err != nil {
					return err
				}
			}
			return nil
		},
	}
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return command
}
