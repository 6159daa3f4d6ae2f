package main

import (
	"encoding/json"
	"fmt"

	"github.com/sallyport/sallyport/components/capacity"
	sallyport "github.com/sallyport/sallyport/components/stack"
)

// declarationType is the component in which a Sallyport stack records what was declared.
const declarationType = "sallyport:index:Declaration"

// undeclared is what to do about a stack that records nothing.
const undeclared = "record the declared demand as a Sallyport stack does, or disable this policy for the stack"

// declaration is what a stack declares and what that needs.
type declaration struct {
	resource resource
	settings *sallyport.Stack
	need     capacity.Plan // with nothing pinned: what the demand needs
	problem  error         // why there is no plan: what is wrong with the declaration
}

// declared reads the declaration of a stack, nil if it has none.
func declared(all stack) (*declaration, error) {
	found := all.of(declarationType)
	if len(found) == 0 {
		return nil, nil
	}
	d := &declaration{resource: found[0]}
	tree, _ := plain(d.resource.inputs.at("stack").value).(map[string]any)
	if tree["cloud"] != string(sallyport.CloudLocal) {
		delete(tree, "lab") // recorded with its zero values, and refused in a stack file
	}
	text, err := json.Marshal(tree)
	if err != nil {
		return nil, err
	}
	d.settings = &sallyport.Stack{}
	if err := json.Unmarshal(text, d.settings); err != nil {
		return nil, fmt.Errorf("the recorded declaration: %w", err)
	}
	if d.settings.Cluster.SurgeNodes == nil || d.settings.Proxies.SparePerZone == nil {
		return nil, fmt.Errorf("the recorded declaration is incomplete")
	}
	// Our own program recorded what it had checked; others may record anything.
	if _, d.problem = sallyport.Decode(tree); d.problem == nil {
		input := d.settings.CapacityInput()
		input.PortsPerVM, input.IPs, input.Insufficient = 0, 0, false
		d.need, d.problem = capacity.Compute(input)
	}
	return d, nil
}

// demand returns the declaration for a policy that cannot judge without one. It reports its absence on the resources that would
// have been judged.
func demand(j *judge, all, judged stack) *declaration {
	if len(judged) == 0 {
		return nil
	}
	d, err := declared(all)
	switch {
	case err != nil:
		j.report("", fmt.Sprintf("%v; run the program and the policies of one release", err))
		return nil
	case d == nil:
		for _, r := range judged {
			j.report(r.urn, fmt.Sprintf("%s: the demand it must carry must be declared to be judged, got nothing; %s", r.name, undeclared))
		}
	}
	return d
}

// arithmetic returns the steps of a plan whose title begins with one of some words.
func arithmetic(plan capacity.Plan, words ...string) string {
	text := ""
	for _, step := range plan.Steps {
		for _, word := range words {
			if len(step.What) >= len(word) && step.What[:len(word)] == word {
				text += fmt.Sprintf("\n  %s: %s", step.What, step.Arithmetic)
			}
		}
	}
	return text
}
