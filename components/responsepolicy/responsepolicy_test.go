package responsepolicy

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/pulumitest"
	"github.com/sallyport/sallyport/internal/golden"
)

const ruleToken = "gcp:dns/responsePolicyRule:ResponsePolicyRule"

func example(hosts ...string) *Args {
	return &Args{
		Stack: "prod", Project: "example-prod", Network: pulumi.String("https://www.googleapis.com/compute/v1/projects/example-prod/global/networks/prod"),
		Hosts: hosts, Addresses: []pulumi.StringInput{pulumi.String("10.0.128.7"), pulumi.String("10.0.128.8")}, Registry: "europe-west1-docker.pkg.dev",
	}
}

func run(t *testing.T, args *Args) (*pulumitest.Recorder, error) {
	t.Helper()
	recorder := pulumitest.New(nil)
	return recorder, recorder.Run("sallyport", "prod", t.TempDir(), nil, func(ctx *pulumi.Context) error {
		_, err := NewResponsePolicy(ctx, "redirect", args)
		return err
	})
}

func mustRun(t *testing.T, hosts ...string) *pulumitest.Recorder {
	t.Helper()
	recorder, err := run(t, example(hosts...))
	if err != nil {
		t.Fatal(err)
	}
	return recorder
}

func TestTheGraph(t *testing.T) {
	graph, err := mustRun(t, "api.payments.example.com", "*.shop.example.com").Graph()
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "graph.golden", graph)
}

func TestAHostMoreTouchesNoOtherRule(t *testing.T) {
	one, two := mustRun(t, "b.example.com"), mustRun(t, "a.example.com", "b.example.com", "*.b.example.com")
	for _, name := range one.Names(ruleToken) {
		if !reflect.DeepEqual(one.Inputs(ruleToken, name), two.Inputs(ruleToken, name)) {
			t.Errorf("%s changed", name)
		}
	}
	if n := len(two.Names(ruleToken)); n != 3 {
		t.Errorf("%d rules", n)
	}
}

// resolver answers as Cloud DNS does within the network: by the rule with the longest matching name, with the records of the type
// that was asked for, or with none; what no rule covers is looked up. Cloud DNS, REST resource responsePolicyRules, 2026.
type resolver struct {
	rules  map[string]map[string][]string // name, type, data
	public map[string]string
}

func resolverOf(t *testing.T, recorder *pulumitest.Recorder, public map[string]string) resolver {
	t.Helper()
	r := resolver{rules: map[string]map[string][]string{}, public: public}
	for _, name := range recorder.Names(ruleToken) {
		in := recorder.Inputs(ruleToken, name)
		records := map[string][]string{}
		for _, set := range in["localData"].(map[string]any)["localDatas"].([]any) {
			set := set.(map[string]any)
			for _, data := range set["rrdatas"].([]any) {
				records[set["type"].(string)] = append(records[set["type"].(string)], data.(string))
			}
			if set["name"] != in["dnsName"] {
				t.Errorf("%s: the record's name %v is not the rule's %v", name, set["name"], in["dnsName"])
			}
		}
		r.rules[in["dnsName"].(string)] = records
	}
	return r
}

func (r resolver) ask(name, kind string) []string {
	name = dns.Fqdn(name)
	if records, ok := r.rules[name]; ok {
		return records[kind]
	}
	labels := dns.SplitDomainName(name)
	for i := 1; i < len(labels); i++ {
		if records, ok := r.rules["*."+strings.Join(labels[i:], ".")+"."]; ok {
			return records[kind]
		}
	}
	if kind == "A" && r.public[name] != "" {
		return []string{r.public[name]}
	}
	return nil
}

// Inside the network listed hosts lead to the proxies and others do not; what proxies ask, outside, leads to the real addresses.
func TestListedHostsLeadToTheProxiesAndProxiesToTheRealOnes(t *testing.T) {
	public := map[string]string{
		"api.payments.example.com.": "203.0.113.10", "a.shop.example.com.": "203.0.113.11", "shop.example.com.": "203.0.113.12", "www.example.net.": "203.0.113.13",
	}
	inside, outside := resolverOf(t, mustRun(t, "api.payments.example.com", "*.shop.example.com"), public), resolver{public: public}
	proxies := "[10.0.128.7 10.0.128.8]"
	for name, want := range map[string]string{
		"api.payments.example.com": proxies, "a.shop.example.com": proxies, "a.b.shop.example.com": proxies,
		"shop.example.com": "[203.0.113.12]", "www.example.net": "[203.0.113.13]", "payments.example.com": "[]",
	} {
		if got := fmt.Sprint(inside.ask(name, "A")); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	for _, kind := range []string{"AAAA", "HTTPS", "SVCB"} {
		if got := inside.ask("api.payments.example.com", kind); got != nil {
			t.Errorf("%s leads around the proxies: %v", kind, got)
		}
	}
	for name, want := range public {
		if got := outside.ask(name, "A"); len(got) != 1 || got[0] != want {
			t.Errorf("outside, %s: %v", name, got)
		}
	}
}

func TestWhatProxiesNeedThemselvesIsNeverRedirected(t *testing.T) {
	for _, host := range []string{"storage.googleapis.com", "*.googleapis.com", "europe-west1-docker.pkg.dev", "*.pkg.dev", "*.dev"} {
		if _, err := run(t, example(host)); err == nil || !strings.Contains(err.Error(), "must not be answered with the proxies") {
			t.Errorf("%s: %v", host, err)
		}
	}
	for _, host := range []string{"bigquery.googleapis.com", "googleapis.com", "*.storage.googleapis.com", "example-docker.pkg.dev"} {
		if _, err := run(t, example(host)); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestRulesHaveNamesThatDiffer(t *testing.T) {
	seen := map[string]string{}
	for _, host := range []string{"a.example.com", "*.a.example.com", "a-example.com", "a.example-com.com", strings.Repeat("a", 60) + ".example.com", strings.Repeat("a", 60) + ".example.net"} {
		name := RuleName(host)
		if other, taken := seen[name]; taken || len(name) > 63 {
			t.Errorf("%s has the name %s, as %s", host, name, other)
		}
		seen[name] = host
	}
}

func TestAllThatIsWrongIsSaidAtOnce(t *testing.T) {
	args := &Args{Hosts: []string{"a.example.com", "a.example.com", "b.example.com.", "*.*.example.com"}, Addresses: []pulumi.StringInput{pulumi.String("198.51.100.7")}}
	_, err := run(t, args)
	for _, want := range []string{"stack, project, network: must be given", "hosts[1]: must be", "hosts[2]: must be", "hosts[3]: must be", `private IPv4 addresses, got "198.51.100.7"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %s", err, want)
		}
	}
	args = example()
	args.Addresses = make([]pulumi.StringInput, 101)
	if _, err = run(t, args); err == nil || !strings.Contains(err.Error(), "hosts: needs at least one") || !strings.Contains(err.Error(), "must be 1 to 100, got 101") {
		t.Errorf("%v", err)
	}
}
