package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/sallyport/sallyport/internal/problem"
)

// stackName is the part of a stack's name that names its file.
var stackName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,100}$`)

// projectRoot is the nearest directory, from the working directory upwards, with a Pulumi.yaml.
func projectRoot() (string, error) {
	directory, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for start := directory; ; directory = filepath.Dir(directory) {
		if _, err := os.Stat(filepath.Join(directory, "Pulumi.yaml")); err == nil {
			return directory, nil
		}
		if filepath.Dir(directory) == directory {
			return "", fmt.Errorf("project: needs a Pulumi.yaml in the working directory or above, got none above %s; change into the project", start)
		}
	}
}

// stackFile returns the path of a stack's file, and the names that exist if there is none.
func stackFile(name string) (string, error) {
	if !stackName.MatchString(name) {
		return "", fmt.Errorf("--stack: must be the name of a stack without organisation and project, got %q", name)
	}
	root, err := projectRoot()
	if err != nil {
		return "", err
	}
	path := filepath.Join(root, "stacks", "Pulumi."+name+".yaml")
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return path, err
	}
	var names []string
	files, _ := filepath.Glob(filepath.Join(root, "stacks", "Pulumi.*.yaml")) // the pattern is well-formed
	for _, file := range files {
		names = append(names, strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), "Pulumi."), ".yaml"))
	}
	remedy := "write " + path
	if len(names) > 0 {
		remedy = problem.Suggestion(name, names)
	}
	return "", fmt.Errorf("--stack: must have a file %s, got %q; %s", filepath.Join("stacks", "Pulumi."+name+".yaml"), name, remedy)
}
