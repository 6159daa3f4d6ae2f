package permissions

// ec2 are all EC2 resources of the account in the region.
const ec2 = "arn:aws:ec2:{region}:{account}:*/*"

// Deploy is what every update needs.
func Deploy() []Statement {
	return []Statement{look, addresses, gateways, machines, groups, roles, passing, image, routes, logs, alarms, topic}
}

// Network is needed in addition by a stack that makes its own VPC (aws.vpc.cidr).
func Network() []Statement { return []Statement{network, networkLook} }

// LoadBalancer is needed in addition by a stack with aws.loadBalancer.
func LoadBalancer() []Statement { return []Statement{balancer, balancerLook} }

// Publish is needed in addition by a stack with allowlist.publish.
func Publish() []Statement { return []Statement{lists, listNotices} }

// Release is needed only while an address is released on purpose.
func Release() []Statement { return []Statement{release} }

var look = Statement{
	ID: "Look", Why: "read what exists; these actions know no resources", Resources: []string{"*"},
	Actions: []string{
		"autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeLifecycleHooks", "autoscaling:DescribePolicies",
		"autoscaling:DescribeScalingActivities", "autoscaling:DescribeTags",
		"cloudwatch:DescribeAlarms", "cloudwatch:GetMetricData", "cloudwatch:ListMetrics",
		"ec2:DescribeAddresses", "ec2:DescribeAddressesAttribute", "ec2:DescribeAvailabilityZones", "ec2:DescribeImages",
		"ec2:DescribeInstanceTypeOfferings", "ec2:DescribeInstanceTypes", "ec2:DescribeInstances", "ec2:DescribeLaunchTemplateVersions", "ec2:DescribeLaunchTemplates",
		"ec2:DescribeNatGateways", "ec2:DescribeNetworkInterfaces", "ec2:DescribePrefixLists", "ec2:DescribeRouteTables",
		"ec2:DescribeSecurityGroupRules", "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcEndpoints", "ec2:DescribeVpcs",
		"logs:DescribeLogGroups", "servicequotas:GetAWSDefaultServiceQuota", "servicequotas:GetServiceQuota", "sts:GetCallerIdentity",
	},
}

var addresses = Statement{
	ID: "Addresses", Why: "allocate public IPs, tag them, tie them to proxies; not release them", Resources: []string{ec2},
	Kinds:   []string{"aws:ec2/eip:Eip", "aws:ec2/eipAssociation:EipAssociation"},
	Actions: []string{"ec2:AllocateAddress", "ec2:AssociateAddress", "ec2:CreateTags", "ec2:DeleteTags", "ec2:DisassociateAddress"},
}

var release = Statement{
	ID: "Release", Why: "give public IPs back for ever", Resources: []string{"arn:aws:ec2:{region}:{account}:elastic-ip/*"},
	Actions: []string{"ec2:ReleaseAddress"},
}

var gateways = Statement{
	ID: "Gateways", Why: "NAT gateways, their public IPs, the default routes of private subnets, the endpoint for S3", Resources: []string{ec2},
	Kinds: []string{
		"aws:ec2/natGateway:NatGateway", "aws:ec2/route:Route", "aws:ec2/vpcEndpoint:VpcEndpoint",
		"aws:ec2/vpcEndpointRouteTableAssociation:VpcEndpointRouteTableAssociation",
	},
	Actions: []string{
		"ec2:AssociateNatGatewayAddress", "ec2:CreateNatGateway", "ec2:CreateRoute", "ec2:CreateVpcEndpoint", "ec2:DeleteNatGateway",
		"ec2:DeleteRoute", "ec2:DeleteVpcEndpoints", "ec2:DisassociateNatGatewayAddress", "ec2:ModifyVpcEndpoint", "ec2:ReplaceRoute",
	},
}

var machines = Statement{
	ID: "Machines", Why: "what a proxy is made of: interface, security group, launch template; Auto Scaling asks whether the caller might start it",
	Resources: []string{ec2, "arn:aws:ec2:{region}::image/*", "arn:aws:ec2:{region}::snapshot/*", "arn:aws:ssm:{region}::parameter/aws/service/*"},
	Kinds: []string{
		"aws:ec2/launchTemplate:LaunchTemplate", "aws:ec2/networkInterface:NetworkInterface", "aws:ec2/securityGroup:SecurityGroup",
		"aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule", "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
	},
	Actions: []string{
		"ec2:AssignPrivateIpAddresses", "ec2:AuthorizeSecurityGroupEgress", "ec2:AuthorizeSecurityGroupIngress", "ec2:CreateLaunchTemplate",
		"ec2:CreateLaunchTemplateVersion", "ec2:CreateNetworkInterface", "ec2:CreateSecurityGroup", "ec2:DeleteLaunchTemplate",
		"ec2:DeleteNetworkInterface", "ec2:DeleteSecurityGroup", "ec2:DetachNetworkInterface", "ec2:ModifyLaunchTemplate",
		"ec2:ModifyNetworkInterfaceAttribute", "ec2:ModifySecurityGroupRules", "ec2:RevokeSecurityGroupEgress", "ec2:RevokeSecurityGroupIngress",
		"ec2:RunInstances", "ec2:UnassignPrivateIpAddresses", "ssm:GetParameters",
	},
}

var groups = Statement{
	ID: "Groups", Why: "the Auto Scaling group of each slot, with its hooks and policies",
	Resources: []string{"arn:aws:autoscaling:{region}:{account}:autoScalingGroup:*:autoScalingGroupName/sallyport-{stack}-*"},
	Kinds: []string{
		"aws:autoscaling/group:Group", "aws:autoscaling/lifecycleHook:LifecycleHook", "aws:autoscaling/policy:Policy",
	},
	Actions: []string{
		"autoscaling:CreateAutoScalingGroup", "autoscaling:CreateOrUpdateTags", "autoscaling:DeleteAutoScalingGroup",
		"autoscaling:DeleteLifecycleHook", "autoscaling:DeletePolicy", "autoscaling:DeleteTags", "autoscaling:DisableMetricsCollection",
		"autoscaling:EnableMetricsCollection", "autoscaling:PutLifecycleHook", "autoscaling:PutScalingPolicy", "autoscaling:ResumeProcesses",
		"autoscaling:SetDesiredCapacity", "autoscaling:SetInstanceProtection", "autoscaling:StartInstanceRefresh", "autoscaling:SuspendProcesses",
		"autoscaling:TerminateInstanceInAutoScalingGroup", "autoscaling:UpdateAutoScalingGroup",
	},
}

var roles = Statement{
	ID: "Roles", Why: "the role of each zone's proxies",
	Resources: []string{
		"arn:aws:iam::{account}:instance-profile/proxyfleet-profile-*", "arn:aws:iam::{account}:role/proxyfleet-role-*",
	},
	Kinds: []string{"aws:iam/instanceProfile:InstanceProfile", "aws:iam/role:Role", "aws:iam/rolePolicy:RolePolicy"},
	Actions: []string{
		"iam:AddRoleToInstanceProfile", "iam:CreateInstanceProfile", "iam:CreateRole", "iam:DeleteInstanceProfile", "iam:DeleteRole",
		"iam:DeleteRolePolicy", "iam:GetInstanceProfile", "iam:GetRole", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies",
		"iam:ListInstanceProfilesForRole", "iam:ListRolePolicies", "iam:PutRolePolicy", "iam:RemoveRoleFromInstanceProfile",
		"iam:TagInstanceProfile", "iam:TagRole", "iam:UntagInstanceProfile", "iam:UntagRole", "iam:UpdateAssumeRolePolicy", "iam:UpdateRole",
	},
}

var passing = Statement{
	ID: "PassRole", Why: "hand that role to instances, and to nothing else", PassedTo: "ec2.amazonaws.com",
	Resources: []string{"arn:aws:iam::{account}:role/proxyfleet-role-*"},
	Actions:   []string{"iam:PassRole"},
}

var image = Statement{
	ID: "Image", Why: "the stack's own registry for the proxy image",
	Resources: []string{"arn:aws:ecr:{region}:{account}:repository/sallyport/{stack}"},
	Kinds:     []string{"aws:ecr/repository:Repository"},
	Actions: []string{
		"ecr:CreateRepository", "ecr:DeleteRepository", "ecr:DescribeRepositories", "ecr:ListTagsForResource",
		"ecr:PutImageScanningConfiguration", "ecr:PutImageTagMutability", "ecr:TagResource", "ecr:UntagResource",
	},
}
