package fakeaws

import (
	"fmt"
	"net/url"
	"slices"
)

// withTags adds what filters of tags can ask for.
func withTags(facts, tags map[string]string) map[string]string {
	for key, value := range tags {
		facts["tag:"+key] = value
	}
	return facts
}

func (s *Server) zones(url.Values) (listing, error) {
	l := listing{set: "availabilityZoneInfo"}
	for _, z := range s.account.Zones {
		optIn := "opt-in-not-required"
		if z.OptedOut {
			optIn = "not-opted-in"
		}
		l.items = append(l.items, thing{xml: item(text("zoneName", z.Name), text("zoneState", "available"), text("optInStatus", optIn))})
	}
	return l, nil
}

func (s *Server) addresses(url.Values) (listing, error) {
	l := listing{set: "addressesSet"}
	for _, a := range s.account.Addresses {
		pool := a.Pool
		if pool == "" {
			pool = "amazon"
		}
		in := []node{text("allocationId", a.ID), text("publicIp", a.IP), text("domain", "vpc"), text("publicIpv4Pool", pool), tagSet(a.Tags)}
		if a.Interface != "" {
			in = append(in, text("associationId", "eipassoc-"+a.ID), text("networkInterfaceId", a.Interface))
		}
		l.items = append(l.items, thing{facts: withTags(map[string]string{"allocation-id": a.ID}, a.Tags), xml: item(in...)})
	}
	return l, nil
}

func (s *Server) natGateways(url.Values) (listing, error) {
	l := listing{set: "natGatewaySet"}
	for _, g := range s.account.NatGateways {
		state := g.State
		if state == "" {
			state = "available"
		}
		var addresses []node
		for _, id := range g.Addresses {
			addresses = append(addresses, item(text("allocationId", id)))
		}
		l.items = append(l.items, thing{
			facts: withTags(map[string]string{"state": state, "subnet-id": g.Subnet}, g.Tags),
			xml:   item(text("natGatewayId", g.ID), text("subnetId", g.Subnet), text("state", state), set("natGatewayAddressSet", addresses...), tagSet(g.Tags)),
		})
	}
	return l, nil
}

func (s *Server) interfaces(url.Values) (listing, error) {
	l := listing{set: "networkInterfaceSet"}
	for _, i := range s.account.Interfaces {
		l.items = append(l.items, thing{facts: withTags(map[string]string{}, i.Tags), xml: item(text("networkInterfaceId", i.ID), tagSet(i.Tags))})
	}
	return l, nil
}

func (s *Server) subnets(url.Values) (listing, error) {
	l := listing{set: "subnetSet"}
	for _, n := range s.account.Subnets {
		l.items = append(l.items, thing{
			facts: map[string]string{"vpc-id": n.VPC, "subnet-id": n.ID},
			xml:   item(text("subnetId", n.ID), text("vpcId", n.VPC), text("availabilityZone", n.Zone)),
		})
	}
	return l, nil
}

func (s *Server) vpcs(url.Values) (listing, error) {
	l := listing{set: "vpcSet"}
	for _, v := range s.account.VPCs {
		var cidrs []node
		for _, c := range v.CIDRs {
			cidrs = append(cidrs, item(text("cidrBlock", c)))
		}
		l.items = append(l.items, thing{facts: map[string]string{"vpc-id": v.ID}, xml: item(text("vpcId", v.ID), set("cidrBlockAssociationSet", cidrs...))})
	}
	return l, nil
}

// routeTarget is the element that EC2 writes a target in, by the beginning of its ID.
var routeTarget = map[string]string{"igw": "gatewayId", "vgw": "gatewayId", "nat": "natGatewayId", "tgw": "transitGatewayId", "eni": "networkInterfaceId", "pcx": "vpcPeeringConnectionId"}

func (s *Server) routeTables(url.Values) (listing, error) {
	l := listing{set: "routeTableSet"}
	for _, t := range s.account.RouteTables {
		routes := []node{item(text("destinationCidrBlock", "10.0.0.0/16"), text("gatewayId", "local"), text("state", "active"))}
		if t.Default != "" {
			state := "active"
			if t.Blackhole {
				state = "blackhole"
			}
			routes = append(routes, item(text("destinationCidrBlock", "0.0.0.0/0"), text(routeTarget[t.Default[:3]], t.Default), text("state", state)))
		}
		associations := []node{}
		if t.Main {
			associations = append(associations, item(text("main", "true"), text("routeTableId", t.ID)))
		}
		for _, id := range t.Subnets {
			associations = append(associations, item(text("main", "false"), text("subnetId", id), text("routeTableId", t.ID)))
		}
		l.items = append(l.items, thing{
			facts: map[string]string{"vpc-id": t.VPC},
			xml:   item(text("routeTableId", t.ID), text("vpcId", t.VPC), set("routeSet", routes...), set("associationSet", associations...)),
		})
	}
	return l, nil
}

func (s *Server) instanceTypes(form url.Values) (listing, error) {
	l := listing{set: "instanceTypeSet"}
	for i := 1; form.Has(fmt.Sprintf("InstanceType.%d", i)); i++ {
		name := form.Get(fmt.Sprintf("InstanceType.%d", i))
		at := slices.IndexFunc(s.account.InstanceTypes, func(t InstanceType) bool { return t.Name == name })
		if at < 0 {
			return l, fmt.Errorf("The following supplied instance types do not exist: [%s]", name) //nolint:staticcheck // EC2's words
		}
		t := s.account.InstanceTypes[at]
		var architectures []node
		for _, a := range t.Architectures {
			architectures = append(architectures, text("item", a))
		}
		l.items = append(l.items, thing{xml: item(text("instanceType", t.Name),
			set("vCpuInfo", text("defaultVCpus", fmt.Sprint(t.CPUs))), set("networkInfo", text("ipv4AddressesPerInterface", fmt.Sprint(t.IPsPerInterface))), set("processorInfo", set("supportedArchitectures", architectures...)))})
	}
	return l, nil
}

func (s *Server) instances(url.Values) (listing, error) {
	l := listing{set: "reservationSet"}
	for _, i := range s.account.Instances {
		state := i.State
		if state == "" {
			state = "running"
		}
		in := []node{text("instanceId", i.ID), text("instanceType", i.Type), set("instanceState", text("name", state)),
			set("cpuOptions", text("coreCount", fmt.Sprint(i.CPUs)), text("threadsPerCore", "1")), tagSet(i.Tags)}
		if i.Spot {
			in = append(in, text("instanceLifecycle", "spot"))
		}
		l.items = append(l.items, thing{facts: withTags(map[string]string{"instance-state-name": state}, i.Tags), xml: item(set("instancesSet", item(in...)))})
	}
	return l, nil
}

func (s *Server) offerings(url.Values) (listing, error) {
	l := listing{set: "instanceTypeOfferingSet"}
	for _, t := range s.account.InstanceTypes {
		for _, zone := range t.Zones {
			l.items = append(l.items, thing{facts: map[string]string{"instance-type": t.Name},
				xml: item(text("instanceType", t.Name), text("locationType", "availability-zone"), text("location", zone))})
		}
	}
	return l, nil
}
