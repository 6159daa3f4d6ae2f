package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/property"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/policyx"
)

// Levels. The level of the pack as a whole is ignored by the SDK, so each policy has its own.
const (
	mandatory = policyx.EnforcementLevelMandatory
	advisory  = policyx.EnforcementLevelAdvisory
)

// policy is one rule of the pack. Exactly one of resource and stack is set.
type policy struct {
	name, description string
	level             policyx.EnforcementLevel
	config            *policyx.ConfigSchema

	types    []string // type tokens that resource judges
	resource func(j *judge, r resource)
	stack    func(j *judge, all stack)
}

// resource is what a policy sees of a resource.
type resource struct {
	kind    string // type token
	name    string
	urn     string
	parent  string // urn; known to policies of the whole stack only
	protect bool
	inputs  field
	outputs field               // of components, known to policies of the whole stack only
	uses    map[string][]string // urns that an input's value comes from; known to policies of the whole stack only
}

func view(r policyx.AnalyzerResource) resource {
	return resource{
		kind: r.Type, name: r.Name, urn: r.URN, parent: r.Parent, protect: r.Options.Protect,
		inputs: field{value: property.New(r.Properties), found: true}, outputs: field{value: property.New(r.Properties), found: true},
		uses: r.PropertyDependencies,
	}
}

// stack is all resources of a stack.
type stack []resource

// of returns the resources of some types.
func (s stack) of(types ...string) stack {
	var out stack
	for _, r := range s {
		if slices.Contains(types, r.kind) {
			out = append(out, r)
		}
	}
	return out
}

// judge collects what a policy finds. A policy reports through it and returns nothing.
type judge struct {
	config  map[string]any
	report  func(urn, message string)
	unknown func(urn, message string)
}

// violates reports a violation: where in the resource, the rule, the value seen and what to do.
func (j *judge) violates(r resource, f field, rule, remedy string) {
	j.report(r.urn, fmt.Sprintf("%s: %s: %s, got %s; %s", r.name, f.path, rule, f.show(), remedy))
}

// sees says whether a policy can judge a value. One that is not there is a violation; one that a preview does not know yet is told
// to the policy inputs-visible and judged in the update.
func (j *judge) sees(r resource, f field, remedy string) bool {
	switch {
	case f.unknown():
		j.unknown(r.urn, fmt.Sprintf("%s: %s: is known only after the update, which judges it then", r.name, f.path))
		return false
	case !f.found:
		j.report(r.urn, fmt.Sprintf("%s: %s: must be there to be judged, got nothing; %s", r.name, f.path, remedy))
		return false
	}
	return true
}

// number returns a setting of the policy.
func (j *judge) number(key string, otherwise float64) float64 {
	if n, ok := j.config[key].(float64); ok {
		return n
	}
	return otherwise
}

// build makes a policy of the SDK.
func (p policy) build() policyx.Policy {
	if p.resource != nil {
		return policyx.NewResourceValidationPolicy(p.name, policyx.ResourceValidationPolicyArgs{
			Description: p.description, EnforcementLevel: p.level, ConfigSchema: p.config,
			ValidateResource: func(_ context.Context, args policyx.ResourceValidationArgs) error {
				components.record(args.Resource)
				if !slices.Contains(p.types, args.Resource.Type) {
					return nil
				}
				p.resource(newJudge(args.Manager, args.Config), view(args.Resource))
				return nil
			},
		})
	}
	return policyx.NewStackValidationPolicy(p.name, policyx.StackValidationPolicyArgs{
		Description: p.description, EnforcementLevel: p.level, ConfigSchema: p.config,
		ValidateStack: func(_ context.Context, args policyx.StackValidationArgs) error {
			var all stack
			for _, r := range args.Resources {
				all = append(all, components.complete(view(r)))
			}
			p.stack(newJudge(args.Manager, nil), all)
			return nil
		},
	})
}

func newJudge(manager policyx.PolicyManager, config map[string]any) *judge {
	return &judge{
		config:  config,
		report:  func(urn, message string) { manager.ReportViolation(message, urn) },
		unknown: func(string, string) {},
	}
}

// settings describes the settings of a policy as JSON schema.
func settings(properties map[string]map[string]any) *policyx.ConfigSchema {
	return &policyx.ConfigSchema{Properties: properties, Required: []string{}}
}

// join lists names for people.
func join(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// sorted returns the keys of a set in order.
func sorted(set map[string]bool) []string { return sortedKeys(set) }

// sortedKeys returns the keys of a map in order.
func sortedKeys[V any](of map[string]V) []string { return slices.Sorted(maps.Keys(of)) }
