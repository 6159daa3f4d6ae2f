// Package shipped gives tests the stack files that ship, each with what it would install inside its cluster: its own section
// sallyport:kubernetes, or, while it has none, the one that stands here under its name.
package shipped

import (
	"embed"
	"fmt"
	"os"
	"path/filepath"

	"gopkg.in/yaml.v3"
)

// Stacks are the stacks of a cloud that ship.
var Stacks = []string{"aws-dev", "aws-prod", "bedrock", "gcp-dev", "gcp-prod", "rapido"}

//go:embed *.yaml
var sections embed.FS

const key = "sallyport:kubernetes"

// Read returns the configuration of a stack of the checkout at root. A section in both places is an error: the one here is to go.
func Read(root, stack string) (map[string]any, error) {
	var file struct{ Config map[string]any }
	if err := decode(os.ReadFile(filepath.Join(root, "stacks", "Pulumi."+stack+".yaml")))(&file); err != nil {
		return nil, fmt.Errorf("stack %s: %w", stack, err)
	}
	text, err := sections.ReadFile(stack + ".yaml")
	switch own := file.Config[key]; {
	case err != nil && own == nil:
		return nil, fmt.Errorf("stack %s: no section %s, there or here: %w", stack, key, err)
	case err != nil:
		return file.Config, nil
	case own != nil:
		return nil, fmt.Errorf("stack %s: has a section %s of its own; delete the one that stands in for it", stack, key)
	}
	var section map[string]any
	if err := yaml.Unmarshal(text, &section); err != nil {
		return nil, fmt.Errorf("stack %s: %w", stack, err)
	}
	file.Config[key] = section
	return file.Config, nil
}

// Write puts such a stack file into a folder and returns its path.
func Write(root, stack, dir string) (string, error) {
	config, err := Read(root, stack)
	if err != nil {
		return "", err
	}
	text, err := yaml.Marshal(map[string]any{"config": config})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "Pulumi."+stack+".yaml")
	return file, os.WriteFile(file, text, 0o600)
}

// decode is yaml.Unmarshal after a read.
func decode(text []byte, err error) func(any) error {
	return func(into any) error {
		if err != nil {
			return err
		}
		return yaml.Unmarshal(text, into)
	}
}
