package lab

import "github.com/pulumi/pulumi/sdk/v3/go/pulumi"

// Routes is the routes document that the agents of all proxies and nodes of a lab follow. One per lab. A change reaches every
// agent within a second and needs no restart.
type Routes struct {
	pulumi.CustomResourceState

	// Serial is the serial of the document in force: one more with each change.
	Serial pulumi.IntOutput `pulumi:"serial"`
	// Path is the file of the document.
	Path pulumi.StringOutput `pulumi:"path"`
}

// RoutesArgs are the arguments of NewRoutes.
type RoutesArgs struct {
	// Lab is the lab's id.
	Lab pulumi.StringInput
	// Document is the document as JSON, see proxyimage/routes.Document. Its serial is left out: it is given here.
	Document pulumi.StringInput
}

// NewRoutes puts the routes document in force.
func NewRoutes(ctx *pulumi.Context, name string, args *RoutesArgs, opts ...pulumi.ResourceOption) (*Routes, error) {
	r := &Routes{}
	if err := resource(ctx, "lab:index:Routes", name, pulumi.Map{"lab": args.Lab, "document": args.Document}, r, opts); err != nil {
		return nil, err
	}
	return r, nil
}
