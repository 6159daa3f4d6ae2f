// Package lab is the Go SDK of the Pulumi provider `lab`: the resources of which stack `local` is made, network namespaces,
// links, nftables rules and processes on the machine that runs `pulumi up`.
//
// Each resource has a constructor NewX(ctx, name, *XArgs, opts...). Every resource but Network belongs to a lab and takes its
// id, the output Lab of a Network. Lab and name of a resource are its identity: changing one replaces it. Everything else is
// changed in place, and no established connection is cut unless a comment says so.
//
// The limits are those of one flat internet segment and one private network: addresses come from the documentation ranges,
// 126 public IPs for NATs, 126 for proxies and 254 for partners, and every lab uses the same ones.
package lab

import "github.com/pulumi/pulumi/sdk/v3/go/pulumi"

// resource registers a custom resource of the provider.
func resource(ctx *pulumi.Context, token, name string, inputs pulumi.Map, r pulumi.CustomResource, opts []pulumi.ResourceOption) error {
	for key, value := range inputs {
		if value == nil {
			delete(inputs, key)
		}
	}
	return ctx.RegisterResource(token, name, inputs, r, opts...)
}

// strings turns plain strings into an input.
func strings(values []string) pulumi.StringArray {
	list := make(pulumi.StringArray, len(values))
	for i, value := range values {
		list[i] = pulumi.String(value)
	}
	return list
}
