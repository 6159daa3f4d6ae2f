// Command sallyport-recover takes over what a killed or failed update made on AWS or GCP and could not write down:
//
//	sallyport-recover [-dry-run] STACK
//
// An update that is killed, or that never hears the cloud's answer, leaves resources that no state knows. The next update would
// make them again, another public IP where partners list the first, or, where names are its own, end because they exist. This command
// finds them by the stack's tag or name, pairs them with what the next update would create, and imports them. What nothing would
// create is listed, and never deleted. Run it after tools/recover.sh and before the next update:
//
//	tools/recover.sh aws-prod
//	go run ./cmd/sallyport-recover aws-prod
//	make up STACK=aws-prod
//
// It reads an AWS account with ec2:DescribeAddresses, ec2:DescribeNatGateways, ec2:DescribeTags and
// autoscaling:DescribeAutoScalingGroups, and GCP projects with roles/viewer (package gcpfound), and runs the project's own Pulumi. The
// exit code is 0 if all is well, 1 if something is left for a person to judge, 2 on errors.
//
// It is a program of its own because it needs the SDK of EC2, which takes longer to compile than all the rest of the command line.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/sallyport/sallyport/components/stack"
)

func main() {
	dry := flag.Bool("dry-run", false, "say what would be imported, and import nothing")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	left, err := recoverStack(ctx, flag.Args(), *dry)
	if err != nil {
		fmt.Fprintln(os.Stderr, "sallyport-recover:", err)
		stop()
		os.Exit(2)
	}
	if left > 0 {
		stop()
		os.Exit(1)
	}
}

func recoverStack(ctx context.Context, args []string, dry bool) (left int, err error) {
	if len(args) != 1 {
		return 0, fmt.Errorf("needs the name of one stack, got %q", args)
	}
	root, err := projectRoot()
	if err != nil {
		return 0, err
	}
	settings, err := stack.ReadFile(filepath.Join(root, "stacks", "Pulumi."+args[0]+".yaml"))
	if err != nil {
		return 0, err
	}
	found, err := finderOf(args[0], settings)
	if err != nil {
		return 0, err
	}
	r := recoverer{ctx: ctx, out: os.Stdout, root: root, name: args[0], found: found}
	return r.run(dry)
}

// projectRoot is the nearest folder, from the working directory upwards, with a Pulumi.yaml.
func projectRoot() (string, error) {
	directory, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(directory, "Pulumi.yaml")); err == nil {
			return directory, nil
		}
		if filepath.Dir(directory) == directory {
			return "", errors.New("needs a Pulumi.yaml in the working directory or above; change into the project")
		}
		directory = filepath.Dir(directory)
	}
}
