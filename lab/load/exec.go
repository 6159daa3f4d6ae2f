package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/lab/namespace"
)

// Main is `labd load`: it reads a Spec as JSON, runs it and writes the Result as JSON. It returns an error if there is no result.
func Main(ctx context.Context, spec io.Reader, result, progress io.Writer) error {
	decoder := json.NewDecoder(spec)
	decoder.DisallowUnknownFields()
	var s Spec
	if err := decoder.Decode(&s); err != nil {
		return fmt.Errorf("load: specification: %w", err)
	}
	measured, err := Run(ctx, s, progress)
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(result)
	encoder.SetIndent("", "  ")
	return encoder.Encode(measured)
}

// RunIn runs a Spec in a network namespace: it starts program with the arguments, for example labd with "load", "--spec", "-", inside.
// When ctx ends early, the result so far is returned. progress (may be nil) gets the program's messages.
func RunIn(ctx context.Context, name string, spec Spec, progress io.Writer, program string, arguments ...string) (Result, error) {
	input, err := json.Marshal(spec)
	if err != nil {
		return Result{}, fmt.Errorf("load: %w", err)
	}
	command := exec.CommandContext(ctx, program, arguments...)
	command.Cancel = func() error { return command.Process.Signal(unix.SIGTERM) }
	command.WaitDelay = seconds(spec.withDefaults().TimeoutSeconds+spec.HoldSeconds) + 10*time.Second
	var output, messages bytes.Buffer
	command.Stdin, command.Stdout = bytes.NewReader(input), &output
	command.Stderr = &messages
	if progress != nil {
		command.Stderr = io.MultiWriter(&messages, progress)
	}
	if err := namespace.Start(name, command); err != nil {
		return Result{}, fmt.Errorf("load: start in %s: %w", name, err)
	}
	waitErr := command.Wait()
	var result Result
	if err := json.Unmarshal(output.Bytes(), &result); err != nil {
		return Result{}, fmt.Errorf("load: in %s: no result: %s: %w", name, lastLine(messages.String()), errors.Join(waitErr, err))
	}
	return result, nil
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}
