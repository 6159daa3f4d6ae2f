package aws

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/test/standin/engine"
)

// networkKinds are VPCs and what routes in them.
func networkKinds() []kind {
	return []kind{
		{
			Token: vpcKind, Prefix: "vpc-", NotFound: "InvalidVpcID.NotFound", Tagged: true,
			Defaults: props{"enableDnsSupport": true, "instanceTenancy": "default"},
			Replace:  []string{"cidrBlock", "instanceTenancy", "ipv4IpamPoolId", "ipv4NetmaskLength"},
			Outputs: func(_ *tx, o, _ *object) {
				o.Props["ownerId"] = account
				o.Props["mainRouteTableId"], o.Props["defaultRouteTableId"] = "rtb-"+suffix(o.ID)+"0", "rtb-"+suffix(o.ID)+"0"
				o.Props["defaultSecurityGroupId"], o.Props["defaultNetworkAclId"] = "sg-"+suffix(o.ID)+"0", "acl-"+suffix(o.ID)+"0"
			},
		},
		{
			Token: subnetKind, Prefix: "subnet-", NotFound: "InvalidSubnetID.NotFound", Tagged: true,
			Replace: []string{"vpcId", "cidrBlock", "availabilityZone", "availabilityZoneId", "outpostArn"},
			Refs:    []ref{{Path: "vpcId", Kinds: []string{vpcKind}}},
			Rules:   []func(*tx, *object, *object) error{subnetRule},
		},
		{
			Token: internetKind, Prefix: "igw-", NotFound: "InvalidInternetGatewayID.NotFound", Tagged: true, Unique: []string{"vpcId"},
			Refs: []ref{{Path: "vpcId", Kinds: []string{vpcKind}}},
			Delete: func(tx *tx, o *object) error {
				for _, nat := range tx.All(natKind) {
					if tx.Find(subnetKind, nat.String("subnetId")).String("vpcId") == o.String("vpcId") {
						return fmt.Errorf("DependencyViolation: network %s has some mapped public address(es): %s", o.String("vpcId"), nat.String("publicIp"))
					}
				}
				return nil
			},
		},
		{
			Token: routeTableKind, Prefix: "rtb-", NotFound: "InvalidRouteTableID.NotFound", Tagged: true, Sets: []string{"routes"},
			Replace: []string{"vpcId"},
			Refs: []ref{
				{Path: "vpcId", Kinds: []string{vpcKind}}, {Path: "routes[*].natGatewayId", Kinds: []string{natKind}},
				{Path: "routes[*].gatewayId", Kinds: []string{internetKind}},
			},
		},
		{
			Token: routeKind, NotFound: "InvalidRoute.NotFound", Unique: []string{"routeTableId", "destinationCidrBlock"},
			ID: func(_ *tx, in props) string {
				return "r-" + engine.Text(in, "routeTableId") + suffix(engine.Text(in, "destinationCidrBlock") + engine.Text(in, "destinationPrefixListId"))[:10]
			},
			Replace: []string{"routeTableId", "destinationCidrBlock", "destinationIpv6CidrBlock", "destinationPrefixListId"},
			Refs: []ref{
				{Path: "routeTableId", Kinds: []string{routeTableKind}}, {Path: "natGatewayId", Kinds: []string{natKind}},
				{Path: "gatewayId", Kinds: []string{internetKind, endpointKind}}, {Path: "networkInterfaceId", Kinds: []string{interfaceKind}},
			},
		},
		{
			Token: "aws:ec2/routeTableAssociation:RouteTableAssociation", Prefix: "rtbassoc-", Unique: []string{"subnetId"},
			Replace: []string{"subnetId", "gatewayId"},
			Refs:    []ref{{Path: "subnetId", Kinds: []string{subnetKind}}, {Path: "routeTableId", Kinds: []string{routeTableKind}}},
		},
	}
}

// filterKinds are what filters in a VPC, and endpoints.
func filterKinds() []kind {
	return []kind{
		{
			Token: securityKind, Prefix: "sg-", NotFound: "InvalidGroup.NotFound", Tagged: true, Autoname: "name",
			Defaults: props{"description": "Managed by Pulumi"}, Sets: []string{"ingress", "egress"}, Unique: []string{"vpcId", "name"},
			Replace: []string{"name", "namePrefix", "description", "vpcId"},
			Refs: []ref{
				{Path: "vpcId", Kinds: []string{vpcKind}}, {Path: "ingress[*].securityGroups[*]", Kinds: []string{securityKind}},
				{Path: "egress[*].securityGroups[*]", Kinds: []string{securityKind}},
			},
			Outputs: func(_ *tx, o, _ *object) { o.Props["ownerId"] = account },
		},
		{ // adopts the group that every VPC has, and leaves it as it is when it is deleted
			Token: "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup", Tagged: true, Sets: []string{"ingress", "egress"}, Replace: []string{"vpcId"},
			ID:      func(_ *tx, in props) string { return "sg-" + suffix(engine.Text(in, "vpcId")) + "0" },
			Refs:    []ref{{Path: "vpcId", Kinds: []string{vpcKind}, Weak: true}},
			Outputs: func(_ *tx, o, _ *object) { o.Props["ownerId"], o.Props["name"] = account, "default" },
		},
		securityRule("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"),
		securityRule("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"),
		{
			Token: "aws:ec2/securityGroupRule:SecurityGroupRule", Prefix: "sgrule-",
			Replace: []string{"cidrBlocks", "fromPort", "ipv6CidrBlocks", "prefixListIds", "protocol", "securityGroupId", "self", "sourceSecurityGroupId", "toPort", "type"},
			Unique:  []string{"securityGroupId", "type", "protocol", "fromPort", "toPort", "cidrBlocks", "sourceSecurityGroupId", "prefixListIds"},
			Refs:    []ref{{Path: "securityGroupId", Kinds: []string{securityKind}}, {Path: "sourceSecurityGroupId", Kinds: []string{securityKind}}},
		},
		{
			Token: endpointKind, Prefix: "vpce-", NotFound: "InvalidVpcEndpointId.NotFound", Tagged: true,
			Defaults: props{"vpcEndpointType": "Gateway"}, Sets: []string{"routeTableIds", "subnetIds", "securityGroupIds"},
			Replace: []string{"serviceName", "vpcEndpointType", "vpcId"},
			Refs: []ref{
				{Path: "vpcId", Kinds: []string{vpcKind}}, {Path: "routeTableIds[*]", Kinds: []string{routeTableKind}},
				{Path: "subnetIds[*]", Kinds: []string{subnetKind}}, {Path: "securityGroupIds[*]", Kinds: []string{securityKind}},
			},
			Outputs: func(_ *tx, o, _ *object) {
				o.Props["prefixListId"], o.Props["state"] = "pl-"+suffix(o.String("serviceName"))[:8], "available"
			},
		},
		{
			Token: "aws:ec2/vpcEndpointRouteTableAssociation:VpcEndpointRouteTableAssociation", Prefix: "a-",
			Replace: []string{"routeTableId", "vpcEndpointId"}, Unique: []string{"routeTableId", "vpcEndpointId"},
			Refs: []ref{{Path: "routeTableId", Kinds: []string{routeTableKind}}, {Path: "vpcEndpointId", Kinds: []string{endpointKind}}},
		},
	}
}

// securityRule is one rule of a security group; all but the group may change in place.
func securityRule(token string) kind {
	return kind{
		Token: token, Prefix: "sgr-", Tagged: true, NotFound: "InvalidSecurityGroupRuleId.NotFound", Replace: []string{"securityGroupId"},
		Unique:  []string{"securityGroupId", "ipProtocol", "fromPort", "toPort", "cidrIpv4", "cidrIpv6", "referencedSecurityGroupId", "prefixListId"},
		Refs:    []ref{{Path: "securityGroupId", Kinds: []string{securityKind}}, {Path: "referencedSecurityGroupId", Kinds: []string{securityKind}}},
		Outputs: func(_ *tx, o, _ *object) { o.Props["securityGroupRuleId"] = o.ID },
	}
}

func subnetRule(tx *tx, o, _ *object) error {
	if zone := o.String("availabilityZone"); zone == "" {
		o.Props["availabilityZone"] = zones(tx)[0]
	} else if !slices.Contains(zones(tx), zone) && !tx.Settings.Lenient {
		return fmt.Errorf("InvalidParameterValue: value (%s) for parameter availabilityZone is invalid; subnets can be created in %s",
			zone, strings.Join(zones(tx), ", "))
	}
	block, err := netip.ParsePrefix(o.String("cidrBlock"))
	if err != nil {
		return fmt.Errorf("InvalidSubnet.Range: %w", err)
	}
	vpc := tx.Find(vpcKind, o.String("vpcId"))
	if whole, err := netip.ParsePrefix(vpc.String("cidrBlock")); err == nil && (!whole.Contains(block.Addr()) || whole.Bits() > block.Bits()) {
		return fmt.Errorf("InvalidSubnet.Range: the CIDR %s is not inside %s", block, whole)
	}
	for _, other := range tx.All(subnetKind) {
		taken, err := netip.ParsePrefix(other.String("cidrBlock"))
		if err == nil && other.ID != o.ID && other.String("vpcId") == o.String("vpcId") && taken.Overlaps(block) {
			return fmt.Errorf("InvalidSubnet.Conflict: the CIDR %s conflicts with %s of %s", block, taken, other.ID)
		}
	}
	return nil
}

// zones are the zones of the provider's region.
func zones(tx *tx) []string {
	letters := tx.Settings.Zones
	if len(letters) == 0 {
		letters = []string{"a", "b", "c", "d", "e", "f"}
	}
	out := make([]string, len(letters))
	for i, letter := range letters {
		out[i] = tx.Region + letter
	}
	return out
}

func contains(list []string, value string) bool { return slices.Contains(list, value) }

// privateIPs are all addresses of an interface.
func privateIPs(networkInterface *object) []string {
	all := append(engine.Values(networkInterface.Props, "privateIp"), engine.Values(networkInterface.Props, "privateIps[*]")...)
	slices.Sort(all)
	return slices.Compact(all)
}

// taken are the private addresses in use in a subnet, with their owners' ids.
func taken(tx *tx, subnet string) map[string]string {
	out := map[string]string{}
	for _, o := range tx.All(interfaceKind, natKind) {
		if o.String("subnetId") != subnet {
			continue
		}
		for _, ip := range append(privateIPs(o), engine.Values(o.Props, "secondaryPrivateIpAddresses[*]")...) {
			out[ip] = o.ID
		}
	}
	for _, o := range tx.All(loadBalancerKind) {
		for _, mapping := range engine.Blocks(o.Props, "subnetMappings") {
			if ip := engine.Text(mapping, "privateIpv4Address"); ip != "" && engine.Text(mapping, "subnetId") == subnet {
				out[ip] = o.ID
			}
		}
	}
	return out
}

// freeIn checks that addresses are in a subnet, usable and not in use by another. EC2 keeps the first four addresses of a
// subnet and the last one for itself. VPC user guide, "Subnet CIDR blocks", 2023-06-15.
func freeIn(tx *tx, o *object, subnetID string, wanted []string) error {
	subnet := tx.Find(subnetKind, subnetID)
	block, err := netip.ParsePrefix(subnet.String("cidrBlock"))
	if err != nil {
		return nil //nolint:nilerr // a subnet taken at its word has no range
	}
	inUse := taken(tx, subnetID)
	for _, text := range wanted {
		ip, err := netip.ParseAddr(text)
		if err != nil || !block.Contains(ip) {
			return fmt.Errorf("InvalidParameterValue: address %s does not fall within the subnet's range %s", text, block)
		}
		if reserved(block, ip) {
			return fmt.Errorf("InvalidParameterValue: address %s is in subnet's reserved address range", text)
		}
		if holder, ok := inUse[text]; ok && holder != o.ID {
			return fmt.Errorf("InvalidIPAddress.InUse: address %s is in use by %s", text, holder)
		}
	}
	return nil
}

func reserved(block netip.Prefix, ip netip.Addr) bool {
	first := block.Masked().Addr()
	for range 4 {
		if ip == first {
			return true
		}
		first = first.Next()
	}
	return !block.Contains(ip.Next())
}

// nextPrivate is a free address of a subnet.
func nextPrivate(tx *tx, subnetID string) string {
	subnet := tx.Find(subnetKind, subnetID)
	block, err := netip.ParsePrefix(subnet.String("cidrBlock"))
	if err != nil {
		return "10.255.255.4"
	}
	inUse := taken(tx, subnetID)
	for ip := block.Masked().Addr(); block.Contains(ip); ip = ip.Next() {
		if _, held := inUse[ip.String()]; !held && !reserved(block, ip) {
			return ip.String()
		}
	}
	return ""
}
