package apiserver

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"gopkg.in/yaml.v3"

	"github.com/sallyport/sallyport/components/manifests"
	"github.com/sallyport/sallyport/components/stack"
	"github.com/sallyport/sallyport/infra/cluster"
	"github.com/sallyport/sallyport/infra/cluster/shipped"
	"github.com/sallyport/sallyport/infra/topology"
	"github.com/sallyport/sallyport/internal/clock"
)

// provider stands between the program and the API server as Pulumi's provider does: what is registered is applied, what is read is got,
// and the program goes on with what the API server said. The engine is left out.
type provider struct {
	mu      sync.Mutex
	applied []Object // as they were sent, in the order in which they were registered
	state   map[string]Object
}

// NewResource implements pulumi.MockResourceMonitor.
func (p *provider) NewResource(args pulumi.MockResourceArgs) (string, resource.PropertyMap, error) {
	apiVersion, isObject := strings.CutPrefix(args.TypeToken, "kubernetes:")
	if !isObject {
		return args.Name, args.Inputs, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var got Object
	if args.ReadRPC != nil {
		at := strings.LastIndex(apiVersion, ":")
		namespace, name, _ := strings.Cut(args.ID, "/")
		var err error
		if got, err = running.Get(context.Background(), manifests.New(strings.TrimPrefix(apiVersion[:at], "core/"), apiVersion[at+1:], namespace, name)); err != nil {
			return "", nil, err
		}
	} else {
		o := Object(args.Inputs.Mappable())
		applied, warnings, err := running.Apply(context.Background(), o)
		if err != nil {
			return "", nil, err
		}
		if warnings = slices.DeleteFunc(warnings, outdated); len(warnings) > 0 {
			return "", nil, fmt.Errorf("%s: %v", o.ID(), warnings)
		}
		if applied, err = running.Take(context.Background(), applied); err != nil {
			return "", nil, err
		}
		got = applied
		p.applied, p.state[o.ID()] = append(p.applied, o), got
	}
	return args.Name, resource.NewPropertyMapFromMap(got), nil
}

// Call implements pulumi.MockResourceMonitor: the stack has no outputs yet.
func (p *provider) Call(args pulumi.MockCallArgs) (resource.PropertyMap, error) {
	if args.Token != "pulumi:pulumi:readStackOutputs" {
		return nil, fmt.Errorf("unexpected call of %s", args.Token)
	}
	return resource.NewPropertyMapFromMap(map[string]any{"outputs": map[string]any{}}), nil
}

// up runs the part of the program that is inside the cluster.
func up(t *testing.T, file string) *provider {
	t.Helper()
	settings, err := stack.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := settings.Plan()
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{state: map[string]Object{}}
	t.Cleanup(func() { remove(t, p.applied) })
	err = pulumi.RunErr(func(ctx *pulumi.Context) error {
		previous, err := topology.ReadPrevious(ctx)
		if err != nil {
			return err
		}
		in := cluster.Input{
			Settings: settings, Plan: plan, Previous: previous, Clients: []netip.Prefix{netip.MustParsePrefix("10.64.0.0/14")},
			Image: pulumi.String("registry.example.com/sallyport/proxy@sha256:" + strings.Repeat("0f", 32)),
		}
		for i, slot := range topology.Slots(settings.Cluster.Zones, 1) {
			in.Proxies = append(in.Proxies, cluster.Proxy{
				Slot: slot, Address: pulumi.Sprintf("10.0.%d.10", i), PublicIPs: []pulumi.StringInput{pulumi.String(fmt.Sprintf("198.51.100.%d", i+1))},
			})
		}
		return cluster.Deploy(ctx, in)
	}, pulumi.WithMocks("sallyport", "prod", p))
	if err != nil {
		t.Fatal(err)
	}
	if len(p.applied) == 0 {
		t.Fatal("nothing was applied")
	}
	return p
}

// changed are the objects that were written between two updates, and those that came or went.
func changed(before, after *provider) []string {
	var all []string
	for id, o := range after.state {
		if old, ok := before.state[id]; !ok || version(old) != version(o) {
			all = append(all, id)
		}
	}
	for id := range before.state {
		if _, ok := after.state[id]; !ok {
			all = append(all, id)
		}
	}
	slices.Sort(all)
	return all
}

// dnsServices are the cluster's own, which the program looks up.
func dnsServices(t *testing.T) {
	t.Helper()
	for name, ip := range map[string]string{"kube-dns": "172.20.0.10", "coredns": "172.20.0.11"} {
		o := manifests.New("v1", "Service", "kube-system", name).With("spec", manifests.Map{
			"clusterIP": ip, "selector": manifests.Map{"k8s-app": name}, "ports": []any{
				manifests.Map{"name": "dns", "port": 53, "protocol": "UDP"}, manifests.Map{"name": "dns-tcp", "port": 53, "protocol": "TCP"},
			},
		})
		if _, _, err := running.Apply(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
}

// What one more host writes, by the way in which a cluster comes to the proxies.
var (
	byDNS  = []string{"ConfigMap/kube-system/sallyport-node-local-dns", "ConfigMap/kube-system/sallyport-resolver"}
	byMesh = []string{"ServiceEntry/istio-system/egress-payments", "VirtualService/istio-system/egress-payments"}
)

func TestUpdatesOfAStackWriteWhatChangedAndNothingElse(t *testing.T) {
	dnsServices(t)
	for file, want := range map[string][]string{
		"everything.yaml": {"ConfigMap/egress/pool", "ConfigMap/kube-system/sallyport-node-local-dns", "ConfigMap/kube-system/sallyport-resolver"},
		"nftables.yaml":   nil, // nothing in this cluster depends on the hosts
		// A destination with two hosts has no name of its own in the cluster any more.
		"pool-only.yaml": {"ConfigMap/egress/pool", "Service/egress/ledger"},
		"sidecars.yaml":  byMesh,
		"ambient.yaml":   {"ConfigMap/pools/pool", "ServiceEntry/egress/egress-payments", "VirtualService/egress/egress-payments"},
	} {
		t.Run(file, func(t *testing.T) { updates(t, filepath.Join("../../infra/cluster/testdata", file), want) })
	}
	for name, want := range map[string][]string{
		"aws-dev": byDNS, "aws-prod": byDNS, "rapido": byDNS, "gcp-dev": byMesh, "gcp-prod": byMesh, "bedrock": nil,
	} {
		t.Run(name, func(t *testing.T) {
			file, err := shipped.Write("../..", name, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			updates(t, file, want)
		})
	}
	left := leftBehind(t)
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// updates brings a stack up, again, and with one more host, and removes it.
func updates(t *testing.T, file string, want []string) {
	t.Helper()
	t.Setenv(clock.Env, "2026-01-01T00:00:00Z")
	first := up(t, file)
	if again := changed(first, up(t, file)); len(again) > 0 {
		t.Errorf("a second update wrote %v", again)
	}
	t.Setenv(clock.Env, "2026-02-01T00:00:00Z")
	last := up(t, oneMoreHost(t, file))
	if got := changed(first, last); !slices.Equal(got, want) {
		t.Errorf("one more host wrote %q, want %q", got, want)
	}
	for id, o := range last.state {
		if o.Kind() != "DaemonSet" && o.Kind() != "Deployment" {
			continue
		}
		if !reflect.DeepEqual(at(o, "spec", "template"), at(first.state[id], "spec", "template")) {
			t.Errorf("%s: one more host restarts its pods", id)
		}
	}
}

// oneMoreHost writes a stack file whose first destination has another host.
func oneMoreHost(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Config map[string]any }
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	first := file.Config["sallyport:destinations"].([]any)[0].(map[string]any)
	first["hosts"] = append([]any{"one-more.example.com"}, first["hosts"].([]any)...)
	longer, err := yaml.Marshal(map[string]any{"config": file.Config})
	if err != nil {
		t.Fatal(err)
	}
	changed := filepath.Join(t.TempDir(), filepath.Base(path))
	if err := os.WriteFile(changed, longer, 0o600); err != nil {
		t.Fatal(err)
	}
	return changed
}

// leftBehind are objects with our label, of every kind that was applied, but for namespaces.
func leftBehind(t *testing.T) []string {
	t.Helper()
	var left []string
	for _, key := range slices.Sorted(maps.Keys(running.kinds)) {
		apiVersion, name, _ := strings.Cut(key, " ")
		k := running.kinds[key]
		if name == "Namespace" || name == "ServiceAccount" {
			continue
		}
		answer, err := running.Raw(t.Context(), "GET", root(apiVersion)+"/"+k.resource+"?labelSelector=app.kubernetes.io/managed-by%3Dsallyport", "", nil)
		if err != nil {
			continue // a kind that cannot be listed
		}
		var list struct{ Items []Object }
		if err := json.Unmarshal(answer.Body, &list); err != nil {
			t.Fatal(err)
		}
		for _, o := range list.Items {
			if o.Namespace() == "kube-system" && name == "Service" && at(o, "spec", "selector", "k8s-app") != nil {
				continue // the cluster's own, see dnsServices
			}
			left = append(left, name+" "+o.Name())
		}
	}
	return left
}
