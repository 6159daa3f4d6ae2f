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

// resource registers a custom resource of the provider. Inputs that are nil are left out.
func resource(ctx *pulumi.Context, token, name string, inputs pulumi.Map, r pulumi.CustomResource, opts []pulumi.ResourceOption) error {
	for key, value := range inputs {
		if value == nil {
			delete(inputs, key)
		}
	}
	return ctx.RegisterResource(token, name, inputs, r, opts...)
}

// optional is nil for the empty string.
func optional(value string) pulumi.Input {
	if value == "" {
		return nil
	}
	return pulumi.String(value)
}

// list makes an input of a list, which may be empty but never nil: the provider requires it.
func list(values pulumi.StringArrayInput) pulumi.Input {
	if values == nil {
		return pulumi.StringArray{}
	}
	return values
}

// nodeReference prefers the ID of a node to its name.
func nodeReference(name string, id pulumi.StringInput) pulumi.Input {
	if id != nil {
		return id
	}
	return pulumi.String(name)
}
