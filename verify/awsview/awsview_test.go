package awsview

import (
	"context"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/preflight/fakeaws"
	"github.com/sallyport/sallyport/verify"
)

func tags(stack, slot string) map[string]string {
	return map[string]string{allowlist.TagStack: stack, allowlist.TagSlot: slot}
}

func TestTheStacksAddressesAreReadByTag(t *testing.T) {
	fakeaws.Start(t, fakeaws.Account{
		Region: "eu-west-1", PageSize: 1,
		Addresses: []fakeaws.Address{
			{ID: "eipalloc-1", IP: "198.51.100.1", Interface: "eni-1", Tags: tags("prod", "nat-a-1")},
			{ID: "eipalloc-2", IP: "198.51.100.2", Tags: tags("prod", "nat-reserve-1")},
			{ID: "eipalloc-3", IP: "198.51.100.3", Interface: "eni-3", Tags: tags("prod", "proxy-a-1-1")}, // waits: no instance has the interface
			{ID: "eipalloc-4", IP: "198.51.100.4", Tags: tags("dev", "nat-a-1")},
			{ID: "eipalloc-5", IP: "198.51.100.5"},
		},
		NatGateways: []fakeaws.NatGateway{{ID: "nat-0", Addresses: []string{"eipalloc-5"}}, {ID: "nat-1", Addresses: []string{"eipalloc-9", "eipalloc-1"}}},
	})
	view, err := New(context.Background(), "eu-west-1", nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := view.Addresses(context.Background(), "prod")
	want := []verify.Address{
		{IP: netip.MustParseAddr("198.51.100.1"), ID: "eipalloc-1", Name: "nat-a-1", Carries: true},
		{IP: netip.MustParseAddr("198.51.100.2"), ID: "eipalloc-2", Name: "nat-reserve-1"},
		{IP: netip.MustParseAddr("198.51.100.3"), ID: "eipalloc-3", Name: "proxy-a-1-1"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\ngot  %+v\nwant %+v", err, got, want)
	}
}

func TestAddressesThatWereBroughtAreKnownByTheirAllocation(t *testing.T) {
	fakeaws.Start(t, fakeaws.Account{Region: "eu-west-1", Addresses: []fakeaws.Address{
		{ID: "eipalloc-1", IP: "198.51.100.1", Tags: tags("prod", "nat-a-1")}, {ID: "eipalloc-5", IP: "198.51.100.5"}, {ID: "eipalloc-6", IP: "198.51.100.6"},
	}})
	view, err := New(context.Background(), "eu-west-1", map[string]string{"nat-b-1": "eipalloc-5"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := view.Addresses(context.Background(), "prod")
	want := []verify.Address{
		{IP: netip.MustParseAddr("198.51.100.1"), ID: "eipalloc-1", Name: "nat-a-1"}, {IP: netip.MustParseAddr("198.51.100.5"), ID: "eipalloc-5", Name: "nat-b-1"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\ngot  %+v\nwant %+v", err, got, want)
	}
}

func TestARefusalIsAnErrorAndNoEmptyAccount(t *testing.T) {
	server := fakeaws.Start(t, fakeaws.Account{Region: "eu-west-1"})
	view, err := New(context.Background(), "eu-west-1", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, action := range []string{"DescribeAddresses", "DescribeNatGateways"} {
		server.Fail(action, fakeaws.Denied("ec2:"+action))
		if got, err := view.Addresses(context.Background(), "prod"); err == nil || got != nil || !strings.Contains(err.Error(), "ec2:"+action) {
			t.Errorf("%s: %v, %v", action, got, err)
		}
	}
}

func TestThrottledCallsAreMadeAgain(t *testing.T) {
	server := fakeaws.Start(t, fakeaws.Account{Region: "eu-west-1", Addresses: []fakeaws.Address{{ID: "eipalloc-1", IP: "198.51.100.1", Tags: tags("prod", "nat-a-1")}}})
	view, err := New(context.Background(), "eu-west-1", nil)
	if err != nil {
		t.Fatal(err)
	}
	server.Fail("DescribeAddresses", fakeaws.Failure{Code: "RequestLimitExceeded", Message: "slow down", Times: 2})
	if got, err := view.Addresses(context.Background(), "prod"); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestTheEndpointIsThatOfTheRegionOrOfTheEnvironment(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL_EC2", "")
	for region, want := range map[string]string{"eu-west-1": "https://ec2.eu-west-1.amazonaws.com/", "cn-north-1": "https://ec2.cn-north-1.amazonaws.com.cn/"} {
		if got, err := endpointOf(aws.Config{}, region); err != nil || got != want {
			t.Errorf("%s: %s, %v", region, got, err)
		}
	}
	if got, err := endpointOf(aws.Config{BaseEndpoint: aws.String("http://127.0.0.1:1")}, "x"); err != nil || got != "http://127.0.0.1:1/" {
		t.Errorf("%s, %v", got, err)
	}
	t.Setenv("AWS_ENDPOINT_URL_EC2", "nonsense")
	if _, err := endpointOf(aws.Config{}, "x"); err == nil {
		t.Error("nonsense is an endpoint")
	}
}
