// Command broken is a program whose resources are listed in its configuration: whatever stack the policy pack has to judge, of
// whatever making.
package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

func main() { pulumi.Run(program) }

// listed is one resource. Uses names the resources whose ids become inputs; outputs are those of a component.
type listed struct {
	Type, Name      string
	Inputs, Outputs map[string]any
	Uses            map[string]string
	Protect         bool
}

// versions of the providers, as the SDKs ask for them.
var versions = map[string]string{"aws": "6.83.0", "gcp": "7.38.0", "kubernetes": "4.25.0"}

func program(ctx *pulumi.Context) error {
	var list []listed
	text, _ := ctx.GetConfig("sallyport:resources")
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return fmt.Errorf("resources: %w", err)
	}
	providers := map[string]pulumi.ProviderResource{}
	made := map[string]*pulumi.CustomResourceState{}
	for _, l := range list {
		inputs := pulumi.Map{}
		for key, value := range l.Inputs {
			inputs[key] = pulumi.Any(value)
		}
		for key, name := range l.Uses {
			inputs[key] = made[name].ID()
		}
		cloud, _, _ := strings.Cut(l.Type, ":")
		if cloud == "sallyport" {
			component := &pulumi.ResourceState{}
			if err := ctx.RegisterComponentResourceV2(l.Type, l.Name, inputs, component); err != nil {
				return err
			}
			outputs := pulumi.Map{}
			for key, value := range l.Outputs {
				outputs[key] = pulumi.Any(value)
			}
			if err := ctx.RegisterResourceOutputs(component, outputs); err != nil {
				return err
			}
			continue
		}
		if providers[cloud] == nil {
			provider := &pulumi.ProviderResourceState{}
			if err := ctx.RegisterResource("pulumi:providers:"+cloud, cloud, pulumi.Map{
				"region": pulumi.String("eu-west-1"), "project": pulumi.String("example-project")}, provider, pulumi.Version(versions[cloud])); err != nil {
				return err
			}
			providers[cloud] = provider
		}
		made[l.Name] = &pulumi.CustomResourceState{}
		if err := ctx.RegisterResource(l.Type, l.Name, inputs, made[l.Name], pulumi.Provider(providers[cloud]), pulumi.Protect(l.Protect)); err != nil {
			return err
		}
	}
	return nil
}
