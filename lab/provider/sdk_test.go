package provider

import (
	"encoding/json"
	"slices"
	"sync"
	"testing"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	sdk "github.com/sallyport/sallyport/components/lab"
)

// recorder answers registrations with the inputs and remembers them.
type recorder struct {
	mu     sync.Mutex
	inputs map[string]resource.PropertyMap // by token
}

func (r *recorder) NewResource(args pulumi.MockResourceArgs) (string, resource.PropertyMap, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inputs[args.TypeToken] = args.Inputs
	return args.Name, args.Inputs, nil
}

func (r *recorder) Call(pulumi.MockCallArgs) (resource.PropertyMap, error) {
	return resource.PropertyMap{}, nil
}

// declare uses every constructor of the SDK once, with as little as is allowed.
func declare(ctx *pulumi.Context) error {
	lab := pulumi.String("t1")
	var errs []error
	note := func(_ any, err error) { errs = append(errs, err) }
	_, err := sdk.NewProvider(ctx, "provider")
	note(nil, err)
	note(sdk.NewNetwork(ctx, "network", &sdk.NetworkArgs{Lab: "t1"}))
	note(sdk.NewAddress(ctx, "address", &sdk.AddressArgs{Lab: lab, Name: "a", Kind: sdk.KindNat}))
	note(sdk.NewRoutes(ctx, "routes", &sdk.RoutesArgs{Lab: lab,
		Document: pulumi.String(`{"version":1,"routes":[],"proxies":[],"clients":[]}`)}))
	note(sdk.NewUpstreamDNS(ctx, "dns", &sdk.UpstreamDNSArgs{Lab: lab,
		Records: []sdk.Record{{Name: "a.example.com", Addresses: pulumi.StringArray{pulumi.String("203.0.113.1")}, TTL: 5}}}))
	note(sdk.NewPartner(ctx, "partner", &sdk.PartnerArgs{Lab: lab, Name: "p", Hosts: []string{"a.example.com"}, Port: 443}))
	note(sdk.NewNatGateway(ctx, "nat", &sdk.NatGatewayArgs{Lab: lab, Name: "nat", Flavor: sdk.FlavorCloudNat,
		Addresses: pulumi.StringArray{pulumi.String("198.51.100.1")}, PortsPerVM: 64, TimeWaitSeconds: 120,
		VMs: []sdk.VM{{Name: "a", CIDRs: pulumi.StringArray{pulumi.String("10.244.0.0/24")}}}}))
	note(sdk.NewNode(ctx, "node", &sdk.NodeArgs{Lab: lab, Name: "a", PodCIDR: pulumi.String("10.244.0.0/24"), Gateway: pulumi.String("10.0.0.10"),
		EgressAllow: []sdk.Egress{{CIDR: pulumi.String("203.0.113.1/32"), Port: 443}}}))
	note(sdk.NewNodeLocalDNS(ctx, "cache", &sdk.NodeLocalDNSArgs{Lab: lab, Node: "a", Corefile: pulumi.String("bind 169.254.20.10"),
		Rootfs: "/rootfs", ImageDigest: "sha256:x", DNSServers: pulumi.StringArray{pulumi.String("10.0.0.2")}}))
	note(sdk.NewPod(ctx, "pod", &sdk.PodArgs{Lab: lab, Name: "a", Node: "a", ResolvConf: sdk.ResolvConf{Nameserver: "169.254.20.10"}}))
	note(sdk.NewProxy(ctx, "proxy", &sdk.ProxyArgs{Lab: lab, Name: "a", Address: pulumi.String("10.0.2.10"),
		PublicAddresses: pulumi.StringArray{pulumi.String("198.51.100.129")}, Rootfs: "/rootfs", ImageDigest: "sha256:x",
		DNSServers: pulumi.StringArray{pulumi.String("192.0.2.53")}}))
	return errsFirst(errs)
}

func errsFirst(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// TestSDKSpeaksTheProvidersLanguage declares every resource with the SDK and gives what it sends to the provider's checks.
func TestSDKSpeaksTheProvidersLanguage(t *testing.T) {
	onDisk(t)
	e := newEngine(t)
	recorded := &recorder{inputs: map[string]resource.PropertyMap{}}
	if err := pulumi.RunErr(declare, pulumi.WithMocks("sallyport", "test", recorded)); err != nil {
		t.Fatal(err)
	}
	response, err := e.server.GetSchema(p.GetSchemaRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Resources map[string]struct {
			RequiredInputs  []string
			InputProperties map[string]any
		}
	}
	if err := json.Unmarshal([]byte(response.Schema), &schema); err != nil {
		t.Fatal(err)
	}
	delete(schema.Resources, "lab:index:Serial") // only there to be deleted
	for token, r := range schema.Resources {
		inputs, ok := recorded.inputs[token]
		if !ok {
			t.Errorf("%s: the SDK has no constructor, or the test does not use it", token)
			continue
		}
		for key := range inputs {
			if _, ok := r.InputProperties[string(key)]; !ok {
				t.Errorf("%s: the SDK sends %q, which the provider does not know", token, key)
			}
		}
		for _, key := range r.RequiredInputs {
			if _, ok := inputs[resource.PropertyKey(key)]; !ok {
				t.Errorf("%s: the SDK does not send %q, which the provider requires", token, key)
			}
		}
		kind := token[len("lab:index:"):]
		if _, problems := e.check(kind, "x", resource.FromResourcePropertyValue(resource.NewProperty(inputs)).AsMap()); len(problems) > 0 &&
			!slices.Contains([]string{"Network"}, kind) { // a network wants root, which a unit test may lack
			t.Errorf("%s: the provider refuses what the SDK sends: %v", token, problems)
		}
	}
}
