// Command policies is Sallyport's policy pack: it refuses what would hurt traffic that leaves a cluster, before anything is
// created.
//
// `pulumi preview --policy-pack policies` runs it from source, `--policy-pack .build/bin/sallyport-policies` prebuilt. One file
// holds one policy; pack.go lists them; policy.go is how they see resources and report.
//
// It judges resource types, not our components alone, so any stack that has NAT gateways, public IPs or proxies may run it. What a
// policy needs and does not find is reported, never passed.
package main

import (
	"fmt"
	"os"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/policyx"
)

func main() {
	err := policyx.Main(func(*pulumi.Context) (policyx.PolicyPack, error) { return newPack() })
	if err != nil {
		fmt.Fprintln(os.Stderr, "policies:", err)
		os.Exit(1)
	}
}
