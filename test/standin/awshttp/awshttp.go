// Package awshttp answers the few questions that Sallyport's own programs ask AWS over HTTP, out of a stand-in's world: so that what
// reads the account and what Pulumi made see the same things.
package awshttp

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/test/standin/world"
)

// Server is the API of one account in one region.
type Server struct{ World *world.World }

// element is a piece of XML.
type element struct {
	XMLName xml.Name
	Text    string    `xml:",chardata"`
	In      []element `xml:",any"`
}

func text(name, value string) element { return element{XMLName: xml.Name{Local: name}, Text: value} }

func group(name string, in ...element) element {
	return element{XMLName: xml.Name{Local: name}, In: in}
}

// kinds are the resource types of EC2 as DescribeTags calls them.
var kinds = map[string]string{
	"aws:ec2/eip:Eip": "elastic-ip", "aws:ec2/natGateway:NatGateway": "natgateway",
	"aws:ec2/networkInterface:NetworkInterface": "network-interface", "aws:ec2/securityGroup:SecurityGroup": "security-group",
	"aws:ec2/launchTemplate:LaunchTemplate": "launch-template", "aws:ec2/vpc:Vpc": "vpc", "aws:ec2/subnet:Subnet": "subnet",
	"aws:ec2/routeTable:RouteTable": "route-table", "aws:ec2/internetGateway:InternetGateway": "internet-gateway",
	"aws:ec2/vpcEndpoint:VpcEndpoint": "vpc-endpoint", "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": "security-group-rule",
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	action := r.Form.Get("Action")
	var body []element
	err := s.World.Look(func(state *world.State) {
		switch action {
		case "DescribeAddresses":
			body = []element{group("addressesSet", items(state, r.Form, "aws:ec2/eip:Eip", "allocationId", addressOf(state))...)}
		case "DescribeNatGateways":
			body = []element{group("natGatewaySet", items(state, r.Form, "aws:ec2/natGateway:NatGateway", "natGatewayId", gatewayOf)...)}
		case "DescribeTags":
			body = []element{group("tagSet", tagItems(state, r.Form)...)}
		case "DescribeAutoScalingGroups":
			body = []element{group(action+"Result", group("AutoScalingGroups", scalingGroups(state, r.Form)...))}
		}
	})
	if err != nil || body == nil {
		w.WriteHeader(http.StatusBadRequest)
		body = []element{group("Errors", group("Error", text("Code", "InvalidAction"), text("Message", fmt.Sprint(action, " ", err))))}
		action = ""
	}
	w.Header().Set("Content-Type", "text/xml")
	_ = xml.NewEncoder(w).Encode(group(action+"Response", append(body, text("requestId", "standin"))...)) // the client notices
}

// tagsOf are all tags of an object.
func tagsOf(o *world.Object) map[string]string {
	out := map[string]string{}
	all, _ := o.Props["tagsAll"].(map[string]any)
	for key, value := range all {
		out[key] = fmt.Sprint(value)
	}
	list, _ := o.Props["tags"].([]any)
	for _, element := range list {
		if tag, ok := element.(map[string]any); ok {
			out[fmt.Sprint(tag["key"])] = fmt.Sprint(tag["value"])
		}
	}
	return out
}

// wanted reads the filters of a request, by name.
func wanted(form url.Values) map[string][]string {
	out := map[string][]string{}
	for n := 1; ; n++ {
		for _, style := range [][2]string{{"Filter.%d.Name", "Filter.%d.Value."}, {"Filters.member.%d.Name", "Filters.member.%d.Values.member."}} {
			name := form.Get(fmt.Sprintf(style[0], n))
			if name == "" {
				continue
			}
			prefix := fmt.Sprintf(style[1], n)
			for key, values := range form {
				if strings.HasPrefix(key, prefix) {
					out[name] = append(out[name], values...)
				}
			}
		}
		if len(out) < n {
			return out
		}
	}
}

// passes says whether an object passes the filters: by tag, by id, or by a state, which every living thing has.
func passes(o *world.Object, filters map[string][]string) bool {
	tags := tagsOf(o)
	for name, values := range filters {
		key, byTag := strings.CutPrefix(name, "tag:")
		switch {
		case byTag && !slices.Contains(values, tags[key]):
			return false
		case name == "resource-id" && !slices.Contains(values, o.ID):
			return false
		}
	}
	return true
}

func tagSet(o *world.Object) element {
	var in []element
	for key, value := range tagsOf(o) {
		in = append(in, group("item", text("key", key), text("value", value)))
	}
	return group("tagSet", in...)
}

func items(state *world.State, form url.Values, kind, id string, more func(*world.Object) []element) []element {
	out := []element{}
	for _, o := range state.All(kind) {
		if !passes(o, wanted(form)) {
			continue
		}
		out = append(out, group("item", append([]element{text(id, o.ID), tagSet(o)}, more(o)...)...))
	}
	return out
}

// addressOf says which IP an Elastic IP is, and which instance has it.
func addressOf(state *world.State) func(*world.Object) []element {
	machines := Machines(state)
	return func(o *world.Object) []element {
		in := []element{text("publicIp", o.String("publicIp"))}
		if group := machines[o.ID]; group != "" {
			in = append(in, text("instanceId", "i-of-"+group))
		}
		return in
	}
}

// gatewayOf lists the addresses of a NAT gateway.
func gatewayOf(o *world.Object) []element {
	ids := []any{o.String("allocationId")}
	more, _ := o.Props["secondaryAllocationIds"].([]any)
	var in []element
	for _, id := range append(ids, more...) {
		in = append(in, group("item", text("allocationId", fmt.Sprint(id))))
	}
	return []element{text("state", "available"), group("natGatewayAddressSet", in...)}
}

// Machines maps the Elastic IPs that an instance has to the group that runs it: those associated with the interface in the launch
// template of a group that holds an instance.
func Machines(state *world.State) map[string]string {
	held := map[string]string{}
	for _, g := range state.All("aws:autoscaling/group:Group") {
		if desired, _ := g.Props["desiredCapacity"].(float64); desired < 1 {
			continue
		}
		for _, template := range state.All("aws:ec2/launchTemplate:LaunchTemplate") {
			if !strings.Contains(fmt.Sprint(g.Props["launchTemplate"]), template.ID) {
				continue
			}
			for _, association := range state.All("aws:ec2/eipAssociation:EipAssociation") {
				if id := association.String("networkInterfaceId"); id != "" && strings.Contains(fmt.Sprint(template.Props["networkInterfaces"]), id) {
					held[association.String("allocationId")] = g.ID
				}
			}
		}
	}
	return held
}

func tagItems(state *world.State, form url.Values) []element {
	out := []element{}
	filters := wanted(form)
	for _, o := range state.All() {
		kind := kinds[o.Type]
		if kind == "" || !passes(o, filters) {
			continue
		}
		for key, value := range tagsOf(o) {
			out = append(out, group("item", text("resourceId", o.ID), text("resourceType", kind), text("key", key), text("value", value)))
		}
	}
	return out
}

func scalingGroups(state *world.State, form url.Values) []element {
	out := []element{}
	for _, o := range state.All("aws:autoscaling/group:Group") {
		if !passes(o, wanted(form)) {
			continue
		}
		var tags []element
		for key, value := range tagsOf(o) {
			tags = append(tags, group("member", text("Key", key), text("Value", value)))
		}
		out = append(out, group("member", text("AutoScalingGroupName", o.ID), group("Tags", tags...)))
	}
	return out
}
