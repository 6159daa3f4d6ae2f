package dnsrouting

import (
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/components/manifests"
	"github.com/sallyport/sallyport/internal/golden"
)

var found = Found{
	Image:  "registry.example.com/sallyport/proxy@sha256:" + strings.Repeat("0f", 32),
	Routes: `{"version":1,"serial":1,"routes":[],"proxies":[],"clients":[]}` + "\n", DNS: "172.20.11.12",
}

func TestObjects(t *testing.T) {
	objects, err := Settings{Namespace: "kube-system"}.Objects(found)
	if err != nil {
		t.Fatal(err)
	}
	if err := manifests.Check("dns routing", objects); err != nil {
		t.Error(err)
	}
	text, err := manifests.YAML(objects)
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "objects.yaml", text)
}

// Two agents share one network: nothing they listen on may be the same, and a selector must not select the other's pods.
func TestTheAgentsOfANodeDoNotMeet(t *testing.T) {
	a, b := agents[0], agents[1]
	ports := []int{a.dns, a.http, b.dns, b.http}
	slices.Sort(ports)
	if len(slices.Compact(ports)) != 4 {
		t.Errorf("ports %v", ports)
	}
	if a.labels()["app.kubernetes.io/instance"] == b.labels()["app.kubernetes.io/instance"] {
		t.Error("one selector for both")
	}
}

func TestWhatIsMissingIsReportedAtOnce(t *testing.T) {
	_, err := Settings{}.Objects(Found{Image: "proxy:latest", DNS: "kube-dns"})
	for _, want := range []string{"image", "dns:", "routes"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is missing in: %v", want, err)
		}
	}
}
