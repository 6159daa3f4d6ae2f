package awspreflight_test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/golden"
	"github.com/sallyport/sallyport/preflight/awspreflight"
	"github.com/sallyport/sallyport/preflight/fakeaws"
)

const region = "eu-west-1"

var zones = []string{"eu-west-1a", "eu-west-1b", "eu-west-1c"}

// account is one that the stack of need fits into.
func account() fakeaws.Account {
	a := fakeaws.Account{
		Region:        region,
		VPCs:          []fakeaws.VPC{{ID: "vpc-1", CIDRs: []string{"10.0.0.0/16"}}, {ID: "vpc-2", CIDRs: []string{"10.1.0.0/16"}}},
		InstanceTypes: []fakeaws.InstanceType{{Name: "c7g.large", IPsPerInterface: 10, CPUs: 2, Architectures: []string{"arm64"}, Zones: zones}},
		Quotas:        map[string]float64{awspreflight.QuotaAddresses: 20, awspreflight.QuotaIPsPerGateway: 8, awspreflight.QuotaGateways: 5, awspreflight.QuotaCPUs: 16},
		RouteTables:   []fakeaws.RouteTable{{ID: "rtb-main", VPC: "vpc-1", Main: true}, {ID: "rtb-other", VPC: "vpc-2", Main: true, Default: "igw-2"}},
		Subnets:       []fakeaws.Subnet{{ID: "subnet-other", VPC: "vpc-2", Zone: zones[0]}},
	}
	public := fakeaws.RouteTable{ID: "rtb-public", VPC: "vpc-1", Default: "igw-1"}
	for _, zone := range zones {
		key := zone[len(zone)-1:]
		a.Zones = append(a.Zones, fakeaws.Zone{Name: zone})
		a.Subnets = append(a.Subnets, fakeaws.Subnet{ID: "subnet-public-" + key, VPC: "vpc-1", Zone: zone}, fakeaws.Subnet{ID: "subnet-proxy-" + key, VPC: "vpc-1", Zone: zone})
		public.Subnets = append(public.Subnets, "subnet-public-"+key, "subnet-proxy-"+key)
		a.RouteTables = append(a.RouteTables, fakeaws.RouteTable{ID: "rtb-private-" + key, VPC: "vpc-1"})
	}
	a.RouteTables = append(a.RouteTables, public)
	return a
}

// need is three zones with a gateway of two IPs and a proxy of two IPs each: 12 elastic IPs.
func need() awspreflight.Need {
	n := awspreflight.Need{
		Stack: "prod", Region: region, Zones: zones,
		VPC:      awspreflight.VPC{ID: "vpc-1", CIDRs: []string{"10.0.0.0/16"}},
		Gateways: map[string]int{}, IPsPerGateway: 2,
		Fleet: awspreflight.Fleet{InstanceType: "c7g.large", Architecture: "arm64", IPsPerInterface: 2, Machines: 3},
	}
	for _, zone := range zones {
		key := zone[len(zone)-1:]
		n.VPC.Subnets = append(n.VPC.Subnets,
			awspreflight.Subnet{Place: "sallyport:aws.vpc.publicSubnets[" + zone + "]", ID: "subnet-public-" + key, Zone: zone, Public: true},
			awspreflight.Subnet{Place: "sallyport:aws.vpc.proxySubnets[" + zone + "]", ID: "subnet-proxy-" + key, Zone: zone, Public: true})
		n.VPC.RouteTables = append(n.VPC.RouteTables, awspreflight.RouteTable{Place: "sallyport:aws.vpc.privateRouteTables[" + zone + "][0]", ID: "rtb-private-" + key})
		n.Gateways[zone] = 1
		for i := range 2 {
			n.Addresses = append(n.Addresses, awspreflight.Address{Slot: fmt.Sprintf("nat-%s-%d", zone, i+1)}, awspreflight.Address{Slot: fmt.Sprintf("proxy-%s-1-%d", zone, i+1)})
		}
	}
	return n
}

// built is the account after the stack was: with its addresses, gateways and routes.
func built() fakeaws.Account {
	a, n := account(), need()
	ours := func(slot string) map[string]string {
		return map[string]string{"sallyport:stack": "prod", "sallyport:slot": slot}
	}
	for _, address := range n.Addresses {
		a.Addresses = append(a.Addresses, fakeaws.Address{ID: "eipalloc-" + address.Slot, IP: "198.51.100.1", Interface: "eni-" + address.Slot, Tags: ours(address.Slot)})
		a.Interfaces = append(a.Interfaces, fakeaws.Interface{ID: "eni-" + address.Slot, Tags: ours(address.Slot)})
	}
	for _, zone := range zones {
		key := zone[len(zone)-1:]
		a.Instances = append(a.Instances, fakeaws.Instance{ID: "i-" + key, Type: "c7g.large", CPUs: 2, Tags: ours("proxy-" + zone + "-1")})
		a.NatGateways = append(a.NatGateways, fakeaws.NatGateway{ID: "nat-" + key, Subnet: "subnet-public-" + key, Tags: ours("nat-" + zone),
			Addresses: []string{"eipalloc-nat-" + zone + "-1", "eipalloc-nat-" + zone + "-2"}})
		for i := range a.RouteTables {
			if a.RouteTables[i].ID == "rtb-private-"+key {
				a.RouteTables[i].Default = "nat-" + key
			}
		}
	}
	return a
}

func check(t *testing.T, n awspreflight.Need) string {
	t.Helper()
	if err := awspreflight.Check(context.Background(), n); err != nil {
		return err.Error() + "\n"
	}
	return "fits\n"
}

func TestAStackThatFitsIsLetThrough(t *testing.T) {
	for name, a := range map[string]fakeaws.Account{"new": account(), "built already": built(), "page by page": func() fakeaws.Account { a := built(); a.PageSize = 1; return a }()} {
		t.Run(name, func(t *testing.T) {
			fakeaws.Start(t, a)
			if got := check(t, need()); got != "fits\n" {
				t.Error(got)
			}
		})
	}
}

func TestWhatIsBuiltDoesNotCountTwice(t *testing.T) {
	a := built()
	a.Quotas = map[string]float64{awspreflight.QuotaAddresses: 12, awspreflight.QuotaIPsPerGateway: 1, awspreflight.QuotaGateways: 1, awspreflight.QuotaCPUs: 6}
	fakeaws.Start(t, a)
	if got := check(t, need()); got != "fits\n" {
		t.Errorf("quotas that are just reached: %s", got)
	}
	n := need()
	n.Addresses = append(n.Addresses, awspreflight.Address{Slot: "proxy-eu-west-1a-2-1"})
	if got := check(t, n); !strings.Contains(got, "quota L-0263D0A3 is 12, in use 12 (12 of this stack), needed 1 more: 1 short; ask for 13") {
		t.Errorf("one slot more: %s", got)
	}
}

func TestEveryShortageIsToldAtOnce(t *testing.T) {
	a := account()
	a.Quotas = map[string]float64{awspreflight.QuotaIPsPerGateway: 2}
	a.DefaultOnly = map[string]float64{awspreflight.QuotaAddresses: 5, awspreflight.QuotaGateways: 5, awspreflight.QuotaCPUs: 5}
	a.Instances = []fakeaws.Instance{{Type: "m7g.large", CPUs: 2}, {Type: "t3.nano", CPUs: 1, Spot: true}, {Type: "g5.xlarge", CPUs: 4}, {Type: "c7g.large", CPUs: 2, State: "stopped"},
		{Type: "c7g.large", CPUs: 2, Tags: map[string]string{"sallyport:stack": "prod"}}}
	a.Addresses = []fakeaws.Address{{ID: "eipalloc-x", IP: "192.0.2.1"}, {ID: "eipalloc-own", IP: "203.0.113.1", Pool: "ipv4pool-ec2-1"},
		{ID: "eipalloc-kept", IP: "192.0.2.2", Tags: map[string]string{"sallyport:stack": "prod", "sallyport:slot": "nat-eu-west-1a-1"}},
		{ID: "eipalloc-same-slot", IP: "192.0.2.3", Tags: map[string]string{"sallyport:stack": "dev", "sallyport:slot": "nat-eu-west-1a-2"}}}
	for range 5 {
		a.NatGateways = append(a.NatGateways, fakeaws.NatGateway{ID: "nat-x", Subnet: "subnet-public-b", State: "deleting"},
			fakeaws.NatGateway{ID: "nat-gone", Subnet: "subnet-public-a", State: "deleted"})
	}
	n := need()
	n.IPsPerGateway = 4
	fakeaws.Start(t, a)
	golden.Check(t, "quotas.golden", check(t, n))
}

func TestEveryFlawOfTheNetworkIsToldAtOnce(t *testing.T) {
	a := account()
	for i := range a.RouteTables {
		switch a.RouteTables[i].ID {
		case "rtb-private-a":
			a.RouteTables[i].Default = "nat-foreign"
		case "rtb-private-b":
			a.RouteTables[i].Default, a.RouteTables[i].Blackhole = "tgw-1", true
		case "rtb-public":
			a.RouteTables[i].Subnets = slices.DeleteFunc(a.RouteTables[i].Subnets, func(id string) bool { return id == "subnet-proxy-c" || id == "subnet-proxy-b" })
		case "rtb-private-c":
			a.RouteTables[i].Subnets = []string{"subnet-proxy-b"}
		}
	}
	a.NatGateways = []fakeaws.NatGateway{{ID: "nat-foreign", Subnet: "subnet-public-a", Tags: map[string]string{"sallyport:stack": "dev"}}}
	a.Addresses = []fakeaws.Address{
		{ID: "eipalloc-dev", IP: "192.0.2.1", Tags: map[string]string{"sallyport:stack": "dev"}},
		{ID: "eipalloc-used", IP: "192.0.2.2", Interface: "eni-foreign"},
		{ID: "eipalloc-free", IP: "192.0.2.3"},
	}
	a.InstanceTypes = []fakeaws.InstanceType{{Name: "t4g.nano", IPsPerInterface: 2, Architectures: []string{"arm64"}, Zones: zones[:2]}}
	a.Zones[2].OptedOut = true
	n := need()
	n.Zones = append(slices.Clone(zones), "eu-west-1d")
	n.VPC.CIDRs = []string{"10.0.0.0/16", "10.0.0.0/8"}
	n.VPC.Subnets[0].ID = "subnet-none"
	n.VPC.Subnets[2].ID = "subnet-other"
	n.VPC.Subnets[4].ID = "subnet-public-a"
	n.VPC.RouteTables = append(n.VPC.RouteTables, awspreflight.RouteTable{Place: "sallyport:aws.vpc.privateRouteTables[eu-west-1c][1]", ID: "rtb-other"})
	for i, id := range []string{"eipalloc-dev", "eipalloc-used", "eipalloc-free", "eipalloc-none"} {
		n.Addresses[i].AllocationID, n.Addresses[i].Place = id, "sallyport:aws.addresses.existing["+n.Addresses[i].Slot+"]"
	}
	n.Fleet = awspreflight.Fleet{InstanceType: "t4g.nano", Architecture: "x86_64", IPsPerInterface: 3}
	fakeaws.Start(t, a)
	golden.Check(t, "network.golden", check(t, n))
}

func TestAMissingVPCOrMachineIsToldOnce(t *testing.T) {
	fakeaws.Start(t, account())
	n := need()
	n.VPC.ID, n.Fleet.InstanceType = "vpc-3", "c9z.large"
	golden.Check(t, "missing.golden", check(t, n))
}

func TestANewNetworkNeedsNoneOfTheOldOne(t *testing.T) {
	s := fakeaws.Start(t, account())
	n := need()
	n.VPC = awspreflight.VPC{}
	if got := check(t, n); got != "fits\n" {
		t.Error(got)
	}
	for _, call := range s.Calls() {
		if call == "DescribeVpcs" || call == "DescribeRouteTables" || call == "DescribeNetworkInterfaces" {
			t.Errorf("%s was called: a permission asked for nothing", call)
		}
	}
}

func TestBroughtAddressesOfOursStayOurs(t *testing.T) {
	n := need()
	for i := range n.Addresses {
		n.Addresses[i].AllocationID, n.Addresses[i].Place = "eipalloc-"+n.Addresses[i].Slot, "x"
	}
	a := built()
	for i := range a.Addresses { // what is brought is not tagged
		a.Addresses[i].Tags = nil
	}
	a.Quotas[awspreflight.QuotaAddresses] = 0
	fakeaws.Start(t, a)
	if got := check(t, n); got != "fits\n" {
		t.Error(got)
	}
}

func TestNoPermission(t *testing.T) {
	s := fakeaws.Start(t, account())
	s.Fail("DescribeAddresses", fakeaws.Denied("ec2:DescribeAddresses"))
	s.Fail("GetServiceQuota", fakeaws.Denied("servicequotas:GetServiceQuota"))
	golden.Check(t, "denied.golden", check(t, need()))
	s.Fail("*", fakeaws.Failure{Code: "AuthFailure", Message: "AWS was not able to validate the provided access credentials"})
	golden.Check(t, "unauthorized.golden", check(t, need()))
}

func TestNoPermissionForTheDefaultOfAQuota(t *testing.T) {
	a := account()
	a.Quotas = nil
	s := fakeaws.Start(t, a)
	s.Fail("GetAWSDefaultServiceQuota", fakeaws.Denied("servicequotas:GetAWSDefaultServiceQuota"))
	if got := check(t, need()); !strings.Contains(got, "aws eu-west-1: servicequotas:GetAWSDefaultServiceQuota: permission denied") {
		t.Error(got)
	}
}

func TestThrottling(t *testing.T) {
	t.Setenv("AWS_MAX_ATTEMPTS", "2")
	s := fakeaws.Start(t, account())
	passing := fakeaws.Throttled()
	passing.Times = 1
	s.Fail("DescribeSubnets", passing)
	if got := check(t, need()); got != "fits\n" {
		t.Errorf("one refusal: %s", got)
	}
	s.Fail("DescribeSubnets", fakeaws.Throttled())
	s.Fail("GetServiceQuota", fakeaws.Throttled())
	golden.Check(t, "throttled.golden", check(t, need()))
	calls := map[string]int{}
	for _, call := range s.Calls() {
		calls[call]++
	}
	if calls["DescribeSubnets"] != 4 {
		t.Errorf("DescribeSubnets was called %d times, want 2 for each check: attempts are bounded", calls["DescribeSubnets"])
	}
}

func TestUnreachable(t *testing.T) {
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	t.Run("nobody listens", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := listener.Addr().String()
		listener.Close() //nolint:errcheck // nothing was sent
		environment(t, "http://"+address)
		got := strings.ReplaceAll(check(t, need()), address, "ADDRESS")
		golden.Check(t, "unreachable.golden", got)
	})
	t.Run("no answer in time", func(t *testing.T) {
		release := make(chan struct{})
		server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
		defer server.Close()
		defer close(release)
		environment(t, server.URL)
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		defer cancel()
		start := time.Now()
		err := awspreflight.Check(ctx, need())
		if err == nil || !strings.Contains(err.Error(), "aws eu-west-1: the API cannot be reached") || strings.Count(err.Error(), "\n") != 0 {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestNoCredentials(t *testing.T) {
	fakeaws.Start(t, account())
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	got := check(t, need())
	if !strings.HasPrefix(got, "aws eu-west-1: no credentials found") || !strings.Contains(got, "sallyport:preflight: off") || strings.Count(got, "\n") != 1 {
		t.Error(got)
	}
}

func TestActionsAreReadsAndWhatIsCalled(t *testing.T) {
	s := fakeaws.Start(t, account())
	n := need()
	n.Addresses[0].AllocationID = "eipalloc-none"
	check(t, n)
	listed := map[string]bool{}
	for _, action := range awspreflight.Actions() {
		service, call, _ := strings.Cut(action, ":")
		if !strings.HasPrefix(call, "Describe") && !strings.HasPrefix(call, "Get") {
			t.Errorf("%s does not only read", action)
		}
		if service != "ec2" && service != "servicequotas" {
			t.Errorf("%s: of what service?", action)
		}
		listed[call] = true
	}
	for _, call := range slices.Compact(s.Calls()) {
		if !listed[call] {
			t.Errorf("%s was called and is not in Actions", call)
		}
		delete(listed, call)
	}
	if left := slices.Sorted(maps.Keys(listed)); !slices.Equal(left, []string{"GetAWSDefaultServiceQuota"}) {
		t.Errorf("Actions lists %v, which a check of everything did not call", left)
	}
}

func environment(t *testing.T, url string) {
	t.Helper()
	for name, value := range fakeaws.Environment(url) {
		t.Setenv(name, value)
	}
}
