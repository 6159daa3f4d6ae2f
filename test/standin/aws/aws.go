// Package aws is the stand-in for pulumi-aws v6: what the Pulumi provider and the cloud behind it demand of the resources that
// make a way out, and nothing of what they would cost. Which changes need a new resource is from the provider's own documentation
// (pulumi-aws v6.83.0, "Forces new resource") and from terraform-provider-aws; the limits are those of the VPC user guide.
package aws

import (
	"fmt"
	"hash/fnv"
	"strings"

	"github.com/sallyport/sallyport/test/standin/engine"
)

// Short names for what every table uses.
type (
	kind   = engine.Kind
	ref    = engine.Ref
	props  = engine.Props
	object = engine.Object
	tx     = engine.Tx
)

// Version is the version of the provider that is stood in for.
const Version = "6.83.0"

// account is the documentation's account id.
const account = "123456789012"

// Type tokens that rules mention.
const (
	eipKind          = "aws:ec2/eip:Eip"
	associationKind  = "aws:ec2/eipAssociation:EipAssociation"
	natKind          = "aws:ec2/natGateway:NatGateway"
	interfaceKind    = "aws:ec2/networkInterface:NetworkInterface"
	vpcKind          = "aws:ec2/vpc:Vpc"
	subnetKind       = "aws:ec2/subnet:Subnet"
	internetKind     = "aws:ec2/internetGateway:InternetGateway"
	routeTableKind   = "aws:ec2/routeTable:RouteTable"
	routeKind        = "aws:ec2/route:Route"
	securityKind     = "aws:ec2/securityGroup:SecurityGroup"
	templateKind     = "aws:ec2/launchTemplate:LaunchTemplate"
	instanceKind     = "aws:ec2/instance:Instance"
	groupKind        = "aws:autoscaling/group:Group"
	loadBalancerKind = "aws:lb/loadBalancer:LoadBalancer"
	targetGroupKind  = "aws:lb/targetGroup:TargetGroup"
	bucketV2Kind     = "aws:s3/bucketV2:BucketV2"
	bucketKind       = "aws:s3/bucket:Bucket"
	objectV2Kind     = "aws:s3/bucketObjectv2:BucketObjectv2"
	roleKind         = "aws:iam/role:Role"
	policyKind       = "aws:iam/policy:Policy"
	profileKind      = "aws:iam/instanceProfile:InstanceProfile"
	repositoryKind   = "aws:ecr/repository:Repository"
	topicKind        = "aws:sns/topic:Topic"
	queueKind        = "aws:sqs/queue:Queue"
	logGroupKind     = "aws:cloudwatch/logGroup:LogGroup"
	endpointKind     = "aws:ec2/vpcEndpoint:VpcEndpoint"
	poolKind         = "aws:ec2/vpcIpamPool:VpcIpamPool"
	functionKind     = "aws:lambda/function:Function"
	ruleKind         = "aws:cloudwatch/eventRule:EventRule"
	scalePolicyKind  = "aws:autoscaling/policy:Policy"
	keyKind          = "aws:kms/key:Key"
)

// Package is the provider.
func Package() *engine.Package {
	p := engine.NewPackage("aws", addressKinds(), poolKinds(), networkKinds(), filterKinds(), machineKinds(), groupKinds(), balancerKinds(), storageKinds(), serviceKinds())
	p.Functions = functions
	p.Missing = func(k *kind, path, value string) error {
		code := k.NotFound
		if code == "" {
			code = "ResourceNotFoundException"
		}
		return fmt.Errorf("%s: %s: the %s %q does not exist", code, path, noun(k.Token), value)
	}
	p.InUse = func(target, user *object) error {
		code := "DependencyViolation"
		if target.Type == eipKind {
			code = "InvalidIPAddress.InUse"
		}
		return fmt.Errorf("%s: %s %s has a dependent object: %s %s", code, noun(target.Type), target.ID, noun(user.Type), user.ID)
	}
	p.Common = func(tx *tx, k *kind, o *object) {
		if _, has := o.Props["arn"]; !has && arnOf(tx, o) != "" {
			o.Props["arn"] = arnOf(tx, o)
		}
		for property, value := range computed(tx, k, o.Props) {
			o.Props[property] = value
		}
	}
	p.Computed = computed
	return p
}

// computed are the tags with the provider's default tags below them.
func computed(tx *tx, k *kind, in props) props {
	if !k.Tagged {
		return nil
	}
	all := props{}
	for key, value := range tx.Tags {
		all[key] = value
	}
	tags, _ := in["tags"].(map[string]any)
	for key, value := range tags {
		all[key] = value
	}
	return props{"tagsAll": all}
}

// noun is the last part of a type token.
func noun(token string) string { return token[strings.LastIndexByte(token, ':')+1:] }

// arns are the ARNs of kinds without a rule of their own: service and resource, in which {id}, {name}, {path}, {group} and {hash}
// stand for what they say. IAM has no region in them, S3 neither region nor account.
var arns = map[string][2]string{
	eipKind:       {"ec2", "elastic-ip/{id}"},
	interfaceKind: {"ec2", "network-interface/{id}"},
	vpcKind:       {"ec2", "vpc/{id}"}, subnetKind: {"ec2", "subnet/{id}"}, internetKind: {"ec2", "internet-gateway/{id}"},
	routeTableKind: {"ec2", "route-table/{id}"}, securityKind: {"ec2", "security-group/{id}"}, endpointKind: {"ec2", "vpc-endpoint/{id}"},
	templateKind:    {"ec2", "launch-template/{id}"},
	groupKind:       {"autoscaling", "autoScalingGroup:{hash}:autoScalingGroupName/{name}"},
	scalePolicyKind: {"autoscaling", "scalingPolicy:{hash}:autoScalingGroupName/{group}:policyName/{name}"},
	roleKind:        {"iam", "role{path}{name}"}, policyKind: {"iam", "policy{path}{name}"}, profileKind: {"iam", "instance-profile{path}{name}"},
	bucketKind: {"s3", "{id}"}, bucketV2Kind: {"s3", "{id}"}, repositoryKind: {"ecr", "repository/{name}"}, queueKind: {"sqs", "{name}"},
	logGroupKind: {"logs", "log-group:{name}"}, functionKind: {"lambda", "function:{name}"}, ruleKind: {"events", "rule/{name}"},
	keyKind: {"kms", "key/{id}"}, "aws:cloudwatch/metricAlarm:MetricAlarm": {"cloudwatch", "alarm:{name}"},
}

// arnOf makes the ARN of a resource, empty if its kind has none. Load balancers, target groups and topics have it as their id.
func arnOf(tx *tx, o *object) string {
	if strings.HasPrefix(o.ID, "arn:aws:") {
		return o.ID
	}
	form, ok := arns[o.Type]
	if !ok {
		return ""
	}
	region, owner := tx.Region, account
	switch form[0] {
	case "iam":
		region = ""
	case "s3":
		region, owner = "", ""
	}
	resource := strings.NewReplacer("{id}", o.ID, "{name}", o.String("name"), "{path}", pathOr(o.String("path")),
		"{group}", o.String("autoscalingGroupName"), "{hash}", suffix(o.ID+o.String("name"))).Replace(form[1])
	return fmt.Sprintf("arn:aws:%s:%s:%s:%s", form[0], region, owner, resource)
}

func pathOr(path string) string {
	if path == "" {
		return "/"
	}
	return path
}

// suffix is a short hash, where the cloud puts an opaque part into a name.
func suffix(text string) string {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(text))
	return fmt.Sprintf("%016x", hash.Sum64())
}

// byProperty makes an input the id, as for what is known by its name.
func byProperty(property string) func(*tx, props) string {
	return func(_ *tx, in props) string { return engine.Text(in, property) }
}

// joined makes the id of several inputs.
func joined(separator string, properties ...string) func(*tx, props) string {
	return func(_ *tx, in props) string {
		parts := make([]string, len(properties))
		for i, property := range properties {
			parts[i] = engine.Text(in, property)
		}
		return strings.Join(parts, separator)
	}
}
