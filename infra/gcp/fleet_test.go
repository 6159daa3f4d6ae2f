package gcp

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/components/proxyfleet/gcphost"
	"github.com/sallyport/sallyport/components/stack"
)

const (
	machineType  = "gcp:compute/perInstanceConfig:PerInstanceConfig"
	templateType = "gcp:compute/instanceTemplate:InstanceTemplate"
	ruleType     = "gcp:dns/responsePolicyRule:ResponsePolicyRule"
	alertType    = "gcp:monitoring/alertPolicy:AlertPolicy"
)

// The redirect answers with the proxies that run, and no proxy resolves where the redirect answers.
func TestTheResponsePolicyRedirectsToTheProxiesAndTheyResolveOutsideIt(t *testing.T) {
	r := mustDeploy(t, "gcp-prod", func(s *stack.Stack) { s.GCP.GKE.ResponsePolicy = true }, nil)
	rules := r.Names(ruleType)
	if got := fmt.Sprint(rules); got != "[responsepolicy-rule-api.ledger.example.net responsepolicy-rule-api.payments.example.com responsepolicy-rule-auth.ledger.example.net]" {
		t.Fatalf("%s", got)
	}
	for _, name := range rules {
		if data := fmt.Sprint(r.Inputs(ruleType, name)["localData"]); strings.Count(data, "10.0.") != 6 || strings.Contains(data, "198.18.") {
			t.Errorf("%s: %s", name, data)
		}
	}
	data := fmt.Sprint(r.Inputs(templateType, "proxyfleet-template")["metadata"])
	for line := range strings.Lines(data) {
		if strings.Contains(line, "SALLYPORT_DNS_SERVERS=") && strings.Contains(line, gcphost.Metadata) {
			t.Errorf("a proxy asks the resolver that answers with proxies: %s", line)
		}
	}
	if !strings.Contains(data, "SALLYPORT_DNS_SERVERS=8.8.8.8,8.8.4.4") {
		t.Error("the proxies' DNS servers are not in the user data")
	}
}

func TestBehindALoadBalancerTheResponsePolicyHasOneAddress(t *testing.T) {
	r := mustDeploy(t, "gcp-prod", func(s *stack.Stack) { s.GCP.GKE.ResponsePolicy, s.GCP.Fleet.LoadBalancer = true, true }, nil)
	for _, name := range r.Names(ruleType) {
		if data := fmt.Sprint(r.Inputs(ruleType, name)["localData"]); strings.Count(data, "10.0.") != 1 {
			t.Errorf("%s: %s", name, data)
		}
	}
	if len(r.Names("gcp:compute/forwardingRule:ForwardingRule")) != 1 {
		t.Error("there is no load balancer")
	}
}

func TestWithoutAnImageNothingIsRedirectedAndNoMachineRuns(t *testing.T) {
	r := mustDeploy(t, "gcp-prod", func(s *stack.Stack) { s.GCP.GKE.ResponsePolicy, s.GCP.Fleet.Image = true, "" }, nil)
	if n := len(r.Names(ruleType)) + len(r.Names(machineType)) + len(r.Names(templateType)); n != 0 {
		t.Errorf("%d resources of machines or their redirect", n)
	}
	if len(r.Names(address)) != 18 { // 12 public, 6 places: published all the same
		t.Errorf("%d addresses", len(r.Names(address)))
	}
}

func TestSlotsBeyondTheActiveNumberAreReserved(t *testing.T) {
	r := mustDeploy(t, "gcp-prod", func(s *stack.Stack) { s.GCP.Fleet.ActivePerZone = 1 }, nil)
	if got := len(r.Names(machineType)); got != 3 {
		t.Errorf("%d machines", got)
	}
	slots := r.Inputs("sallyport:proxyfleet:GCPFleet", "fleet")["slots"].(map[string]any)
	if got := fmt.Sprint(slots["proxy-europe-west1-b-2"], slots["proxy-europe-west1-b-1"]); got != "map[mode:reserved zone:europe-west1-b] map[mode:active zone:europe-west1-b]" {
		t.Errorf("%s", got)
	}
	for _, name := range r.Names(alertType) {
		if strings.Contains(name, "-b-2") {
			t.Errorf("a slot without a machine is watched: %s", name)
		}
	}
}

// Every address of a machine is its slot's, and no two machines share one.
func TestMachinesHaveTheirSlotsAddresses(t *testing.T) {
	r := mustDeploy(t, "gcp-prod", nil, nil)
	for _, name := range r.Names(machineType) {
		slot := strings.TrimPrefix(name, "proxyfleet-machine-")
		state := fmt.Sprint(r.Inputs(machineType, name)["preservedState"])
		for _, want := range []string{"externaladdress-address-" + slot + "-1", "proxyfleet-place-" + slot} {
			if !strings.Contains(state, want) {
				t.Errorf("%s lacks %s: %s", name, want, state)
			}
		}
	}
}

func TestAlertsFollowThePlan(t *testing.T) {
	r := mustDeploy(t, "gcp-prod", nil, nil)
	condition := fmt.Sprint(r.Inputs(alertType, "alerts-ports-nat")["conditions"])
	if !strings.Contains(condition, "thresholdValue:819") || !strings.Contains(condition, `gateway_name = "gcp-prod-nat"`) {
		t.Errorf("%s", condition)
	}
	if got := fmt.Sprint(r.Inputs(alertType, "alerts-drops-nat")["notificationChannels"]); got != "[projects/example-prod/notificationChannels/5110475114711]" {
		t.Errorf("channels %s", got)
	}
	dynamic := mustDeploy(t, "gcp-prod", func(s *stack.Stack) { s.GCP.Nat.DynamicPorts = &stack.GCPDynamicPorts{Min: 1024, Max: 4096} }, nil)
	if condition := fmt.Sprint(dynamic.Inputs(alertType, "alerts-ports-nat")["conditions"]); !strings.Contains(condition, "thresholdValue:3276") {
		t.Errorf("dynamic: %s", condition)
	}
	if off := mustDeploy(t, "gcp-dev", nil, nil); len(off.Names(alertType)) != 0 {
		t.Error("alerts although they are off")
	}
}
