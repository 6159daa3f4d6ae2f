package cluster

import (
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/pulumitest"
	"github.com/sallyport/sallyport/components/stack"
	"github.com/sallyport/sallyport/infra/cluster/shipped"
	"github.com/sallyport/sallyport/infra/topology"
	"github.com/sallyport/sallyport/internal/clock"
	"github.com/sallyport/sallyport/internal/golden"
)

const image = "registry.example.com/sallyport/proxy@sha256:0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"

// service is what the cluster says of a Service.
func service(token, name string, inputs resource.PropertyMap) map[string]any {
	if token == "pulumi:pulumi:StackReference" { // nothing was exported before
		return map[string]any{"outputs": map[string]any{}}
	}
	if token != "kubernetes:core/v1:Service" {
		return nil
	}
	ip, selector := "172.20.99.1", map[string]any{}
	switch {
	case name == "cluster-dns-service":
		ip, selector = "172.20.0.10", map[string]any{"k8s-app": "coredns"}
	case strings.Contains(name, "upstream"):
		ip, selector = "172.20.11.12", inputs["spec"].ObjectValue()["selector"].ObjectValue().Mappable()
	}
	return map[string]any{"spec": map[string]any{"clusterIP": ip, "selector": selector}}
}

// deploy runs Deploy on a stack file and returns what was asked for.
func deploy(t *testing.T, file string, change func(*Input)) (*pulumitest.Recorder, error) {
	t.Helper()
	t.Setenv(clock.Env, "2026-01-01T00:00:00Z")
	if !strings.Contains(file, "/") {
		file = filepath.Join("testdata", file)
	}
	settings, err := stack.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := settings.Plan()
	if err != nil {
		t.Fatal(err)
	}
	r := pulumitest.New(service)
	err = r.Run("sallyport", "aws-prod", t.TempDir(), nil, func(ctx *pulumi.Context) error {
		previous, err := topology.ReadPrevious(ctx)
		if err != nil {
			return err
		}
		in := Input{
			Settings: settings, Plan: plan, Image: pulumi.String(image), Previous: previous, Kubeconfig: pulumi.String("kind: Config"),
			Clients: []netip.Prefix{netip.MustParsePrefix("10.64.0.0/14")},
		}
		for i, slot := range topology.Slots(settings.Cluster.Zones, 1) {
			in.Proxies = append(in.Proxies, Proxy{
				Slot: slot, Address: pulumi.String([]string{"10.0.1.10", "10.0.2.10", "10.0.3.10"}[i]),
				PublicIPs: []pulumi.StringInput{pulumi.String([]string{"198.51.100.1", "198.51.100.2", "198.51.100.3"}[i])},
			})
		}
		if change != nil {
			change(&in)
		}
		return Deploy(ctx, in)
	})
	return r, err
}

func TestGraphs(t *testing.T) {
	for file, change := range map[string]func(*Input){
		"everything.yaml": nil,
		"nftables.yaml":   nil,
		"pool-only.yaml":  func(in *Input) { in.Kubeconfig = nil },
		"sidecars.yaml":   nil,
		"ambient.yaml":    nil,
	} {
		t.Run(file, func(t *testing.T) {
			r, err := deploy(t, file, change)
			if err != nil {
				t.Fatal(err)
			}
			graph, err := r.Graph()
			if err != nil {
				t.Fatal(err)
			}
			golden.Check(t, strings.TrimSuffix(file, ".yaml")+".golden", graph)
		})
	}
}

// What every stack that ships makes inside its cluster.
func TestGraphsOfTheStacksThatShip(t *testing.T) {
	for _, name := range shipped.Stacks {
		t.Run(name, func(t *testing.T) {
			file, err := shipped.Write("../..", name, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			r, err := deploy(t, file, func(in *Input) {
				in.ManagedDNSCache = pulumi.Bool(in.Settings.GCP != nil && in.Settings.GCP.GKE != nil && in.Settings.GCP.GKE.ManagedDNSCache)
			})
			if err != nil {
				t.Fatal(err)
			}
			graph, err := r.Graph()
			if err != nil {
				t.Fatal(err)
			}
			golden.Check(t, "shipped-"+name+".golden", graph)
		})
	}
}

// The address of the cluster's DNS is the one that was found, and the cache asks it where it does not listen itself.
func TestTheClusterDNSIsLookedUp(t *testing.T) {
	r, err := deploy(t, "everything.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	upstream := r.Inputs("kubernetes:core/v1:Service", "cluster-dns-service-kube-system-sallyport-dns-upstream")
	if selector := upstream["spec"].(map[string]any)["selector"].(map[string]any); selector["k8s-app"] != "coredns" {
		t.Errorf("selector %v: must be that of the cluster's own Service", selector)
	}
	config := r.Inputs("kubernetes:core/v1:ConfigMap", "node-local-dns-configmap-kube-system-sallyport-node-local-dns")
	corefile := config["data"].(map[string]any)["Corefile.base"].(string)
	for _, want := range []string{"bind 169.254.20.10 172.20.0.10", "forward . 172.20.11.12", "api.payments.example.com:53"} {
		if !strings.Contains(corefile, want) {
			t.Errorf("%q is missing in\n%s", want, corefile)
		}
	}
}

func TestWhatIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		file, want string
		change     func(*Input)
	}{
		"a second cache on a GKE cluster":     {"everything.yaml", "dnsCacheConfig", func(in *Input) { in.ManagedDNSCache = pulumi.Bool(true) }},
		"no image for what runs it":           {"pool-only.yaml", "kubernetes.image", func(in *Input) { in.Image = nil }},
		"a proxy whose address is no address": {"pool-only.yaml", "proxy-eu-west-1a-1", func(in *Input) { in.Proxies[0].Address = pulumi.String("proxy") }},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := deploy(t, c.file, c.change)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestAStackWithoutTheSectionTouchesNoCluster(t *testing.T) {
	r, err := deploy(t, "pool-only.yaml", func(in *Input) {
		without := *in.Settings
		without.Kubernetes = nil
		in.Settings = &without
	})
	if err != nil {
		t.Fatal(err)
	}
	if names := r.Names("pulumi:providers:kubernetes"); len(names) != 0 {
		t.Errorf("got %v", names)
	}
}
