package main

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/capacity"
	"github.com/sallyport/sallyport/components/stack"
	"github.com/sallyport/sallyport/infra/topology"
)

// program is the whole deployment: what the user declared, what that needs, and the environment that provides it.
func program(ctx *pulumi.Context) error {
	settings, err := readStack(ctx)
	if err != nil {
		return topology.Fail(ctx, err)
	}
	plan, err := settings.Plan()
	if err != nil {
		return topology.Fail(ctx, err)
	}
	previous, err := topology.ReadPrevious(ctx)
	if err != nil {
		return err
	}
	if err := topology.Export(ctx, "capacity", plan); err != nil {
		return err
	}
	if err := recordDeclaration(ctx, settings, previous); err != nil {
		return err
	}
	if settings.Cloud == stack.CloudLocal {
		return deployLocal(ctx, settings, plan, previous)
	}
	deploy, ok := clouds[settings.Cloud]
	if !ok {
		return fmt.Errorf("sallyport:cloud: this program was built without cloud %s; build it without `-tags local`", settings.Cloud)
	}
	return deploy(ctx, settings, plan, previous)
}

// deployer builds a decoded stack, whose plan and last outputs it gets, and exports its outputs.
type deployer func(ctx *pulumi.Context, settings *stack.Stack, plan capacity.Plan, previous *topology.Previous) error

// deployLocal builds stack local and exports what the other environments export too: the allowlist and the endpoints.
func deployLocal(ctx *pulumi.Context, settings *stack.Stack, plan capacity.Plan, previous *topology.Previous) error {
	l, err := newLocal(ctx, settings, plan, previous)
	if err != nil {
		return previous.Keep(ctx, err)
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
			return previous.Keep(ctx, err)
		}
	}
	return nil
}
