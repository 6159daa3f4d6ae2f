// Command probe is a small program with the shape of a cloud stack, in resources without any cloud's SDK: the tests of the
// stand-ins and of the rig need something to run that compiles in seconds.
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

func main() { pulumi.Run(program) }

// declared is one resource by its token, so that no SDK is needed.
type declared struct {
	pulumi.CustomResourceState
	Link pulumi.StringOutput `pulumi:"selfLink"`
}

func program(ctx *pulumi.Context) error {
	zones := strings.Fields(os.Getenv("PROBE_ZONES"))
	slots, err := strconv.Atoi(os.Getenv("PROBE_SLOTS"))
	if err != nil {
		return err
	}
	provider := &pulumi.ProviderResourceState{}
	if err := ctx.RegisterResource("pulumi:providers:aws", "aws", pulumi.Map{"region": pulumi.String("eu-west-1")}, provider, pulumi.Version("6.83.0")); err != nil {
		return err
	}
	declare := func(token, name string, in pulumi.Map, opts ...pulumi.ResourceOption) (*declared, error) {
		r := &declared{}
		return r, ctx.RegisterResource(token, name, in, r, append(opts, pulumi.Provider(provider))...)
	}
	for i, zone := range zones {
		address, err := declare("aws:ec2/eip:Eip", "nat-"+zone, pulumi.Map{"domain": pulumi.String("vpc"), "tags": pulumi.Map{"sallyport:slot": pulumi.String("nat-" + zone)}},
			pulumi.Protect(true), pulumi.RetainOnDelete(true))
		if err != nil {
			return err
		}
		if _, err := declare("aws:ec2/natGateway:NatGateway", "gateway-"+zone, pulumi.Map{
			"allocationId": address.ID(), "subnetId": pulumi.String("subnet-public-" + zone),
		}); err != nil {
			return err
		}
		for n := 1; n <= slots; n++ {
			slot := fmt.Sprintf("proxy-%s-%d", zone, n)
			networkInterface, err := declare("aws:ec2/networkInterface:NetworkInterface", slot, pulumi.Map{
				"subnetId": pulumi.String("subnet-private-" + zone), "privateIps": pulumi.ToStringArray([]string{fmt.Sprintf("10.0.%d.%d", 100+i, 9+n)}),
			})
			if err != nil {
				return err
			}
			template, err := declare("aws:ec2/launchTemplate:LaunchTemplate", slot, pulumi.Map{
				"networkInterfaces": pulumi.Array{pulumi.Map{"networkInterfaceId": networkInterface.ID(), "deviceIndex": pulumi.Int(0)}},
				"userData":          pulumi.String(os.Getenv("PROBE_USERDATA")),
			})
			if err != nil {
				return err
			}
			if _, err := declare("aws:autoscaling/group:Group", slot, pulumi.Map{
				"availabilityZones": pulumi.ToStringArray([]string{"eu-west-1" + zone}), "minSize": pulumi.Int(1), "maxSize": pulumi.Int(1),
				"launchTemplate":  pulumi.Map{"id": template.ID(), "version": pulumi.String("$Latest")},
				"instanceRefresh": pulumi.Map{"strategy": pulumi.String("Rolling"), "preferences": pulumi.Map{"minHealthyPercentage": pulumi.Int(0)}},
			}); err != nil {
				return err
			}
		}
	}
	return nil
}
