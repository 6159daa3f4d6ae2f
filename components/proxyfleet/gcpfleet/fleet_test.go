package gcpfleet

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/proxyfleet/gcphost"
	"github.com/sallyport/sallyport/components/pulumitest"
	"github.com/sallyport/sallyport/internal/golden"
)

const (
	groupToken    = "gcp:compute/instanceGroupManager:InstanceGroupManager"
	machineToken  = "gcp:compute/perInstanceConfig:PerInstanceConfig"
	templateToken = "gcp:compute/instanceTemplate:InstanceTemplate"
	firewallToken = "gcp:compute/firewall:Firewall"
)

var image = "europe-west1-docker.pkg.dev/example-prod/egress/sallyport@sha256:" + strings.Repeat("0123456789abcdef", 4)

// fleet is one of two zones with two slots each, the second of which is reserved.
func fleet(zones ...string) *FleetArgs {
	args := &FleetArgs{
		Stack: "prod", Project: "example-prod", Region: "europe-west1",
		Network: Network{Project: "example-host", SelfLink: pulumi.String("https://example.com/vpc"), Subnetwork: pulumi.String("https://example.com/fleet")},
		Machine: Machine{Type: "e2-standard-2"},
		Proxy:   Proxy{Image: image, RoutesURL: pulumi.String("gs://example-routes/routes.json"), DrainSeconds: 30, MaxConnections: 50000},
		Access: Access{
			Clients: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/17"), netip.MustParsePrefix("10.8.0.0/14")}, ListenPorts: []int{443, 8443}, DestinationPorts: []int{443, 8443},
		},
		Permissions: Permissions{Bucket: pulumi.String("example-routes"), Object: "routes.json"},
		Labels:      map[string]string{"team": "platform"},
	}
	for _, zone := range zones {
		for n := 1; n <= 2; n++ {
			name := fmt.Sprintf("proxy-%s-%d", zone, n)
			args.Slots = append(args.Slots, FleetSlot{
				Name: name, Zone: zone, Mode: map[int]Mode{1: ModeActive, 2: ModeReserved}[n], PublicIP: pulumi.String("https://example.com/ip/" + name),
				Place: Reserved{SelfLink: pulumi.String("https://example.com/place/" + name).ToStringOutput(), Address: pulumi.String("10.0.128.7").ToStringOutput()},
			})
		}
	}
	return args
}

func runFleet(t *testing.T, args *FleetArgs, more func(*pulumi.Context, *Fleet) error) (*pulumitest.Recorder, error) {
	t.Helper()
	recorder := pulumitest.New(func(token, name string, _ resource.PropertyMap) map[string]any {
		out := map[string]any{"selfLink": "https://example.com/" + name, "instanceGroup": "https://example.com/group/" + name, "address": "10.0.128.200"}
		if strings.HasPrefix(token, "gcp:serviceaccount/account") {
			out["email"], out["member"] = "prod-proxy@example-prod.iam.gserviceaccount.com", "serviceAccount:prod-proxy@example-prod.iam.gserviceaccount.com"
		}
		return out
	})
	return recorder, recorder.Run("sallyport", "prod", t.TempDir(), nil, func(ctx *pulumi.Context) error {
		f, err := NewFleet(ctx, "fleet", args)
		if err != nil || more == nil {
			return err
		}
		return more(ctx, f)
	})
}

func mustRun(t *testing.T, args *FleetArgs, more func(*pulumi.Context, *Fleet) error) *pulumitest.Recorder {
	t.Helper()
	recorder, err := runFleet(t, args, more)
	if err != nil {
		t.Fatal(err)
	}
	return recorder
}

func TestTheGraphOfAFleet(t *testing.T) {
	recorder := mustRun(t, fleet("europe-west1-b", "europe-west1-c"), nil)
	graph, err := recorder.Graph()
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "fleet.golden", graph)
}

func TestTheRolesOfTheMachinesAndWhy(t *testing.T) {
	var text strings.Builder
	for _, g := range Grants(image) {
		fmt.Fprintf(&text, "%-34s on %s: %s\n", g.Role, g.On, g.Why)
		for _, broad := range []string{"owner", "editor", "admin", "viewer"} {
			if name := strings.ToLower(g.Role); strings.HasSuffix(name, broad) && g != grantRoutes {
				t.Errorf("%s is broad", g.Role)
			}
		}
	}
	golden.Check(t, "roles.golden", text.String())
	// What is written down is what is granted, and no more.
	recorder, granted := mustRun(t, fleet("europe-west1-b"), nil), []string{}
	for token, names := range map[string][]string{"gcp:storage/bucketIAMMember:BucketIAMMember": nil, "gcp:artifactregistry/repositoryIamMember:RepositoryIamMember": nil, "gcp:projects/iAMMember:IAMMember": nil} {
		names = recorder.Names(token)
		for _, name := range names {
			granted = append(granted, fmt.Sprint(recorder.Inputs(token, name)["role"]))
		}
	}
	var listed []string
	for _, g := range Grants(image) {
		listed = append(listed, g.Role)
	}
	slices.Sort(granted)
	slices.Sort(listed)
	if !slices.Equal(granted, listed) {
		t.Errorf("granted %v, listed %v", granted, listed)
	}
	if n := len(Grants("registry.example.com/a@sha256:" + strings.Repeat("0", 64))); n != 3 {
		t.Errorf("%d roles with an image from elsewhere", n)
	}
}

func TestOnlyActiveSlotsHaveMachinesAndEachItsOwnAddresses(t *testing.T) {
	recorder := mustRun(t, fleet("europe-west1-b", "europe-west1-c"), nil)
	if got := recorder.Names(machineToken); !slices.Equal(got, []string{"proxyfleet-machine-proxy-europe-west1-b-1", "proxyfleet-machine-proxy-europe-west1-c-1"}) {
		t.Fatalf("%v", got)
	}
	for _, name := range recorder.Names(machineToken) {
		slot := strings.TrimPrefix(name, "proxyfleet-machine-")
		state := fmt.Sprint(recorder.Inputs(machineToken, name)["preservedState"])
		for _, want := range []string{"https://example.com/ip/" + slot, "https://example.com/place/" + slot, "NEVER"} {
			if !strings.Contains(state, want) {
				t.Errorf("%s lacks %s: %s", name, want, state)
			}
		}
		if strings.Contains(state, "ON_PERMANENT") {
			t.Errorf("%s: an address goes with its machine: %s", name, state)
		}
	}
	args := fleet("europe-west1-b")
	for i := range args.Slots {
		args.Slots[i].Mode = ModeReserved
	}
	if recorder := mustRun(t, args, nil); len(recorder.Names(groupToken)) != 0 || len(recorder.Names(templateToken)) != 0 {
		t.Error("a fleet without active slots has groups")
	}
}

func TestGroupsReplaceOneMachineAtATimeUnderItsName(t *testing.T) {
	recorder := mustRun(t, fleet("europe-west1-b"), nil)
	in := recorder.Inputs(groupToken, "proxyfleet-group-europe-west1-b")
	policy, _ := in["updatePolicy"].(map[string]any)
	want := map[string]any{"type": "PROACTIVE", "minimalAction": "REPLACE", "mostDisruptiveAllowedAction": "REPLACE", "replacementMethod": "RECREATE", "maxSurgeFixed": 0., "maxUnavailableFixed": 1.}
	if !reflect.DeepEqual(policy, want) || in["waitForInstances"] != true || in["waitForInstancesStatus"] != "UPDATED" {
		t.Errorf("%v", in)
	}
	if _, ok := in["targetSize"]; ok {
		t.Error("a number of machines beside their configurations")
	}
	args := fleet("europe-west1-b")
	args.Rollout = RolloutByHand
	in = mustRun(t, args, nil).Inputs(groupToken, "proxyfleet-group-europe-west1-b")
	if policy, _ = in["updatePolicy"].(map[string]any); policy["type"] != "OPPORTUNISTIC" || in["waitForInstancesStatus"] != "STABLE" {
		t.Errorf("by hand: %v", in)
	}
}

func TestAZoneMoreTouchesNoOther(t *testing.T) {
	two, three := mustRun(t, fleet("europe-west1-b", "europe-west1-d"), nil), mustRun(t, fleet("europe-west1-b", "europe-west1-c", "europe-west1-d"), nil)
	for _, token := range []string{groupToken, machineToken, templateToken, firewallToken} {
		for _, name := range two.Names(token) {
			if !reflect.DeepEqual(two.Inputs(token, name), three.Inputs(token, name)) {
				t.Errorf("%s changed", name)
			}
		}
	}
}

// Who may connect: the clients to the listeners, Google's health checks to the health page, and nobody to SSH.
func TestTheFirewallLetsInWhoMayAndOutWhatMust(t *testing.T) {
	recorder := mustRun(t, fleet("europe-west1-b"), nil)
	for _, name := range recorder.Names(firewallToken) {
		in := recorder.Inputs(firewallToken, name)
		allows := fmt.Sprint(in["allows"])
		if in["direction"] == "INGRESS" && in["allows"] != nil {
			if strings.Contains(fmt.Sprint(in["sourceRanges"]), "0.0.0.0/0") || strings.Contains(allows, " 22") || strings.Contains(allows, "[22") {
				t.Errorf("%s lets in %v from %v", name, allows, in["sourceRanges"])
			}
		}
		if fmt.Sprint(in["targetServiceAccounts"]) != "[prod-proxy@example-prod.iam.gserviceaccount.com]" || in["project"] != "example-host" {
			t.Errorf("%s is for %v in %v", name, in["targetServiceAccounts"], in["project"])
		}
	}
	priority := func(key string) float64 {
		return recorder.Inputs(firewallToken, "proxyfleet-firewall-"+key)["priority"].(float64)
	}
	for _, order := range [][2]string{{"in-clients", "in-deny"}, {"in-health", "in-deny"}, {"out-dns-53", "out-private"}, {"out-private", "out-destinations"}, {"out-destinations", "out-deny"}} {
		if priority(order[0]) >= priority(order[1]) {
			t.Errorf("%s must be asked before %s", order[0], order[1])
		}
	}
	if ranges := fmt.Sprint(recorder.Inputs(firewallToken, "proxyfleet-firewall-in-health")["sourceRanges"]); ranges != "[35.191.0.0/16 130.211.0.0/22]" {
		t.Errorf("health checks from %s", ranges)
	}
}

// The loop: if a proxy asked the VPC's resolver, the response policy would answer with a proxy.
func TestNoProxyAsksTheResolverOfTheVPC(t *testing.T) {
	metadata := mustRun(t, fleet("europe-west1-b"), nil).Inputs(templateToken, "proxyfleet-template")["metadata"].(map[string]any)
	data, servers := metadata["user-data"].(string), ""
	for line := range strings.Lines(data) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "SALLYPORT_DNS_SERVERS="); ok {
			servers = rest
		}
	}
	if servers == "" || strings.Contains(servers, gcphost.Metadata) {
		t.Errorf("a proxy asks %q", servers)
	}
	for _, server := range []string{"169.254.169.254", "169.254.169.254:53", "169.254.169.254:5353"} {
		args := fleet("europe-west1-b")
		args.Proxy.DNSServers = []string{"8.8.8.8", server}
		if _, err := runFleet(t, args, nil); err == nil || !strings.Contains(err.Error(), "must not be the VPC's own resolver") {
			t.Errorf("%s: %v", server, err)
		}
	}
}

func TestMachinesLetNobodyIn(t *testing.T) {
	in := mustRun(t, fleet("europe-west1-b"), nil).Inputs(templateToken, "proxyfleet-template")
	metadata := in["metadata"].(map[string]any)
	for key, want := range map[string]string{"block-project-ssh-keys": "true", "enable-oslogin": "false", "serial-port-enable": "false"} {
		if metadata[key] != want {
			t.Errorf("%s is %v", key, metadata[key])
		}
	}
	if shielded := fmt.Sprint(in["shieldedInstanceConfig"]); strings.Count(shielded, "true") != 3 {
		t.Errorf("shielded: %s", shielded)
	}
}

func TestTheOperatingSystemAndDiskFitTheMachine(t *testing.T) {
	for kind, want := range map[string][2]string{
		"e2-standard-2": {OSX86, "pd-balanced"}, "t2a-standard-1": {OSArm64, "pd-balanced"}, "c4a-standard-1": {OSArm64, "hyperdisk-balanced"}, "n4-standard-2": {OSX86, "hyperdisk-balanced"},
	} {
		m := Machine{Type: kind, OS: OSX86} // the stack file's default
		if got := [2]string{m.image(), m.diskType()}; got != want {
			t.Errorf("%s: %v", kind, got)
		}
	}
	if m := (Machine{Type: "c4a-standard-1", OS: "projects/cos-cloud/global/images/pinned"}); m.image() != m.OS {
		t.Errorf("a pinned image became %s", m.image())
	}
}

func TestTheLoadBalancer(t *testing.T) {
	balance := func(list []int) func(*pulumi.Context, *Fleet) error {
		return func(ctx *pulumi.Context, f *Fleet) error {
			_, err := NewLoadBalancer(ctx, "loadbalancer", &LoadBalancerArgs{
				Stack: "prod", Project: "example-prod", Region: "europe-west1", Network: fleet().Network, Fleet: f, Ports: list, DrainSeconds: 30,
			})
			return err
		}
	}
	const token = "gcp:compute/forwardingRule:ForwardingRule"
	recorder := mustRun(t, fleet("europe-west1-b", "europe-west1-c"), balance([]int{8443, 443}))
	var text strings.Builder
	for _, r := range [][2]string{{token, "proxyfleet-forwarding"}, {"gcp:compute/regionBackendService:RegionBackendService", "proxyfleet-backend"}, {"gcp:compute/regionHealthCheck:RegionHealthCheck", "proxyfleet-ready"}} {
		fmt.Fprintf(&text, "%s %v\n", r[1], recorder.Inputs(r[0], r[1]))
	}
	golden.Check(t, "loadbalancer.golden", text.String())
	six := mustRun(t, fleet("europe-west1-b"), balance([]int{1, 2, 3, 4, 5, 6})).Inputs(token, "proxyfleet-forwarding")
	if six["allPorts"] != true || six["ports"] != nil {
		t.Errorf("six ports: %v", six)
	}
	if _, err := runFleet(t, fleet(), balance(nil)); err == nil || !strings.Contains(err.Error(), "fleet: must have an active slot") || !strings.Contains(err.Error(), "ports: needs at least one") {
		t.Errorf("%v", err)
	}
}

func TestTheRepositoryHasImmutableTags(t *testing.T) {
	recorder := mustRun(t, fleet("europe-west1-b"), func(ctx *pulumi.Context, _ *Fleet) error {
		if _, err := NewRepository(ctx, "broken", &RepositoryArgs{Project: "example-prod", Region: "europe-west1", RepositoryName: "A"}); err == nil {
			t.Error("a name that Artifact Registry refuses was taken")
		}
		_, err := NewRepository(ctx, "repository", &RepositoryArgs{Project: "example-prod", Region: "europe-west1", RepositoryName: "egress"})
		return err
	})
	in := recorder.Inputs("gcp:artifactregistry/repository:Repository", "proxyfleet-repository")
	if fmt.Sprint(in["dockerConfig"]) != "map[immutableTags:true]" || in["format"] != "DOCKER" {
		t.Errorf("%v", in)
	}
}

func TestAllThatIsWrongWithAFleetIsSaidAtOnce(t *testing.T) {
	args := fleet("europe-west1-b")
	args.Stack, args.Network.SelfLink, args.Network.Tier = "", nil, "GOLD"
	args.Machine = Machine{Type: "large", DiskGiB: 9}
	args.Proxy.Image, args.Proxy.DrainSeconds, args.Proxy.ReadySeconds = "registry.example.com/a:v1", 81, 119
	args.Proxy.DNSServers = []string{"2001:db8::1"}
	args.Access.Clients = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
	args.Access.ListenPorts = []int{8404}
	args.Permissions.Object, args.Rollout = "", "later"
	args.Slots = append(args.Slots, FleetSlot{Name: "proxy-europe-west1-b-1", Zone: "europe-west1-c", Mode: "elastic"}, FleetSlot{Name: "proxy-europe-west1-c-1", Zone: "europe-west1-c", Mode: ModeActive})
	_, err := runFleet(t, args, nil)
	for _, want := range []string{"stack, project, region: must be given", "network: must be given", "tier: must be PREMIUM or STANDARD", "machine: type", "diskGiB: must be at least 10, got 9",
		"image: must be <repository>@sha256", "drainSeconds: must be 1 to 80, got 81", "readySeconds: must be 120 to 3600, got 119", `IPv4 addresses, with a port or without, got "2001:db8::1"`,
		`clients: must be IPv4 networks of at most a /8, got "0.0.0.0/0"`, "ports: must be 1 to 65535 and not 8404", "permissions: must name", "rollout: must be", "slots: must be proxy-<zone>-<number> of its zone",
		"mode: must be active or reserved", "publicIP: must be given"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %s", err, want)
		}
	}
}
