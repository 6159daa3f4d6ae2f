package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/components/stack"
	"github.com/sallyport/sallyport/internal/clock"
)

const lifeLong = `

The IP is an address (nat-reserve-1), the slot it serves (proxy-a-1-1), or the IP itself. What is allowed follows from the document that
partners have (the stack's output, or --document) and the rules in the stack file (sallyport:allowlist). A step that is not
allowed is refused with the reason and the first date on which it is. The stack file is edited in place: comments and order stay,
and the change is shown before it is written. It takes effect with the next update of the stack.

`

// lifeCommand is one step of an IP's life as people type it.
type lifeCommand struct {
	action           allowlist.Action
	short, long      string
	partner, slotted bool // flags it takes
	release          bool
}

var lifeCommands = []lifeCommand{
	{action: allowlist.ActionAnnounce, short: "Record that partners were told of an IP; their notice starts now",
		long: "Record that partners were told of an IP by other means than the document. Their notice starts anew from now."},
	{action: allowlist.ActionConfirm, short: "Record that a partner lists an IP", partner: true,
		long: "Record that a partner lists an IP. When all partners that it concerns did, it may carry traffic before the notice ends."},
	{action: allowlist.ActionActivate, short: "Let an IP carry traffic that every partner knows", slotted: true,
		long: "Let an IP carry traffic that every partner has confirmed or had notice of."},
	{action: allowlist.ActionDrain, short: "Let headroom take over from an IP", long: "Let headroom that every partner knows take over from an IP. The IP stays on the partners' lists for allowlist.drain."},
	{action: allowlist.ActionRetire, short: "Tell partners that they may remove an IP; --release gives it back to the cloud", release: true,
		long: "Tell partners that they may remove an IP whose drain is over, or headroom that was never used. With --release, give a retired IP\nback to the cloud, which takes two updates and cannot be undone."},
}

// lifeChoice is what the flags of a step say.
type lifeChoice struct {
	from                source
	step                allowlist.Step
	configFile          string
	yes, dryRun, asJSON bool
	release             bool
	document            allowlist.Document
	file                string
	before, after       []byte
	settings            *stack.Stack
	transition          allowlist.Transition
}

func newLifeCommands() []*cobra.Command {
	var commands []*cobra.Command
	for _, life := range lifeCommands {
		choice := &lifeChoice{step: allowlist.Step{Action: life.action}}
		command := &cobra.Command{
			Use:   string(life.action) + " IP",
			Short: life.short,
			Long:  life.long + lifeLong + exitCodes,
			Args:  cobra.ExactArgs(1),
			RunE: func(command *cobra.Command, args []string) error {
				choice.step.Target = args[0]
				return choice.run(command)
			},
		}
		flags := command.Flags()
		flags.StringVar(&choice.from.stack, "stack", "", "edit the file of stack `NAME` (default the document's stack)")
		flags.StringVar(&choice.from.document, "document", "", "read the document from `FILE` instead of the stack's outputs, - for standard input")
		flags.StringVar(&choice.configFile, "config-file", "", "edit `FILE` instead of stacks/Pulumi.<stack>.yaml")
		flags.BoolVar(&choice.yes, "yes", false, "write without asking")
		flags.BoolVar(&choice.dryRun, "dry-run", false, "show the change and write nothing")
		flags.BoolVar(&choice.asJSON, "json", false, "print JSON; writes only with --yes")
		if life.partner {
			flags.StringVar(&choice.step.Partner, "partner", "", "partner `NAME` who lists the IP now")
			_ = command.MarkFlagRequired("partner") // the flag exists
		}
		if life.slotted {
			flags.StringVar(&choice.step.Slot, "slot", "", "slot `NAME` without an IP that headroom shall serve")
		}
		if life.release {
			flags.BoolVar(&choice.release, "release", false, "give the retired IP back to the cloud")
		}
		commands = append(commands, command)
	}
	return commands
}

func (c *lifeChoice) run(command *cobra.Command) error {
	if c.dryRun && c.yes {
		return fmt.Errorf("--dry-run: cannot be combined with --yes; leave one of the two out")
	}
	if c.release {
		c.step.Action = allowlist.ActionRelease
	}
	if err := c.read(command); err != nil {
		return err
	}
	if err := c.take(); err != nil {
		return err
	}
	if !c.asJSON {
		if err := c.show(command.OutOrStdout()); err != nil {
			return err
		}
	}
	write, err := c.agreed(command)
	if err != nil {
		return err
	}
	if write {
		err = replaceFile(c.file, c.before, c.after)
	}
	if err == nil && c.asJSON {
		err = c.printJSON(command.OutOrStdout(), write)
	}
	if err == nil && write && !c.asJSON {
		_, err = fmt.Fprintf(command.OutOrStdout(), "written to %s; run an update of the stack\n", c.file)
	}
	return err
}

// read reads the document and the stack file that belongs to it.
func (c *lifeChoice) read(command *cobra.Command) (err error) {
	from := c.from
	if from.document != "" {
		from.stack = ""
	}
	if c.document, err = from.read(command); err != nil {
		return err
	}
	name := path.Base(c.document.Stack)
	if c.from.stack != "" && c.from.stack != name {
		return fmt.Errorf("--stack: must be the stack of the document, %s, got %q", name, c.from.stack)
	}
	if c.file = c.configFile; c.file == "" {
		if c.file, err = stackFile(name); err != nil {
			return err
		}
	}
	if c.before, err = os.ReadFile(c.file); err != nil {
		return err
	}
	if c.settings, err = stack.ParseFile(filepath.Base(c.file), c.before); err != nil {
		return fmt.Errorf("%s: has to be in order before it is edited\n%w", c.file, err)
	}
	return nil
}

// take decides the step and edits a copy of the file, which has to stay in order.
func (c *lifeChoice) take() error {
	now, err := clock.Now()
	if err != nil {
		return err
	}
	if c.transition, err = c.document.Step(c.step, c.settings.Allowlist.Rules(), now); err != nil {
		return err
	}
	if c.after, err = stack.EditRecord(c.before, c.transition.Address, c.transition.Fields); err != nil {
		return err
	}
	_, err = stack.ParseFile(filepath.Base(c.file), c.after)
	return err
}

func (c *lifeChoice) show(out io.Writer) error {
	_, err := fmt.Fprintf(out, "%s %s (%s, now %s): %s\n--- %s\n%s", c.step.Action, c.transition.Address, c.transition.IP, c.transition.From,
		c.transition.Effect, c.file, stack.Diff(c.before, c.after))
	return err
}

// agreed says whether to write. Without --yes a person has to answer.
func (c *lifeChoice) agreed(command *cobra.Command) (bool, error) {
	if c.dryRun || c.asJSON && !c.yes {
		return false, nil
	}
	if c.yes {
		return true, nil
	}
	if c.from.document == "-" {
		return false, fmt.Errorf("--yes: is needed when the document comes from standard input")
	}
	if _, err := fmt.Fprint(command.OutOrStdout(), "write this? [y/N] "); err != nil {
		return false, err
	}
	answer, err := bufio.NewReader(command.InOrStdin()).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer == "y" || answer == "yes" {
		return true, nil
	}
	return false, exitError{code: 2, text: "nothing was written"}
}

func (c *lifeChoice) printJSON(out io.Writer, written bool) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(struct {
		Action allowlist.Action `json:"action"`
		allowlist.Transition
		File    string `json:"file"`
		Diff    string `json:"diff"`
		Written bool   `json:"written"`
	}{c.step.Action, c.transition, c.file, stack.Diff(c.before, c.after), written})
}

// replaceFile puts a new content in place of the old one at once, and only if the file still has the old one.
func replaceFile(file string, before, after []byte) error {
	now, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if !bytes.Equal(now, before) {
		return fmt.Errorf("%s: was changed by somebody else meanwhile; run the command again", file)
	}
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	if file, err = filepath.EvalSymlinks(file); err != nil {
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(file), ".sallyport-*")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name()) //nolint:errcheck // gone after the rename
	_, err = temporary.Write(after)
	err = errors.Join(err, temporary.Chmod(info.Mode().Perm()), temporary.Sync(), temporary.Close())
	if err != nil {
		return err
	}
	return os.Rename(temporary.Name(), file)
}
