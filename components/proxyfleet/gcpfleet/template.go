package gcpfleet

import (
	"maps"
	"regexp"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/compute"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/proxyfleet"
	"github.com/sallyport/sallyport/components/proxyfleet/gcphost"
	"github.com/sallyport/sallyport/proxyimage"
)

// The stable families of Container-Optimized OS. A machine gets the newest image of a family when it is made, so a new image of
// Google's changes nothing in the stack. Container-Optimized OS documentation, "Choosing the right OS version", 2026.
const (
	OSX86   = "projects/cos-cloud/global/images/family/cos-stable"
	OSArm64 = "projects/cos-cloud/global/images/family/cos-arm64-stable"
)

var (
	// armRule are the machine types with Arm processors. Google Cloud, "Arm VMs on Compute Engine", 2026.
	armRule = regexp.MustCompile(`^(t2a|c4a|n4a)-`)
	// hyperdiskRule are those that take no Persistent Disk. Google Cloud, "Hyperdisk overview", machine series support, 2026.
	hyperdiskRule = regexp.MustCompile(`^(c4|c4a|c4d|n4|n4a|n4d)-`)
	machineRule   = regexp.MustCompile(`^[a-z][a-z0-9]*-[a-z0-9-]+$`)
)

// image is the image of the machine's operating system. The default of the stack file is that of x86.
func (m Machine) image() string {
	if (m.OS == "" || m.OS == OSX86) && armRule.MatchString(m.Type) {
		return OSArm64
	}
	if m.OS == "" {
		return OSX86
	}
	return m.OS
}

func (m Machine) diskType() string {
	if hyperdiskRule.MatchString(m.Type) {
		return "hyperdisk-balanced"
	}
	return "pd-balanced"
}

// createTemplate makes the template of the machines: the same for every zone and slot, because what differs, the addresses, is in
// the group's configuration of each machine. It has no name of ours: a template cannot change, so a new one stands beside the old
// one until every group has left that.
func (args *FleetArgs) createTemplate(ctx *pulumi.Context, f *Fleet, who identity) (*compute.InstanceTemplate, error) {
	disk := &compute.InstanceTemplateDiskArgs{
		Boot: pulumi.Bool(true), AutoDelete: pulumi.Bool(true), SourceImage: pulumi.String(args.Machine.image()),
		DiskType: pulumi.String(args.Machine.diskType()), DiskSizeGb: pulumi.Int(args.Machine.DiskGiB),
	}
	network := &compute.InstanceTemplateNetworkInterfaceArgs{
		Subnetwork: args.Network.Subnetwork.ToStringOutput(),
		// What makes room for the slot's external address, which each machine is given by its group.
		AccessConfigs: compute.InstanceTemplateNetworkInterfaceAccessConfigArray{
			&compute.InstanceTemplateNetworkInterfaceAccessConfigArgs{NetworkTier: pulumi.String(args.Network.Tier)},
		},
	}
	return compute.NewInstanceTemplate(ctx, "proxyfleet-template", &compute.InstanceTemplateArgs{
		Description: pulumi.Sprintf("Egress proxies of stack %s", args.Stack), Project: pulumi.String(args.Project),
		MachineType: pulumi.String(args.Machine.Type), CanIpForward: pulumi.Bool(false),
		Disks: compute.InstanceTemplateDiskArray{disk}, NetworkInterfaces: compute.InstanceTemplateNetworkInterfaceArray{network},
		ServiceAccount: &compute.InstanceTemplateServiceAccountArgs{
			// What the machine may do is said by the grants alone.
			Email: who.account.Email, Scopes: pulumi.ToStringArray([]string{"https://www.googleapis.com/auth/cloud-platform"}),
		},
		ShieldedInstanceConfig: &compute.InstanceTemplateShieldedInstanceConfigArgs{
			EnableSecureBoot: pulumi.Bool(true), EnableVtpm: pulumi.Bool(true), EnableIntegrityMonitoring: pulumi.Bool(true),
		},
		Scheduling: &compute.InstanceTemplateSchedulingArgs{AutomaticRestart: pulumi.Bool(true), OnHostMaintenance: pulumi.String("MIGRATE")},
		Labels:     pulumi.ToStringMap(args.labels()),
		Metadata: pulumi.StringMap{
			"user-data": args.userData(),
			// Nobody logs in: keys of the project and accounts of OS Login are not for this machine, and sshd is off.
			"block-project-ssh-keys": pulumi.String("true"), "enable-oslogin": pulumi.String("false"), "serial-port-enable": pulumi.String("false"),
			// A machine changes by being replaced, one at a time, and never by itself.
			"cos-update-strategy": pulumi.String("update_disabled"), "google-monitoring-enabled": pulumi.String("true"),
		},
	}, pulumi.Parent(f), pulumi.DependsOn(who.grants))
}

// labels are those of the machines.
func (args *FleetArgs) labels() map[string]string {
	labels := maps.Clone(args.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels["sallyport-stack"], labels["sallyport-kind"] = args.Stack, "proxy"
	return labels
}

// userData is what every machine is told.
func (args *FleetArgs) userData() pulumi.StringOutput {
	p := args.Proxy
	return p.RoutesURL.ToStringOutput().ApplyT(func(url string) (string, error) {
		return gcphost.Host{
			Project: args.Project, Image: p.Image, ListenPorts: args.Access.ListenPorts, Seccomp: proxyimage.Seccomp,
			Agent: proxyfleet.Agent{
				RoutesURL: url, DNSServers: p.DNSServers, DrainSeconds: p.DrainSeconds, MaxConnections: p.MaxConnections, Threads: p.Threads, Env: p.Env,
			},
		}.UserData()
	}).(pulumi.StringOutput)
}
