package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/pulumi/pulumi/sdk/v3/go/property"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/policyx"

	sallyport "github.com/sallyport/sallyport/components/stack"
)

// given is a resource as a test writes it.
type given struct {
	kind, name string
	inputs     map[string]any
	protect    bool
	uses       map[string][]string // input -> names of resources
	outputs    map[string]any      // of a component: what policies of the whole stack are shown in the place of its inputs
	parent     string              // name
}

// computed stands for a value that a preview does not know.
type computed struct{}

func value(v any) property.Value {
	switch v := v.(type) {
	case computed:
		return property.New(property.Computed)
	case map[string]any:
		out := map[string]property.Value{}
		for key, item := range v {
			out[key] = value(item)
		}
		return property.New(property.NewMap(out))
	case []any:
		out := make([]property.Value, 0, len(v))
		for _, item := range v {
			out = append(out, value(item))
		}
		return property.New(property.NewArray(out))
	case int:
		return property.New(float64(v))
	case string:
		return property.New(v)
	case float64:
		return property.New(v)
	case bool:
		return property.New(v)
	default:
		return property.Value{}
	}
}

type findings struct{ messages []string }

func (f *findings) ReportViolation(message, _ string) { f.messages = append(f.messages, message) }

var runs atomic.Int64

// judged runs a policy of the SDK as the engine would and returns what it reports.
func judged(t *testing.T, p policy, config map[string]any, resources []given) []string {
	t.Helper()
	run := runs.Add(1) // urns of their own, because the pack remembers components by them
	urn := func(name string) string { return fmt.Sprintf("urn:%d::%s", run, name) }
	var views []policyx.AnalyzerResource
	for _, g := range resources {
		uses := map[string][]string{}
		for input, names := range g.uses {
			for _, name := range names {
				uses[input] = append(uses[input], urn(name))
			}
		}
		view := policyx.AnalyzerResource{
			Type: g.kind, Name: g.name, URN: urn(g.name), Properties: value(g.inputs).AsMap(), Parent: urn(g.parent),
			Options: pulumi.ResourceOptions{Protect: g.protect}, PropertyDependencies: uses,
		}
		if g.outputs != nil { // the engine shows inputs first, one resource at a time
			components.record(view)
			view.Properties = value(g.outputs).AsMap()
		}
		views = append(views, view)
	}
	found := &findings{}
	var err error
	switch built := p.build().(type) {
	case policyx.ResourceValidationPolicy:
		for _, r := range views {
			err = built.Validate(context.Background(), policyx.ResourceValidationArgs{Manager: found, Resource: r, Config: config})
			if err != nil {
				t.Fatal(err)
			}
		}
	case policyx.StackValidationPolicy:
		if err = built.Validate(context.Background(), policyx.StackValidationArgs{Manager: found, Resources: views}); err != nil {
			t.Fatal(err)
		}
	}
	return found.messages
}

// judgement is one case of a policy's table.
type judgement struct {
	resources []given
	config    map[string]any
	want      []string // a part of each message, in order; none: passes
}

func checkPolicy(t *testing.T, p policy, cases map[string]judgement) {
	t.Helper()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := judged(t, p, c.config, c.resources)
			if len(got) != len(c.want) {
				t.Fatalf("got %d messages, want %d:\n%s", len(got), len(c.want), strings.Join(got, "\n"))
			}
			for i, want := range c.want {
				if !strings.Contains(got[i], want) {
					t.Errorf("got  %s\nwant %s", got[i], want)
				}
			}
		})
	}
}

// declare records a stack file's declaration as infra does.
func declare(t *testing.T, text string) given {
	t.Helper()
	s, err := sallyport.ParseFile("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(data, &tree); err != nil {
		t.Fatal(err)
	}
	return given{kind: declarationType, name: "declaration", inputs: map[string]any{"stack": tree}, outputs: map[string]any{"published": map[string]any{}}}
}

// Stack files of the tests: many nodes and one busy destination by NAT, and one by proxy.
const (
	gcpStack = `
config:
  sallyport:cloud: gcp
  sallyport:gcp: {project: example-project, region: europe-west1, network: {new: {cidr: 10.0.0.0/16}}}
  sallyport:cluster: {zones: [europe-west1-b, europe-west1-c], nodes: NODES, maxNodes: NODES}
  sallyport:destinations:
    - {name: cdn, hosts: [cdn.example.com], route: nat, demand: {connectionsPerSecond: 1000}}
`
	awsStack = `
config:
  sallyport:cloud: aws
  sallyport:aws: {region: eu-west-1, vpc: {cidr: 10.0.0.0/16}}
  sallyport:cluster: {zones: [eu-west-1a, eu-west-1b], nodes: 20}
  sallyport:nat: {maxIPsPerGateway: 8}
  sallyport:proxies: {ipsPerProxy: 1}
  sallyport:destinations:
    - {name: cdn, hosts: [cdn.example.com], route: nat, demand: {connectionsPerSecond: 2000, secondsPerConnection: 10}}
`
)

// Every policy has the level that the README gives it: an unset one would silently be advisory.
func TestLevels(t *testing.T) {
	text, err := os.ReadFile("testdata/levels.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]string
	if err := yaml.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	names := map[policyx.EnforcementLevel]string{mandatory: "mandatory", advisory: "advisory"}
	for _, p := range all() {
		if built := p.build(); names[built.EnforcementLevel()] != want[p.name] || built.Description() == "" || p.name == "all" {
			t.Errorf("%s: level %v, want %q", p.name, built.EnforcementLevel(), want[p.name])
		}
		delete(want, p.name)
	}
	if len(want) > 0 {
		t.Errorf("levels of policies that are not there: %v", want)
	}
	if _, err := newPack(); err != nil {
		t.Error(err)
	}
}
