package main

import "fmt"

// proxyIngressClosed refuses doors that are open to everybody: an open proxy is an open relay.
var proxyIngressClosed = policy{
	name: "proxy-ingress-closed", level: mandatory,
	description: "No security group or firewall lets the whole internet in.",
	types: []string{
		"aws:ec2/securityGroup:SecurityGroup", "aws:ec2/securityGroupRule:SecurityGroupRule",
		"aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", "gcp:compute/firewall:Firewall",
	},
	resource: func(j *judge, r resource) {
		in := r.inputs
		switch r.kind {
		case "aws:ec2/securityGroup:SecurityGroup":
			for _, rule := range in.at("ingress").items() {
				refuseEverybody(j, r, rule.at("cidrBlocks"), rule.at("ipv6CidrBlocks"))
			}
		case "aws:ec2/securityGroupRule:SecurityGroupRule":
			if in.at("type").text() == "ingress" {
				refuseEverybody(j, r, in.at("cidrBlocks"), in.at("ipv6CidrBlocks"))
			}
		case "gcp:compute/firewall:Firewall":
			if direction := in.at("direction").text(); (direction == "INGRESS" || direction == "") && len(in.at("allows").items()) > 0 {
				refuseEverybody(j, r, in.at("sourceRanges"))
				if !in.at("sourceRanges").found && !in.at("sourceTags").found && !in.at("sourceServiceAccounts").found {
					j.violates(r, in.at("sourceRanges"), "must name the clients", "without it everybody may connect")
				}
			}
		default:
			refuseEverybody(j, r, in.at("cidrIpv4"), in.at("cidrIpv6"))
		}
	},
}

func refuseEverybody(j *judge, r resource, ranges ...field) {
	for _, f := range ranges {
		if f.unknown() {
			j.unknown(r.urn, fmt.Sprintf("%s: %s: is known only after the update, which judges it then", r.name, f.path))
			continue
		}
		values, all := f.texts()
		if f.text() != "" {
			values, all = []string{f.text()}, true
		}
		for _, value := range values {
			if value == "0.0.0.0/0" || value == "::/0" {
				j.report(r.urn, fmt.Sprintf("%s: %s: must not hold the whole internet, got %q; write the cluster's networks", r.name, f.path, value))
			}
		}
		if !all && f.found && f.value.IsArray() {
			j.unknown(r.urn, fmt.Sprintf("%s: %s: is known in part only", r.name, f.path))
		}
	}
}
