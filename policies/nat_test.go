package main

import (
	"strings"
	"testing"
)

func routerNat(name string, changes map[string]any) given {
	inputs := map[string]any{
		"natIpAllocateOption": "MANUAL_ONLY", "natIps": []any{"ip-1"}, "minPortsPerVm": 64, "enableDynamicPortAllocation": false,
		"enableEndpointIndependentMapping": false, "sourceSubnetworkIpRangesToNat": "ALL_SUBNETWORKS_ALL_PRIMARY_IP_RANGES",
		"logConfig": map[string]any{"enable": true, "filter": "ERRORS_ONLY"}, "tcpEstablishedIdleTimeoutSec": 1200,
	}
	for key, v := range changes {
		inputs[key] = v
	}
	return given{kind: routerNatType, name: name, inputs: inputs}
}

func natGateway(name string, ips int) given {
	secondary := []any{}
	for range ips - 1 {
		secondary = append(secondary, computed{})
	}
	return given{kind: natGatewayType, name: name, inputs: map[string]any{"allocationId": "eipalloc-1", "secondaryAllocationIds": secondary}}
}

func ipList(count int) (ips []any) {
	for range count {
		ips = append(ips, computed{})
	}
	return ips
}

// grown is the GCP stack with a number of nodes. 1,000/s over 50 nodes need 8,192 ports a VM, over 120 nodes 2,048.
func grown(t *testing.T, nodes string) given {
	return declare(t, strings.ReplaceAll(gcpStack, "NODES", nodes))
}

func TestNatPortsSufficient(t *testing.T) {
	checkPolicy(t, natPortsSufficient, map[string]judgement{
		"no NAT, nothing to judge": {resources: []given{grown(t, "50")}},
		"enough":                   {resources: []given{grown(t, "50"), routerNat("nat", map[string]any{"minPortsPerVm": 4096})}},
		"too few": {
			resources: []given{grown(t, "50"), routerNat("nat", map[string]any{"minPortsPerVm": 2048})},
			want:      []string{"nat: minPortsPerVm: must be at least 4096 for cdn, with 50 nodes now and up to 50\n  load of cdn: 1,000/s / 50 nodes x 1.5 skew x (1 s + 120 s)"},
		},
		"dynamic, and the maximum is enough": {resources: []given{grown(t, "50"), routerNat("nat", map[string]any{
			"minPortsPerVm": 64, "maxPortsPerVm": 4096, "enableDynamicPortAllocation": true})}},
		"dynamic, and the maximum is too low": {
			resources: []given{grown(t, "50"), routerNat("nat", map[string]any{"maxPortsPerVm": 2048, "enableDynamicPortAllocation": true})},
			want:      []string{"nat: maxPortsPerVm: must be at least 4096"},
		},
		"ports that are not there": {
			resources: []given{grown(t, "50"), routerNat("nat", map[string]any{"minPortsPerVm": nil})}, want: []string{"must be there to be judged, got nothing"},
		},
		"ports that a preview does not know": {resources: []given{grown(t, "50"), routerNat("nat", map[string]any{"minPortsPerVm": computed{}})}},
		"a stack that declares nothing":      {resources: []given{routerNat("nat", nil)}, want: []string{"nat: the demand it must carry must be declared"}},
		"a declaration of another release": {
			resources: []given{{kind: declarationType, name: "d", inputs: map[string]any{"stack": map[string]any{}}}, routerNat("nat", nil)},
			want:      []string{"run the program and the policies of one release"},
		},
	})
}

func TestNatIPsSufficient(t *testing.T) {
	aws := declare(t, awsStack) // 2,000/s x (10 s + 60 s) / 2 zones = 70,000 in use in a zone: two IPs
	checkPolicy(t, natIPsSufficient, map[string]judgement{
		"enough": {resources: []given{grown(t, "50"), routerNat("nat", map[string]any{"minPortsPerVm": 4096, "natIps": ipList(4)})}},
		"nodes grew and the ports stayed": {
			resources: []given{grown(t, "120"), routerNat("nat", map[string]any{"minPortsPerVm": 4096, "natIps": ipList(4)})},
			want:      []string{"nat: natIps: must be at least 8, got 4: (120 nodes + 1 surge) x 4096 ports / 64512 ports per IP = 7.68; add 4 public IPs"},
		},
		"the suggested change": {resources: []given{grown(t, "120"), routerNat("nat", map[string]any{"minPortsPerVm": 4096, "natIps": ipList(8)})}},
		"several gateways count together": {resources: []given{grown(t, "120"),
			routerNat("nat-1", map[string]any{"minPortsPerVm": 4096, "natIps": ipList(4)}), routerNat("nat-2", map[string]any{"minPortsPerVm": 4096, "natIps": ipList(4)})}},
		"IPs that are not there": {
			resources: []given{grown(t, "50"), routerNat("nat", map[string]any{"natIps": nil})}, want: []string{"natIps: must be there to be judged"},
		},
		"gateways with enough":   {resources: []given{aws, natGateway("a", 3), natGateway("b", 3)}},
		"a gateway with too few": {resources: []given{aws, natGateway("a", 3), natGateway("b", 1)}, want: []string{"b: allocationId and secondaryAllocationIds: must be at least"}},
		"more than eight IPs would be needed": {
			resources: []given{undeliverable(t), natGateway("a", 8)}, want: []string{"no NAT gateway carries what is declared"},
		},
		"secondary IPs that a preview does not know": {resources: []given{aws,
			{kind: natGatewayType, name: "a", inputs: map[string]any{"secondaryAllocationIds": computed{}}}}},
		"a stack that declares nothing": {resources: []given{natGateway("a", 1)}, want: []string{"must be declared to be judged"}},
	})
}

// A stack that grows with a notice has the IPs before it may use them. The update that announces them must pass.
func TestIPsThatWaitForPartnersAreNotMissing(t *testing.T) {
	t.Setenv("SALLYPORT_NOW", "2026-06-01T00:00:00Z")
	partner := strings.Replace(awsStack, "demand:", "partner: cdn, demand:", 1)
	noticed := declare(t, partner+"  sallyport:allowlist: {notice: {default: 14d}}\n")
	entry := func(slot, ip string) any {
		return map[string]any{"ip": ip, "cloud": "aws", "region": "eu-west-1", "zone": slot[4:14], "kind": "nat", "slot": slot, "state": "active", "partners": []any{"cdn"}}
	}
	list := map[string]any{"version": 1, "stack": "prod", "serial": 3, "entries": []any{entry("nat-eu-west-1a-1", "198.51.100.1"), entry("nat-eu-west-1b-1", "198.51.100.3")}}
	a, b := natGateway("natgateway-gateway-eu-west-1a", 1), natGateway("natgateway-gateway-eu-west-1b", 1)
	short := []string{"must be at least", "must be at least"}
	checkPolicy(t, natIPsSufficient, map[string]judgement{
		"announced now":           {resources: []given{after(noticed, list), a, b}},
		"no notice, so no excuse": {resources: []given{after(declare(t, partner), list), a, b}, want: short},
		"nobody knows the list":   {resources: []given{after(noticed, nil), a, b}, want: short},
	})
	checkPolicy(t, inputsVisible([]policy{natIPsSufficient}), map[string]judgement{
		"announced now": {resources: []given{after(noticed, list), a, b}, want: []string{
			"natgateway-gateway-eu-west-1a: has 1 of", "natgateway-gateway-eu-west-1b: has 1 of"}},
	})
}

// undeliverable is the AWS stack with ten times the demand, as a stack changed by hand could record it.
func undeliverable(t *testing.T) given {
	d := declare(t, awsStack)
	tree := d.inputs["stack"].(map[string]any)
	demand := tree["destinations"].([]any)[0].(map[string]any)["demand"].(map[string]any)
	demand["connectionsPerSecond"] = 20000.0
	return d
}

func TestNatLegalPorts(t *testing.T) {
	checkPolicy(t, natLegalPorts, map[string]judgement{
		"static":            {resources: []given{routerNat("nat", nil)}},
		"dynamic":           {resources: []given{routerNat("nat", map[string]any{"enableDynamicPortAllocation": true, "minPortsPerVm": 32, "maxPortsPerVm": 65536})}},
		"no power of two":   {resources: []given{routerNat("nat", map[string]any{"minPortsPerVm": 100})}, want: []string{"must be a power of two from 64 to 65536, got 100"}},
		"negative":          {resources: []given{routerNat("nat", map[string]any{"minPortsPerVm": -64})}, want: []string{"got -64"}},
		"below the floor":   {resources: []given{routerNat("nat", map[string]any{"minPortsPerVm": 32})}, want: []string{"from 64"}},
		"above the ceiling": {resources: []given{routerNat("nat", map[string]any{"minPortsPerVm": 131072})}, want: []string{"to 65536"}},
		"alias ranges raise the floor": {
			resources: []given{routerNat("nat", map[string]any{"sourceSubnetworkIpRangesToNat": "ALL_SUBNETWORKS_ALL_IP_RANGES"})}, want: []string{"from 1024"},
		},
		"alias ranges of one subnetwork": {
			resources: []given{routerNat("nat", map[string]any{"sourceSubnetworkIpRangesToNat": "LIST_OF_SUBNETWORKS",
				"subnetworks": []any{map[string]any{"sourceIpRangesToNats": []any{"PRIMARY_IP_RANGE", "LIST_OF_SECONDARY_IP_RANGES"}}}})},
			want: []string{"from 1024"},
		},
		"a maximum without dynamic allocation": {resources: []given{routerNat("nat", map[string]any{"maxPortsPerVm": 128})}, want: []string{"needs dynamic port allocation"}},
		"a maximum not above the minimum": {
			resources: []given{routerNat("nat", map[string]any{"enableDynamicPortAllocation": true, "maxPortsPerVm": 64})}, want: []string{"must be above minPortsPerVm, 64"},
		},
		"a mapping that excludes dynamic allocation": {
			resources: []given{routerNat("nat", map[string]any{"enableDynamicPortAllocation": true, "maxPortsPerVm": 128, "enableEndpointIndependentMapping": true})},
			want:      []string{"must be off with dynamic port allocation"},
		},
		"nothing said": {resources: []given{routerNat("nat", map[string]any{"minPortsPerVm": nil})}, want: []string{"got nothing; set it, at least 64"}},
	})
}

func TestNatLoggingOn(t *testing.T) {
	checkPolicy(t, natLoggingOn, map[string]judgement{
		"errors": {resources: []given{routerNat("nat", nil)}},
		"off":    {resources: []given{routerNat("nat", map[string]any{"logConfig": map[string]any{"enable": false}})}, want: []string{"must be true, got false"}},
		"without errors": {
			resources: []given{routerNat("nat", map[string]any{"logConfig": map[string]any{"enable": true, "filter": "TRANSLATIONS_ONLY"}})}, want: []string{"must include errors"},
		},
		"nothing said":                 {resources: []given{routerNat("nat", map[string]any{"logConfig": nil})}, want: []string{"logConfig.enable: must be there to be judged"}},
		"a preview that does not know": {resources: []given{routerNat("nat", map[string]any{"logConfig": computed{}})}},
	})
}

func TestNatZoneSpread(t *testing.T) {
	gateways := func(zones ...string) given {
		object := map[string]any{}
		for _, zone := range zones {
			object[zone] = map[string]any{"ips": 1}
		}
		return given{kind: natGatewaysType, name: "nat", inputs: map[string]any{"zones": object}}
	}
	checkPolicy(t, natZoneSpread, map[string]judgement{
		"two zones":            {resources: []given{gateways("a", "b")}},
		"one zone":             {resources: []given{gateways("a")}, want: []string{"nat: zones: must be at least 2, got 1 (a)"}},
		"one zone on purpose":  {resources: []given{gateways("a")}, config: map[string]any{"minZones": 1.0}},
		"zones not recorded":   {resources: []given{{kind: natGatewaysType, name: "nat"}}, want: []string{"must be there to be judged"}},
		"other resource types": {resources: []given{routerNat("nat", nil)}},
	})
}
