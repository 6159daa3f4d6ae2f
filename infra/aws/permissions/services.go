package permissions

import "slices"

var routes = Statement{
	ID: "Routes", Why: "the bucket of the routes document; the provider reads every setting of a bucket",
	Resources: []string{"arn:aws:s3:::routesbucket-*", "arn:aws:s3:::routesbucket-*/*"},
	Kinds: []string{
		"aws:s3/bucketLifecycleConfigurationV2:BucketLifecycleConfigurationV2", "aws:s3/bucketObjectv2:BucketObjectv2",
		"aws:s3/bucketOwnershipControls:BucketOwnershipControls", "aws:s3/bucketPolicy:BucketPolicy",
		"aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
		"aws:s3/bucketServerSideEncryptionConfigurationV2:BucketServerSideEncryptionConfigurationV2",
		"aws:s3/bucketV2:BucketV2", "aws:s3/bucketVersioningV2:BucketVersioningV2",
	},
	Actions: bucketActions,
}

// lists is a bucket of the stack's own; for one that exists put its ARN in, and the objects' actions suffice.
var lists = Statement{
	ID: "Lists", Why: "the bucket of the partners' lists, its versions and its notifications",
	Resources: []string{"arn:aws:s3:::allowlistpublish-*", "arn:aws:s3:::allowlistpublish-*/*"},
	Kinds:     []string{"aws:s3/bucketNotification:BucketNotification"},
	Actions:   slices.Sorted(slices.Values(append(slices.Clone(bucketActions), "s3:GetBucketNotification", "s3:PutBucketNotification"))),
}

var listNotices = Statement{
	ID: "ListNotices", Why: "the topic that hears of new lists, and that only the bucket may publish to",
	Resources: []string{"arn:aws:sns:{region}:{account}:allowlistpublish-topic-*"},
	Kinds:     []string{"aws:sns/topicPolicy:TopicPolicy"},
	Actions: []string{
		"sns:CreateTopic", "sns:DeleteTopic", "sns:GetTopicAttributes", "sns:ListTagsForResource", "sns:SetTopicAttributes", "sns:TagResource",
		"sns:UntagResource",
	},
}

// bucketActions are those of a bucket that a stack makes; the provider reads every setting of a bucket.
var bucketActions = []string{
	"s3:CreateBucket", "s3:DeleteBucket", "s3:DeleteBucketPolicy", "s3:DeleteObject", "s3:DeleteObjectVersion",
	"s3:GetAccelerateConfiguration", "s3:GetBucketAcl", "s3:GetBucketCORS", "s3:GetBucketLocation", "s3:GetBucketLogging",
	"s3:GetBucketObjectLockConfiguration", "s3:GetBucketOwnershipControls", "s3:GetBucketPolicy", "s3:GetBucketPublicAccessBlock",
	"s3:GetBucketRequestPayment", "s3:GetBucketTagging", "s3:GetBucketVersioning", "s3:GetBucketWebsite", "s3:GetEncryptionConfiguration",
	"s3:GetLifecycleConfiguration", "s3:GetObject", "s3:GetObjectTagging", "s3:GetObjectVersion", "s3:GetReplicationConfiguration",
	"s3:ListBucket", "s3:ListBucketVersions", "s3:PutBucketOwnershipControls", "s3:PutBucketPolicy", "s3:PutBucketPublicAccessBlock",
	"s3:PutBucketTagging", "s3:PutBucketVersioning", "s3:PutEncryptionConfiguration", "s3:PutLifecycleConfiguration", "s3:PutObject",
	"s3:PutObjectTagging",
}

var logs = Statement{
	ID: "Logs", Why: "the log group of the proxies",
	Resources: []string{"arn:aws:logs:{region}:{account}:log-group:/sallyport/{stack}", "arn:aws:logs:{region}:{account}:log-group:/sallyport/{stack}:*"},
	Kinds:     []string{"aws:cloudwatch/logGroup:LogGroup"},
	Actions: []string{
		"logs:CreateLogGroup", "logs:DeleteLogGroup", "logs:DeleteRetentionPolicy", "logs:ListTagsForResource", "logs:PutRetentionPolicy",
		"logs:TagResource", "logs:UntagResource",
	},
}

var alarms = Statement{
	ID: "Alarms", Why: "alarms and the dashboard",
	Resources: []string{"arn:aws:cloudwatch:{region}:{account}:alarm:sallyport-{stack}-*", "arn:aws:cloudwatch::{account}:dashboard/sallyport-{stack}"},
	Kinds:     []string{"aws:cloudwatch/dashboard:Dashboard", "aws:cloudwatch/metricAlarm:MetricAlarm"},
	Actions: []string{
		"cloudwatch:DeleteAlarms", "cloudwatch:DeleteDashboards", "cloudwatch:GetDashboard", "cloudwatch:ListTagsForResource",
		"cloudwatch:PutDashboard", "cloudwatch:PutMetricAlarm", "cloudwatch:TagResource", "cloudwatch:UntagResource",
	},
}

var topic = Statement{
	ID: "Topic", Why: "the topic that alarms are sent to, and who hears it",
	Resources: []string{"arn:aws:sns:{region}:{account}:sallyport-{stack}-*"},
	Kinds:     []string{"aws:sns/topic:Topic", "aws:sns/topicSubscription:TopicSubscription"},
	Actions: []string{
		"sns:CreateTopic", "sns:DeleteTopic", "sns:GetSubscriptionAttributes", "sns:GetTopicAttributes", "sns:ListTagsForResource",
		"sns:SetSubscriptionAttributes", "sns:SetTopicAttributes", "sns:Subscribe", "sns:TagResource", "sns:Unsubscribe", "sns:UntagResource",
	},
}

var network = Statement{
	ID: "Network", Why: "a VPC of the stack's own", Resources: []string{ec2},
	Kinds: []string{
		"aws:ec2/defaultSecurityGroup:DefaultSecurityGroup", "aws:ec2/internetGateway:InternetGateway", "aws:ec2/routeTable:RouteTable",
		"aws:ec2/routeTableAssociation:RouteTableAssociation", "aws:ec2/subnet:Subnet", "aws:ec2/vpc:Vpc",
	},
	Actions: []string{
		"ec2:AssociateRouteTable", "ec2:AttachInternetGateway", "ec2:CreateInternetGateway", "ec2:CreateRouteTable", "ec2:CreateSubnet",
		"ec2:CreateVpc", "ec2:DeleteInternetGateway", "ec2:DeleteRouteTable", "ec2:DeleteSubnet", "ec2:DeleteVpc", "ec2:DetachInternetGateway", "ec2:DisassociateRouteTable",
		"ec2:ModifySubnetAttribute", "ec2:ModifyVpcAttribute",
	},
}

// networkLook is what a VPC of the stack's own reads; these actions know no resources.
var networkLook = Statement{
	ID: "NetworkLook", Why: "read a VPC's parts; these actions know no resources", Resources: []string{"*"},
	Actions: []string{"ec2:DescribeInternetGateways", "ec2:DescribeNetworkAcls", "ec2:DescribeVpcAttribute"},
}

var balancer = Statement{
	ID: "LoadBalancer", Why: "the internal network load balancer in front of the proxies",
	Resources: []string{
		"arn:aws:elasticloadbalancing:{region}:{account}:listener/net/*", "arn:aws:elasticloadbalancing:{region}:{account}:loadbalancer/net/*",
		"arn:aws:elasticloadbalancing:{region}:{account}:targetgroup/*",
	},
	Kinds: []string{"aws:lb/listener:Listener", "aws:lb/loadBalancer:LoadBalancer", "aws:lb/targetGroup:TargetGroup", "aws:autoscaling/attachment:Attachment",
		"aws:lb/targetGroupAttachment:TargetGroupAttachment"},
	Actions: []string{
		"elasticloadbalancing:AddTags", "elasticloadbalancing:CreateListener", "elasticloadbalancing:CreateLoadBalancer",
		"elasticloadbalancing:CreateTargetGroup", "elasticloadbalancing:DeleteListener", "elasticloadbalancing:DeleteLoadBalancer",
		"elasticloadbalancing:DeleteTargetGroup", "elasticloadbalancing:DeregisterTargets", "elasticloadbalancing:ModifyListener",
		"elasticloadbalancing:ModifyListenerAttributes", "elasticloadbalancing:ModifyLoadBalancerAttributes",
		"elasticloadbalancing:ModifyTargetGroup", "elasticloadbalancing:ModifyTargetGroupAttributes", "elasticloadbalancing:RegisterTargets",
		"elasticloadbalancing:RemoveTags", "elasticloadbalancing:SetSecurityGroups", "elasticloadbalancing:SetSubnets",
	},
}

// balancerLook is what the load balancer reads; these actions know no resources.
var balancerLook = Statement{
	ID: "LoadBalancerLook", Why: "read load balancers; these actions know no resources", Resources: []string{"*"},
	Actions: []string{
		"elasticloadbalancing:DescribeListenerAttributes", "elasticloadbalancing:DescribeListeners", "elasticloadbalancing:DescribeLoadBalancerAttributes",
		"elasticloadbalancing:DescribeLoadBalancers", "elasticloadbalancing:DescribeTags", "elasticloadbalancing:DescribeTargetGroupAttributes",
		"elasticloadbalancing:DescribeTargetGroups", "elasticloadbalancing:DescribeTargetHealth",
	},
}
