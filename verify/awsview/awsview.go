// Package awsview reads which Elastic IPs belong to a stack, by their tags; those that were brought to it have none and are known by
// their allocations.
package awsview

import (
	"context"
	"encoding/xml"
	"fmt"
	"net/netip"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/preflight/awsapi"
	"github.com/sallyport/sallyport/verify"
)

// View is the addresses of one region.
type View struct {
	region, endpoint string
	config           aws.Config
	brought          map[string]string // names of addresses, by allocation
}

// New looks for credentials. Endpoint and profile come from the environment, as the AWS SDK has it. Brought are the allocations that
// the stack file gives to addresses of the stack (aws.addresses.existing), by the name of the address; may be nil.
func New(ctx context.Context, region string, brought map[string]string) (*View, error) {
	config, err := awsapi.Config(ctx, region)
	if err != nil {
		return nil, err
	}
	endpoint, err := endpointOf(config, region)
	if err != nil {
		return nil, err
	}
	v := &View{region: region, endpoint: endpoint, config: config, brought: map[string]string{}}
	for name, allocation := range brought {
		v.brought[allocation] = name
	}
	return v, nil
}

// addressList is the answer of DescribeAddresses, as far as it matters.
type addressList struct {
	XMLName   xml.Name `xml:"DescribeAddressesResponse"`
	Addresses []struct {
		AllocationID string `xml:"allocationId"`
		PublicIP     string `xml:"publicIp"`
		InstanceID   string `xml:"instanceId"`
		Tags         []struct {
			Key   string `xml:"key"`
			Value string `xml:"value"`
		} `xml:"tagSet>item"`
	} `xml:"addressesSet>item"`
}

// Addresses implements verify.View. An address carries traffic if a NAT gateway has it, or an interface that an instance has: an
// interface alone waits.
func (v *View) Addresses(ctx context.Context, stack string) ([]verify.Address, error) {
	gateways, err := v.ofGateways(ctx)
	if err != nil {
		return nil, err
	}
	var list addressList // all of them: DescribeAddresses has no pages
	filter := url.Values{"Filter.1.Name": {"tag:" + allowlist.TagStack}, "Filter.1.Value.1": {stack}}
	if len(v.brought) > 0 {
		filter = nil
	}
	if err := v.query(ctx, "DescribeAddresses", filter, &list); err != nil {
		return nil, err
	}
	var found []verify.Address
	for _, a := range list.Addresses {
		tags := map[string]string{}
		for _, tag := range a.Tags {
			tags[tag.Key] = tag.Value
		}
		name, brought := v.brought[a.AllocationID]
		if !brought && tags[allowlist.TagStack] != stack {
			continue
		}
		if !brought {
			name = tags[allowlist.TagSlot]
		}
		ip, err := netip.ParseAddr(a.PublicIP)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: public IP: %w", awsapi.Place(v.region), a.AllocationID, err)
		}
		found = append(found, verify.Address{IP: ip, ID: a.AllocationID, Name: name, Carries: gateways[a.AllocationID] || a.InstanceID != ""})
	}
	return found, nil
}

// gatewayList is the answer of DescribeNatGateways, as far as it matters.
type gatewayList struct {
	XMLName  xml.Name `xml:"DescribeNatGatewaysResponse"`
	Gateways []struct {
		State     string `xml:"state"`
		Addresses []struct {
			AllocationID string `xml:"allocationId"`
		} `xml:"natGatewayAddressSet>item"`
	} `xml:"natGatewaySet>item"`
	Next string `xml:"nextToken"`
}

// ofGateways are the allocations that NAT gateways have.
func (v *View) ofGateways(ctx context.Context) (map[string]bool, error) {
	held := map[string]bool{}
	parameters := url.Values{}
	for {
		var list gatewayList
		if err := v.query(ctx, "DescribeNatGateways", parameters, &list); err != nil {
			return nil, err
		}
		for _, gateway := range list.Gateways {
			if gateway.State == "deleted" || gateway.State == "failed" {
				continue
			}
			for _, address := range gateway.Addresses {
				held[address.AllocationID] = true
			}
		}
		if list.Next == "" {
			return held, nil
		}
		parameters.Set("NextToken", list.Next)
	}
}
