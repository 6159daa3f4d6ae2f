package main

import "testing"

func eip(name string, protect bool, tags map[string]any) given {
	return given{kind: eipType, name: name, protect: protect, inputs: map[string]any{"tags": tags}}
}

func tagsOf(slot string) map[string]any {
	return map[string]any{"sallyport:stack": "prod", "sallyport:kind": "nat", "sallyport:slot": slot}
}

func TestStaticIPProtected(t *testing.T) {
	checkPolicy(t, staticIPProtected, map[string]judgement{
		"protected":     {resources: []given{eip("nat-a-1", true, nil)}},
		"not protected": {resources: []given{eip("nat-a-1", false, nil)}, want: []string{"nat-a-1: protect: must be true, got false"}},
		"released on purpose": {resources: []given{eip("nat-a-1", false, nil), {kind: "sallyport:elasticip:Addresses", name: "a",
			inputs: map[string]any{"addresses": []any{map[string]any{"name": "nat-a-1", "released": true}}}}}},
		"another one is released": {resources: []given{eip("nat-a-1", false, nil), {kind: "sallyport:elasticip:Addresses", name: "a",
			inputs: map[string]any{"addresses": []any{map[string]any{"name": "nat-a-2", "released": true}}}}}, want: []string{"nat-a-1: protect"}},
		"released, as our component names it": {resources: []given{eip("elasticip-address-nat-a-1", false, tagsOf("nat-a-1")), {kind: "sallyport:elasticip:Addresses", name: "a",
			inputs: map[string]any{"addresses": []any{map[string]any{"name": "nat-a-1", "released": true}}}}}},
		"brought: somebody else's": {resources: []given{eip("elasticip-address-nat-a-1", false, tagsOf("of-another-stack")), {kind: "sallyport:elasticip:Addresses", name: "a",
			inputs: map[string]any{"addresses": []any{map[string]any{"name": "nat-a-1", "brought": true}}}}}},
		"an external address of GCP": {resources: []given{{kind: gcpAddressType, name: "nat-1"}}, want: []string{"nat-1: protect"}},
		"an internal address":        {resources: []given{{kind: gcpAddressType, name: "in", inputs: map[string]any{"addressType": "INTERNAL"}}}},
	})
}

func TestStaticIPTagged(t *testing.T) {
	checkPolicy(t, staticIPTagged, map[string]judgement{
		"tagged":       {resources: []given{eip("nat-a-1", true, tagsOf("nat-a-1"))}},
		"no tags":      {resources: []given{eip("nat-a-1", true, nil)}, want: []string{"tags.sallyport:stack", "tags.sallyport:kind", "tags.sallyport:slot"}},
		"an empty one": {resources: []given{eip("x", true, tagsOf(""))}, want: []string{"tags.sallyport:slot: must not be empty"}},
		"labels of GCP": {resources: []given{{kind: gcpAddressType, name: "nat-1", inputs: map[string]any{"labels": map[string]any{
			"sallyport-stack": "prod", "sallyport-kind": "nat", "sallyport-slot": "nat-1"}}}}},
		"an internal address": {resources: []given{{kind: gcpAddressType, name: "in", inputs: map[string]any{"addressType": "INTERNAL"}}}},
	})
}

func TestNoEphemeralPublicIP(t *testing.T) {
	template := func(automatic any) given {
		return given{kind: launchTemplateType, name: "lt", inputs: map[string]any{"networkInterfaces": []any{map[string]any{"associatePublicIpAddress": automatic}}}}
	}
	vm := func(access map[string]any) given {
		return given{kind: "gcp:compute/instance:Instance", name: "vm", inputs: map[string]any{
			"networkInterfaces": []any{map[string]any{"accessConfigs": []any{access}}}}}
	}
	checkPolicy(t, noEphemeralPublicIP, map[string]judgement{
		"manual IPs":           {resources: []given{routerNat("nat", nil)}},
		"automatic IPs":        {resources: []given{routerNat("nat", map[string]any{"natIpAllocateOption": "AUTO_ONLY"})}, want: []string{`must be MANUAL_ONLY, got "AUTO_ONLY"`}},
		"nothing said":         {resources: []given{routerNat("nat", map[string]any{"natIpAllocateOption": nil})}, want: []string{"must be there to be judged"}},
		"template without":     {resources: []given{template("false"), template(nil)}},
		"template with":        {resources: []given{template("true")}, want: []string{"lt: networkInterfaces[0].associatePublicIpAddress: must not be true"}},
		"instance with":        {resources: []given{{kind: instanceType, name: "i", inputs: map[string]any{"associatePublicIpAddress": true}}}, want: []string{"i: associatePublicIpAddress"}},
		"VM with a static IP":  {resources: []given{vm(map[string]any{"natIp": "198.51.100.7"})}},
		"VM with an automatic": {resources: []given{vm(map[string]any{})}, want: []string{"natIp: must name a static IP"}},
	})
}

// bare is the declaration of a stack that says nothing else.
var bare = given{kind: declarationType, name: "declaration", inputs: map[string]any{}}

// after is a declaration of a stack whose partners have a list.
func after(d given, list any) given {
	d.outputs = map[string]any{"published": list}
	return d
}

func TestAllowlistNoReleaseInUse(t *testing.T) {
	previous := func(state string) given {
		return after(bare, map[string]any{
			"version": 1, "stack": "prod", "serial": 3, "entries": []any{map[string]any{"ip": "198.51.100.7", "cloud": "aws", "region": "eu-west-1",
				"zone": "eu-west-1a", "kind": "nat", "slot": "nat-a-1", "state": state, "partners": []any{}}}})
	}
	checkPolicy(t, allowlistNoReleaseInUse, map[string]judgement{
		"the first update":          {resources: []given{after(bare, map[string]any{}), eip("nat-a-1", true, nil)}},
		"still there":               {resources: []given{previous("active"), eip("nat-a-1", true, tagsOf("nat-a-1"))}},
		"as our component names it": {resources: []given{previous("active"), eip("elasticip-address-nat-a-1", true, nil)}},
		"gone": {
			resources: []given{previous("active"), eip("nat-b-1", true, nil)},
			want:      []string{"nat-a-1: 198.51.100.7: must stay until it is retired, got state active"},
		},
		"gone while it drains": {resources: []given{previous("draining")}, want: []string{"got state draining"}},
		"gone when retired":    {resources: []given{previous("retired")}},
		"brought, so no resource of the stack": {resources: []given{previous("active"), {kind: "sallyport:elasticip:Addresses", name: "a",
			inputs: map[string]any{"addresses": []any{map[string]any{"name": "nat-a-1", "brought": true}}}}}},
		"a list that cannot be read": {
			resources: []given{after(bare, 7)}, want: []string{"restore the stack's outputs"},
		},
		"a declaration without the list": {resources: []given{after(bare, nil)}, want: []string{"must be recorded, got nothing; run the program and the policies of one release"}},
	})
	unrecorded := []given{eip("nat-a-1", true, nil)}
	checkPolicy(t, allowlistNoReleaseInUse, map[string]judgement{"a stack that records nothing": {resources: unrecorded}})
	checkPolicy(t, inputsVisible([]policy{allowlistNoReleaseInUse}), map[string]judgement{
		"a stack that records nothing": {resources: unrecorded, want: []string{"nat-a-1: whether partners list it is not recorded"}},
	})
}

func TestAllowlistNoticeRespected(t *testing.T) {
	t.Setenv("SALLYPORT_NOW", "2026-06-01T00:00:00Z")
	stack := declare(t, awsStack+`
  sallyport:allowlist: {notice: {default: 14d}}
`)
	entry := func(slot, ip string) any {
		return map[string]any{"ip": ip, "cloud": "aws", "region": "eu-west-1", "zone": slot[4:14], "kind": "nat", "slot": slot, "state": "active", "partners": []any{}}
	}
	listed := map[string]any{"version": 1, "stack": "prod", "serial": 3, "entries": []any{
		entry("nat-eu-west-1a-1", "198.51.100.1"), entry("nat-eu-west-1a-2", "198.51.100.2"), entry("nat-eu-west-1b-1", "198.51.100.3")}}
	later := func(d given) given { return after(d, listed) } // the same stack when partners have a list
	gateway := func(name, ip string) given {
		return given{kind: natGatewayType, name: name, uses: map[string][]string{"allocationId": {ip}}}
	}
	told, untold := eip("nat-eu-west-1a-1", true, tagsOf("nat-eu-west-1a-1")), eip("nat-eu-west-1b-2", true, tagsOf("nat-eu-west-1b-2"))
	withPartner := declare(t, awsStack[:len(awsStack)-len("demand: {connectionsPerSecond: 2000, secondsPerConnection: 10}}\n")]+
		"partner: cdn, demand: {connectionsPerSecond: 2000, secondsPerConnection: 10}}\n"+"  sallyport:allowlist: {notice: {default: 14d}}\n")
	// proxy is a slot: an address on an interface, in the template of a group of a size.
	proxy := func(size any) []given {
		return []given{later(withPartner), untold,
			{kind: eipAssociationType, name: "association", uses: map[string][]string{"allocationId": {untold.name}, "networkInterfaceId": {"eni"}}},
			{kind: "aws:ec2/networkInterface:NetworkInterface", name: "eni"},
			{kind: launchTemplateType, name: "template", uses: map[string][]string{"networkInterfaces": {"eni"}}},
			{kind: scalingGroupType, name: "group", inputs: map[string]any{"maxSize": size}, uses: map[string][]string{"launchTemplate": {"template"}}},
		}
	}
	early := "nat-eu-west-1b-2: must not carry traffic in state announced, got attached to "
	unrecorded := []given{untold, gateway("b", untold.name)}
	checkPolicy(t, allowlistNoticeRespected, map[string]judgement{
		"the first update: nobody had a list":   {resources: []given{withPartner, untold, gateway("b", untold.name)}},
		"an IP that partners have":              {resources: []given{later(withPartner), told, gateway("a", told.name)}},
		"an IP that they have not, without use": {resources: []given{later(withPartner), untold}},
		"an IP that they have not, in use": {
			resources: []given{later(withPartner), untold, gateway("b", untold.name)}, want: []string{early + "b"},
		},
		"an IP that they have not, on a proxy":                  {resources: proxy(1), want: []string{early + "group"}},
		"an IP that they have not, on a proxy that may not run": {resources: proxy(0)},
		"a size that is not known yet":                          {resources: proxy(computed{}), want: []string{early + "group"}},
		"an IP that they have not, on an instance": {
			resources: []given{later(withPartner), untold, {kind: eipAssociationType, name: "association", inputs: map[string]any{"instanceId": "i-1"},
				uses: map[string][]string{"allocationId": {untold.name}}}},
			want: []string{early + "association"},
		},
		"nobody is concerned":            {resources: []given{later(stack), untold, gateway("b", untold.name)}},
		"a stack that declares nothing":  {resources: unrecorded},
		"a declaration without the list": {resources: []given{after(withPartner, nil), untold}, want: []string{"run the program and the policies of one release"}},
	})
	checkPolicy(t, inputsVisible([]policy{allowlistNoticeRespected}), map[string]judgement{
		"a stack that declares nothing": {resources: unrecorded, want: []string{"nat-eu-west-1b-2: what partners were told and when is not recorded"}},
	})
}
