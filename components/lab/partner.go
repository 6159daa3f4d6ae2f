package lab

import "github.com/pulumi/pulumi/sdk/v3/go/pulumi"

// Partner is somebody else's TLS server on the lab's internet. It answers with the source IP it saw, refuses sources that are
// not on its allow list with status 403, and remembers every source.
type Partner struct {
	pulumi.CustomResourceState

	// Addresses are its public addresses, in 203.0.113.0/24.
	Addresses pulumi.StringArrayOutput `pulumi:"addresses"`
}

// PartnerArgs are the arguments of NewPartner.
type PartnerArgs struct {
	// Lab is the lab's id.
	Lab pulumi.StringInput
	// Name is a DNS label of at most 32 characters, unique in the lab. The host is partner-<name>, or <name> if that begins
	// with "partner-".
	Name string
	// Hosts are the names in its certificate, at least one; a wildcard is one leading "*.".
	Hosts []string
	// AddressCount is the number of its addresses, 1 to 16. Default 1.
	AddressCount int
	// Port is its TCP port, 1 to 65535.
	Port int
	// Allow is its allow list: IPv4 networks. Empty refuses everybody.
	Allow pulumi.StringArrayInput
	// Enforce is false for a partner that keeps no allow list: it answers everybody.
	Enforce bool
}

// NewPartner starts a partner's server.
func NewPartner(ctx *pulumi.Context, name string, args *PartnerArgs, opts ...pulumi.ResourceOption) (*Partner, error) {
	p := &Partner{}
	inputs := pulumi.Map{
		"lab": args.Lab, "name": pulumi.String(args.Name), "hosts": pulumi.ToStringArray(args.Hosts),
		"addressCount": pulumi.Int(max(1, args.AddressCount)), "port": pulumi.Int(args.Port), "allow": list(args.Allow),
		"enforce": pulumi.Bool(args.Enforce),
	}
	if err := resource(ctx, "lab:index:Partner", name, inputs, p, opts); err != nil {
		return nil, err
	}
	return p, nil
}
