package elasticip

import (
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// The tags of every address, which is how a person, doctor and verify find it again without the state. All but the slot's and
// the stack's are written once, at allocation: a change of destinations must not touch an address.
const (
	TagStack    = "sallyport:stack"
	TagKind     = "sallyport:kind"
	TagSlot     = "sallyport:slot"
	TagPartners = "sallyport:partners"
	TagSince    = "sallyport:since"
)

// maxTagValue is the length up to which EC2 takes a tag's value. Amazon EC2 user guide, "Tag your resources", 2023-06-15.
const maxTagValue = 256

// settled are inputs that count when an address is allocated and never again. The provider replaces an address for a change of
// the first five, and a replaced address is a lost one.
var settled = []string{
	"domain", "publicIpv4Pool", "ipamPoolId", "address", "networkBorderGroup",
	`tags["` + TagPartners + `"]`, `tags["` + TagSince + `"]`,
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
	in := &ec2.EipArgs{Domain: pulumi.String("vpc"), Tags: pulumi.ToStringMap(args.tags(address))}
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

// tags say whose address it is.
func (args *AddressesArgs) tags(address Address) map[string]string {
	return map[string]string{
		"Name":      args.Stack + "-" + address.Name,
		TagStack:    args.Stack,
		TagKind:     args.Kind,
		TagSlot:     address.Name,
		TagPartners: partnersTag(args.Partners),
		TagSince:    args.Since,
	}
}

// partnersTag joins the partners as far as a tag holds them; whole names only, and a "+" in place of the rest.
func partnersTag(partners []string) string {
	text := strings.Join(partners, " ")
	if len(text) <= maxTagValue {
		return text
	}
	cut := strings.LastIndexByte(text[:maxTagValue-1], ' ')
	return text[:cut] + " +"
}
