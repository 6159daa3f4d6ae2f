// Command program deploys what a stack file asks for inside the cluster, and nothing else: the fleet is made up. It lets the tests run
// the real command line without compiling a cloud's SDK.
package main

import (
	"fmt"
	"net/netip"
	"os"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/stack"
	"github.com/sallyport/sallyport/infra/cluster"
	"github.com/sallyport/sallyport/infra/topology"
)

func main() {
	pulumi.Run(func(ctx *pulumi.Context) error {
		settings, err := stack.ReadFile(os.Getenv("STACK_FILE"))
		if err != nil {
			return err
		}
		plan, err := settings.Plan()
		if err != nil {
			return err
		}
		previous, err := topology.ReadPrevious(ctx)
		if err != nil {
			return err
		}
		in := cluster.Input{
			Settings: settings, Plan: plan, Previous: previous, Clients: []netip.Prefix{netip.MustParsePrefix("10.64.0.0/14")},
			Image:           pulumi.String("registry.example.com/sallyport/proxy@sha256:0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"),
			ManagedDNSCache: pulumi.Bool(os.Getenv("MANAGED_DNS_CACHE") == "true"),
		}
		for i, slot := range topology.Slots(settings.Cluster.Zones, plan.Proxies.Total/len(settings.Cluster.Zones)) {
			in.Proxies = append(in.Proxies, cluster.Proxy{
				Slot: slot, Address: pulumi.Sprintf("10.0.%d.10", i), PublicIPs: []pulumi.StringInput{pulumi.String(fmt.Sprintf("198.51.100.%d", i+1))},
			})
		}
		return cluster.Deploy(ctx, in)
	})
}
