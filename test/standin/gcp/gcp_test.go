package gcp

import (
	"strings"
	"testing"

	"github.com/sallyport/sallyport/test/standin/engine"
	"github.com/sallyport/sallyport/test/standin/engine/enginetest"
	"github.com/sallyport/sallyport/test/standin/world"
)

// network is a world with a network, a subnetwork and a router, by their links.
func network(t *testing.T) (cloud *enginetest.Cloud, net, subnetwork, router string) {
	c := enginetest.New(t, Package(), world.Settings{Addresses: 100})
	c.Region = "europe-west1"
	net = c.Make(networkKind, props{"name": "net", "autoCreateSubnetworks": false})
	subnetwork = c.Make(subnetworkKind, props{"name": "nodes", "network": net, "ipCidrRange": "10.0.0.0/24",
		"secondaryIpRanges": []any{props{"rangeName": "pods", "ipCidrRange": "10.8.0.0/14"}}})
	return c, net, subnetwork, c.Make(routerKind, props{"name": "router", "network": net})
}

// gateway are the inputs of a legal Cloud NAT.
func gateway(subnetwork string, ips ...string) props {
	return props{"name": "nat", "router": "router", "natIpAllocateOption": "MANUAL_ONLY", "natIps": engine.List(ips...), "minPortsPerVm": 1024.0,
		"sourceSubnetworkIpRangesToNat": "LIST_OF_SUBNETWORKS", "subnetworks": []any{props{"name": subnetwork}}}
}

func with(in props, property string, value any) props {
	out := props{}
	for key, v := range in {
		out[key] = v
	}
	if value == nil {
		delete(out, property)
	} else {
		out[property] = value
	}
	return out
}

func address(c *enginetest.Cloud, name string) string {
	return c.Make(addressKind, props{"name": name})
}

func TestCloudNatCombinations(t *testing.T) {
	t.Parallel()
	base := gateway("nodes", "ip")
	dynamic := with(with(with(base, "enableDynamicPortAllocation", true), "minPortsPerVm", 32.0), "maxPortsPerVm", 65536.0)
	rule := []any{props{"ruleNumber": 1.0, "match": "destination.ip == '192.0.2.1'"}}
	cases := map[string]struct {
		in   props
		want string // empty: legal
	}{
		"static":                         {base, ""},
		"static that is no power of two": {with(base, "minPortsPerVm", 1000.0), ""},
		"dynamic":                        {dynamic, ""},
		"dynamic below 32":               {with(dynamic, "minPortsPerVm", 16.0), "power of two, at least 32"},
		"dynamic with a minimum between the powers": {with(dynamic, "minPortsPerVm", 100.0), "power of two"},
		"dynamic with a maximum at the minimum":     {with(with(dynamic, "minPortsPerVm", 64.0), "maxPortsPerVm", 64.0), "above minPortsPerVm"},
		"dynamic with a maximum too high":           {with(dynamic, "maxPortsPerVm", 131072.0), "at most 65536"},
		"a maximum without dynamic":                 {with(base, "maxPortsPerVm", 4096.0), "maxPortsPerVm"},
		"dynamic with independent mapping":          {with(dynamic, "enableEndpointIndependentMapping", true), "mutually exclusive"},
		"rules with independent mapping":            {with(with(base, "rules", rule), "enableEndpointIndependentMapping", true), "rules"},
		"rules":                                     {with(base, "rules", rule), ""},
		"two rules of one number":                   {with(base, "rules", append(rule, rule...)), "unique"},
		"addresses with automatic allocation":       {with(base, "natIpAllocateOption", "AUTO_ONLY"), "MANUAL_ONLY"},
		"subnetworks with all of them":              {with(base, "sourceSubnetworkIpRangesToNat", "ALL_SUBNETWORKS_ALL_IP_RANGES"), "if and only if"},
		"a list without subnetworks":                {with(base, "subnetworks", nil), "if and only if"},
	}
	for name, tc := range cases {
		got := strings.Join(natLegal(tc.in), "; ")
		if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
}

func TestAnAddressServesOneUser(t *testing.T) {
	t.Parallel()
	c, _, subnetwork, _ := network(t)
	first, second := address(c, "first"), address(c, "second")
	nat := c.Make(natKind, gateway(subnetwork, first))
	other := with(gateway(subnetwork, first), "name", "other")
	_, err := c.Try(natKind, other)
	c.Refused(err, "resourceInUseByAnotherResource")
	_, err = c.Try(natKind, with(other, "natIps", engine.List(second)))
	c.Refused(err, "already translated")
	c.Refused(c.Remove(addressKind, first), "resourceInUseByAnotherResource")
	if err := c.Remove(natKind, nat); err != nil {
		t.Fatal(err)
	}
	if err := c.Remove(addressKind, first); err != nil {
		t.Fatal(err)
	}
	if len(c.State().Released) != 1 {
		t.Errorf("released: %v", c.State().Released)
	}
}

func TestWhatCutsConnectionsIsRemembered(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		change func(in props, first, second string) []props // one update after the other
		cuts   int
	}{
		"an address taken away": {func(in props, first, _ string) []props { return []props{with(in, "natIps", engine.List(first))} }, 1},
		"an address drained and then taken away": {func(in props, first, second string) []props {
			drained := with(with(in, "natIps", engine.List(first)), "drainNatIps", engine.List(second))
			return []props{drained, with(drained, "drainNatIps", nil)}
		}, 0},
		"fewer ports":         {func(in props, _, _ string) []props { return []props{with(in, "minPortsPerVm", 512.0)} }, 1},
		"more ports":          {func(in props, _, _ string) []props { return []props{with(in, "minPortsPerVm", 2048.0)} }, 0},
		"dynamic allocation":  {func(in props, _, _ string) []props { return []props{with(in, "enableDynamicPortAllocation", true)} }, 1},
		"other error logging": {func(in props, _, _ string) []props { return []props{with(in, "logConfig", props{"enable": true})} }, 0},
	}
	for name, tc := range cases {
		c, _, subnetwork, _ := network(t)
		first, second := address(c, "first"), address(c, "second")
		in := gateway(subnetwork, first, second)
		nat := c.Make(natKind, in)
		for _, update := range tc.change(in, first, second) {
			if err := c.Change(natKind, nat, update); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if got := len(c.State().Cut); got != tc.cuts {
			t.Errorf("%s: cut %v, want %d", name, c.State().Cut, tc.cuts)
		}
	}
}

func TestOnlyAnAddressOfTheGatewayIsDrained(t *testing.T) {
	t.Parallel()
	c, _, subnetwork, _ := network(t)
	first, second := address(c, "first"), address(c, "second")
	in := gateway(subnetwork, first)
	nat := c.Make(natKind, in)
	c.Refused(c.Change(natKind, nat, with(in, "drainNatIps", engine.List(second))), "not a NAT IP of this gateway")
}

func TestQuotaAndPlaces(t *testing.T) {
	t.Parallel()
	c, net, subnetwork, _ := network(t)
	c.State().Settings.Addresses = 1
	address(c, "first")
	_, err := c.Try(addressKind, props{"name": "second"})
	c.Refused(err, "quotaExceeded")
	internal := props{"name": "inside", "addressType": "INTERNAL", "subnetwork": subnetwork, "address": "10.0.0.10"}
	c.Make(addressKind, internal)
	_, err = c.Try(addressKind, with(internal, "name", "again"))
	c.Refused(err, "in-use")
	for _, ip := range []string{"10.0.1.1", "10.0.0.0", "10.0.0.1", "10.0.0.254"} {
		_, err = c.Try(addressKind, with(with(internal, "name", "outside"), "address", ip))
		c.Refused(err, "not usable")
	}
	_, err = c.Try(subnetworkKind, props{"name": "more", "network": net, "ipCidrRange": "10.9.0.0/24"})
	c.Refused(err, "conflicts")
	_, err = c.Try(firewallKind, props{"name": "open", "network": "none"})
	c.Refused(err, "allows")
	_, err = c.Try(firewallKind, props{"name": "open", "network": "none", "allows": []any{props{"protocol": "tcp"}}})
	c.Refused(err, "notFound")
}

func TestAStatefulGroup(t *testing.T) {
	t.Parallel()
	c, _, subnetwork, _ := network(t)
	public := address(c, "public")
	template := c.Make(templateKind, props{"name": "one", "networkInterfaces": []any{props{"subnetwork": subnetwork}}})
	group := props{
		"name": "fleet", "zone": "europe-west1-b", "baseInstanceName": "proxy", "versions": []any{props{"instanceTemplate": template}},
		"statefulExternalIps": []any{props{"interfaceName": "nic0"}},
		"updatePolicy":        props{"type": "PROACTIVE", "minimalAction": "REPLACE", "replacementMethod": "RECREATE", "maxSurgeFixed": 1.0},
	}
	_, err := c.Try(managerKind, group)
	c.Refused(err, "maxSurge must be equal to 0")
	group["updatePolicy"].(props)["maxSurgeFixed"] = 0.0
	id := c.Make(managerKind, group)
	config := props{"name": "proxy-b-1", "zone": "europe-west1-b", "instanceGroupManager": "fleet", "removeInstanceOnDestroy": true,
		"preservedState": props{"externalIps": []any{props{"interfaceName": "nic0", "ipAddress": props{"address": public}}}}}
	place := c.Make(configKind, config)
	_, err = c.Try(configKind, with(config, "name", "proxy-b-2"))
	c.Refused(err, "resourceInUseByAnotherResource")
	running := instances(c.Tx(), c.Object(managerKind, id))
	if len(running) != 1 || running[0].String("template") != template {
		t.Fatalf("instances: %+v", running)
	}
	second := c.Make(templateKind, props{"name": "two", "networkInterfaces": []any{props{"subnetwork": subnetwork}}})
	if err := c.Change(managerKind, id, with(group, "versions", []any{props{"instanceTemplate": second}})); err != nil {
		t.Fatal(err)
	}
	if after := instances(c.Tx(), c.Object(managerKind, id)); len(after) != 1 || after[0].ID != running[0].ID || after[0].String("template") != second {
		t.Errorf("after a new template: %+v", after)
	}
	c.Refused(c.Remove(templateKind, second), "resourceInUse")
	c.Refused(c.Remove(addressKind, public), "resourceInUse")
	if err := c.Remove(configKind, place); err != nil {
		t.Fatal(err)
	}
	if left := instances(c.Tx(), c.Object(managerKind, id)); len(left) != 0 {
		t.Errorf("after the place was removed: %+v", left)
	}
}
