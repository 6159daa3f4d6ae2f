package main

import "testing"

func rule(changes map[string]any) given {
	policy := map[string]any{
		"connectionPool":   map[string]any{"tcp": map[string]any{"tcpKeepalive": map[string]any{"time": "300s"}}},
		"outlierDetection": map[string]any{"maxEjectionPercent": 100},
	}
	for key, v := range changes {
		policy[key] = v
	}
	return given{kind: destinationRuleType, name: "fleet", inputs: map[string]any{"spec": map[string]any{"trafficPolicy": policy}}}
}

func keepalive(time any) map[string]any {
	return map[string]any{"connectionPool": map[string]any{"tcp": map[string]any{"tcpKeepalive": map[string]any{"time": time}}}}
}

func TestKeepaliveBelowNatTimeout(t *testing.T) {
	checkPolicy(t, keepaliveBelowNatTimeout, map[string]judgement{
		"below":                    {resources: []given{rule(nil)}},
		"at the timeout":           {resources: []given{rule(keepalive("350s"))}, want: []string{`must be below 5m50s, got "350s"`}},
		"no duration":              {resources: []given{rule(keepalive("often"))}, want: []string{`got "often"`}},
		"nothing said":             {resources: []given{rule(map[string]any{"connectionPool": nil})}, want: []string{"must be there to be judged"}},
		"a NAT that forgets early": {resources: []given{routerNat("nat", map[string]any{"tcpEstablishedIdleTimeoutSec": 300})}, want: []string{"must be at least 350 seconds"}},
		"a NAT with its default":   {resources: []given{routerNat("nat", map[string]any{"tcpEstablishedIdleTimeoutSec": nil})}},
	})
}

func TestMeshOutlierEffective(t *testing.T) {
	detection := func(d map[string]any) given { return rule(map[string]any{"outlierDetection": d}) }
	checkPolicy(t, meshOutlierEffective, map[string]judgement{
		"effective":       {resources: []given{rule(nil)}},
		"Istio's default": {resources: []given{detection(map[string]any{})}, want: []string{"maxEjectionPercent: must be there to be judged"}},
		"too low":         {resources: []given{detection(map[string]any{"maxEjectionPercent": 10})}, want: []string{"must be at least 50, got 10"}},
		"a counter without effect": {
			resources: []given{detection(map[string]any{"maxEjectionPercent": 100, "consecutiveLocalOriginFailures": 3})},
			want:      []string{"has no effect without splitExternalLocalOriginErrors, got 3"},
		},
		"a rule about something else": {resources: []given{rule(map[string]any{"outlierDetection": nil})}},
	})
}

func TestDNSCachePresent(t *testing.T) {
	object := given{kind: "kubernetes:core/v1:ConfigMap", name: "x"}
	cache := given{kind: "kubernetes:apps/v1:DaemonSet", name: "node-local-dns", inputs: map[string]any{
		"metadata": map[string]any{"labels": map[string]any{"k8s-app": "node-local-dns"}}}}
	managed := given{kind: "gcp:container/cluster:Cluster", name: "gke", inputs: map[string]any{
		"addonsConfig": map[string]any{"dnsCacheConfig": map[string]any{"enabled": true}}}}
	checkPolicy(t, dnsCachePresent, map[string]judgement{
		"installed":           {resources: []given{object, cache}},
		"missing":             {resources: []given{object}, want: []string{"node-local-dns: must be installed, got none"}},
		"managed":             {resources: []given{object, managed}},
		"two":                 {resources: []given{cache, managed}, want: []string{"must be installed once"}},
		"nothing in clusters": {resources: []given{natGateway("a", 1)}},
	})
}
