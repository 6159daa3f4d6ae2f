package poolcontroller

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/components/manifests"
	"github.com/sallyport/sallyport/internal/golden"
)

var settings = Settings{
	Namespace: "egress", ClusterDomain: "cluster.local", Names: []string{"ledger"}, Ports: []int{443, 8443}, Zones: 3,
	MinReplicas: 3, MaxReplicas: 9, CPUMillis: 500, MemoryMiB: 256, DrainSeconds: 30, RequestsPerConnection: 1000,
}

var found = Found{
	Image:  "registry.example.com/sallyport/proxy@sha256:" + strings.Repeat("0f", 32),
	Routes: `{"version":1,"serial":1,"routes":[],"proxies":[],"clients":[]}` + "\n", DNS: "172.20.0.10",
	Proxies: []netip.Addr{netip.MustParseAddr("10.0.1.10"), netip.MustParseAddr("10.0.2.10")},
}

func TestObjects(t *testing.T) {
	direct := found
	direct.Proxies = nil
	for file, f := range map[string]Found{"through-the-fleet.yaml": found, "direct.yaml": direct} {
		objects, err := settings.Objects(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := manifests.Check("pool", objects); err != nil {
			t.Error(err)
		}
		text, err := manifests.YAML(objects)
		if err != nil {
			t.Fatal(err)
		}
		golden.Check(t, file, text)
	}
}

// The kubelet kills what has not ended by itself: the sleep and the drain must fit.
func TestAControllerHasTimeToDrain(t *testing.T) {
	spec := settings.deployment(found)["template"].(manifests.Map)["spec"].(manifests.Map)
	if grace := spec["terminationGracePeriodSeconds"].(int); grace <= preStop+settings.DrainSeconds {
		t.Errorf("%d s", grace)
	}
	rollout := settings.deployment(found)["strategy"].(manifests.Map)["rollingUpdate"].(manifests.Map)
	if rollout["maxUnavailable"] != 0 {
		t.Errorf("a rollout takes controllers away before new ones serve: %v", rollout)
	}
	if _, ok := settings.deployment(found)["replicas"]; ok {
		t.Error("an update would undo what the autoscaler did")
	}
}

func TestSettingsReportAllProblemsAtOnce(t *testing.T) {
	_, err := Settings{MinReplicas: 1, MaxReplicas: 1, Names: []string{"pool"}}.Objects(Found{Image: "proxy:latest", DNS: "x"})
	for _, want := range []string{"image", "routes", "dns", "replicas", "names"} {
		if err == nil || !strings.Contains(err.Error(), "pool controller: "+want) {
			t.Errorf("%s is missing in: %v", want, err)
		}
	}
}
