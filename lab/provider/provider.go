// Package provider is the Pulumi provider `lab`: it makes stack `local` out of network namespaces, links, nftables rules and
// processes on this machine.
//
// There is one file per resource, and each is thin: the work is done by the packages beside this one. What all resources
// have in common is in controller.go: a resource's name is its identity, creating it clears what a crashed run left under
// that name, reading it looks at the machine and not at the state file, deleting it twice is the same as deleting it once.
package provider

import (
	"context"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
)

// Name is the package name in tokens and in the name of the executable, pulumi-resource-lab.
const Name = "lab"

// Version is the version of the provider and its schema.
const Version = "0.1.0"

// module is the middle part of every token, `lab:index:Network`.
const module tokens.ModuleName = "index"

// New returns the provider.
func New() (p.Provider, error) {
	provider, err := infer.NewProviderBuilder().
		WithDisplayName("Sallyport lab").
		WithDescription("The egress path of a Kubernetes cluster in network namespaces on this machine.").
		WithLicense("Apache-2.0").
		WithKeywords("category/network", "kind/native").
		WithGoImportPath("github.com/sallyport/sallyport/components/lab").
		WithResources(
			infer.Resource(newNetwork()),
			infer.Resource(newAddress()),
			infer.Resource(newSerial()),
			infer.Resource(newRoutes()),
			infer.Resource(newUpstreamDNS()),
			infer.Resource(newNatGateway()),
			infer.Resource(newNode()),
			infer.Resource(newPod()),
			infer.Resource(newNodeLocalDNS()),
			infer.Resource(newProxy()),
			infer.Resource(newPartner()),
		).
		Build()
	if err != nil {
		return p.Provider{}, err
	}
	return keepInputs(provider), nil
}

// keepInputs makes Check return the inputs as they came. infer decodes and encodes them again, and on the way a list loses that it
// is not known yet (pulumi-go-provider v1.5.0, infer/internal/ende: Encode finds no place for the mark of an empty list): a
// preview then fails for want of a required property. Our checks change no input, so nothing is lost.
func keepInputs(provider p.Provider) p.Provider {
	check := provider.Check
	provider.Check = func(ctx context.Context, req p.CheckRequest) (p.CheckResponse, error) {
		response, err := check(ctx, req)
		if err == nil && len(response.Failures) == 0 {
			response.Inputs = req.Inputs
		}
		return response, err
	}
	return provider
}

// Run serves the provider to the Pulumi engine until it is told to stop.
func Run(ctx context.Context) error {
	provider, err := New()
	if err != nil {
		return err
	}
	return provider.Run(ctx, Name, Version)
}
