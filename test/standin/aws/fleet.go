package aws

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/test/standin/engine"
)

// fleetKinds are what a proxy's place consists of, and the load balancer in front of it.
func fleetKinds() []kind {
	inGroup := []ref{{Path: "autoscalingGroupName", Kinds: []string{groupKind}}}
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

// template is the launch template of a group.
func template(tx *tx, group *object) *object {
	block := engine.Block(group.Props, "launchTemplate")
	if id := engine.Text(block, "id"); id != "" {
		return tx.Find(templateKind, id)
	}
	return tx.By(templateKind, "name", engine.Text(block, "name"))
}

// ownInterface is the existing interface that a launch template attaches, nil for none.
func ownInterface(tx *tx, template *object) *object {
	if template == nil {
		return nil
	}
	for _, id := range engine.Values(template.Props, "networkInterfaces[*].networkInterfaceId") {
		return tx.Find(interfaceKind, id)
	}
	return nil
}

// groupPlace is the rule for groups whose launch template names an interface: one instance, in the interface's zone, without
// subnets. Auto Scaling user guide, "Launch templates with network interfaces", 2023-06-15.
func groupPlace(tx *tx, o, _ *object) error {
	networkInterface := ownInterface(tx, template(tx, o))
	if networkInterface == nil {
		return nil
	}
	zone := tx.Find(subnetKind, networkInterface.String("subnetId")).String("availabilityZone")
	if size := engine.Number(o.Props, "maxSize", 0); size > 1 {
		return fmt.Errorf("ValidationError: a launch template with a network interface needs maxSize 1, got %v", size)
	}
	if got := engine.Values(o.Props, "availabilityZones[*]"); len(got) != 1 || zone != "" && got[0] != zone {
		return fmt.Errorf("ValidationError: %s is in %s, the group in %v", networkInterface.ID, zone, got)
	}
	return nil
}

// instances are the running instances of a group.
func instances(tx *tx, group string) []*object {
	return slices.DeleteFunc(tx.All(instanceKind), func(o *object) bool { return o.String("autoscalingGroup") != group })
}

// scale launches and ends instances until the group is as it should be. With an instance refresh, an instance of an older version
// of the launch template is ended first and then launched anew, as minHealthyPercentage 0 asks.
func scale(tx *tx, group, old *object) error {
	want := int(engine.Number(group.Props, "desiredCapacity", 0))
	running := instances(tx, group.ID)
	for len(running) > want {
		terminate(tx, running[len(running)-1])
		running = running[:len(running)-1]
	}
	version := versionOf(tx, group)
	if refresh := engine.Block(group.Props, "instanceRefresh"); old != nil && refresh != nil {
		for i, instance := range running {
			if instance.Props["launchTemplateVersion"] == version {
				continue
			}
			healthy := engine.Number(engine.Block(refresh, "preferences"), "minHealthyPercentage", 90)
			if ownInterface(tx, template(tx, group)) != nil && healthy > 0 {
				return fmt.Errorf("InstanceRefreshInProgress: cannot keep %v %% healthy while the one interface is in use; use minHealthyPercentage 0", healthy)
			}
			terminate(tx, instance)
			fresh, err := launch(tx, group, version)
			if err != nil {
				return err
			}
			running[i] = fresh
		}
	}
	for len(running) < want {
		instance, err := launch(tx, group, version)
		if err != nil {
			return err
		}
		running = append(running, instance)
	}
	return nil
}

// versionOf is the version of the launch template that a group launches.
func versionOf(tx *tx, group *object) any {
	t := template(tx, group)
	if t == nil {
		return nil
	}
	switch version := engine.Text(engine.Block(group.Props, "launchTemplate"), "version"); version {
	case "$Latest":
		return fmt.Sprint(t.Props["latestVersion"])
	case "", "$Default":
		return fmt.Sprint(t.Props["defaultVersion"])
	default:
		return version
	}
}

func launch(tx *tx, group *object, version any) (*object, error) {
	t := template(tx, group)
	if t == nil {
		return nil, errors.New("ValidationError: you must use a valid fully-formed launch template")
	}
	instance := &object{Type: instanceKind, ID: "i-" + engine.Hex(17), Foreign: true, Props: props{
		"autoscalingGroup": group.ID, "launchTemplateVersion": version, "instanceType": t.Props["instanceType"], "ami": t.Props["imageId"],
		"userData": t.Props["userData"], "availabilityZone": engine.Text(group.Props, "availabilityZones[*]"),
	}}
	if networkInterface := ownInterface(tx, t); networkInterface != nil {
		if user := attached(tx, networkInterface.ID); user != nil {
			return nil, fmt.Errorf("InvalidNetworkInterface.InUse: interface %s is in use by %s of group %s",
				networkInterface.ID, user.ID, user.String("autoscalingGroup"))
		}
		instance.Props["networkInterfaces"] = []any{props{"networkInterfaceId": networkInterface.ID}}
	}
	tx.Put(instance)
	tx.Note("launch", instance)
	return instance, nil
}

func terminate(tx *tx, instance *object) {
	tx.Remove(instance)
	tx.Note("terminate", instance)
}

// Terminate ends an instance as a failure of its host would: its group launches another.
func Terminate(tx *engine.Tx, group string) error {
	o := tx.Find(groupKind, group)
	if o == nil {
		return fmt.Errorf("no group %q", group)
	}
	for _, instance := range instances(tx, group) {
		terminate(tx, instance)
	}
	return scale(tx, o, nil)
}

func balancerPlace(tx *tx, o, _ *object) error {
	seen := map[string]bool{}
	for _, mapping := range engine.Blocks(o.Props, "subnetMappings") {
		subnet := tx.Find(subnetKind, engine.Text(mapping, "subnetId"))
		zone := subnet.String("availabilityZone")
		if zone != "" && seen[zone] {
			return fmt.Errorf("InvalidConfigurationRequest: a load balancer cannot be attached to multiple subnets in %s", zone)
		}
		seen[zone] = true
		if ip := engine.Text(mapping, "privateIpv4Address"); ip != "" && subnet != nil {
			if err := freeIn(tx, o, subnet.ID, []string{ip}); err != nil {
				return err
			}
		}
	}
	return nil
}
