package aws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/allowlist"
	"github.com/sallyport/sallyport/components/pulumitest"
	"github.com/sallyport/sallyport/components/stack"
	"github.com/sallyport/sallyport/infra/topology"
	"github.com/sallyport/sallyport/internal/golden"
	"github.com/sallyport/sallyport/preflight/awspreflight"
	"github.com/sallyport/sallyport/verify"
)

const (
	eip     = "aws:ec2/eip:Eip"
	gateNat = "aws:ec2/natGateway:NatGateway"
	route   = "aws:ec2/route:Route"
)

// world gives what AWS would add to a resource, by names only, and what the last update exported.
type world struct{ previous map[string]any }

func (w world) outputs(token, name string, inputs resource.PropertyMap) map[string]any {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(name))
	host := hash.Sum32() % 60000
	switch token {
	case "pulumi:pulumi:StackReference":
		return map[string]any{"outputs": w.previous, "secretOutputNames": []any{}}
	case eip:
		return map[string]any{"allocationId": "eipalloc-of-" + name, "publicIp": fmt.Sprintf("198.18.%d.%d", host/250, host%250)}
	case "aws:ec2/networkInterface:NetworkInterface":
		ip := fmt.Sprintf("10.0.%d.%d", host/250, host%250)
		return map[string]any{"privateIp": ip, "privateIps": []any{ip}}
	case "aws:s3/bucketV2:BucketV2", "aws:ecr/repository:Repository":
		return map[string]any{"arn": "arn:aws:s3:::" + name, "bucket": name, "repositoryUrl": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/sallyport/prod"}
	case "kubernetes:core/v1:Service":
		return map[string]any{"spec": map[string]any{"clusterIP": fmt.Sprintf("172.20.%d.%d", host/250, host%250)}}
	default:
		return map[string]any{"arn": "arn:aws:service:::" + name}
	}
}

func settings(t *testing.T, name string, change func(*stack.Stack)) *stack.Stack {
	t.Helper()
	s, err := stack.ReadFile(filepath.Join("..", "..", "stacks", "Pulumi."+name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(s)
	}
	return s
}

// result is what one update asked for and exported.
type result struct {
	*pulumitest.Recorder
	previous map[string]any // outputs, as the next update finds them
}

// deploy runs one update against the recorder, after one that exported previous.
func deploy(t *testing.T, name string, s *stack.Stack, previous map[string]any) (result, error) {
	t.Helper()
	plan, err := s.Plan()
	if err != nil {
		t.Fatal(err)
	}
	defer func(check func(context.Context, awspreflight.Need) error) { checkAccount = check }(checkAccount)
	checkAccount = func(context.Context, awspreflight.Need) error { return nil }
	r := result{Recorder: pulumitest.New(world{previous: previous}.outputs), previous: map[string]any{}}
	defer func(open func(context.Context, string, map[string]string) (verify.View, error)) { openView = open }(openView)
	openView = func(context.Context, string, map[string]string) (verify.View, error) {
		return account{r.Recorder}, denied
	}
	err = r.Run("sallyport", name, t.TempDir(), nil, func(ctx *pulumi.Context) error {
		previous, err := topology.ReadPrevious(ctx)
		if err != nil {
			return err
		}
		return Deploy(ctx, s, plan, previous)
	})
	return r, err
}

func mustDeploy(t *testing.T, name string, change func(*stack.Stack)) result {
	t.Helper()
	r, err := deploy(t, name, settings(t, name, change), nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// names lists the resources without their inputs, which the components' own golden files have.
func names(t *testing.T, r result) string {
	t.Helper()
	graph, err := r.Graph()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(graph) {
		if !strings.HasPrefix(line, " ") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

func TestTheShippedStacksAskForTheirResources(t *testing.T) {
	t.Setenv("SALLYPORT_NOW", "2026-11-20T12:00:00Z")
	for _, name := range []string{"aws-prod", "aws-dev", "bedrock"} {
		t.Run(name, func(t *testing.T) {
			golden.Check(t, name+".golden", names(t, mustDeploy(t, name, nil)))
		})
	}
}

func TestEveryPublicIPIsProtectedAndSaysWhoseItIs(t *testing.T) {
	r := mustDeploy(t, "aws-prod", nil)
	addresses := r.Names(eip)
	if len(addresses) != 11 { // 3 of gateways, 6 of proxies, 2 of headroom
		t.Errorf("%d addresses: %v", len(addresses), addresses)
	}
	list := names(t, r)
	for _, name := range addresses {
		if !strings.Contains(list, eip+" "+name+" (protected)\n") {
			t.Errorf("%s is not protected", name)
		}
		tags, _ := r.Inputs(eip, name)["tags"].(map[string]any)
		if tags["sallyport:stack"] != "aws-prod" || tags["sallyport:kind"] == "" || "elasticip-address-"+fmt.Sprint(tags["sallyport:slot"]) != name {
			t.Errorf("%s: tags %v", name, tags)
		}
	}
	if tags, _ := r.Inputs(eip, "elasticip-address-proxy-eu-west-1a-1-1")["tags"].(map[string]any); tags["sallyport:partners"] != "ledger payments" {
		t.Errorf("partners %q", tags["sallyport:partners"])
	}
}

func TestAGatewayStandsInItsZonesPublicSubnetAndServesItsPrivateTables(t *testing.T) {
	r := mustDeploy(t, "aws-prod", nil)
	gateway := r.Inputs(gateNat, "natgateway-gateway-eu-west-1b")
	if gateway["subnetId"] != "subnet-0a1b2c3d4e5f6071b" || gateway["allocationId"] != "eipalloc-of-elasticip-address-nat-eu-west-1b-1" {
		t.Errorf("gateway %v", gateway)
	}
	table := r.Inputs(route, "natgateway-route-eu-west-1b-rtb-0a1b2c3d4e5f6071b")
	if table["natGatewayId"] != "natgateway-gateway-eu-west-1b-id" || table["destinationCidrBlock"] != "0.0.0.0/0" {
		t.Errorf("route %v", table)
	}
}

func TestGatewaysWithoutRoutesAreMadeAndNotUsed(t *testing.T) {
	r := mustDeploy(t, "aws-prod", func(s *stack.Stack) { s.AWS.Nat.Routes = false })
	if gateways, routes := r.Names(gateNat), r.Names(route); len(gateways) != 3 || len(routes) != 0 {
		t.Errorf("gateways %v, routes %v", gateways, routes)
	}
}

func TestAddingAZoneChangesNothingOfTheOthers(t *testing.T) {
	before := mustDeploy(t, "aws-prod", func(s *stack.Stack) { removeZone(s, "eu-west-1b") })
	after := mustDeploy(t, "aws-prod", nil)
	was, is := resources(t, before), resources(t, after)
	for name, inputs := range was {
		switch {
		case strings.HasPrefix(name, "sallyport:"), strings.HasPrefix(name, "aws:cloudwatch/dashboard"):
		case is[name] == "":
			t.Errorf("%s is gone", name)
		case is[name] != inputs && !grows(name):
			t.Errorf("%s changed\nfrom %s\nto   %s", name, inputs, is[name])
		}
	}
}

// grows names what is about all zones by its nature: the routes document lists every proxy.
func grows(name string) bool { return strings.HasPrefix(name, "aws:s3/bucketObject") }

func removeZone(s *stack.Stack, zone string) {
	s.Cluster.Zones = slices.DeleteFunc(slices.Clone(s.Cluster.Zones), func(z string) bool { return z == zone })
	delete(s.AWS.VPC.PublicSubnets, zone)
	delete(s.AWS.VPC.PrivateRouteTables, zone)
	delete(s.AWS.VPC.ProxySubnets, zone)
}

// resources maps "token name" to the inputs.
func resources(t *testing.T, r result) map[string]string {
	t.Helper()
	graph, err := r.Graph()
	if err != nil {
		t.Fatal(err)
	}
	all, current := map[string]string{}, ""
	for line := range strings.Lines(graph) {
		if !strings.HasPrefix(line, " ") {
			current = strings.TrimSuffix(strings.TrimSpace(line), " (protected)")
			continue
		}
		all[current] += line
	}
	return all
}

// document is the allow list after a first update, with IPs by address name.
func document(t *testing.T, entries ...allowlist.Entry) map[string]any {
	t.Helper()
	for i := range entries {
		entries[i].Cloud, entries[i].Region, entries[i].Partners = "aws", "eu-west-3", []string{"cdn"}
		entries[i].IP = netip.AddrFrom4([4]byte{203, 0, 113, byte(i + 1)})
	}
	d, err := allowlist.Build("bedrock", 1, entries)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := json.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestAnAddressThatIsNotNeededAnyMoreStays(t *testing.T) {
	previous := map[string]any{"allowlist": document(t,
		allowlist.Entry{Kind: allowlist.KindNat, Slot: "nat-eu-west-3a-1", Zone: "eu-west-3a", State: allowlist.StateActive},
		allowlist.Entry{Kind: allowlist.KindNat, Slot: "nat-eu-west-3d-1", Zone: "eu-west-3d", State: allowlist.StateActive},
	)}
	r, err := deploy(t, "bedrock", settings(t, "bedrock", nil), previous)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(names(t, r), "elasticip-address-nat-eu-west-3d-1 (protected)") {
		t.Errorf("the address of the zone that went is gone:\n%s", names(t, r))
	}
	for _, name := range r.Names(gateNat) {
		if strings.Contains(fmt.Sprint(r.Inputs(gateNat, name)), "nat-eu-west-3d-1") {
			t.Errorf("%s uses the address of a zone that is gone", name)
		}
	}
}

func TestAGatewayKeepsItsPrimaryAddress(t *testing.T) {
	previous := map[string]any{
		"allowlist": document(t,
			allowlist.Entry{Kind: allowlist.KindNat, Slot: "nat-eu-west-3a-1", Zone: "eu-west-3a", State: allowlist.StateActive},
			allowlist.Entry{Kind: allowlist.KindNat, Slot: "nat-eu-west-3a-2", Zone: "eu-west-3a", State: allowlist.StateActive},
		),
		"endpoints": map[string]any{"gateways": map[string]any{"eu-west-3a": map[string]any{"id": "nat-1", "primary": "nat-eu-west-3a-2"}}},
	}
	r, err := deploy(t, "bedrock", settings(t, "bedrock", nil), previous)
	if err != nil {
		t.Fatal(err)
	}
	gateway := r.Inputs(gateNat, "natgateway-gateway-eu-west-3a")
	if gateway["allocationId"] != "eipalloc-of-elasticip-address-nat-eu-west-3a-2" ||
		fmt.Sprint(gateway["secondaryAllocationIds"]) != "[eipalloc-of-elasticip-address-nat-eu-west-3a-1]" {
		t.Errorf("gateway %v", gateway)
	}
}

func TestAFleetWithoutAnImagePublishesItsAddressesAndRunsNothing(t *testing.T) {
	r := mustDeploy(t, "aws-prod", func(s *stack.Stack) { s.AWS.Fleet.Digest = "" })
	if groups := r.Names("aws:autoscaling/group:Group"); len(groups) != 0 {
		t.Errorf("groups %v", groups)
	}
	if interfaces := r.Names("aws:ec2/networkInterface:NetworkInterface"); len(interfaces) != 6 {
		t.Errorf("interfaces %v", interfaces)
	}
	if repositories := r.Names("aws:ecr/repository:Repository"); len(repositories) != 1 {
		t.Errorf("repositories %v", repositories)
	}
}

func TestBedrockFitsAndWithOneIPAGatewayItWouldNot(t *testing.T) {
	s := settings(t, "bedrock", nil)
	plan, err := s.Plan()
	if err != nil {
		t.Fatal(err)
	}
	for _, margin := range plan.Margins {
		if margin.Load > 0.8*float64(margin.Ceiling) || margin.Blocking > s.Nat.BlockingTarget {
			t.Errorf("%+v", margin)
		}
	}
	cdn := s.Destinations[0].Demand
	if open := cdn.ConnectionsPerSecond * cdn.SecondsPerConnection; open != 55000 {
		t.Errorf("%v connections at once", open)
	}
	s.Nat.MaxIPsPerGateway = 1
	if _, err := s.Plan(); err == nil || !strings.Contains(err.Error(), "62,957 ports in use on average / 54,100 per IP -> 2") {
		t.Errorf("one IP a gateway: %v", err)
	}
}

func TestAStackThatTheAccountCannotHoldCreatesNothing(t *testing.T) {
	s := settings(t, "aws-prod", nil)
	plan, err := s.Plan()
	if err != nil {
		t.Fatal(err)
	}
	defer func(check func(context.Context, awspreflight.Need) error) { checkAccount = check }(checkAccount)
	var asked awspreflight.Need
	checkAccount = func(_ context.Context, need awspreflight.Need) error {
		asked = need
		return errors.New("quota L-0263D0A3 is 5")
	}
	recorder := pulumitest.New(world{}.outputs)
	err = recorder.Run("sallyport", "aws-prod", t.TempDir(), nil, func(ctx *pulumi.Context) error { return Deploy(ctx, s, plan, &topology.Previous{}) })
	if err == nil || !strings.Contains(err.Error(), "quota L-0263D0A3 is 5") {
		t.Errorf("error %v", err)
	}
	for line := range strings.Lines(names(t, result{Recorder: recorder})) {
		if !strings.HasPrefix(line, "pulumi:pulumi:StackReference") {
			t.Errorf("registered: %s", line)
		}
	}
	text, err := json.MarshalIndent(asked, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "aws-prod-need.golden", string(text)+"\n")
	s.Preflight = stack.PreflightOff
	if err := pulumitest.New(world{}.outputs).Run("sallyport", "aws-prod", t.TempDir(), nil, func(ctx *pulumi.Context) error {
		return Deploy(ctx, s, plan, &topology.Previous{})
	}); err != nil {
		t.Errorf("with the preflight off: %v", err)
	}
}

func TestNamesThatThePlanDoesNotHaveAreRefusedAllAtOnce(t *testing.T) {
	s := settings(t, "aws-prod", func(s *stack.Stack) {
		s.AWS.Addresses.Existing = map[string]string{"nat-eu-west-1a-9": "eipalloc-00000001"}
		s.AWS.Fleet.PrivateIPs = map[string][]netip.Addr{"proxy-eu-west-1a-9": {netip.MustParseAddr("10.0.0.10")}}
		s.AWS.Fleet.ActivePerZone = 9
		s.AWS.Addresses.Block = netip.MustParsePrefix("203.0.113.0/30")
	})
	_, err := deploy(t, "aws-prod", s, nil)
	if err == nil {
		t.Fatal("was accepted")
	}
	for _, want := range []string{
		"addresses.existing.nat-eu-west-1a-9: must be an address of the plan", "fleet.privateIPs.proxy-eu-west-1a-9: must be a slot of the plan",
		"fleet.activePerZone: must not be above the plan's proxies per zone, 2, got 9", "addresses.block: has no room for 7 of the 11 addresses",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
}

func TestAStackWithEverythingSwitchedOn(t *testing.T) {
	t.Setenv("SALLYPORT_NOW", "2026-11-20T12:00:00Z")
	r := mustDeploy(t, "aws-prod", func(s *stack.Stack) {
		s.AWS.LoadBalancer = &stack.AWSLoadBalancer{IdleSeconds: 600, Zones: map[string]stack.AWSLoadBalancerZone{}}
		for i, zone := range s.Cluster.Zones {
			s.AWS.LoadBalancer.Zones[zone] = stack.AWSLoadBalancerZone{
				Subnet: fmt.Sprintf("subnet-0000000%d", i), Address: netip.AddrFrom4([4]byte{10, 0, byte(20 + i), 10}),
			}
		}
		s.AWS.Fleet.ActivePerZone = 1
		s.AWS.VPC.S3Endpoint, s.AWS.VPC.ProxyRouteTables = true, []string{"rtb-000000ff"}
		s.AWS.Addresses.Existing = map[string]string{"nat-eu-west-1a-1": "eipalloc-0000000a"}
		s.AWS.Clients.SecurityGroups = []string{"sg-0000000c"}
		s.Allowlist.Publish = &stack.Publish{Access: stack.AccessPublic, Notices: true}
	})
	golden.Check(t, "everything.golden", names(t, r))
	if gateway := r.Inputs(gateNat, "natgateway-gateway-eu-west-1a"); gateway["allocationId"] != "eipalloc-0000000a" {
		t.Errorf("the gateway does not have the address that was brought: %v", gateway)
	}
}

// A stack that installs something in the cluster hands the fleet over: the agents there learn the proxies' private addresses.
func TestTheClusterGetsTheFleet(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "stacks", "Pulumi.aws-prod.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := stack.ParseFile("aws-prod", append(text, "  sallyport:kubernetes: {version: \"1.36\", routing: dns, nodeLocalDNS: {}}\n"...))
	if err != nil {
		t.Fatal(err)
	}
	r, err := deploy(t, "aws-prod", s, nil)
	if err != nil {
		t.Fatal(err)
	}
	place := r.Inputs("aws:s3/bucketObjectv2:BucketObjectv2", "routesbucket-document")
	var published struct {
		Proxies []struct{ Name, Address string } `json:"proxies"`
	}
	if err := json.Unmarshal([]byte(fmt.Sprint(place["content"])), &published); err != nil || len(published.Proxies) != 6 {
		t.Fatalf("routes document: %v, %+v", err, published)
	}
	var inside strings.Builder
	for name, inputs := range resources(t, r) {
		if strings.HasPrefix(name, "kubernetes:core/v1:ConfigMap") {
			inside.WriteString(inputs)
		}
	}
	for _, proxy := range published.Proxies {
		if !strings.Contains(inside.String(), proxy.Address) {
			t.Errorf("no ConfigMap knows %s at %s", proxy.Name, proxy.Address)
		}
	}
}
