package nodelocaldns

import (
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/components/manifests"
	"github.com/sallyport/sallyport/internal/golden"
)

func settings(mode Mode) Settings {
	return Settings{
		Mode: mode, Namespace: "kube-system", ClusterDomain: "cluster.local", Image: Image, ServeStale: time.Hour, MaxConcurrent: 1000, MemoryMiB: 256,
		ProxiedHosts: []string{"*.tenants.example.org", "api.example.com"}, Resolvers: []string{"127.0.0.1:9053", "127.0.0.1:9063"},
	}
}

var found = Found{ClusterDNS: "172.20.0.10", Upstream: "172.20.11.12", Selector: map[string]string{"k8s-app": "kube-dns"}}

func TestObjects(t *testing.T) {
	for file, mode := range map[string]Mode{"take-over.yaml": TakeOver, "link-local.yaml": LinkLocal} {
		s := settings(mode)
		objects, err := s.Objects(found)
		if err != nil {
			t.Fatal(err)
		}
		objects = append(s.UpstreamServiceObject(found.Selector), objects...)
		if err := manifests.Check("node-local DNS", objects); err != nil {
			t.Error(err)
		}
		text, err := manifests.YAML(objects)
		if err != nil {
			t.Fatal(err)
		}
		golden.Check(t, file, text)
	}
}

// The cache must never ask the address that leads to itself, and must leave the node in order when it goes.
func TestTakingOverAsksElsewhereAndCleansUp(t *testing.T) {
	s := settings(TakeOver)
	if c := s.corefile(found); c.ClusterDNS[0] != found.Upstream || c.TakenOver != found.ClusterDNS {
		t.Errorf("got %+v", c)
	}
	if arguments := strings.Join(s.arguments(found), " "); strings.Contains(arguments, "skipteardown") {
		t.Errorf("rules would stay behind: %s", arguments)
	}
	if _, err := s.Objects(Found{ClusterDNS: "172.20.0.10", Upstream: "172.20.0.10"}); err == nil || !strings.Contains(err.Error(), "loop") {
		t.Errorf("a loop was accepted: %v", err)
	}
}

// A second pod starts on a node only if the scheduler sees no port of the first one.
func TestLinkLocalRollsOutWithASecondPodBesideTheFirst(t *testing.T) {
	s := settings(LinkLocal)
	spec := s.daemonSet(found)
	rollout := spec["updateStrategy"].(manifests.Map)["rollingUpdate"].(manifests.Map)
	if rollout["maxUnavailable"] != 0 || rollout["maxSurge"] == nil {
		t.Errorf("got %v", rollout)
	}
	if ports, ok := s.container(found)["ports"]; ok {
		t.Errorf("ports are declared: %v", ports)
	}
	if arguments := strings.Join(s.arguments(found), " "); !strings.Contains(arguments, "-skipteardown=true") || strings.Contains(arguments, found.ClusterDNS) {
		t.Errorf("got %s", arguments)
	}
	if s.UpstreamServiceObject(found.Selector) != nil {
		t.Error("a second Service is made that nobody asks")
	}
}

func TestSettingsReportAllProblemsAtOnce(t *testing.T) {
	_, err := Settings{Mode: "ebpf", Image: "node-cache:latest", ProxiedHosts: []string{"a.example.com"}}.Objects(found)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"mode", "image", "resolvers", "memory"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is missing in:\n%v", want, err)
		}
	}
}

func TestASecondCacheIsRefused(t *testing.T) {
	if err := Refuse(true); err == nil || !strings.Contains(err.Error(), "dnsCacheConfig") {
		t.Errorf("got %v", err)
	}
	if err := Refuse(false); err != nil {
		t.Error(err)
	}
}
