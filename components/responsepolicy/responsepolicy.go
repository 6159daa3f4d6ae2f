// Package responsepolicy is the redirect for GKE clusters whose DNS cache is managed: a Cloud DNS response policy answers the listed
// hosts with the proxies' internal addresses, in the cluster's whole VPC network.
//
// GKE's own cache asks the VPC's resolver for every name outside the cluster, so nothing in the cluster has to change. The proxies
// must resolve elsewhere, or they would connect to themselves: gcphost refuses the VPC's resolver.
//
// The limit that matters: Cloud DNS does not ask whether an address answers. A proxy that is gone stays in the answers until its
// machine is made anew, and its share of new connections waits that long. With the internal load balancer in front there is one
// address, and that does ask.
package responsepolicy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/dns"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/internal/gcpname"
	"github.com/sallyport/sallyport/internal/problem"
)

// typeToken identifies the component in every state file.
const typeToken = "sallyport:responsepolicy:ResponsePolicy"

const (
	// TTLSeconds is how long an answer is kept: as short as a cache in front of it likes.
	TTLSeconds = 30
	// MaxAddresses is how many addresses one answer has. Cloud DNS quotas, resource records per record set, 2026.
	MaxAddresses = 100
)

// own are the hosts that proxies need themselves to start and to read their routes, by the VPC's resolver. Redirected, they would be
// asked of proxies that wait for the answer.
var own = []string{"storage.googleapis.com", "logging.googleapis.com", "monitoring.googleapis.com"}

// Args are the arguments of NewResponsePolicy.
type Args struct {
	// Stack is the stack's name, for the names of resources.
	Stack string
	// Project is the network's: with a Shared VPC the host project.
	Project string
	// Network is the self link of the cluster's VPC network. A network takes one response policy.
	Network pulumi.StringInput
	// Hosts are the redirected hosts, exact or with one leading "*.". Each once.
	Hosts []string
	// Addresses are what they are answered with: the proxies' internal addresses, or the load balancer's. 1 to MaxAddresses.
	Addresses []pulumi.StringInput
	// Registry is the host that the proxy image is pulled from, which must not be redirected. Empty: none.
	Registry string
}

// ResponsePolicy is the redirect.
type ResponsePolicy struct {
	pulumi.ResourceState

	// PolicyName is its name in the project.
	PolicyName pulumi.StringOutput `pulumi:"policyName"`
}

// NewResponsePolicy makes the policy and a rule for each host.
func NewResponsePolicy(ctx *pulumi.Context, name string, args *Args, opts ...pulumi.ResourceOption) (*ResponsePolicy, error) {
	if err := args.validate(name); err != nil {
		return nil, err
	}
	p := &ResponsePolicy{}
	hosts := slices.Sorted(slices.Values(args.Hosts))
	inputs := pulumi.Map{"hosts": pulumi.ToStringArray(hosts), "network": args.Network, "addresses": pulumi.StringArray(args.Addresses)}
	if err := ctx.RegisterComponentResourceV2(typeToken, name, inputs, p, opts...); err != nil {
		return nil, err
	}
	policy, err := dns.NewResponsePolicy(ctx, "responsepolicy-policy", &dns.ResponsePolicyArgs{
		ResponsePolicyName: pulumi.String(gcpname.Of(args.Stack, "egress")), Project: pulumi.String(args.Project),
		Description: pulumi.String("Sends the hosts of stack " + args.Stack + " to its egress proxies"),
		Networks:    dns.ResponsePolicyNetworkArray{&dns.ResponsePolicyNetworkArgs{NetworkUrl: args.Network}},
	}, pulumi.Parent(p))
	if err != nil {
		return nil, fmt.Errorf("response policy %q: %w", name, err)
	}
	for _, host := range hosts {
		if err := args.createRule(ctx, p, policy, host); err != nil {
			return nil, fmt.Errorf("response policy %q: %s: %w", name, host, err)
		}
	}
	p.PolicyName = policy.ResponsePolicyName
	return p, ctx.RegisterResourceOutputs(p, pulumi.Map{"policyName": p.PolicyName})
}

// createRule answers one host. There are A records only, so a client that asks for an IPv6 address or for HTTPS records gets an empty
// answer and none that leads around the proxies. The order of the addresses is of no meaning, so it is fixed by their names.
func (args *Args) createRule(ctx *pulumi.Context, p *ResponsePolicy, policy *dns.ResponsePolicy, host string) error {
	_, err := dns.NewResponsePolicyRule(ctx, "responsepolicy-rule-"+host, &dns.ResponsePolicyRuleArgs{
		RuleName: pulumi.String(RuleName(host)), Project: pulumi.String(args.Project), ResponsePolicy: policy.ResponsePolicyName, DnsName: pulumi.String(host + "."),
		LocalData: &dns.ResponsePolicyRuleLocalDataArgs{LocalDatas: dns.ResponsePolicyRuleLocalDataLocalDataArray{&dns.ResponsePolicyRuleLocalDataLocalDataArgs{
			Name: pulumi.String(host + "."), Type: pulumi.String("A"), Ttl: pulumi.Int(TTLSeconds), Rrdatas: pulumi.StringArray(args.Addresses),
		}}},
	}, pulumi.Parent(p))
	return err
}

// RuleName is the name of a host's rule in the policy.
func RuleName(host string) string {
	if rest, ok := strings.CutPrefix(host, "*."); ok {
		return gcpname.Of("below", rest)
	}
	return gcpname.Of("host", host)
}

// validate reports every problem at once.
func (args *Args) validate(name string) error {
	var list problem.List
	place := fmt.Sprintf("response policy %q: ", name)
	if args.Stack == "" || args.Project == "" || args.Network == nil {
		list.Add(place+"stack, project, network", "must be given", args.Stack+" "+args.Project, "")
	}
	if n := len(args.Addresses); n < 1 || n > MaxAddresses {
		list.Addf(place+"addresses", n, "put the load balancer in front: it is one address", "must be 1 to %d", MaxAddresses)
	}
	for _, address := range args.Addresses {
		if text, ok := address.(pulumi.String); ok {
			if ip, err := netip.ParseAddr(string(text)); err != nil || !ip.Is4() || !ip.IsPrivate() {
				list.Add(place+"addresses", "must be private IPv4 addresses", string(text), "")
			}
		}
	}
	needed := own
	if args.Registry != "" {
		needed = append(slices.Clone(own), args.Registry)
	}
	seen := map[string]bool{}
	for i, host := range args.Hosts {
		at := problem.Index(place+"hosts", i)
		if host == "" || strings.HasSuffix(host, ".") || seen[host] || strings.Contains(strings.TrimPrefix(host, "*."), "*") {
			list.Add(at, "must be a host without a dot at its end, or one with a leading *., each once", host, "")
		}
		seen[host] = true
		for _, need := range needed {
			if covers(host, need) {
				list.Addf(at, host, "send it through the NAT: the proxies themselves need it to start", "must not be answered with the proxies, who ask for %s", need)
			}
		}
	}
	if len(args.Hosts) == 0 {
		list.Add(place+"hosts", "needs at least one", 0, "")
	}
	return list.Err()
}

// covers says whether a rule for a host answers for a name.
func covers(host, name string) bool {
	rest, wild := strings.CutPrefix(host, "*.")
	return host == name || wild && strings.HasSuffix(name, "."+rest)
}
