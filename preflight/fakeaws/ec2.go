package fakeaws

import (
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
)

// Zone is an Availability Zone.
type Zone struct {
	Name string
	// OptedOut says that the account may not use it.
	OptedOut bool
}

// VPC is a network.
type VPC struct {
	ID    string
	CIDRs []string
}

// Subnet is a subnet.
type Subnet struct{ ID, VPC, Zone string }

// RouteTable is a route table. Default is where 0.0.0.0/0 leads: "igw-1", "nat-1", "tgw-1", "eni-1", empty: nowhere.
type RouteTable struct {
	ID, VPC string
	Main    bool
	Subnets []string
	Default string
	// Blackhole says that what Default leads to is gone.
	Blackhole bool
}

// Address is an elastic IP.
type Address struct {
	ID, IP string
	// Pool of one's own. Empty: Amazon's.
	Pool string
	// Interface it is attached to, if any.
	Interface string
	Tags      map[string]string
}

// NatGateway is a NAT gateway. State is available unless set.
type NatGateway struct {
	ID, Subnet, State string
	Addresses         []string // allocation IDs
	Tags              map[string]string
}

// Interface is a network interface.
type Interface struct {
	ID   string
	Tags map[string]string
}

// InstanceType is a kind of machine and the zones that offer it.
type InstanceType struct {
	Name            string
	IPsPerInterface int
	Architectures   []string
	Zones           []string
}

type ec2API struct{}

// fail writes an error as EC2 does.
func (ec2API) fail(w http.ResponseWriter, f Failure) {
	status := http.StatusForbidden
	if f.Code == "RequestLimitExceeded" {
		status = http.StatusServiceUnavailable
	}
	w.WriteHeader(status)
	fmt.Fprint(w, `<?xml version="1.0" encoding="UTF-8"?><Response><Errors><Error><Code>`+f.Code+`</Code><Message>`+f.Message+ //nolint:errcheck // the test sees it
		`</Message></Error></Errors><RequestID>00000000-0000-0000-0000-000000000000</RequestID></Response>`)
}

// node is an XML element: text, or elements.
type node struct {
	name string
	text string
	in   []node
}

// MarshalXML implements xml.Marshaler.
func (n node) MarshalXML(e *xml.Encoder, _ xml.StartElement) error {
	start := xml.StartElement{Name: xml.Name{Local: n.name}}
	if n.in == nil {
		return e.EncodeElement(n.text, start)
	}
	if err := e.EncodeToken(start); err != nil {
		return err
	}
	for _, child := range n.in {
		if err := e.Encode(child); err != nil {
			return err
		}
	}
	return e.EncodeToken(start.End())
}

func text(name, value string) node { return node{name: name, text: value} }

// set is a list as EC2 writes it: an element with items.
func set(name string, items ...node) node { return node{name: name, in: append([]node{}, items...)} }

func item(in ...node) node { return node{name: "item", in: in} }

func tagSet(tags map[string]string) node {
	var items []node
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		items = append(items, item(text("key", key), text("value", tags[key])))
	}
	return set("tagSet", items...)
}

// filter is one of the request: any of the values has to match.
type filter struct {
	name   string
	values []string
}

func filtersOf(form url.Values) []filter {
	var filters []filter
	for i := 1; form.Has(fmt.Sprintf("Filter.%d.Name", i)); i++ {
		f := filter{name: form.Get(fmt.Sprintf("Filter.%d.Name", i))}
		for k := 1; form.Has(fmt.Sprintf("Filter.%d.Value.%d", i, k)); k++ {
			f.values = append(f.values, form.Get(fmt.Sprintf("Filter.%d.Value.%d", i, k)))
		}
		filters = append(filters, f)
	}
	return filters
}

// thing is something that EC2 lists: what filters can ask for, and its XML.
type thing struct {
	facts map[string]string
	xml   node
}

// listing is one Describe action: the element that holds the items, and the items.
type listing struct {
	set   string
	items []thing
}

// unpaged are the actions that always answer in one piece.
var unpaged = map[string]bool{"DescribeAvailabilityZones": true, "DescribeAddresses": true}

func (s *Server) serveEC2(w http.ResponseWriter, r *http.Request, action string) error {
	describe, known := map[string]func(url.Values) (listing, error){
		"DescribeAvailabilityZones":     s.zones,
		"DescribeAddresses":             s.addresses,
		"DescribeNatGateways":           s.natGateways,
		"DescribeNetworkInterfaces":     s.interfaces,
		"DescribeSubnets":               s.subnets,
		"DescribeVpcs":                  s.vpcs,
		"DescribeRouteTables":           s.routeTables,
		"DescribeInstanceTypes":         s.instanceTypes,
		"DescribeInstanceTypeOfferings": s.offerings,
	}[action]
	if !known {
		return fmt.Errorf("nothing but reads is expected here")
	}
	list, err := describe(r.Form)
	if err != nil {
		ec2API{}.fail(w, Failure{Code: "InvalidInstanceType", Message: err.Error()})
		return nil
	}
	var items []node
	for _, t := range list.items {
		matches, err := t.matches(filtersOf(r.Form))
		if err != nil {
			return err
		}
		if matches {
			items = append(items, t.xml)
		}
	}
	next := ""
	if !unpaged[action] {
		items, next = page(s, items, r.Form.Get("NextToken"))
	}
	body := set(action+"Response", text("requestId", "00000000-0000-0000-0000-000000000000"), set(list.set, items...))
	if next != "" {
		body.in = append(body.in, text("nextToken", next))
	}
	return xml.NewEncoder(w).Encode(body)
}

func (t thing) matches(filters []filter) (bool, error) {
	for _, f := range filters {
		fact, known := t.facts[f.name]
		if !known && f.name[:min(4, len(f.name))] != "tag:" {
			return false, fmt.Errorf("filter %q is not known here", f.name)
		}
		if !slices.Contains(f.values, fact) {
			return false, nil
		}
	}
	return true, nil
}

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
			set("networkInfo", text("ipv4AddressesPerInterface", fmt.Sprint(t.IPsPerInterface))), set("processorInfo", set("supportedArchitectures", architectures...)))})
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
