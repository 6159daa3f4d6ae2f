package clouds

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/sallyport/sallyport/test/standin/aws"
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
	file.Config["sallyport:preflight"] = "off" // it asks the real AWS
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

// cloudStack is an environment with its stack file as a tree, to change and apply.
type cloudStack struct {
	*environment
	config map[string]any
}

// newAWS makes a stack of a stack file, in a world in which the network it names exists.
func newAWS(t *testing.T, name string, edit func(config map[string]any)) *cloudStack {
	t.Helper()
	config := stackFile(t, name)
	if edit != nil {
		edit(config)
	}
	s := &cloudStack{environment: newEnvironment(t, name, infra, render(t, config)), config: config}
	s.Env = []string{"SALLYPORT_NOW=2026-01-01T00:00:00Z"}
	s.change(func(state *world.State) error {
		state.Settings = world.Settings{EIPs: 400, EIPsPerNat: 8}
		return nil
	})
	vpc := at[map[string]any](t, config, "sallyport:aws", "vpc")
	if _, existing := vpc["id"]; existing {
		if err := aws.Seed(s.World, existingNetwork(t, at[string](t, config, "sallyport:aws", "region"), vpc)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// existingNetwork is the network that a stack file names, with the subnets one after the other in its first block.
func existingNetwork(t *testing.T, region string, vpc map[string]any) aws.Existing {
	t.Helper()
	e := aws.Existing{Region: region, VPC: at[string](t, vpc, "id"), Subnets: map[string]string{}, SubnetZones: map[string]string{}}
	block := netip.MustParsePrefix(fmt.Sprint(at[[]any](t, vpc, "cidrs")[0]))
	e.CIDR = block.String()
	for _, key := range []string{"publicSubnets", "proxySubnets"} {
		zones, _ := vpc[key].(map[string]any)
		for _, zone := range slices.Sorted(maps.Keys(zones)) {
			id := fmt.Sprint(zones[zone])
			if e.Subnets[id] == "" {
				e.Subnets[id], e.SubnetZones[id] = subnetOf(block, len(e.Subnets)).String(), zone
			}
		}
	}
	tables, _ := vpc["privateRouteTables"].(map[string]any)
	for _, ids := range tables {
		for _, id := range ids.([]any) {
			e.RouteTables = append(e.RouteTables, fmt.Sprint(id))
		}
	}
	return e
}

// subnetOf is the nth /24 of a block.
func subnetOf(block netip.Prefix, n int) netip.Prefix {
	four := block.Addr().As4()
	base := binary.BigEndian.Uint32(four[:]) + uint32(n)<<8
	binary.BigEndian.PutUint32(four[:], base)
	return netip.PrefixFrom(netip.AddrFrom4(four), 24)
}

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
