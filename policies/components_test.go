package main

import (
	"context"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/property"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/policyx"
)

// The engine shows a component's inputs to policies of one resource and its outputs to policies of the whole stack.
func TestInputsOfComponentsReachPoliciesOfTheStack(t *testing.T) {
	const urn = "urn::released-component"
	inputs := value(map[string]any{"addresses": []any{map[string]any{"name": "nat-a-1", "released": true}}}).AsMap()
	component := policyx.AnalyzerResource{Type: "sallyport:elasticip:Addresses", Name: "nat", URN: urn, Properties: inputs}
	if err := natLoggingOn.build().(policyx.ResourceValidationPolicy).Validate(context.Background(),
		policyx.ResourceValidationArgs{Manager: &findings{}, Resource: component}); err != nil {
		t.Fatal(err)
	}
	component.Properties = property.NewMap(map[string]property.Value{"publicIps": property.New("outputs")})
	found := &findings{}
	err := staticIPProtected.build().(policyx.StackValidationPolicy).Validate(context.Background(), policyx.StackValidationArgs{
		Manager: found, Resources: []policyx.AnalyzerResource{component, {Type: eipType, Name: "nat-a-1", URN: "urn::ip"}}})
	if err != nil || len(found.messages) > 0 {
		t.Errorf("got %v, %v: the release on purpose was not seen", err, found.messages)
	}
}
