package clouds

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/sallyport/sallyport/test/standin/world"
)

// infra is the program of every stack.
const infra = "./infra"

// stackFile reads a stack file of the repository as a tree.
func stackFile(t *testing.T, name string) map[string]any {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "stacks", "Pulumi."+name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Config map[string]any }
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	file.Config["sallyport:preflight"] = "off" // it asks the real cloud
	return file.Config
}

// at is a part of a tree, which must be there.
func at[T any](t *testing.T, tree map[string]any, path ...string) T {
	t.Helper()
	var here any = tree
	for _, key := range path {
		object, ok := here.(map[string]any)
		if !ok {
			t.Fatalf("%v: no object above %s", path, key)
		}
		here = object[key]
	}
	value, ok := here.(T)
	if !ok {
		t.Fatalf("%v is a %T", path, here)
	}
	return value
}

func render(t *testing.T, config map[string]any) string {
	t.Helper()
	text, err := yaml.Marshal(map[string]any{"config": config})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// cloud is what the tests must know of a cloud.
type cloud struct {
	// section is the part of a stack file that is the cloud's own.
	section string
	// address, group and instance are the type tokens of a public IP, of what keeps machines running, and of a machine.
	address, group, instance string
	// settings are the limits of the account.
	settings world.Settings
	// seed makes what the stack file names and the stack does not make.
	seed func(s *cloudStack)
	// slot is what the address itself says it is for; of is the group that a machine belongs to, with what it was made from.
	slot, of func(o *world.Object) string
	// image sets the proxies' image to a digest.
	image func(config map[string]any, digest string)
	// reach lets Sallyport's own programs read the world as they read the cloud.
	reach func(s *cloudStack)
	// remove deletes an object as a person would.
	remove func(state *world.State, o *world.Object) error
}

// clouds are all clouds, by the name that stack files use.
var clouds = map[string]*cloud{"aws": &awsCloud, "gcp": &gcpCloud}

// cloudStack is an environment with its stack file as a tree, to change and apply.
type cloudStack struct {
	*environment
	*cloud
	config map[string]any
}

// newStack makes a stack of a stack file, in a world in which the network it names exists.
func newStack(t *testing.T, name string, edit func(config map[string]any)) *cloudStack {
	t.Helper()
	config := stackFile(t, name)
	if edit != nil {
		edit(config)
	}
	s := &cloudStack{cloud: clouds[at[string](t, config, "sallyport:cloud")], config: config}
	s.environment = newEnvironment(t, name, infra, render(t, config))
	s.Env = []string{"SALLYPORT_NOW=2026-01-01T00:00:00Z"}
	s.change(func(state *world.State) error {
		state.Settings = s.settings
		return nil
	})
	s.seed(s)
	return s
}

// own is the cloud's own part of the stack file.
func (c *cloud) own(config map[string]any) map[string]any { return config[c.section].(map[string]any) }

// apply writes the stack file and brings the stack up.
func (s *cloudStack) apply(edit func(config map[string]any)) []string {
	s.t.Helper()
	if edit != nil {
		edit(s.config)
	}
	if err := s.Configure(render(s.t, s.config)); err != nil {
		s.t.Fatal(err)
	}
	return s.must("up")
}

func lines(touched []string) string { return strings.Join(touched, "\n") + "\n" }

// addresses are the public IPs of a world.
func addresses(state *world.State) []*world.Object {
	return slices.DeleteFunc(state.All(), func(o *world.Object) bool { return world.PublicIP(o) == "" })
}

// running are the machines with the groups that keep them.
func (s *cloudStack) running() map[string]string {
	out := map[string]string{}
	s.look(func(state *world.State) {
		for _, o := range state.All(s.instance) {
			out[o.ID] = s.of(o)
		}
	})
	return out
}

// reachable lets Sallyport's own programs read the world as they read the cloud.
func (s *cloudStack) reachable() { s.reach(s) }
