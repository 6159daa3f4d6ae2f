package aws

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/proxyfleet/awsfleet"
	"github.com/sallyport/sallyport/infra/topology"
)

// privateRegistry is an ECR repository: account, region and name.
var privateRegistry = regexp.MustCompile(`^([0-9]{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com/(.+)$`)

// createRepository makes a registry for the proxy image unless the stack file names one.
func (d *deployment) createRepository() error {
	if len(d.slots) == 0 {
		return nil
	}
	f := d.section.Fleet
	if f.Image != "" {
		d.image = pulumi.String(f.Image).ToStringOutput()
		return nil
	}
	var err error
	d.repository, err = awsfleet.NewRepository(d.ctx, "repository", &awsfleet.RepositoryArgs{
		RepositoryName: "sallyport/" + strings.ToLower(d.ctx.Stack()), Tags: d.section.Tags,
	}, d.provider)
	if err != nil {
		return err
	}
	d.image = pulumi.Sprintf("%s@%s", d.repository.URL, f.Digest)
	d.endpoints["repository"] = d.repository.URL
	if !f.Runs() {
		return d.ctx.Log.Warn("sallyport:aws.fleet: neither image nor digest is set: the proxies' public IPs are published and no proxy runs; "+
			"push the image to the output endpoints.repository, then set digest", nil)
	}
	return nil
}

// repositoryARN is what instances may pull from, nil if that needs no permission.
func (d *deployment) repositoryARN() pulumi.StringInput {
	if d.repository != nil {
		return d.repository.ARN
	}
	if m := privateRegistry.FindStringSubmatch(d.section.Fleet.Repository()); m != nil {
		return pulumi.String(fmt.Sprintf("arn:aws:ecr:%s:%s:repository/%s", m[2], m[1], m[3]))
	}
	return nil
}

// mode says how many instances a slot has: none before there is an image, and before its IPs may carry traffic.
func (d *deployment) mode(slot topology.Slot) awsfleet.Mode {
	f := d.section.Fleet
	switch {
	case !f.Runs() || !d.life.Usable(slot.Name):
		return awsfleet.ModeReserved
	case f.ActivePerZone == 0 || slot.Number <= f.ActivePerZone:
		return awsfleet.ModeActive
	case f.Autoscaling:
		return awsfleet.ModeElastic
	default:
		return awsfleet.ModeReserved
	}
}

// serving are the slots that have an instance, or have one when the load asks for it.
func (d *deployment) serving() []topology.Slot {
	var serving []topology.Slot
	for _, slot := range d.slots {
		if d.mode(slot) != awsfleet.ModeReserved {
			serving = append(serving, slot)
		}
	}
	return serving
}

// createInterfaces makes every slot's place on the network, those without an instance included: their IPs are published.
func (d *deployment) createInterfaces() error {
	if len(d.slots) == 0 {
		return nil
	}
	ports := topology.ProxiedPorts(d.settings.Destinations)
	args := &awsfleet.InterfacesArgs{
		Stack: d.ctx.Stack(), VPCID: d.network.vpc, Tags: d.section.Tags,
		Access: awsfleet.Access{
			ClientCIDRs: texts(d.section.ClientCIDRs()), ClientSecurityGroups: map[string]pulumi.StringInput{},
			ListenPorts: ports, DestinationPorts: ports, DNSServers: texts(d.section.Fleet.DNSServers),
		},
	}
	for _, id := range d.section.Clients.SecurityGroups {
		args.Access.ClientSecurityGroups[id] = pulumi.String(id)
	}
	for _, name := range d.settings.Cluster.Zones {
		args.Zones = append(args.Zones, awsfleet.Zone{Name: name, SubnetID: d.network.zones[name].proxy})
	}
	for _, slot := range d.slots {
		s := awsfleet.SlotInterface{Slot: slot.Name, Zone: slot.Zone, PrivateIPs: texts(d.section.Fleet.PrivateIPs[slot.Name])}
		for n := 1; n <= d.settings.Proxies.IPsPerProxy; n++ {
			s.AllocationIDs = append(s.AllocationIDs, d.addresses[d.life.Of(slot.IP(n)).Name].AllocationID)
		}
		args.Slots = append(args.Slots, s)
	}
	var err error
	d.interfaces, err = awsfleet.NewInterfaces(d.ctx, "proxies", args, d.provider)
	return err
}

// texts writes addresses or networks as they are usually written.
func texts[T netip.Addr | netip.Prefix](values []T) []string {
	var out []string
	for _, value := range values {
		out = append(out, fmt.Sprint(value))
	}
	return out
}

// createFleet starts the proxies.
func (d *deployment) createFleet() error {
	if len(d.slots) == 0 || !d.section.Fleet.Runs() {
		return nil
	}
	f, p := d.section.Fleet, d.settings.Proxies
	args := &awsfleet.FleetArgs{
		Stack: d.ctx.Stack(), Region: d.section.Region, Interfaces: d.interfaces,
		Machine: awsfleet.Machine{
			InstanceType: f.InstanceType, Architecture: awsfleet.Architecture(f.Architecture), AMI: f.AMI, KMSKeyARN: f.KMSKeyARN,
		},
		Proxy: awsfleet.Proxy{
			Image: d.image, RoutesURL: d.bucket.URL, DrainSeconds: p.DrainSeconds, ReadySeconds: f.ReadySeconds,
			MaxConnections: p.MaxConnections, Threads: f.Threads, DNSServers: texts(f.DNSServers),
		},
		Permissions:      awsfleet.Permissions{BucketARN: d.bucket.ARN, ObjectKey: routesKey, RepositoryARN: d.repositoryARN()},
		LogRetentionDays: f.LogRetentionDays, Rollout: awsfleet.Rollout(f.Rollout), Tags: d.section.Tags,
	}
	elastic := false
	for _, slot := range d.slots {
		mode := d.mode(slot)
		elastic = elastic || mode == awsfleet.ModeElastic
		args.Slots = append(args.Slots, awsfleet.FleetSlot{Name: slot.Name, Zone: slot.Zone, Number: slot.Number, Mode: mode})
	}
	if elastic {
		args.Autoscaling = &awsfleet.Autoscaling{MaxConnections: p.MaxConnections, ConnectionsPerSecond: p.ConnectionsPerSecond}
	}
	var err error
	d.fleet, err = awsfleet.NewFleet(d.ctx, "fleet", args, d.provider, pulumi.DependsOn([]pulumi.Resource{d.document}))
	return err
}

// createLoadBalancer puts static addresses in front of the fleet, where wanted.
func (d *deployment) createLoadBalancer() error {
	serving := d.serving()
	if d.section.LoadBalancer == nil || len(serving) == 0 {
		return nil
	}
	args := &awsfleet.LoadBalancerArgs{
		Stack: d.ctx.Stack(), VPCID: d.network.vpc, Interfaces: d.interfaces, SlotZones: map[string]string{},
		Ports: topology.ProxiedPorts(d.settings.Destinations), IdleSeconds: d.section.LoadBalancer.IdleSeconds,
		DrainSeconds: d.settings.Proxies.DrainSeconds, Tags: d.section.Tags,
	}
	for _, name := range d.settings.Cluster.Zones {
		args.Zones = append(args.Zones, *d.network.zones[name].balancer)
	}
	for _, slot := range serving {
		args.SlotZones[slot.Name] = slot.Zone
	}
	made, err := awsfleet.NewLoadBalancer(d.ctx, "loadbalancer", args, d.provider)
	if err != nil {
		return err
	}
	d.endpoints["loadBalancer"] = pulumi.Map{"addresses": made.Addresses, "dnsName": made.DNSName}
	return nil
}
