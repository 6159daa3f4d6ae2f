package lab

import "github.com/pulumi/pulumi/sdk/v3/go/pulumi"

// Network is a lab: its state directory, its certificate authority, and the two segments, internet and private network, on
// which its hosts meet. Deleting it removes everything that is left of the lab, also what Pulumi has lost track of.
type Network struct {
	pulumi.CustomResourceState

	// Lab is the lab's id, for the args of every other resource.
	Lab pulumi.StringOutput `pulumi:"lab"`
	// StateDir is the absolute path of the directory that holds everything of the lab that is a file.
	StateDir pulumi.StringOutput `pulumi:"stateDir"`
	// CACertificate is the certificate, in PEM, of the authority that signs the partners' certificates.
	CACertificate pulumi.StringOutput `pulumi:"caCertificate"`
}

// NetworkArgs are the arguments of NewNetwork.
type NetworkArgs struct {
	// Lab is the lab's id: a DNS label of at most 20 characters, unique on the machine. Package lab/labid derives one from
	// project directory and stack.
	Lab string
	// Owner is the process that the lab must not outlive, see lab/remains.Owner. Empty: the lab stays until it is destroyed.
	Owner string
}

// NewNetwork makes the segments of a lab.
func NewNetwork(ctx *pulumi.Context, name string, args *NetworkArgs, opts ...pulumi.ResourceOption) (*Network, error) {
	n := &Network{}
	inputs := pulumi.Map{"lab": pulumi.String(args.Lab), "owner": optional(args.Owner)}
	if err := resource(ctx, "lab:index:Network", name, inputs, n, opts); err != nil {
		return nil, err
	}
	return n, nil
}
