package awsfleet

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/vpc"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/proxyfleet"
)

// maxRules is how many rules a security group has in each direction unless the quota is raised.
// "Amazon VPC quotas", L-0EA8095F, 2026-09-26.
const maxRules = 60

// anywhere is the internet.
const anywhere = "0.0.0.0/0"

// createSecurityGroup makes the group on every interface. Its rules are resources of their own, keyed by port and peer, so that a new
// client network touches no other rule. There is no rule for SSH, and none that lets the world in.
//
// Answers are let through by the group's connection tracking, so a machine's allowance for tracked connections counts; EC2 drops what
// goes beyond it (conntrack_allowance_exceeded of ethtool -S).
func (args *InterfacesArgs) createSecurityGroup(ctx *pulumi.Context, i *Interfaces) (*ec2.SecurityGroup, error) {
	group, err := ec2.NewSecurityGroup(ctx, "proxyfleet-group", &ec2.SecurityGroupArgs{
		Description: pulumi.Sprintf("Egress proxies of stack %s: clients in, declared ports out", args.Stack),
		VpcId:       args.VPCID,
		Tags:        tags(args.Tags, args.Stack, ""),
	}, pulumi.Parent(i))
	if err != nil {
		return nil, err
	}
	for _, rule := range args.Access.ingress() {
		in := &vpc.SecurityGroupIngressRuleArgs{
			SecurityGroupId: group.ID(), Description: pulumi.String(rule.why), IpProtocol: pulumi.String("tcp"),
			FromPort: pulumi.Int(rule.port), ToPort: pulumi.Int(rule.port), Tags: tags(args.Tags, args.Stack, ""),
		}
		if rule.group != nil {
			in.ReferencedSecurityGroupId = rule.group.ToStringOutput()
		} else {
			in.CidrIpv4 = pulumi.String(rule.cidr)
		}
		if _, err := vpc.NewSecurityGroupIngressRule(ctx, rule.name("ingress"), in, pulumi.Parent(i)); err != nil {
			return nil, err
		}
	}
	for _, rule := range args.Access.egress() {
		_, err := vpc.NewSecurityGroupEgressRule(ctx, rule.name("egress"), &vpc.SecurityGroupEgressRuleArgs{
			SecurityGroupId: group.ID(), Description: pulumi.String(rule.why), IpProtocol: pulumi.String(rule.protocol),
			FromPort: pulumi.Int(rule.port), ToPort: pulumi.Int(rule.port), CidrIpv4: pulumi.String(rule.cidr), Tags: tags(args.Tags, args.Stack, ""),
		}, pulumi.Parent(i))
		if err != nil {
			return nil, err
		}
	}
	return group, nil
}

// rule is one rule of the group: TCP unless the protocol says otherwise.
type rule struct {
	protocol string
	port     int
	cidr     string
	peer     string             // stable name of a group, in place of cidr
	group    pulumi.StringInput // its id
	why      string
}

// name is the rule's resource name: direction, protocol unless TCP, port and peer.
func (r rule) name(direction string) string {
	peer := r.peer
	if r.group == nil {
		peer = strings.NewReplacer("/", "-").Replace(r.cidr)
	}
	port := fmt.Sprint(r.port)
	if r.protocol == "udp" {
		port = "udp-" + port
	}
	return fmt.Sprintf("proxyfleet-%s-%s-%s", direction, port, peer)
}

// ingress lets clients reach the frontends and the health page.
func (a Access) ingress() []rule {
	var rules []rule
	for _, port := range ports(append(slices.Clone(a.ListenPorts), proxyfleet.HealthPort)) {
		why := "clients"
		if port == proxyfleet.HealthPort {
			why = "clients ask whether the proxy is ready"
		}
		for _, cidr := range a.ClientCIDRs {
			rules = append(rules, rule{port: port, cidr: cidr, why: why})
		}
		for _, name := range slices.Sorted(maps.Keys(a.ClientSecurityGroups)) {
			rules = append(rules, rule{port: port, peer: name, group: a.ClientSecurityGroups[name], why: why})
		}
	}
	return rules
}

// egress lets proxies reach the destinations' ports, AWS, and DNS servers of one's own.
func (a Access) egress() []rule {
	var rules []rule
	for _, port := range ports(append(slices.Clone(a.DestinationPorts), 443)) {
		why := "destinations"
		if port == 443 {
			why = "destinations, and AWS: routes document, image, log"
		}
		rules = append(rules, rule{protocol: "tcp", port: port, cidr: anywhere, why: why})
	}
	for _, server := range a.DNSServers {
		rules = append(rules,
			rule{protocol: "udp", port: 53, cidr: server + "/32", why: "DNS"},
			rule{protocol: "tcp", port: 53, cidr: server + "/32", why: "DNS, long answers"})
	}
	return rules
}

// ports sorts and removes what is there twice.
func ports(list []int) []int {
	slices.Sort(list)
	return slices.Compact(list)
}
