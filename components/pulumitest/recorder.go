// Package pulumitest runs Pulumi programs and components in a test without an engine and records which resources they asked
// for, so that a golden file can pin the graph.
//
// Mocks accept what the real engine refuses: two resources of one type and name. The recorder refuses that too.
package pulumitest

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"sync"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Outputs computes what a provider would add to a resource's inputs. It gets the type token, the name and the inputs.
type Outputs func(token, name string, inputs resource.PropertyMap) map[string]any

// Recorder is a stand-in for engine and providers. Make it with New.
type Recorder struct {
	outputs Outputs

	mu        sync.Mutex
	resources []recorded
	seen      map[string]bool
}

type recorded struct {
	token, name string
	protect     bool
	inputs      resource.PropertyMap
}

var _ pulumi.MockResourceMonitor = (*Recorder)(nil)

// New returns a Recorder. outputs may be nil: then a resource has only its inputs.
func New(outputs Outputs) *Recorder {
	return &Recorder{outputs: outputs, seen: map[string]bool{}}
}

// Run runs a program against the recorder. Root is the project's root directory; config holds full keys, for example
// "sallyport:cloud".
func (r *Recorder) Run(project, stack, root string, config map[string]string, program pulumi.RunFunc) error {
	return pulumi.RunErr(program, pulumi.WithMocks(project, stack, r), func(info *pulumi.RunInfo) {
		info.Config, info.RootDirectory = config, root
	})
}

// NewResource implements pulumi.MockResourceMonitor.
func (r *Recorder) NewResource(args pulumi.MockResourceArgs) (string, resource.PropertyMap, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := args.TypeToken + " " + args.Name
	if r.seen[key] {
		return "", nil, fmt.Errorf("%s is registered twice: the engine refuses that", key)
	}
	r.seen[key] = true
	r.resources = append(r.resources, recorded{
		token: args.TypeToken, name: args.Name, inputs: args.Inputs,
		protect: args.RegisterRPC.GetProtect(),
	})
	state := args.Inputs.Copy()
	if r.outputs != nil {
		for name, value := range r.outputs(args.TypeToken, args.Name, args.Inputs) {
			state[resource.PropertyKey(name)] = resource.NewPropertyValue(value)
		}
	}
	return args.Name + "-id", state, nil
}

// Call implements pulumi.MockResourceMonitor. A stack that reads its own outputs gets those that the test gives to a resource of type
// pulumi:pulumi:StackReference, none otherwise. Functions of providers return what the test gives to their token, with an empty name.
func (r *Recorder) Call(args pulumi.MockCallArgs) (resource.PropertyMap, error) {
	if args.Token != "pulumi:pulumi:readStackOutputs" {
		if r.outputs != nil {
			if given := r.outputs(args.Token, "", args.Args); given != nil {
				return resource.NewPropertyMapFromMap(given), nil
			}
		}
		return nil, fmt.Errorf("unexpected call of %s", args.Token)
	}
	state := map[string]any{"outputs": map[string]any{}}
	if r.outputs != nil {
		if given := r.outputs("pulumi:pulumi:StackReference", "previous", args.Args); given["outputs"] != nil {
			state = given
		}
	}
	return resource.NewPropertyMapFromMap(state), nil
}

// Names returns the names of all resources of a type, sorted.
func (r *Recorder) Names(token string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for _, res := range r.resources {
		if res.token == token {
			names = append(names, res.name)
		}
	}
	sort.Strings(names)
	return names
}

// Inputs returns the inputs of one resource, nil if it was not registered.
func (r *Recorder) Inputs(token, name string) map[string]any {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, res := range r.resources {
		if res.token == token && res.name == name {
			return res.inputs.Mappable()
		}
	}
	return nil
}

// Graph prints all resources sorted by type and name, with their inputs as JSON.
func (r *Recorder) Graph() (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := append([]recorded(nil), r.resources...)
	sort.Slice(all, func(i, j int) bool {
		return all[i].token+" "+all[i].name < all[j].token+" "+all[j].name
	})
	var text strings.Builder
	for _, res := range all {
		inputs, err := json.MarshalIndent(res.inputs.Mappable(), "  ", "  ")
		if err != nil {
			return "", fmt.Errorf("%s %s: %w", res.token, res.name, err)
		}
		protected := ""
		if res.protect {
			protected = " (protected)"
		}
		fmt.Fprintf(&text, "%s %s%s\n  %s\n", res.token, res.name, protected, inputs)
	}
	return text.String(), nil
}
