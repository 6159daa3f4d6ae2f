package cloudnat

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/compute"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// natRules are the rules of a gateway; nil for none.
func natRules(rules []Rule) compute.RouterNatRuleArrayInput {
	if len(rules) == 0 {
		return nil
	}
	var out compute.RouterNatRuleArray
	for _, r := range rules {
		out = append(out, &compute.RouterNatRuleArgs{
			RuleNumber: pulumi.Int(r.Number), Description: pulumi.String(r.Name), Match: pulumi.String(match(r.Destinations)),
			Action: &compute.RouterNatRuleActionArgs{SourceNatActiveIps: links(r.IPs), SourceNatDrainIps: links(r.Draining)},
		})
	}
	return out
}

// match is the condition of a rule, in the subset of CEL that Cloud NAT has: inIpRange and == on destination.ip, joined by ||.
// Cloud NAT documentation, "Cloud NAT rules", 2025-09-04.
func match(destinations []netip.Prefix) string {
	terms := make([]string, len(destinations))
	for i, d := range destinations {
		if d.IsSingleIP() {
			terms[i] = fmt.Sprintf("destination.ip == '%s'", d.Addr())
		} else {
			terms[i] = fmt.Sprintf("inIpRange(destination.ip, '%s')", d)
		}
	}
	return strings.Join(terms, " || ")
}
