package awsfleet

import (
	"encoding/base64"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/proxyfleet"
	"github.com/sallyport/sallyport/components/pulumitest"
	"github.com/sallyport/sallyport/internal/golden"
)

const account = "123456789012"

var image = account + ".dkr.ecr.eu-west-1.amazonaws.com/sallyport/proxy@sha256:" + strings.Repeat("0123456789abcdef", 4)

// outputs are what AWS would add. Private IPs of an interface come in no order.
func outputs(token, name string, inputs resource.PropertyMap) map[string]any {
	arn := func(service, path string) string {
		return "arn:aws:" + service + ":eu-west-1:" + account + ":" + path
	}
	switch token {
	case "aws:ec2/networkInterface:NetworkInterface":
		last := name[len(name)-1:]
		if fixed, ok := inputs["privateIpLists"]; ok {
			return map[string]any{"privateIp": fixed.ArrayValue()[0].StringValue(), "privateIps": fixed.Mappable()}
		}
		return map[string]any{"privateIp": "10.0.1.2" + last, "privateIps": []any{"10.0.1.10" + last, "10.0.1.2" + last, "10.0.1.9" + last}}
	case "aws:cloudwatch/logGroup:LogGroup":
		return map[string]any{"arn": arn("logs", "log-group:"+inputs["name"].StringValue())}
	case "aws:iam/role:Role":
		return map[string]any{"arn": arn("iam", "role/"+name), "name": name}
	case "aws:iam/instanceProfile:InstanceProfile":
		return map[string]any{"arn": arn("iam", "instance-profile/"+name)}
	case "aws:ec2/launchTemplate:LaunchTemplate":
		return map[string]any{"latestVersion": 1.0}
	case "aws:autoscaling/policy:Policy", "aws:lb/targetGroup:TargetGroup":
		return map[string]any{"arn": arn("autoscaling", name)}
	case "aws:lb/loadBalancer:LoadBalancer":
		return map[string]any{"arn": arn("elasticloadbalancing", name), "dnsName": "proxies.example.com"}
	case "aws:ecr/repository:Repository":
		return map[string]any{"arn": arn("ecr", "repository/"+inputs["name"].StringValue()), "repositoryUrl": account + ".dkr.ecr.eu-west-1.amazonaws.com/sallyport/proxy"}
	}
	return nil
}

// deployment is a fleet of some slots in some zones.
type deployment struct {
	interfaces InterfacesArgs
	fleet      FleetArgs
	balancer   *LoadBalancerArgs
	repository bool
}

// slots are proxies by zone, modes in the order of their numbers.
func deploy(zones map[string][]Mode, ipsPerProxy int) *deployment {
	d := &deployment{
		interfaces: InterfacesArgs{
			Stack: "prod", VPCID: pulumi.String("vpc-1"), Tags: map[string]string{"team": "platform"},
			Access: Access{
				ClientCIDRs: []string{"10.0.0.0/16", "100.64.0.0/16"}, ClientSecurityGroups: map[string]pulumi.StringInput{"nodes": pulumi.String("sg-nodes")},
				ListenPorts: []int{443, 8443}, DestinationPorts: []int{8443},
			},
		},
		fleet: FleetArgs{
			Stack: "prod", Region: "eu-west-1", Machine: Machine{InstanceType: "c7g.large"}, Tags: map[string]string{"team": "platform"},
			Proxy:       Proxy{Image: pulumi.String(image), RoutesURL: pulumi.String("s3://prod-routes/routes.json?region=eu-west-1"), DrainSeconds: 30, MaxConnections: 50000, Threads: 2},
			Permissions: Permissions{BucketARN: pulumi.String("arn:aws:s3:::prod-routes"), ObjectKey: "routes.json", RepositoryARN: pulumi.String("arn:aws:ecr:eu-west-1:" + account + ":repository/sallyport/proxy")},
		},
	}
	for _, zone := range []string{"eu-west-1a", "eu-west-1b", "eu-west-1c"} {
		modes, ok := zones[zone]
		if !ok {
			continue
		}
		d.interfaces.Zones = append(d.interfaces.Zones, Zone{zone, pulumi.String("subnet-" + zone)})
		for i, mode := range modes {
			name := proxyfleet.SlotName(zone, i+1)
			slot := SlotInterface{Slot: name, Zone: zone}
			for n := range ipsPerProxy {
				slot.AllocationIDs = append(slot.AllocationIDs, pulumi.String(fmt.Sprintf("eipalloc-%s-%d", name, n+1)))
			}
			d.interfaces.Slots = append(d.interfaces.Slots, slot)
			d.fleet.Slots = append(d.fleet.Slots, FleetSlot{Name: name, Zone: zone, Number: i + 1, Mode: mode})
			if mode == ModeElastic {
				d.fleet.Autoscaling = &Autoscaling{MaxConnections: 50000, ConnectionsPerSecond: 2000, BytesPerSecond: 250e6}
			}
		}
	}
	return d
}

// run runs the components and returns what they asked for.
func (d *deployment) run(t *testing.T) (*pulumitest.Recorder, error) {
	t.Helper()
	recorder := pulumitest.New(outputs)
	err := recorder.Run("sallyport", "prod", t.TempDir(), nil, func(ctx *pulumi.Context) error {
		interfaces, err := NewInterfaces(ctx, "interfaces", &d.interfaces)
		if err != nil {
			return err
		}
		d.fleet.Interfaces = interfaces
		if _, err := NewFleet(ctx, "fleet", &d.fleet); err != nil {
			return err
		}
		if d.repository {
			if _, err := NewRepository(ctx, "repository", &RepositoryArgs{RepositoryName: "sallyport/proxy"}); err != nil {
				return err
			}
		}
		if d.balancer != nil {
			d.balancer.Interfaces = interfaces
			_, err = NewLoadBalancer(ctx, "balancer", d.balancer)
		}
		return err
	})
	return recorder, err
}

// graph is what is asked for. User data is replaced by its length: it has a golden file of its own in awshost.
func graph(t *testing.T, d *deployment) string {
	t.Helper()
	recorder, err := d.run(t)
	if err != nil {
		t.Fatal(err)
	}
	text, err := recorder.Graph()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if before, _, ok := strings.Cut(line, `"userData": "`); ok {
			lines[i] = before + `"userData": ...`
		}
	}
	return strings.Join(lines, "\n")
}

func TestGraph(t *testing.T) {
	d := deploy(map[string][]Mode{"eu-west-1a": {ModeActive, ModeElastic}, "eu-west-1b": {ModeActive, ModeReserved}}, 1)
	d.repository = true
	golden.Check(t, "graph.golden", graph(t, d))
}

func TestGraphWithALoadBalancerAndFixedAddresses(t *testing.T) {
	d := deploy(map[string][]Mode{"eu-west-1a": {ModeActive}}, 2)
	d.interfaces.Slots[0].PrivateIPs = []string{"10.0.1.10", "10.0.1.11"}
	d.interfaces.Access.DNSServers = []string{"10.0.0.53"}
	d.fleet.Machine = Machine{InstanceType: "c6i.xlarge", AMI: "ami-0123456789abcdef0", KMSKeyARN: "arn:aws:kms:eu-west-1:" + account + ":key/1"}
	d.balancer = &LoadBalancerArgs{
		Stack: "prod", VPCID: pulumi.String("vpc-1"), Ports: []int{443, 8443}, DrainSeconds: 30, SlotZones: map[string]string{"proxy-eu-west-1a-1": "eu-west-1a"},
		Zones: []LoadBalancerZone{{"eu-west-1a", pulumi.String("subnet-private-a"), "10.0.11.10"}},
	}
	golden.Check(t, "balancer.golden", graph(t, d))
}

// resources of a deployment by name, as the graph prints them.
func resources(t *testing.T, d *deployment) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, entry := range strings.Split(strings.TrimSpace(graph(t, d)), "\n  }\n") {
		name, inputs, _ := strings.Cut(entry, "\n")
		all[name] = inputs
	}
	return all
}

func TestAddingAZoneTouchesNothingElse(t *testing.T) {
	two := resources(t, deploy(map[string][]Mode{"eu-west-1a": {ModeActive}, "eu-west-1c": {ModeActive, ModeActive}}, 1))
	three := resources(t, deploy(map[string][]Mode{"eu-west-1a": {ModeActive}, "eu-west-1b": {ModeActive}, "eu-west-1c": {ModeActive, ModeActive}}, 1))
	for name, inputs := range two {
		if strings.HasPrefix(name, "sallyport:") {
			continue // a component's record names its slots
		}
		if three[name] != inputs {
			t.Errorf("%s changed:\n%s\n%s", name, inputs, three[name])
		}
	}
	for name := range three {
		if _, ok := two[name]; !ok && !strings.Contains(name, "eu-west-1b") {
			t.Errorf("%s is new", name)
		}
	}
}

func TestGrowingAZoneTouchesItsRoleOnly(t *testing.T) {
	two := resources(t, deploy(map[string][]Mode{"eu-west-1a": {ModeActive, ModeActive}}, 1))
	four := resources(t, deploy(map[string][]Mode{"eu-west-1a": {ModeActive, ModeActive, ModeActive, ModeActive}}, 1))
	var changed []string
	for name, inputs := range two {
		if !strings.HasPrefix(name, "sallyport:") && four[name] != inputs {
			changed = append(changed, name)
		}
	}
	if want := []string{"aws:iam/rolePolicy:RolePolicy proxyfleet-policy-eu-west-1a"}; !slices.Equal(changed, want) {
		t.Errorf("changed: %v, want %v", changed, want)
	}
}

func TestPublicIPsStayWithTheirPrivateIPs(t *testing.T) {
	d := deploy(map[string][]Mode{"eu-west-1a": {ModeActive}}, 3)
	recorder, err := d.run(t)
	if err != nil {
		t.Fatal(err)
	}
	// EC2 named 10.0.1.101 and 10.0.1.21 and 10.0.1.91 in this order; 10.0.1.21 is the primary.
	for n, want := range []string{"10.0.1.21", "10.0.1.91", "10.0.1.101"} {
		in := recorder.Inputs("aws:ec2/eipAssociation:EipAssociation", fmt.Sprintf("proxyfleet-association-eu-west-1a-1-%d", n+1))
		if in["privateIpAddress"] != want || in["allocationId"] != fmt.Sprintf("eipalloc-proxy-eu-west-1a-1-%d", n+1) || in["allowReassociation"] != false {
			t.Errorf("IP %d: got %v, want %s", n+1, in, want)
		}
	}
	template := recorder.Inputs("aws:ec2/launchTemplate:LaunchTemplate", "proxyfleet-template-eu-west-1a-1")
	data, err := base64.StdEncoding.DecodeString(template["userData"].(string))
	if err != nil || !strings.Contains(string(data), "SALLYPORT_SOURCE_IPS=10.0.1.21,10.0.1.91,10.0.1.101\n") {
		t.Errorf("the proxy must be told its addresses in this order: %v", err)
	}
}

// order records what the engine is told about dependencies; mocks hold resources back until what they depend on is there.
type order struct {
	mu    sync.Mutex
	names []string
	flags map[string]pulumi.MockResourceArgs
}

func (o *order) NewResource(args pulumi.MockResourceArgs) (string, resource.PropertyMap, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if args.TypeToken == "aws:autoscaling/group:Group" {
		o.names = append(o.names, args.Name)
		o.flags[args.Name] = args
	}
	state := args.Inputs.Copy()
	for name, value := range outputs(args.TypeToken, args.Name, args.Inputs) {
		state[resource.PropertyKey(name)] = resource.NewPropertyValue(value)
	}
	return args.Name + "-id", state, nil
}

func (o *order) Call(pulumi.MockCallArgs) (resource.PropertyMap, error) { return nil, nil }

// groups runs a deployment and returns how its groups are registered, and in what order.
func (d *deployment) groups(t *testing.T) *order {
	t.Helper()
	o := &order{flags: map[string]pulumi.MockResourceArgs{}}
	err := pulumi.RunErr(func(ctx *pulumi.Context) error {
		interfaces, err := NewInterfaces(ctx, "interfaces", &d.interfaces)
		if err != nil {
			return err
		}
		d.fleet.Interfaces = interfaces
		_, err = NewFleet(ctx, "fleet", &d.fleet)
		return err
	}, pulumi.WithMocks("sallyport", "prod", o))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// dependsOnGroups are the groups that a group waits for.
func (o *order) dependsOnGroups(name string) []string {
	var groups []string
	for _, urn := range o.flags[name].RegisterRPC.GetDependencies() {
		if strings.Contains(urn, "aws:autoscaling/group:Group") {
			groups = append(groups, urn[strings.LastIndex(urn, "::")+2:])
		}
	}
	return groups
}

func TestSlotsChangeOneByOne(t *testing.T) {
	zones := map[string][]Mode{"eu-west-1a": {ModeActive, ModeElastic}, "eu-west-1b": {ModeActive, ModeActive}}
	d := deploy(zones, 2)
	o := d.groups(t)
	want := []string{"proxyfleet-slot-eu-west-1a-1", "proxyfleet-slot-eu-west-1a-2", "proxyfleet-slot-eu-west-1b-1", "proxyfleet-slot-eu-west-1b-2"}
	if !slices.Equal(o.names, want) {
		t.Errorf("registered %v, want %v", o.names, want)
	}
	for i, name := range want {
		waits := o.dependsOnGroups(name)
		if i > 0 && !slices.Contains(waits, want[i-1]) {
			t.Errorf("%s does not wait for %s: %v", name, want[i-1], waits)
		}
		rpc := o.flags[name].RegisterRPC
		if !rpc.GetDeleteBeforeReplace() || !rpc.GetDeleteBeforeReplaceDefined() {
			t.Errorf("%s: a new group would find the interface taken", name)
		}
		if active := slices.Contains(rpc.GetReplaceOnChanges(), "launchTemplate"); active != (name != want[1]) {
			t.Errorf("%s: replaced with its launch template: %t", name, active)
		}
		if elastic := slices.Contains(rpc.GetIgnoreChanges(), "desiredCapacity"); elastic != (name == want[1]) {
			t.Errorf("%s: leaves its size to alarms: %t", name, elastic)
		}
		in := o.flags[name].Inputs
		if in["waitForCapacityTimeout"].StringValue() != "780s" || !in["ignoreFailedScalingActivities"].BoolValue() || in.HasValue("vpcZoneIdentifiers") {
			t.Errorf("%s: %v", name, in)
		}
	}
	together := deploy(zones, 2)
	together.fleet.Rollout = RolloutTogether
	for _, name := range want {
		if waits := together.groups(t).dependsOnGroups(name); len(waits) > 0 {
			t.Errorf("%s waits for %v in a fleet that nobody uses yet", name, waits)
		}
	}
}

func TestThresholdsOfElasticSlots(t *testing.T) {
	a := Autoscaling{MaxConnections: 1, ConnectionsPerSecond: 1}.withDefaults()
	last := 0.0
	for n := 2; n <= 20; n++ {
		start, drain := a.thresholds(n)
		if start <= last || drain >= start {
			t.Errorf("slot %d starts at %g and drains at %g; the slot before started at %g", n, start, drain, last)
		}
		// Right after slot n drained, the n-1 that are left carry less than what starts it again.
		if perProxy := drain / float64(n-1); perProxy >= a.StartShare {
			t.Errorf("slot %d would start again at once: %g each", n, perProxy)
		}
		last = start
	}
}

func TestArchitectures(t *testing.T) {
	for name, want := range map[string]Architecture{
		"c7g.large": ArchitectureARM64, "c7gn.16xlarge": ArchitectureARM64, "m6gd.metal": ArchitectureARM64, "t4g.small": ArchitectureARM64, "a1.large": ArchitectureARM64,
		"im4gn.large": ArchitectureARM64, "is4gen.large": ArchitectureARM64, "x2gd.large": ArchitectureARM64, "c8g.large": ArchitectureARM64, "hpc7g.4xlarge": ArchitectureARM64,
		"c7i.large": ArchitectureX86, "c6in.large": ArchitectureX86, "m7a.large": ArchitectureX86, "t3.small": ArchitectureX86, "g4dn.xlarge": ArchitectureX86,
		"m7i-flex.large": ArchitectureX86, "c5n.large": ArchitectureX86, "g5.xlarge": ArchitectureX86, "u7i-12tb.224xlarge": ArchitectureX86,
	} {
		args := FleetArgs{Machine: Machine{InstanceType: name}}
		if got := args.withDefaults().Machine; got.Architecture != want || !strings.Contains(got.image(), "/amazon-linux-2023/") || strings.Contains(got.image(), "arm64") != (want == ArchitectureARM64) {
			t.Errorf("%s: %s %s", name, got.Architecture, got.image())
		}
	}
}

func TestMistakesAreAllReported(t *testing.T) {
	d := deploy(map[string][]Mode{"eu-west-1a": {ModeActive, ModeActive}}, 1)
	i := &d.interfaces
	i.Stack, i.Slots[0].Zone, i.Slots[1].AllocationIDs = "a b", "eu-west-1b", nil
	i.Access.ClientCIDRs, i.Access.ListenPorts = []string{"0.0.0.0/0", "10.0.0.1/16"}, []int{0}
	_, err := d.run(t)
	wantProblems(t, err, `stack: must be letters`, `must be proxy-<zone>-<number> of its zone`, `must be one of the zones, got "eu-west-1b"`, "allocationIds: must be 1 to 16, got 0",
		`must be IPv4 networks of at most a /8, got "0.0.0.0/0"`, `got "10.0.0.1/16"`, "ports: must be 1 to 65535, got 0")

	d = deploy(map[string][]Mode{"eu-west-1a": {ModeElastic, "sleeping"}}, 1)
	d.fleet.Autoscaling = &Autoscaling{DrainShare: 0.9}
	d.fleet.LogRetentionDays, d.fleet.Rollout, d.fleet.Machine.AMI = 31, "all", "newest"
	d.fleet.Proxy.DrainSeconds, d.fleet.Proxy.ReadySeconds = 0, 10
	_, err = d.run(t)
	wantProblems(t, err, "logRetentionDays", "rollout: must be one-by-one or together", `ami: must be ami-..., got "newest"`, "drainSeconds", "readySeconds: must be 90 to 1800, got 10",
		"a zone's first proxy is what the load is measured on", "mode: must be active, elastic or reserved", "autoscaling: maxConnections", "drainShare: must be above 0 and below startShare, 0.7, got 0.9")

	d = deploy(map[string][]Mode{"eu-west-1a": {ModeActive}}, 1)
	d.balancer = &LoadBalancerArgs{Stack: "prod", VPCID: pulumi.String("vpc-1"), IdleSeconds: 30, SlotZones: map[string]string{"proxy-eu-west-1a-1": "eu-west-1a"},
		Zones: []LoadBalancerZone{{"eu-west-1b", pulumi.String("subnet"), "8.8.8.8"}}}
	_, err = d.run(t)
	wantProblems(t, err, "ports: needs at least one", "idleSeconds: must be 60 to 6000, got 30", "must be a private IPv4 address", "must include the zone of every proxy")
}

func TestTooManyRulesAreRefused(t *testing.T) {
	d := deploy(map[string][]Mode{"eu-west-1a": {ModeActive}}, 1)
	d.interfaces.Access.ListenPorts = nil
	for port := 8001; port <= 8019; port++ {
		d.interfaces.Access.ListenPorts = append(d.interfaces.Access.ListenPorts, port)
	}
	if _, err := d.run(t); err != nil { // 20 ports with health, 3 peers: 60
		t.Errorf("60 rules: %v", err)
	}
	d.interfaces.Access.ListenPorts = append(d.interfaces.Access.ListenPorts, 8020)
	_, err := d.run(t)
	wantProblems(t, err, "access: ingress: must not need more than 60 rules, got 63")
}

func TestAnImageByTagIsRefused(t *testing.T) {
	d := deploy(map[string][]Mode{"eu-west-1a": {ModeActive}}, 1)
	d.fleet.Proxy.Image = pulumi.String(account + ".dkr.ecr.eu-west-1.amazonaws.com/sallyport/proxy:latest")
	_, err := d.run(t)
	wantProblems(t, err, "image: must be <repository>@sha256:")
}

func wantProblems(t *testing.T, err error, want ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("accepted, want %v", want)
	}
	for _, text := range want {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("missing %q in\n%v", text, err)
		}
	}
}

// Alarms look at what agents write. The agent's package is not imported but here: it would bring its libraries along.
func TestAgentsWriteWhatScalingLooksAt(t *testing.T) {
	lines, err := os.ReadFile("../../../proxyimage/agent/cloudwatch/testdata/two-minutes.golden")
	if err != nil {
		t.Fatal(err)
	}
	const directive = `"Namespace":"` + metricNamespace + `","Dimensions":[["Stack","Slot"],["Stack","Zone"]],"Metrics":[`
	_, after, ok := strings.Cut(string(lines[strings.LastIndex(string(lines), `{"Busy"`):]), directive)
	metrics, _, _ := strings.Cut(after, "]")
	if !ok {
		t.Fatal("agents write no figures per zone")
	}
	for _, term := range (Autoscaling{BytesPerSecond: 1}).terms() {
		if !strings.Contains(metrics, `{"Name":"`+term.metric+`",`) {
			t.Errorf("agents do not write %s per zone: %s", term.metric, metrics)
		}
	}
}
