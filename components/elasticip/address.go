package elasticip

import (
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/allowlist"
)

// settled are inputs that count when an address is allocated and never again. The provider replaces an address for a change of
// the first five, and a replaced address is a lost one. The tags are facts of the allocation: a change of destinations must not
// touch an address. The other tags are kept right.
var settled = []string{
	"domain", "publicIpv4Pool", "ipamPoolId", "address", "networkBorderGroup",
	`tags["` + allowlist.TagPartners + `"]`, `tags["` + allowlist.TagSince + `"]`,
}

// createAddress allocates one address, or reads one that was brought.
func (args *AddressesArgs) createAddress(ctx *pulumi.Context, parent *Addresses, address Address) (Allocated, error) {
	name := "elasticip-address-" + address.Name
	if address.AllocationID != "" {
		brought, err := ec2.GetEip(ctx, name, pulumi.ID(address.AllocationID), nil, pulumi.Parent(parent))
		if err != nil {
			return Allocated{}, err
		}
		return Allocated{AllocationID: brought.ID().ToStringOutput(), PublicIP: brought.PublicIp}, nil
	}
	in := &ec2.EipArgs{Domain: pulumi.String("vpc"), Tags: args.tags(address)}
	switch args.Source {
	case SourceBYOIP:
		in.PublicIpv4Pool = pulumi.String(args.Pool)
	case SourceIPAM:
		in.IpamPoolId = pulumi.String(args.Pool)
	}
	if address.PublicIP != "" {
		in.Address = pulumi.String(address.PublicIP)
	}
	keep := args.Keep && !address.Released
	made, err := ec2.NewEip(ctx, name, in, pulumi.Parent(parent), pulumi.Protect(keep), pulumi.RetainOnDelete(keep), pulumi.IgnoreChanges(settled))
	if err != nil {
		return Allocated{}, err
	}
	return Allocated{AllocationID: made.AllocationId, PublicIP: made.PublicIp}, nil
}

// tags are those of the address, and its name in the console.
func (args *AddressesArgs) tags(address Address) pulumi.StringMap {
	tags := pulumi.ToStringMap(address.Tags)
	tags["Name"] = pulumi.String(args.Stack + "-" + address.Name)
	return tags
}
