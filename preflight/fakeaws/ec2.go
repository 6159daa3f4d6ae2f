package fakeaws

import (
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
)

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
		"DescribeInstances":             s.instances,
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
