package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/sallyport/sallyport/components/stack"
	"github.com/sallyport/sallyport/recovery"
	"github.com/sallyport/sallyport/recovery/awsfound"
	"github.com/sallyport/sallyport/recovery/gcpfound"
)

// finder lists what exists of the stack in its cloud.
type finder func(ctx context.Context, preview recovery.Preview) ([]recovery.Thing, error)

// finderOf returns the finder of a stack's cloud.
func finderOf(name string, settings *stack.Stack) (finder, error) {
	switch settings.Cloud {
	case stack.CloudAWS:
		return func(ctx context.Context, _ recovery.Preview) ([]recovery.Thing, error) {
			return awsfound.List(ctx, settings.AWS.Region, name)
		}, nil
	case stack.CloudGCP:
		place := gcpfound.Place{
			Stack: name, Project: settings.GCP.Project, Network: settings.GCP.Project, Region: settings.GCP.Region, Zones: settings.Cluster.Zones,
		}
		if existing := settings.GCP.Network.Existing; existing != nil {
			place.Network = existing.Project
		}
		return func(ctx context.Context, preview recovery.Preview) ([]recovery.Thing, error) {
			return gcpfound.List(ctx, place, preview.Creates)
		}, nil
	default:
		return nil, fmt.Errorf("stack %s: must be on aws or gcp, got %s; what it makes elsewhere is found again by the next update", name, settings.Cloud)
	}
}

// recoverer recovers one stack.
type recoverer struct {
	ctx                  context.Context // ends with the command
	out                  io.Writer
	root, name           string
	found                finder
	directory, importing string // temporary folder and the import file in it
}

// run finds, pairs and imports, and returns how many things are left that nothing would create.
func (r *recoverer) run(dry bool) (left int, err error) {
	directory, err := os.MkdirTemp("", "sallyport-recover-")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(directory) }()
	r.directory, r.importing = directory, filepath.Join(directory, "import.json")
	export, err := r.pulumi("stack", "export", "--stack", r.name)
	if err != nil {
		return 0, err
	}
	known, err := recovery.ReadState(export)
	if err != nil {
		return 0, err
	}
	preview, err := r.preview()
	if err != nil {
		return 0, err
	}
	things, err := r.found(r.ctx, preview)
	if err != nil {
		return 0, err
	}
	found := recovery.Match(preview, known, things)
	if err := r.report(found, dry); err != nil {
		return 0, err
	}
	if len(found.Pairs) > 0 && !dry {
		if err := r.take(found.Import); err != nil {
			return 0, err
		}
	}
	return len(found.Left), nil
}

// preview asks what the next update would create.
func (r *recoverer) preview() (recovery.Preview, error) {
	var preview recovery.Preview
	empty := filepath.Join(r.directory, "creates.json")
	steps, err := r.pulumi("preview", "--stack", r.name, "--json", "--non-interactive", "--import-file", empty)
	if err != nil {
		return preview, err
	}
	if err := json.Unmarshal(steps, &preview); err != nil {
		return preview, fmt.Errorf("pulumi preview --json: %w", err)
	}
	text, err := os.ReadFile(empty)
	if err != nil {
		return preview, err
	}
	if err := json.Unmarshal(text, &preview.Import); err != nil {
		return preview, fmt.Errorf("pulumi preview --import-file: %w", err)
	}
	return preview, nil
}

func (r *recoverer) report(found recovery.Found, dry bool) error {
	var text strings.Builder
	verb := "importing"
	if dry {
		verb = "would import"
	}
	for _, p := range found.Pairs {
		fmt.Fprintf(&text, "%s %s as %s\n", verb, described(p.Thing), p.Name)
	}
	for _, t := range found.Left {
		fmt.Fprintf(&text, "left: %s has the tag of stack %s, is in no state, and the next update would not create it; "+
			"find out what it is, then import or delete it by hand\n", described(t), r.name)
	}
	if text.Len() == 0 {
		text.WriteString("nothing was lost\n")
	}
	_, err := io.WriteString(r.out, text.String())
	return err
}

func described(t recovery.Thing) string {
	kind := t.Type[strings.LastIndexByte(t.Type, ':')+1:]
	if t.About == "" {
		return kind + " " + t.ID
	}
	return kind + " " + t.ID + " (" + t.About + ")"
}

// take imports. What an import protects, the next update protects or not as the program says.
func (r *recoverer) take(file recovery.ImportFile) error {
	text, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(r.importing, text, 0o600); err != nil {
		return err
	}
	output, err := r.pulumi("import", "--stack", r.name, "--yes", "--non-interactive", "--skip-preview", "--generate-code=false", "--file", r.importing)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, output)
	}
	return nil
}

// pulumi runs the project's Pulumi and returns what it printed.
func (r *recoverer) pulumi(args ...string) ([]byte, error) {
	wrapper := filepath.Join(r.root, "tools", "pulumi.sh")
	if _, err := os.Stat(wrapper); err != nil {
		wrapper = "pulumi"
	}
	var output, complaint bytes.Buffer
	run := exec.CommandContext(r.ctx, wrapper, args...)
	run.Dir, run.Stdout, run.Stderr = r.root, &output, &complaint
	if err := run.Run(); err != nil {
		return output.Bytes(), fmt.Errorf("pulumi %s: %w\n%s%s", strings.Join(args, " "), err, output.String(), strings.TrimSpace(complaint.String()))
	}
	return output.Bytes(), nil
}
