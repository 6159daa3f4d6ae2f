package egresspolicy

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/components/manifests"
	"github.com/sallyport/sallyport/internal/golden"
)

var settings = Settings{
	Namespaces: []string{"billing", "shop"}, Ports: []int{443, 8443}, NodeDNS: netip.MustParseAddr("169.254.20.10"),
	ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix("10.64.0.0/14"), netip.MustParsePrefix("172.20.0.0/16")},
	AllowCIDRs:   []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
}

var found = Found{Proxies: []netip.Addr{netip.MustParseAddr("10.0.1.10"), netip.MustParseAddr("10.0.2.10")}}

func TestObjects(t *testing.T) {
	objects, err := settings.Objects(found)
	if err != nil {
		t.Fatal(err)
	}
	text, err := manifests.YAML(objects)
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "objects.yaml", text)
}

// allows reads a policy as the API defines it: a rule without ports is for all of them, and what no rule allows is refused.
func allows(t *testing.T, policy manifests.Object, ip, protocol string, port int) bool {
	t.Helper()
	for _, raw := range policy["spec"].(manifests.Map)["egress"].([]any) {
		rule := raw.(manifests.Map)
		to, _ := rule["to"].([]any)
		open := len(to) == 0
		for _, peer := range to {
			cidr := netip.MustParsePrefix(peer.(manifests.Map)["ipBlock"].(manifests.Map)["cidr"].(string))
			open = open || cidr.Contains(netip.MustParseAddr(ip))
		}
		ports, _ := rule["ports"].([]any)
		match := len(ports) == 0
		for _, p := range ports {
			match = match || p.(manifests.Map)["protocol"] == protocol && p.(manifests.Map)["port"] == port
		}
		if open && match {
			return true
		}
	}
	return false
}

func TestThereIsNoWayAroundTheProxies(t *testing.T) {
	objects, err := settings.Objects(found)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, ip, protocol string
		port               int
		want               bool
	}{
		{"a proxy", "10.0.1.10", "TCP", 443, true},
		{"a proxy on a destination's own port", "10.0.2.10", "TCP", 8443, true},
		{"a proxy's health", "10.0.1.10", "TCP", 8404, false},
		{"a machine beside the proxy", "10.0.1.11", "TCP", 443, false},
		{"the internet", "203.0.113.10", "TCP", 443, false},
		{"another resolver", "203.0.113.53", "UDP", 53, false},
		{"QUIC", "203.0.113.10", "UDP", 443, false},
		{"a pod", "10.64.1.1", "TCP", 8080, true},
		{"a Service", "172.20.0.10", "UDP", 53, true},
		{"the node's DNS", "169.254.20.10", "UDP", 53, true},
		{"the node's DNS on another port", "169.254.20.10", "TCP", 9253, false},
		{"the metadata service", "169.254.169.254", "TCP", 80, false},
		{"a network that is named", "192.0.2.7", "TCP", 9000, true},
	} {
		for _, policy := range objects {
			if got := allows(t, policy, c.ip, c.protocol, c.port); got != c.want {
				t.Errorf("%s: %s: got %t, want %t", policy.Namespace(), c.name, got, c.want)
			}
		}
	}
}

func TestSettingsReportAllProblemsAtOnce(t *testing.T) {
	_, err := Settings{AllowCIDRs: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}}.Objects(Found{})
	for _, want := range []string{"namespaces", "clusterCIDRs", "ports", "proxies", "networks"} {
		if err == nil || !strings.Contains(err.Error(), "egress policy: "+want) {
			t.Errorf("%s is missing in: %v", want, err)
		}
	}
}
