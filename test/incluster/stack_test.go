package incluster

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/sallyport/sallyport/infra/cluster/shipped"
	"github.com/sallyport/sallyport/internal/golden"
	"github.com/sallyport/sallyport/test/standin/rig"
	"github.com/sallyport/sallyport/test/standin/world"
)

// built is the rig with the compiled program, for all tests of a run.
var built = sync.OnceValues(func() (struct {
	*rig.Rig
	program string
}, error) {
	var r struct {
		*rig.Rig
		program string
	}
	dir, err := os.MkdirTemp("", "sallyport-incluster-")
	if err != nil {
		return r, err
	}
	rigDir = dir
	if r.Rig, err = rig.New(filepath.Join("..", ".."), dir); err != nil {
		return r, err
	}
	r.program, err = r.Compile("./test/incluster/program")
	return r, err
})

var rigDir string

func TestMain(m *testing.M) {
	code := m.Run()
	if rigDir != "" {
		_ = os.RemoveAll(rigDir)
	}
	os.Exit(code)
}

// kubernetesStack is a stack with a cluster, driven by the real command line.
type kubernetesStack struct {
	*rig.Stack
	t      *testing.T
	config map[string]any
}

// newStack is one of the stacks in the testdata of package cluster.
func newStack(t *testing.T, file string) *kubernetesStack {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "infra", "cluster", "testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	var parsed struct{ Config map[string]any }
	if err := yaml.Unmarshal(text, &parsed); err != nil {
		t.Fatal(err)
	}
	return newStackOf(t, parsed.Config)
}

func newStackOf(t *testing.T, config map[string]any) *kubernetesStack {
	t.Helper()
	r, err := built()
	if err != nil {
		t.Fatal(err)
	}
	s := &kubernetesStack{t: t, config: config}
	s.config["pulumi:disable-default-providers"] = []any{"*"}
	if s.Stack, err = r.NewStack("cluster", r.program, s.text()); err != nil {
		t.Fatal(err)
	}
	s.Env = []string{"STACK_FILE=" + s.File(), "SALLYPORT_NOW=2026-01-01T00:00:00Z"}
	s.seed("kubernetes:core/v1:Service", "kube-system/kube-dns", map[string]any{"clusterIP": "172.20.0.10", "selector": map[string]any{"k8s-app": "kube-dns"}})
	s.seed("kubernetes:core/v1:Service", "kube-system/coredns", map[string]any{"clusterIP": "172.20.0.10", "selector": map[string]any{"k8s-app": "coredns"}})
	for _, namespace := range []string{"monitoring", "billing", "shop", "istio-system"} {
		s.seed("kubernetes:core/v1:Namespace", namespace, nil)
	}
	return s
}

// seed puts an object into the cluster that is not ours.
func (s *kubernetesStack) seed(kind, id string, spec map[string]any) {
	s.t.Helper()
	namespace, name, ok := strings.Cut(id, "/")
	if !ok {
		namespace, name = "", id
	}
	metadata := map[string]any{"name": name}
	if namespace != "" {
		metadata["namespace"] = namespace
	}
	properties := world.Props{"apiVersion": "v1", "kind": kind[strings.LastIndex(kind, ":")+1:], "metadata": metadata}
	if spec != nil {
		properties["spec"] = spec
	}
	err := s.World.Do(func(state *world.State) error {
		state.Put(&world.Object{Type: kind, ID: id, Inputs: properties, Props: maps.Clone(properties), Foreign: true})
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *kubernetesStack) text() string {
	s.t.Helper()
	text, err := yaml.Marshal(map[string]any{"config": s.config})
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

// section is sallyport:kubernetes.
func (s *kubernetesStack) section() map[string]any {
	return s.config["sallyport:kubernetes"].(map[string]any)
}

// must runs Pulumi with the present stack file and returns what it touched. A change of a ConfigMap is an update: the stand-in does not know
// the provider's setting enableConfigMapMutable, which the graph of package cluster shows, and calls it a replacement.
func (s *kubernetesStack) must(arguments ...string) []string {
	s.t.Helper()
	if err := s.Configure(s.text()); err != nil {
		s.t.Fatal(err)
	}
	result := s.Pulumi(arguments...)
	if result.Err != nil {
		s.t.Fatalf("pulumi %v: %v\n%s", arguments, result.Err, result.Output)
	}
	s.t.Logf("pulumi %v: %d touched, %.1f s", arguments, len(result.Touched), result.Took.Seconds())
	var touched []string
	for _, line := range result.Touched {
		operation, what, _ := strings.Cut(line, " ")
		if configMap := strings.HasPrefix(what, "kubernetes:core/v1:ConfigMap "); configMap && operation == "replace" {
			line = "update " + what
		} else if configMap && (operation == "create-replacement" || operation == "delete-replaced") {
			continue
		}
		touched = append(touched, line)
	}
	return touched
}

func (s *kubernetesStack) check(name string, touched []string) {
	s.t.Helper()
	golden.Check(s.t, name+".golden", strings.Join(append(touched, ""), "\n"))
}

// The life of everything inside a cluster, with the exact list of touched resources for each operation.
func TestTheLifeOfACluster(t *testing.T) {
	s := newStack(t, "everything.yaml")
	s.check("up", s.must("up"))
	if touched := s.must("up"); len(touched) > 0 {
		t.Errorf("a second up touched %v", touched)
	}
	documents := func() string { return s.Command("tools/pulumi.sh", "stack", "output", "--json").Output }
	before := documents()

	list := s.config["sallyport:destinations"].([]any)
	list[0].(map[string]any)["hosts"] = []any{"api.payments.example.com", "auth.payments.example.com"}
	s.Env[1] = "SALLYPORT_NOW=2026-02-01T00:00:00Z"
	s.check("a-host-more", s.must("up"))
	if after := documents(); !strings.Contains(before, "1767225600") || !strings.Contains(after, "1769904000") {
		t.Errorf("the serial did not rise:\n%s\n%s", before, after)
	}
	if touched := s.must("up"); len(touched) > 0 {
		t.Errorf("the serial rose without a change: %v", touched)
	}

	s.config["sallyport:cluster"].(map[string]any)["zones"] = []any{"eu-west-1a", "eu-west-1b", "eu-west-1c", "eu-west-1d"}
	s.check("a-zone-more", s.must("up"))

	s.section()["nodeLocalDNS"] = map[string]any{"memoryMiB": 512}
	s.check("more-memory", s.must("up"))

	if err := s.World.Do(func(state *world.State) error {
		o := state.Find("kubernetes:apps/v1:DaemonSet", "kube-system/sallyport-resolver-a")
		if o == nil {
			return fmt.Errorf("no such DaemonSet")
		}
		state.Remove(o)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	s.must("refresh")
	s.check("repaired", s.must("up"))

	delete(s.section(), "pool")
	s.check("without-pool", s.must("up"))
	s.check("destroy", s.must("destroy"))
	left := 0
	if err := s.World.Look(func(state *world.State) {
		for _, o := range state.All() {
			if !o.Foreign {
				t.Errorf("left behind: %s %s", o.Type, o.ID)
			}
			left++
		}
	}); err != nil {
		t.Fatal(err)
	}
	if left != 6 {
		t.Errorf("%d objects that are not ours are left, want 6", left)
	}
}

// The inside of the cluster of every stack that ships: up, a host more, destroy. What it consists of is in the goldens of package cluster;
// here the engine and the provider's checks come to it.
func TestTheClustersOfTheStacksThatShip(t *testing.T) {
	for _, name := range shipped.Stacks {
		t.Run(name, func(t *testing.T) {
			config, err := shipped.Read(filepath.Join("..", ".."), name)
			if err != nil {
				t.Fatal(err)
			}
			s := newStackOf(t, config)
			made := len(s.must("up"))
			list := s.config["sallyport:destinations"].([]any)
			first := list[0].(map[string]any)
			first["hosts"] = append(first["hosts"].([]any), "one-more.example.com")
			s.Env[1] = "SALLYPORT_NOW=2026-02-01T00:00:00Z"
			s.check("shipped-"+name, s.must("up"))
			if gone := len(s.must("destroy")); made < 5 || gone < made {
				t.Errorf("%d resources were made and %d destroyed", made, gone)
			}
		})
	}
}

// A preview on a cluster where nothing is yet, and what is refused before anything is made.
func TestAManagedCacheIsRefusedBeforeAnythingIsMade(t *testing.T) {
	s := newStack(t, "everything.yaml")
	s.must("preview")
	s.Env = append(s.Env, "MANAGED_DNS_CACHE=true")
	result := s.Pulumi("up")
	if result.Err == nil || !strings.Contains(result.Output, "dnsCacheConfig") {
		t.Fatalf("%v\n%s", result.Err, result.Output)
	}
	if err := s.World.Look(func(state *world.State) {
		for _, o := range state.All("kubernetes:apps/v1:DaemonSet") {
			t.Errorf("made: %s", o.ID)
		}
	}); err != nil {
		t.Fatal(err)
	}
}
