package main

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/stack"
	"github.com/sallyport/sallyport/infra/topology"
)

// declarationToken identifies the component in every state file. The policy pack knows it too.
const declarationToken = "sallyport:index:Declaration"

// declaration records what the user declared, complete with defaults, so that policies can judge what is deployed by it.
type declaration struct {
	pulumi.ResourceState
}

// recordDeclaration records the stack file and, as an output, the allow list that partners have when the update begins; an empty one
// before the first. That list differs between two updates of an unchanged stack: as an input it would make every second one a change.
func recordDeclaration(ctx *pulumi.Context, settings *stack.Stack, previous *topology.Previous) error {
	tree, err := topology.JSONTree(settings)
	if err != nil {
		return err
	}
	published, err := previous.Output("allowlist")
	if err != nil {
		return err
	}
	if published == nil {
		published = map[string]any{}
	}
	d := &declaration{}
	inputs := pulumi.Map{"stack": pulumi.Any(tree)}
	if err := ctx.RegisterComponentResourceV2(declarationToken, "declaration", inputs, d); err != nil {
		return err
	}
	return ctx.RegisterResourceOutputs(d, pulumi.Map{"published": pulumi.Any(published)})
}
