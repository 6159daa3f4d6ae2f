package main

import (
	"strings"
	"testing"
)

const pinned = "registry.example.com/proxy@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// fleet has slots written as "zone" or "zone reserved".
func fleet(image any, slots ...string) given {
	list := []any{}
	for _, slot := range slots {
		zone, mode, _ := strings.Cut(slot, " ")
		if mode == "" {
			mode = "active"
		}
		list = append(list, map[string]any{"zone": zone, "mode": mode})
	}
	return given{kind: fleetTypes[0], name: "fleet", inputs: map[string]any{"image": image, "slots": list}}
}

func TestProxyIngressClosed(t *testing.T) {
	group := func(cidr string) given {
		return given{kind: "aws:ec2/securityGroup:SecurityGroup", name: "sg", inputs: map[string]any{
			"ingress": []any{map[string]any{"cidrBlocks": []any{"10.0.0.0/8", cidr}}}}}
	}
	rule := func(kind string, inputs map[string]any) given { return given{kind: kind, name: "rule", inputs: inputs} }
	firewall := func(inputs map[string]any) given {
		inputs["allows"] = []any{map[string]any{"protocol": "tcp"}}
		return rule("gcp:compute/firewall:Firewall", inputs)
	}
	checkPolicy(t, proxyIngressClosed, map[string]judgement{
		"a group of clients":           {resources: []given{group("100.64.0.0/10")}},
		"a group of everybody":         {resources: []given{group("0.0.0.0/0")}, want: []string{`sg: ingress[0].cidrBlocks: must not hold the whole internet, got "0.0.0.0/0"`}},
		"a rule of everybody":          {resources: []given{rule("aws:ec2/securityGroupRule:SecurityGroupRule", map[string]any{"type": "ingress", "ipv6CidrBlocks": []any{"::/0"}})}, want: []string{`"::/0"`}},
		"a rule for going out":         {resources: []given{rule("aws:ec2/securityGroupRule:SecurityGroupRule", map[string]any{"type": "egress", "cidrBlocks": []any{"0.0.0.0/0"}})}},
		"a VPC rule of everybody":      {resources: []given{rule("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", map[string]any{"cidrIpv4": "0.0.0.0/0"})}, want: []string{"cidrIpv4"}},
		"a firewall for clients":       {resources: []given{firewall(map[string]any{"sourceRanges": []any{"10.0.0.0/8"}})}},
		"a firewall for everybody":     {resources: []given{firewall(map[string]any{"sourceRanges": []any{"0.0.0.0/0"}})}, want: []string{"sourceRanges"}},
		"a firewall that names nobody": {resources: []given{firewall(map[string]any{"direction": "INGRESS"})}, want: []string{"must name the clients, got nothing"}},
		"a firewall that denies":       {resources: []given{rule("gcp:compute/firewall:Firewall", map[string]any{"denies": []any{}, "sourceRanges": []any{"0.0.0.0/0"}})}},
		"a preview that does not know": {resources: []given{rule("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", map[string]any{"cidrIpv4": computed{}})}},
	})
}

func TestProxyIMDSv2(t *testing.T) {
	template := func(options any) given {
		return given{kind: launchTemplateType, name: "lt", inputs: map[string]any{"metadataOptions": options}}
	}
	checkPolicy(t, proxyIMDSv2, map[string]judgement{
		"required":     {resources: []given{template(map[string]any{"httpTokens": "required"})}},
		"optional":     {resources: []given{template(map[string]any{"httpTokens": "optional"})}, want: []string{`must be required, got "optional"`}},
		"nothing said": {resources: []given{template(nil)}, want: []string{"metadataOptions.httpTokens: must be there to be judged"}},
		"no metadata":  {resources: []given{template(map[string]any{"httpEndpoint": "disabled"})}},
	})
}

func TestProxyImageByDigest(t *testing.T) {
	deployment := func(image string) given {
		return given{kind: "kubernetes:apps/v1:Deployment", name: "pool", inputs: map[string]any{"spec": map[string]any{"template": map[string]any{
			"spec": map[string]any{"containers": []any{map[string]any{"image": image}}}}}}}
	}
	checkPolicy(t, proxyImageByDigest, map[string]judgement{
		"by digest":                    {resources: []given{fleet(pinned, "a"), deployment(pinned)}},
		"by tag":                       {resources: []given{fleet("registry.example.com/proxy:latest", "a")}, want: []string{`fleet: image: must end with @sha256:`}},
		"a digest that is cut":         {resources: []given{deployment(pinned[:len(pinned)-1])}, want: []string{"pool: spec.template.spec.containers[0].image"}},
		"nothing said":                 {resources: []given{fleet(nil, "a")}, want: []string{"must be there to be judged"}},
		"a preview that does not know": {resources: []given{fleet(computed{}, "a")}},
	})
}

func TestProxySpreadOverZones(t *testing.T) {
	checkPolicy(t, proxySpreadOverZones, map[string]judgement{
		"two zones":                       {resources: []given{fleet(pinned, "a", "b")}},
		"one zone":                        {resources: []given{fleet(pinned, "a", "a")}, want: []string{"must have active proxies in at least 2 zones, got 1"}},
		"the other zone is only reserved": {resources: []given{fleet(pinned, "a", "b reserved")}, want: []string{"got 1"}},
		"one zone on purpose":             {resources: []given{fleet(pinned, "a")}, config: map[string]any{"minZones": 1.0}},
		"slots not recorded":              {resources: []given{{kind: fleetTypes[0], name: "fleet"}}, want: []string{"slots: must be there to be judged"}},
		"no proxies":                      {resources: []given{fleet(pinned)}},
		"all wait for partners":           {resources: []given{fleet(pinned, "a reserved", "b reserved")}},
	})
}

func TestProxyCapacityWithOneZoneDown(t *testing.T) {
	// 5,000 new connections a second need three proxies of 2,000.
	stack := declare(t, strings.NewReplacer("route: nat", "route: proxy", "2000, secondsPerConnection: 10", "5000, addresses: 16").Replace(awsStack))
	checkPolicy(t, proxyCapacityWithOneZoneDown, map[string]judgement{
		"three remain": {resources: []given{stack, fleet(pinned, "a", "a", "a", "b", "b", "b")}},
		"two remain": {
			resources: []given{stack, fleet(pinned, "a", "a", "b", "b")},
			want:      []string{"fleet: slots: must be at least 3 without the largest zone, got 2 of 4\n  proxies for"},
		},
		"a stack that declares nothing": {resources: []given{fleet(pinned, "a")}, want: []string{"must be declared to be judged"}},
	})
}

func TestDestinationsCovered(t *testing.T) {
	stack := declare(t, strings.ReplaceAll(awsStack, "route: nat", "route: proxy"))
	object := func(content any) given {
		return given{kind: "aws:s3/bucketObjectv2:BucketObjectv2", name: "routes", inputs: map[string]any{"content": content}}
	}
	checkPolicy(t, destinationsCovered, map[string]judgement{
		"covered":                               {resources: []given{stack, object(`{"routes": [{"hosts": ["cdn.example.com"]}]}`)}},
		"a host is missing":                     {resources: []given{stack, object(`{"routes": []}`)}, want: []string{`must hold "cdn.example.com"`}},
		"a host too many":                       {resources: []given{stack, object(`{"routes": [{"hosts": ["cdn.example.com", "x.example.com"]}]}`)}, want: []string{`must not hold what nobody declared, got "x.example.com"`}},
		"no document":                           {resources: []given{stack}, want: []string{"needs a routes document for 1 hosts, got none"}},
		"another object":                        {resources: []given{stack, object("text")}, want: []string{"got none"}},
		"a preview that does not know":          {resources: []given{stack, object(computed{})}},
		"no destination leaves through proxies": {resources: []given{declare(t, awsStack)}},
		"a stack that declares nothing":         {resources: []given{object(`{"routes": []}`)}},
	})
}
