package capacity

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/problem"
)

func networks(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

func validated(c CloudNatSettings) string {
	var list problem.List
	c.Validate("nat", &list)
	if err := list.Err(); err != nil {
		return err.Error()
	}
	return ""
}

// TestEveryCombinationOfAllocationPortsMappingRulesAndAliasRanges goes through all combinations and compares each with the
// documented rules, written down here a second time and in another form.
func TestEveryCombinationOfAllocationPortsMappingRulesAndAliasRanges(t *testing.T) {
	ports := []int{-1, 0, 1, 16, 31, 32, 33, 63, 64, 65, 100, 128, 512, 1000, 1023, 1024, 1025, 2048, 32768, 65535, 65536, 65537, 131072}
	power := map[int]bool{1: true, 16: true, 32: true, 64: true, 128: true, 512: true, 1024: true, 2048: true, 32768: true, 65536: true, 131072: true}
	legal, illegal := 0, 0
	for _, dynamic := range []bool{false, true} {
		for _, low := range ports {
			for _, high := range ports {
				for mask := range 16 {
					mapping, rules, alias, manual := mask&1 > 0, mask&2 > 0, mask&4 > 0, mask&8 > 0
					c := CloudNatSettings{Dynamic: dynamic, MinPorts: low, MaxPorts: high, EndpointIndependent: mapping, AliasRanges: alias, Manual: manual, Ranges: 1}
					if manual {
						c.ActiveIPs = []string{"nat-1"}
					}
					if rules {
						c.Rules = []CloudNatRule{{Number: 100, Destinations: networks("203.0.113.0/24"), ActiveIPs: []string{"rule-1"}}}
					}
					want := power[low] && low <= 65536
					want = want && (!alias || low >= 1024)             // alias ranges reserve 1,024
					want = want && (dynamic && low >= 32 || low >= 64) // the minimum of each way
					want = want && (dynamic || high == 0)              // a maximum is for dynamic allocation
					want = want && (!dynamic || power[high] && high > low && high <= 65536)
					want = want && !(mapping && dynamic) && !(mapping && rules) // mapping excludes both
					want = want && (manual || !rules)                           // rules need given IPs
					got := validated(c)
					if (got == "") != want {
						t.Fatalf("%+v: legal must be %t, got %q", c, want, got)
					}
					if want {
						legal++
					} else {
						illegal++
					}
				}
			}
		}
	}
	if legal < 100 || illegal < 1000 {
		t.Errorf("only %d legal and %d illegal combinations", legal, illegal)
	}
}

func TestIllegalSettingsAreNamedWithTheRuleTheyBreak(t *testing.T) {
	good := func() CloudNatSettings {
		return CloudNatSettings{MinPorts: 1024, AliasRanges: true, Manual: true, ActiveIPs: []string{"a", "b"}, DrainIPs: []string{"c"}, Ranges: 2,
			Rules: []CloudNatRule{
				{Number: 100, Destinations: networks("203.0.113.0/25"), ActiveIPs: []string{"d"}, DrainIPs: []string{"e"}},
				{Number: 200, Destinations: networks("203.0.113.128/25", "198.51.100.7/32"), ActiveIPs: []string{"f"}},
			}}
	}
	if got := validated(good()); got != "" {
		t.Fatal(got)
	}
	for name, test := range map[string]struct {
		change func(*CloudNatSettings)
		want   string
	}{
		"static below 64":                    {func(c *CloudNatSettings) { c.AliasRanges, c.MinPorts = false, 32 }, "nat.minPortsPerVm: must be a power of two from 64 to 65,536, got 32"},
		"dynamic below 32":                   {func(c *CloudNatSettings) { c.AliasRanges, c.Dynamic, c.MinPorts, c.MaxPorts = false, true, 16, 64 }, "from 32 to 65,536 with dynamic port allocation, got 16"},
		"alias ranges below 1,024":           {func(c *CloudNatSettings) { c.MinPorts = 512 }, "from 1,024 to 65,536, because alias ranges are translated, got 512"},
		"a maximum without dynamic":          {func(c *CloudNatSettings) { c.MaxPorts = 2048 }, "nat.maxPortsPerVm: must be left out without dynamic port allocation, got 2048"},
		"a maximum that is no power":         {func(c *CloudNatSettings) { c.Dynamic, c.MaxPorts = true, 3000 }, "nat.maxPortsPerVm: must be a power of two up to 65,536, got 3000"},
		"a maximum like the minimum":         {func(c *CloudNatSettings) { c.Dynamic, c.MaxPorts = true, 1024 }, "must be above minPortsPerVm, 1024, got 1024"},
		"mapping with dynamic":               {func(c *CloudNatSettings) { c.Dynamic, c.MaxPorts, c.EndpointIndependent = true, 2048, true }, "enableEndpointIndependentMapping: must be off with dynamic port allocation"},
		"mapping with rules":                 {func(c *CloudNatSettings) { c.EndpointIndependent = true }, "enableEndpointIndependentMapping: must be off with NAT rules"},
		"no IP left":                         {func(c *CloudNatSettings) { c.ActiveIPs = nil }, "nat.natIps: needs at least 1 IP with MANUAL_ONLY"},
		"IPs of its own with given ones":     {func(c *CloudNatSettings) { c.Manual = false }, "nat.natIps: must be left out with AUTO_ONLY, got 2"},
		"draining what is not given":         {func(c *CloudNatSettings) { c.Manual = false }, "nat.drainNatIps: must be left out with AUTO_ONLY"},
		"rules without given IPs":            {func(c *CloudNatSettings) { c.Manual = false }, "nat.rules: must be left out with AUTO_ONLY, got 2"},
		"301 IPs":                            {func(c *CloudNatSettings) { c.ActiveIPs = many(299) }, "nat.natIps: must not be more than 300 with those of the rules, got 301"},
		"51 ranges":                          {func(c *CloudNatSettings) { c.Ranges = 51 }, "nat.subnetworks: must not have more than 50 ranges, got 51"},
		"a rule number beyond the default's": {func(c *CloudNatSettings) { c.Rules[0].Number = 65001 }, "nat.rules[0].ruleNumber: must be between 0 and 65000, got 65001"},
		"two rules of one number":            {func(c *CloudNatSettings) { c.Rules[1].Number = 100 }, "nat.rules[1].ruleNumber: must be unique, got 100"},
		"a rule that matches nothing":        {func(c *CloudNatSettings) { c.Rules[1].Destinations = nil }, "nat.rules[1].match: needs at least 1 network"},
		"a rule without IPs":                 {func(c *CloudNatSettings) { c.Rules[0].ActiveIPs = nil }, "nat.rules[0].sourceNatActiveIps: needs at least 1 IP"},
		"rules that overlap":                 {func(c *CloudNatSettings) { c.Rules[1].Destinations = networks("203.0.113.64/26") }, `nat.rules[1].match: must not overlap 203.0.113.0/25 of nat.rules[0], got "203.0.113.64/26"`},
		"a network beyond its mask":          {func(c *CloudNatSettings) { c.Rules[1].Destinations = networks("198.51.100.7/24") }, "must not have bits beyond the mask"},
		"IPv6":                               {func(c *CloudNatSettings) { c.Rules[1].Destinations = networks("2001:db8::/32") }, "needs IPv4 networks"},
		"an IP that serves and drains":       {func(c *CloudNatSettings) { c.DrainIPs = []string{"b"} }, `nat.drainNatIps: must not be in two places, and natIps has it, got "b"`},
		"an IP of the gateway in a rule":     {func(c *CloudNatSettings) { c.Rules[1].ActiveIPs = []string{"a"} }, "rules[1].sourceNatActiveIps: must not be in two places, and natIps has it"},
		"an IP in two rules":                 {func(c *CloudNatSettings) { c.Rules[1].DrainIPs = []string{"d"} }, "rules[1].sourceNatDrainIps: must not be in two places"},
	} {
		t.Run(name, func(t *testing.T) {
			c := good()
			test.change(&c)
			if got := validated(c); !strings.Contains(strings.ReplaceAll(got, `"]`, ""), test.want) {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func many(n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprint("ip-", i))
	}
	return all
}
