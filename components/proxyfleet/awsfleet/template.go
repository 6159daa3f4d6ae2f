package awsfleet

import (
	"encoding/base64"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/proxyfleet"
	"github.com/sallyport/sallyport/components/proxyfleet/awshost"
	"github.com/sallyport/sallyport/proxyimage"
)

const (
	// minVolumeGiB is the size of the AMI's own root volume. aws/amazon-ecs-ami, variables.pkr.hcl, 2026.
	minVolumeGiB = 30
	// rootDevice is the AMI's root volume. aws/amazon-ecs-ami, al2023.pkr.hcl, 2026.
	rootDevice = "/dev/xvda"
)

// images are the public parameters with the newest ECS-optimized Amazon Linux 2023. EC2 looks one up at each start of an instance, so
// a new image of Amazon's changes nothing in the stack. It was chosen over the plain Amazon Linux 2023 because it has Docker: a start
// that installs packages depends on their repository. Amazon ECS developer guide, "Retrieving ECS-optimized Linux AMI metadata", 2026.
var images = map[Architecture]string{
	ArchitectureX86:   "resolve:ssm:/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id",
	ArchitectureARM64: "resolve:ssm:/aws/service/ecs/optimized-ami/amazon-linux-2023/arm64/recommended/image_id",
}

func (m Machine) image() string {
	if m.AMI != "" {
		return m.AMI
	}
	return images[m.Architecture]
}

// createTemplate makes the launch template of one slot: a machine at the slot's interface, with nobody's key and no way in.
func (args *FleetArgs) createTemplate(ctx *pulumi.Context, f *Fleet, slot FleetSlot, place Interface, log *cloudwatch.LogGroup, role zoneRole) (*ec2.LaunchTemplate, error) {
	volume := &ec2.LaunchTemplateBlockDeviceMappingEbsArgs{
		VolumeType: pulumi.String("gp3"), VolumeSize: pulumi.Int(args.Machine.VolumeGiB), Encrypted: pulumi.String("true"), DeleteOnTermination: pulumi.String("true"),
	}
	if args.Machine.KMSKeyARN != "" {
		volume.KmsKeyId = pulumi.String(args.Machine.KMSKeyARN)
	}
	onLaunch := tags(args.Tags, args.Stack, slot.Name)
	return ec2.NewLaunchTemplate(ctx, "proxyfleet-template-"+key(slot.Name), &ec2.LaunchTemplateArgs{
		Description:  pulumi.Sprintf("Egress proxy %s of stack %s", slot.Name, args.Stack),
		ImageId:      pulumi.String(args.Machine.image()),
		InstanceType: pulumi.String(args.Machine.InstanceType),
		EbsOptimized: pulumi.String("true"),
		// The security group is on the interface. The interface is not the instance's: it stays when the instance ends.
		NetworkInterfaces: ec2.LaunchTemplateNetworkInterfaceArray{&ec2.LaunchTemplateNetworkInterfaceArgs{
			DeviceIndex: pulumi.Int(0), NetworkInterfaceId: place.ID, DeleteOnTermination: pulumi.String("false"),
		}},
		IamInstanceProfile: &ec2.LaunchTemplateIamInstanceProfileArgs{Arn: role.profile.Arn},
		// The proxy shares the machine's network, so one hop is enough for the agent, and a bridged container would get no credentials.
		MetadataOptions: &ec2.LaunchTemplateMetadataOptionsArgs{
			HttpEndpoint: pulumi.String("enabled"), HttpTokens: pulumi.String("required"), HttpPutResponseHopLimit: pulumi.Int(1),
		},
		Monitoring:          &ec2.LaunchTemplateMonitoringArgs{Enabled: pulumi.Bool(true)},
		BlockDeviceMappings: ec2.LaunchTemplateBlockDeviceMappingArray{&ec2.LaunchTemplateBlockDeviceMappingArgs{DeviceName: pulumi.String(rootDevice), Ebs: volume}},
		// An instance ends itself when its proxy cannot work: see awshost/watch.sh.
		InstanceInitiatedShutdownBehavior: pulumi.String("terminate"),
		UserData:                          args.userData(slot, place, log),
		UpdateDefaultVersion:              pulumi.Bool(true),
		TagSpecifications: ec2.LaunchTemplateTagSpecificationArray{
			&ec2.LaunchTemplateTagSpecificationArgs{ResourceType: pulumi.String("instance"), Tags: onLaunch},
			&ec2.LaunchTemplateTagSpecificationArgs{ResourceType: pulumi.String("volume"), Tags: onLaunch},
		},
		Tags: onLaunch,
	}, pulumi.Parent(f))
}

// userData is what the instance is told, in base64.
func (args *FleetArgs) userData(slot FleetSlot, place Interface, log *cloudwatch.LogGroup) pulumi.StringOutput {
	p := args.Proxy
	return pulumi.All(p.Image, p.RoutesURL, place.PrivateIPs, log.Name).ApplyT(func(values []any) (string, error) {
		image, _ := values[0].(string)
		url, _ := values[1].(string)
		sources, _ := values[2].([]string)
		group, _ := values[3].(string)
		text, err := awshost.Host{
			Region: args.Region, Image: image, LogGroup: group, LogStream: slot.Name, ReadySeconds: p.ReadySeconds,
			ListenPorts: args.Interfaces.listenPorts, Seccomp: proxyimage.Seccomp,
			Agent: proxyfleet.Agent{
				RoutesURL: url, DNSServers: p.DNSServers, SourceIPs: sources, DrainSeconds: p.DrainSeconds,
				MaxConnections: p.MaxConnections, Threads: p.Threads, Env: p.Env,
				Metrics: &proxyfleet.Dimensions{Stack: args.Stack, Zone: slot.Zone, Slot: slot.Name},
			},
		}.UserData()
		return base64.StdEncoding.EncodeToString([]byte(text)), err
	}).(pulumi.StringOutput)
}
