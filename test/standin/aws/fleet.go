package aws

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/test/standin/engine"
)

// machineKinds are interfaces, instances and their templates.
func machineKinds() []kind {
	return []kind{
		{
			Token: interfaceKind, Prefix: "eni-", NotFound: "InvalidNetworkInterfaceID.NotFound", Tagged: true,
			Defaults: props{"sourceDestCheck": true, "interfaceType": "interface"},
			Sets:     []string{"privateIps", "securityGroups"}, Replace: []string{"subnetId", "interfaceType", "ipv4PrefixCount"},
			Refs: []ref{{Path: "subnetId", Kinds: []string{subnetKind}}, {Path: "securityGroups[*]", Kinds: []string{securityKind}}},
			Rules: []func(*tx, *object, *object) error{
				func(tx *tx, o, _ *object) error {
					return freeIn(tx, o, o.String("subnetId"), append(engine.Values(o.Inputs, "privateIps[*]"), engine.Values(o.Inputs, "privateIp")...))
				},
				keepsAssociated,
			},
			Outputs: interfaceOutputs,
			Delete: func(tx *tx, o *object) error {
				if user := attached(tx, o.ID); user != nil {
					return fmt.Errorf("InvalidNetworkInterface.InUse: %s is currently in use by %s", o.ID, user.ID)
				}
				return nil
			},
		},
		{
			Token: templateKind, Prefix: "lt-", NotFound: "InvalidLaunchTemplateId.NotFound", Tagged: true, Autoname: "name", NameLimit: 128,
			Sets: []string{"vpcSecurityGroupIds"}, Replace: []string{"name", "namePrefix"}, Unique: []string{"name"},
			Refs: []ref{
				{Path: "networkInterfaces[*].networkInterfaceId", Kinds: []string{interfaceKind}, Weak: true},
				{Path: "networkInterfaces[*].securityGroups[*]", Kinds: []string{securityKind}, Weak: true},
				{Path: "vpcSecurityGroupIds[*]", Kinds: []string{securityKind}, Weak: true},
				{Path: "iamInstanceProfile.arn", Kinds: []string{profileKind}, Attr: "arn", Weak: true},
				{Path: "iamInstanceProfile.name", Kinds: []string{profileKind}, Weak: true},
			},
			Legal: templateLegal,
			Outputs: func(_ *tx, o, old *object) {
				version := 1.0
				if old != nil {
					version = engine.Number(old.Props, "latestVersion", 0) + 1
				}
				o.Props["latestVersion"] = version
				if old == nil || engine.Flag(o.Props, "updateDefaultVersion") {
					o.Props["defaultVersion"] = version
				}
			},
		},
	}
}

// groupKinds are Auto Scaling groups and what belongs to one.
func groupKinds() []kind {
	inGroup := []ref{{Path: "autoscalingGroupName", Kinds: []string{groupKind}}}
	return []kind{
		{
			Token: groupKind, ID: byProperty("name"), NotFound: "ValidationError", Autoname: "name",
			Defaults: props{"healthCheckType": "EC2", "healthCheckGracePeriod": 300.0},
			Sets:     []string{"availabilityZones", "vpcZoneIdentifiers", "tags", "enabledMetrics", "suspendedProcesses", "targetGroupArns", "terminationPolicies"},
			Replace:  []string{"name", "namePrefix"},
			Refs: []ref{
				{Path: "launchTemplate.id", Kinds: []string{templateKind}, Weak: true}, {Path: "launchTemplate.name", Kinds: []string{templateKind}, Attr: "name", Weak: true},
				{Path: "vpcZoneIdentifiers[*]", Kinds: []string{subnetKind}}, {Path: "targetGroupArns[*]", Kinds: []string{targetGroupKind}, Weak: true},
			},
			Legal: groupLegal, Rules: []func(*tx, *object, *object) error{groupPlace},
			Outputs: func(_ *tx, o, _ *object) {
				if _, set := o.Inputs["desiredCapacity"]; !set {
					o.Props["desiredCapacity"] = max(engine.Number(o.Props, "minSize", 0), engine.Number(o.Props, "desiredCapacity", 0))
				}
			},
			After: func(tx *tx, o, old *object) error { return scale(tx, o, old) },
			Delete: func(tx *tx, o *object) error {
				for _, instance := range instances(tx, o.ID) {
					terminate(tx, instance)
				}
				return nil
			},
		},
		{
			Token: instanceKind, Prefix: "i-", NotFound: "InvalidInstanceID.NotFound", Tagged: true,
			Replace: []string{"ami", "availabilityZone", "subnetId", "keyName", "privateIp", "networkInterfaces"},
			Refs:    []ref{{Path: "subnetId", Kinds: []string{subnetKind}}, {Path: "networkInterfaces[*].networkInterfaceId", Kinds: []string{interfaceKind}, Weak: true}},
		},
		{
			Token: scalePolicyKind, ID: byProperty("name"), Autoname: "name",
			Replace: []string{"name", "autoscalingGroupName"}, Refs: inGroup,
		},
		{
			Token: "aws:autoscaling/lifecycleHook:LifecycleHook", ID: joined("/", "autoscalingGroupName", "name"), Autoname: "name",
			Replace: []string{"name", "autoscalingGroupName"}, Refs: append(slices.Clone(inGroup), ref{Path: "roleArn", Kinds: []string{roleKind}, Attr: "arn"}),
		},
		{Token: "aws:autoscaling/schedule:Schedule", ID: joined("/", "autoscalingGroupName", "scheduledActionName"), Replace: []string{"scheduledActionName", "autoscalingGroupName"}, Refs: inGroup},
		{Token: "aws:autoscaling/notification:Notification", ID: joined("-", "topicArn"), Replace: []string{"topicArn"}, Sets: []string{"groupNames", "notifications"},
			Refs: []ref{{Path: "groupNames[*]", Kinds: []string{groupKind}}, {Path: "topicArn", Kinds: []string{topicKind}}}},
		{Token: "aws:autoscaling/attachment:Attachment", ID: joined("/", "autoscalingGroupName", "lbTargetGroupArn"), Replace: []string{"autoscalingGroupName", "lbTargetGroupArn", "elb"},
			Refs: append(slices.Clone(inGroup), ref{Path: "lbTargetGroupArn", Kinds: []string{targetGroupKind}})},
	}
}

// balancerKinds are load balancers with their listeners and targets.
func balancerKinds() []kind {
	return []kind{
		{
			Token: loadBalancerKind, Autoname: "name", NameLimit: 32, Tagged: true, NotFound: "LoadBalancerNotFound", Unique: []string{"name"},
			ID: func(tx *tx, in props) string {
				return fmt.Sprintf("arn:aws:elasticloadbalancing:%s:%s:loadbalancer/net/%s/%s", tx.Region, account, in["name"], engine.Hex(16))
			},
			Sets: []string{"subnetMappings", "subnets", "securityGroups"}, Replace: []string{"name", "namePrefix", "internal", "loadBalancerType", "customerOwnedIpv4Pool"},
			Refs: []ref{
				{Path: "subnetMappings[*].subnetId", Kinds: []string{subnetKind}}, {Path: "subnets[*]", Kinds: []string{subnetKind}},
				{Path: "securityGroups[*]", Kinds: []string{securityKind}}, {Path: "subnetMappings[*].allocationId", Kinds: []string{eipKind}},
			},
			Rules: []func(*tx, *object, *object) error{balancerPlace},
			Outputs: func(tx *tx, o, _ *object) {
				o.Props["dnsName"] = fmt.Sprintf("%s-%s.elb.%s.amazonaws.com", o.String("name"), suffix(o.ID), tx.Region)
				o.Props["arnSuffix"] = o.ID[strings.Index(o.ID, "loadbalancer/")+len("loadbalancer/"):]
				o.Props["zoneId"] = "Z" + strings.ToUpper(suffix(tx.Region))[:13]
			},
		},
		{
			Token: targetGroupKind, Autoname: "name", NameLimit: 32, Tagged: true, NotFound: "TargetGroupNotFound", Unique: []string{"name"},
			ID: func(tx *tx, in props) string {
				return fmt.Sprintf("arn:aws:elasticloadbalancing:%s:%s:targetgroup/%s/%s", tx.Region, account, in["name"], engine.Hex(16))
			},
			Replace: []string{"name", "namePrefix", "port", "protocol", "vpcId", "targetType", "ipAddressType"},
			Refs:    []ref{{Path: "vpcId", Kinds: []string{vpcKind}}},
			Outputs: func(_ *tx, o, _ *object) { o.Props["arnSuffix"] = o.ID[strings.Index(o.ID, "targetgroup/"):] },
		},
		{
			Token: "aws:lb/listener:Listener", Tagged: true, Unique: []string{"loadBalancerArn", "port", "protocol"}, Replace: []string{"loadBalancerArn"},
			ID: func(_ *tx, in props) string {
				return strings.Replace(engine.Text(in, "loadBalancerArn"), ":loadbalancer/", ":listener/", 1) + "/" + engine.Hex(16)
			},
			Refs:    []ref{{Path: "loadBalancerArn", Kinds: []string{loadBalancerKind}, Weak: true}, {Path: "defaultActions[*].targetGroupArn", Kinds: []string{targetGroupKind}}},
			Outputs: func(_ *tx, o, _ *object) { o.Props["arn"] = o.ID },
		},
		{
			Token: "aws:lb/targetGroupAttachment:TargetGroupAttachment", Prefix: "tga-", Unique: []string{"targetGroupArn", "targetId", "port"},
			Replace: []string{"targetGroupArn", "targetId", "port", "availabilityZone"},
			Refs:    []ref{{Path: "targetGroupArn", Kinds: []string{targetGroupKind}}},
		},
	}
}

// keepsAssociated refuses to take away a private address that an Elastic IP belongs to.
func keepsAssociated(tx *tx, o, old *object) error {
	if old == nil {
		return nil
	}
	wanted := append(engine.Values(o.Props, "privateIps[*]"), engine.Values(o.Props, "privateIp")...)
	for _, association := range tx.All(associationKind) {
		if ip := association.String("privateIpAddress"); association.String("networkInterfaceId") == o.ID && !contains(wanted, ip) {
			return fmt.Errorf("InvalidParameterValue: %s of %s has the Elastic IP %s", ip, o.ID, association.String("publicIp"))
		}
	}
	return nil
}

func interfaceOutputs(tx *tx, o, old *object) {
	if old == nil {
		o.Props["macAddress"], o.Props["ownerId"] = "0a:"+engine.Hex(2)+":"+engine.Hex(2)+":00:00:01", account
	}
	ips := engine.Values(o.Inputs, "privateIps[*]")
	if list := engine.Values(o.Inputs, "privateIpList[*]"); len(ips) == 0 {
		ips = list
	}
	if len(ips) == 0 {
		ips = append(engine.Values(o.Props, "privateIp"), engine.Values(o.Props, "privateIps[*]")...)
	}
	if len(ips) == 0 {
		ips = []string{nextPrivate(tx, o.String("subnetId"))}
	}
	if current := o.String("privateIp"); !contains(ips, current) { // the primary address stays
		o.Props["privateIp"] = ips[0]
	}
	o.Props["privateIps"] = engine.List(ips...)
}

// attached is the instance that has an interface, nil if none has.
func attached(tx *tx, networkInterface string) *object {
	for _, instance := range tx.All(instanceKind) {
		if contains(engine.Values(instance.Props, "networkInterfaces[*].networkInterfaceId"), networkInterface) {
			return instance
		}
	}
	return nil
}

// maxUserData is what EC2 takes, before base64. EC2 user guide, "Instance user data", 2023-06-15.
const maxUserData = 16 << 10

func templateLegal(in props) []string {
	var problems []string
	for _, networkInterface := range engine.Blocks(in, "networkInterfaces") {
		if engine.Text(networkInterface, "networkInterfaceId") == "" {
			continue
		}
		for _, other := range []string{"subnetId", "securityGroups", "privateIpAddress", "associatePublicIpAddress"} {
			if _, set := networkInterface[other]; set {
				problems = append(problems, "networkInterfaces: "+other+" cannot be given for an existing interface")
			}
		}
	}
	if len(engine.Blocks(in, "networkInterfaces")) > 0 && len(engine.Values(in, "vpcSecurityGroupIds[*]")) > 0 {
		problems = append(problems, "vpcSecurityGroupIds: network interfaces and security groups may not be specified on the same request")
	}
	if text, ok := in["userData"].(string); ok {
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			problems = append(problems, "userData: must be base64")
		} else if len(raw) > maxUserData {
			problems = append(problems, fmt.Sprintf("userData: at most %d bytes, got %d", maxUserData, len(raw)))
		}
	}
	return problems
}

func groupLegal(in props) []string {
	var problems []string
	_, places := in["availabilityZones"]
	_, subnets := in["vpcZoneIdentifiers"]
	if places == subnets {
		problems = append(problems, "availabilityZones: exactly one of availabilityZones and vpcZoneIdentifiers must be given")
	}
	smallest, largest := engine.Number(in, "minSize", 0), engine.Number(in, "maxSize", 0)
	if desired := engine.Number(in, "desiredCapacity", smallest); smallest > desired || desired > largest {
		problems = append(problems, fmt.Sprintf("desiredCapacity: needs minSize %v <= desiredCapacity %v <= maxSize %v", smallest, desired, largest))
	}
	return problems
}
