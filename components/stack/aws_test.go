package stack

import (
	"net/netip"
	"reflect"
	"testing"
)

func TestAnAWSSectionGetsItsDefaults(t *testing.T) {
	got := read(t, "aws").AWS
	want := &AWS{
		Region: "eu-west-1", VPC: AWSVPC{CIDR: netip.MustParsePrefix("10.64.0.0/16")}, Nat: AWSNat{Routes: true},
		Addresses: AWSAddresses{Source: AddressesAmazon}, Dashboard: true, Alarms: AWSAlarms{Enabled: true},
		Fleet: AWSFleet{InstanceType: "c7g.large", Autoscaling: true, Rollout: "one-by-one", Threads: 2, ReadySeconds: 180, LogRetentionDays: 30},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got.Fleet.Runs() || !got.VPC.New() {
		t.Errorf("runs %v, new %v", got.Fleet.Runs(), got.VPC.New())
	}
	if clients := got.ClientCIDRs(); len(clients) != 1 || clients[0] != got.VPC.CIDR {
		t.Errorf("clients %v", clients)
	}
}

func TestWhatIsDerivedOfAnExistingVPC(t *testing.T) {
	a := read(t, "aws-prod").AWS
	if a.VPC.New() || len(a.VPC.Networks()) != 2 || len(a.ClientCIDRs()) != 1 {
		t.Errorf("new %v, networks %v, clients %v", a.VPC.New(), a.VPC.Networks(), a.ClientCIDRs())
	}
	if got := a.VPC.ProxySubnet("eu-west-1b"); got != "subnet-000000fb" {
		t.Errorf("proxies in %s", got)
	}
	a.VPC.ProxySubnets = nil
	if got := a.VPC.ProxySubnet("eu-west-1b"); got != "subnet-0000000b" {
		t.Errorf("proxies in %s without subnets of their own", got)
	}
	if !a.Fleet.Runs() || a.Fleet.Repository() != "registry.example.com/sallyport/proxy" {
		t.Errorf("runs %v from %s", a.Fleet.Runs(), a.Fleet.Repository())
	}
}
