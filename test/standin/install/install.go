// Package install puts the stand-in providers where the Pulumi command line looks for plugins: into the plugins folder of a
// PULUMI_HOME, under the versions that the pinned SDKs ask for.
//
// Never install them into a PULUMI_HOME that deploys anything: a plugin that is present is not fetched, so the stand-in would be
// taken for the provider. It would refuse to change anything, but the way to the cloud would be blocked.
package install

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/sallyport/sallyport/test/standin/aws"
	"github.com/sallyport/sallyport/test/standin/engine"
	"github.com/sallyport/sallyport/test/standin/gcp"
	"github.com/sallyport/sallyport/test/standin/kubernetes"
)

// WorldVariable is the environment variable with the folder of the world.
const WorldVariable = "SALLYPORT_STANDIN_WORLD"

// Provider is one stand-in.
type Provider struct {
	// Name is that of the Pulumi package.
	Name string
	// Version is that of the provider which is stood in for, without a "v".
	Version string
	// Package makes its description.
	Package func() *engine.Package
}

// Providers are all stand-ins.
func Providers() []Provider {
	return []Provider{
		{Name: "aws", Version: aws.Version, Package: aws.Package},
		{Name: "gcp", Version: gcp.Version, Package: gcp.Package},
		{Name: "kubernetes", Version: kubernetes.Version, Package: kubernetes.Package},
	}
}

// Find returns a stand-in by its name.
func Find(name string) (Provider, error) {
	for _, p := range Providers() {
		if p.Name == name {
			return p, nil
		}
	}
	return Provider{}, fmt.Errorf("no stand-in is called %q; start this program as pulumi-resource-aws, -gcp or -kubernetes", name)
}

// Install builds the program in the checkout at root and puts it into a PULUMI_HOME, once for every provider. The copies share
// one file.
func Install(root, home string) error {
	plugins := filepath.Join(home, "plugins")
	if err := os.MkdirAll(plugins, 0o755); err != nil {
		return fmt.Errorf("install the stand-ins: %w", err)
	}
	staging, err := os.MkdirTemp(plugins, ".standin-")
	if err != nil {
		return fmt.Errorf("install the stand-ins: %w", err)
	}
	defer func() { _ = os.RemoveAll(staging) }()
	built := filepath.Join(staging, "program")
	build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", built, "./test/standin/cmd/pulumi-resource-standin")
	build.Dir, build.Stderr = root, os.Stderr
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if err := build.Run(); err != nil {
		return fmt.Errorf("install the stand-ins: go build: %w", err)
	}
	for _, p := range Providers() {
		dir := filepath.Join(plugins, fmt.Sprintf("resource-%s-v%s", p.Name, p.Version))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("install the stand-ins: %w", err)
		}
		link := filepath.Join(staging, p.Name)
		if err := os.Link(built, link); err != nil {
			return fmt.Errorf("install the stand-ins: %w", err)
		}
		if err := os.Rename(link, filepath.Join(dir, "pulumi-resource-"+p.Name)); err != nil {
			return fmt.Errorf("install the stand-ins: %w", err)
		}
	}
	return nil
}
