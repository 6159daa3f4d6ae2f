package main

import (
	"encoding/json"
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/capacity"
	"github.com/sallyport/sallyport/components/stack"
)

// program is the whole deployment: what the user declared, what that needs, and the environment that provides it.
func program(ctx *pulumi.Context) error {
	settings, err := readStack(ctx)
	if err != nil {
		return err
	}
	plan, err := settings.Plan()
	if err != nil {
		return err
	}
	if err := exportJSON(ctx, "capacity", plan); err != nil {
		return err
	}
	switch settings.Cloud {
	case stack.CloudLocal:
		return deployLocal(ctx, settings, plan)
	default:
		return fmt.Errorf("sallyport:cloud: this release deploys %q only, got %q; `sallyport plan` sizes it without deploying",
			stack.CloudLocal, settings.Cloud)
	}
}

// deployLocal builds stack local and exports what the other environments export too: the allowlist and the endpoints.
func deployLocal(ctx *pulumi.Context, settings *stack.Stack, plan capacity.Plan) error {
	l, err := newLocal(ctx, settings, plan)
	if err != nil {
		return err
	}
	for _, step := range []func() error{
		l.createNetwork,
		l.createAddresses,
		l.createPartners,
		l.createUpstreamDNS,
		l.createNatGateways,
		l.createRoutes,
		l.createProxies,
		l.createNodes,
		l.exportAllowlist,
		l.exportEndpoints,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// exportJSON exports a plain value under its JSON names, so that outputs and documents never differ in spelling.
func exportJSON(ctx *pulumi.Context, name string, value any) error {
	tree, err := jsonTree(value)
	if err != nil {
		return fmt.Errorf("output %s: %w", name, err)
	}
	ctx.Export(name, pulumi.Any(tree))
	return nil
}

// jsonTree turns a value into maps, slices and scalars.
func jsonTree(value any) (any, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	var tree any
	err = json.Unmarshal(text, &tree)
	return tree, err
}
