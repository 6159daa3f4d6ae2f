package awspreflight

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"

	"github.com/sallyport/sallyport/internal/problem"
	"github.com/sallyport/sallyport/preflight"
	"github.com/sallyport/sallyport/preflight/awsapi"
)

// reader fills an account. Each step calls one API and fills one part.
type reader struct {
	need    Need
	ec2     *ec2.Client
	quotas  *servicequotas.Client
	account account
}

// step is one part of an account: the action it needs, whether this stack depends on it, and how it is read.
type step struct {
	action string
	wanted bool
	read   func(context.Context) error
}

func (r *reader) steps() []step {
	n := r.need
	steps := []step{
		{"ec2:DescribeAvailabilityZones", len(n.Zones) > 0, r.readZones},
		{"ec2:DescribeAddresses", len(n.Addresses) > 0, r.readAddresses},
		{"ec2:DescribeNatGateways", len(n.Gateways) > 0 || len(n.VPC.RouteTables) > 0 || n.brings(), r.readGateways},
		{"ec2:DescribeNetworkInterfaces", n.brings(), r.readInterfaces},
		{"ec2:DescribeSubnets", len(n.Gateways) > 0 || len(n.VPC.Subnets) > 0, r.readSubnets},
		{"ec2:DescribeVpcs", n.VPC.ID != "", r.readVPC},
		{"ec2:DescribeRouteTables", n.VPC.ID != "", r.readTables},
		{"ec2:DescribeInstanceTypes", n.Fleet.InstanceType != "", r.readMachine},
		{"ec2:DescribeInstances", n.countsCPUs(), r.readInstances},
		{"ec2:DescribeInstanceTypeOfferings", n.Fleet.InstanceType != "", r.readOfferings},
	}
	r.account.quotas = map[string]int{}
	return append(steps, step{"servicequotas:GetServiceQuota", len(n.quotas()) > 0, r.readQuotas})
}

// Actions are the permissions that Check may need, sorted: all of them read. They have no resource-level form: a policy names
// them on "*".
func Actions() []string {
	actions := []string{actionDefaultQuota}
	for _, s := range (&reader{}).steps() {
		actions = append(actions, s.action)
	}
	return slices.Sorted(slices.Values(actions))
}

// brings reports whether any address is brought from outside.
func (n Need) brings() bool {
	return slices.ContainsFunc(n.Addresses, func(a Address) bool { return a.AllocationID != "" })
}

// read makes all calls side by side and records in list, in the order of steps, those that brought no answer.
func (r *reader) read(ctx context.Context, list *problem.List) {
	steps := r.steps()
	failures := make([]error, len(steps))
	var wait sync.WaitGroup
	for i, s := range steps {
		if s.wanted {
			wait.Go(func() { failures[i] = awsapi.Wrap(r.need.Region, s.action, s.read(ctx)) })
		}
	}
	wait.Wait()
	for _, err := range failures {
		record(err, list)
	}
}

// record adds an *awsapi.Error to list; nil adds nothing.
func record(err error, list *problem.List) {
	var refused *awsapi.Error
	if errors.As(err, &refused) {
		refused.Refusal.Add(list, preflight.Off)
	}
}

func (r *reader) readZones(ctx context.Context) error {
	out, err := r.ec2.DescribeAvailabilityZones(ctx, &ec2.DescribeAvailabilityZonesInput{AllAvailabilityZones: aws.Bool(true)})
	if err != nil {
		return err
	}
	zones := map[string]bool{}
	for _, z := range out.AvailabilityZones {
		zones[aws.ToString(z.ZoneName)] = z.OptInStatus != types.AvailabilityZoneOptInStatusNotOptedIn
	}
	r.account.zones = zones
	return nil
}

func (r *reader) readAddresses(ctx context.Context) error {
	out, err := r.ec2.DescribeAddresses(ctx, &ec2.DescribeAddressesInput{})
	if err != nil {
		return err
	}
	r.account.addresses = []elasticIP{}
	for _, a := range out.Addresses {
		pool := aws.ToString(a.PublicIpv4Pool)
		r.account.addresses = append(r.account.addresses, elasticIP{
			allocationID: aws.ToString(a.AllocationId), publicIP: aws.ToString(a.PublicIp),
			own:      pool != "" && pool != "amazon",
			attached: aws.ToString(a.AssociationId) != "", interfaceID: aws.ToString(a.NetworkInterfaceId), tags: tagsOf(a.Tags),
		})
	}
	return nil
}

func (r *reader) readGateways(ctx context.Context) error {
	// A gateway that is being deleted still counts; one that is gone or never came does not.
	pages := ec2.NewDescribeNatGatewaysPaginator(r.ec2, &ec2.DescribeNatGatewaysInput{
		Filter: []types.Filter{{Name: aws.String("state"), Values: []string{"pending", "available", "deleting"}}}})
	found := []gateway{}
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, g := range out.NatGateways {
			allocations := map[string]bool{}
			for _, a := range g.NatGatewayAddresses {
				allocations[aws.ToString(a.AllocationId)] = true
			}
			found = append(found, gateway{id: aws.ToString(g.NatGatewayId), subnetID: aws.ToString(g.SubnetId), allocations: allocations, tags: tagsOf(g.Tags)})
		}
	}
	r.account.gateways = found
	return nil
}

func (r *reader) readInterfaces(ctx context.Context) error {
	pages := ec2.NewDescribeNetworkInterfacesPaginator(r.ec2, &ec2.DescribeNetworkInterfacesInput{
		Filters: []types.Filter{{Name: aws.String("tag:" + tagStack), Values: []string{r.need.Stack}}}})
	found := map[string]bool{}
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, i := range out.NetworkInterfaces {
			found[aws.ToString(i.NetworkInterfaceId)] = true
		}
	}
	r.account.ours = found
	return nil
}

func (r *reader) readMachine(ctx context.Context) error {
	out, err := r.ec2.DescribeInstanceTypes(ctx, &ec2.DescribeInstanceTypesInput{InstanceTypes: []types.InstanceType{types.InstanceType(r.need.Fleet.InstanceType)}})
	if awsapi.IsCode(err, "InvalidInstanceType") {
		r.account.machine = &machine{}
		return nil
	}
	if err != nil {
		return err
	}
	read := machine{}
	for _, t := range out.InstanceTypes {
		if t.VCpuInfo != nil {
			read.cpus = int(aws.ToInt32(t.VCpuInfo.DefaultVCpus))
		}
		if t.NetworkInfo != nil {
			read.ipsPerInterface = int(aws.ToInt32(t.NetworkInfo.Ipv4AddressesPerInterface))
		}
		if t.ProcessorInfo != nil {
			for _, a := range t.ProcessorInfo.SupportedArchitectures {
				read.architectures = append(read.architectures, string(a))
			}
		}
	}
	r.account.machine = &read
	return nil
}

func (r *reader) readInstances(ctx context.Context) error {
	pages := ec2.NewDescribeInstancesPaginator(r.ec2, &ec2.DescribeInstancesInput{
		Filters: []types.Filter{{Name: aws.String("instance-state-name"), Values: []string{"pending", "running"}}}})
	found := []instance{}
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, reservation := range out.Reservations {
			for _, i := range reservation.Instances {
				if i.InstanceLifecycle == types.InstanceLifecycleTypeSpot || i.CpuOptions == nil {
					continue // spot instances have a quota of their own
				}
				cpus := aws.ToInt32(i.CpuOptions.CoreCount) * aws.ToInt32(i.CpuOptions.ThreadsPerCore)
				found = append(found, instance{kind: string(i.InstanceType), cpus: int(cpus), ours: tagsOf(i.Tags)[tagStack] == r.need.Stack})
			}
		}
	}
	r.account.instances = found
	return nil
}

func (r *reader) readOfferings(ctx context.Context) error {
	pages := ec2.NewDescribeInstanceTypeOfferingsPaginator(r.ec2, &ec2.DescribeInstanceTypeOfferingsInput{
		LocationType: types.LocationTypeAvailabilityZone,
		Filters:      []types.Filter{{Name: aws.String("instance-type"), Values: []string{r.need.Fleet.InstanceType}}}})
	found := map[string]bool{}
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, o := range out.InstanceTypeOfferings {
			found[aws.ToString(o.Location)] = true
		}
	}
	r.account.offered = found
	return nil
}

const actionDefaultQuota = "servicequotas:GetAWSDefaultServiceQuota"

// readQuotas reads the applied value of each quota; one that was never touched may have its default only.
func (r *reader) readQuotas(ctx context.Context) error {
	for _, code := range r.need.quotas() {
		service, code := aws.String(quotaService[code]), aws.String(code)
		applied, err := r.quotas.GetServiceQuota(ctx, &servicequotas.GetServiceQuotaInput{ServiceCode: service, QuotaCode: code})
		if err == nil && applied.Quota != nil && applied.Quota.Value != nil {
			r.account.quotas[*code] = int(*applied.Quota.Value)
			continue
		}
		if err != nil && !awsapi.IsCode(err, "NoSuchResourceException") {
			return err
		}
		standard, err := r.quotas.GetAWSDefaultServiceQuota(ctx, &servicequotas.GetAWSDefaultServiceQuotaInput{ServiceCode: service, QuotaCode: code})
		if err != nil {
			return awsapi.Wrap(r.need.Region, actionDefaultQuota, err)
		}
		if standard.Quota == nil || standard.Quota.Value == nil {
			return fmt.Errorf("quota %s has no value", *code)
		}
		r.account.quotas[*code] = int(*standard.Quota.Value)
	}
	return nil
}

func tagsOf(tags []types.Tag) map[string]string {
	m := map[string]string{}
	for _, t := range tags {
		m[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return m
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.SortedFunc(maps.Keys(m), strings.Compare)
}
