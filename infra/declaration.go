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

func recordDeclaration(ctx *pulumi.Context, settings *stack.Stack) error {
	tree, err := topology.JSONTree(settings)
	if err != nil {
		return err
	}
	d := &declaration{}
	inputs := pulumi.Map{"stack": pulumi.Any(tree)}
	if err := ctx.RegisterComponentResourceV2(declarationToken, "declaration", inputs, d); err != nil {
		return err
	}
	return ctx.RegisterResourceOutputs(d, pulumi.Map{})
}
