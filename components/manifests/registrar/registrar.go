// Package registrar registers Kubernetes objects, as package manifests holds them, with Pulumi. It is the only place that does.
package registrar

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/manifests"
)

// Object is a Kubernetes object.
type Object = manifests.Object

// ProviderVersion is the version of the Kubernetes provider that objects are registered with.
const ProviderVersion = "4.25.0"

// Resource is a registered object.
type Resource struct {
	pulumi.CustomResourceState

	Metadata pulumi.MapOutput `pulumi:"metadata"`
	Spec     pulumi.MapOutput `pulumi:"spec"`
}

// Late are values that other resources produce, for a renderer that takes plain ones.
//
// Which objects there are must not depend on the values, and neither may their names: the renderer is called with two samples
// first, and with the values when they are known. What differs between the samples waits for the values; all else is plain, so
// that a preview shows it.
type Late[V any] struct {
	Value   pulumi.Output // of V: what ApplyT makes of a function that returns V
	Samples [2]V          // legal values that differ in every field
}

// Register registers objects that depend on no other resource. Names are "<prefix>-<kind>-<namespace>-<name>".
func Register(ctx *pulumi.Context, prefix string, objects []Object, opts ...pulumi.ResourceOption) ([]*Resource, error) {
	if err := manifests.Check(prefix, objects); err != nil {
		return nil, err
	}
	all := make([]*Resource, len(objects))
	for i, o := range objects {
		var err error
		if all[i], err = register(ctx, prefix, o, properties(o), append(after(objects[:i], all, o), opts...)); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// RegisterLate registers what a renderer makes of values that come later.
func RegisterLate[V any](ctx *pulumi.Context, prefix string, late Late[V], render func(V) ([]Object, error), opts ...pulumi.ResourceOption) ([]*Resource, error) {
	samples, err := renderSamples(prefix, late.Samples, render)
	if err != nil {
		return nil, err
	}
	var all []*Resource
	for i, o := range samples[0] {
		props := properties(o)
		for field := range o {
			if reflect.DeepEqual(o[field], samples[1][i][field]) {
				continue
			}
			props[field] = late.Value.ApplyT(func(value any) (any, error) {
				v, ok := value.(V)
				if !ok {
					return nil, fmt.Errorf("%s: late values: must be %T, got %T", prefix, v, value)
				}
				objects, err := render(v)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", prefix, err)
				}
				return objects[i][field], nil
			})
		}
		r, err := register(ctx, prefix, o, props, append(after(samples[0][:i], all, o), opts...))
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// after makes an object wait for what must be there before it: its namespace, and, if it runs pods, everything in front of it. Other
// objects are registered at once.
func after(earlier []Object, registered []*Resource, o Object) []pulumi.ResourceOption {
	workload := o.Kind() == "DaemonSet" || o.Kind() == "Deployment"
	var needed []pulumi.Resource
	for i, e := range earlier {
		if workload || e.Kind() == "Namespace" && e.Name() == o.Namespace() {
			needed = append(needed, registered[i])
		}
	}
	if len(needed) == 0 {
		return nil
	}
	return []pulumi.ResourceOption{pulumi.DependsOn(needed)}
}

func renderSamples[V any](prefix string, values [2]V, render func(V) ([]Object, error)) (samples [2][]Object, err error) {
	for i, value := range values {
		if samples[i], err = render(value); err != nil {
			return samples, err
		}
		if err := manifests.Check(prefix, samples[i]); err != nil {
			return samples, err
		}
	}
	if len(samples[0]) != len(samples[1]) {
		return samples, fmt.Errorf("%s: objects: must not depend on late values, got %d and %d", prefix, len(samples[0]), len(samples[1]))
	}
	for i, o := range samples[0] {
		if other := samples[1][i]; o.ID() != other.ID() || o.APIVersion() != other.APIVersion() || !sameFields(o, other) {
			return samples, fmt.Errorf("%s: objects: must not depend on late values, got %s and %s", prefix, o.ID(), other.ID())
		}
	}
	return samples, nil
}

func sameFields(a, b Object) bool {
	for field := range a {
		if _, ok := b[field]; !ok {
			return false
		}
	}
	return len(a) == len(b)
}

// properties are the inputs of an object without late values.
func properties(o Object) pulumi.Map {
	props := pulumi.Map{}
	for field, value := range o {
		props[field] = pulumi.Any(value)
	}
	return props
}

// ResourceName is the name under which an object is registered: stable, and unique for objects of one component.
func ResourceName(prefix string, o Object) string {
	parts := []string{prefix, strings.ToLower(o.Kind())}
	if o.Namespace() != "" {
		parts = append(parts, o.Namespace())
	}
	return strings.Join(append(parts, o.Name()), "-")
}

func register(ctx *pulumi.Context, prefix string, o Object, props pulumi.Map, opts []pulumi.ResourceOption) (*Resource, error) {
	r := &Resource{}
	opts = append([]pulumi.ResourceOption{pulumi.Version(ProviderVersion)}, opts...)
	if err := ctx.RegisterResource(o.Token(), ResourceName(prefix, o), props, r, opts...); err != nil {
		return nil, fmt.Errorf("%s: %w", o.ID(), err)
	}
	return r, nil
}

// Read looks an object up that is not ours. It fails if there is none.
func Read(ctx *pulumi.Context, name, apiVersion, kind, namespace, object string, opts ...pulumi.ResourceOption) (*Resource, error) {
	r, o := &Resource{}, manifests.New(apiVersion, kind, namespace, object)
	id := object
	if namespace != "" {
		id = namespace + "/" + object
	}
	opts = append([]pulumi.ResourceOption{pulumi.Version(ProviderVersion)}, opts...)
	if err := ctx.ReadResource(o.Token(), name, pulumi.ID(id), nil, r, opts...); err != nil {
		return nil, fmt.Errorf("%s: %w", o.ID(), err)
	}
	return r, nil
}

// ClusterIP returns the address of a Service, which must have one. In a preview it is not known for a Service that is about to be made.
func (r *Resource) ClusterIP(ctx *pulumi.Context, place string) pulumi.StringOutput {
	return r.Spec.ApplyT(func(spec map[string]any) (pulumi.StringOutput, error) {
		ip, _ := spec["clusterIP"].(string)
		if ip == "" && ctx.DryRun() {
			return pulumi.UnsafeUnknownOutput(nil).ApplyT(func(any) string { return "" }).(pulumi.StringOutput), nil
		}
		if ip == "" || ip == "None" {
			text, _ := json.Marshal(spec["clusterIP"])
			return pulumi.StringOutput{}, fmt.Errorf("%s: clusterIP: must be an address, got %s; name the Service that pods use as their DNS", place, text)
		}
		return pulumi.String(ip).ToStringOutput(), nil
	}).(pulumi.StringOutput)
}

// Provider is an explicit Kubernetes provider.
type Provider struct{ pulumi.ProviderResourceState }

// NewProvider registers a Kubernetes provider. An empty kubeconfig or context is what kubectl would use.
func NewProvider(ctx *pulumi.Context, name string, kubeconfig, context pulumi.StringInput, opts ...pulumi.ResourceOption) (*Provider, error) {
	props := pulumi.Map{
		"enableServerSideApply": pulumi.String("true"),
		// Else a change of a ConfigMap deletes it and makes another: agents and caches follow the one that is there.
		"enableConfigMapMutable": pulumi.String("true"),
	}
	if kubeconfig != nil {
		props["kubeconfig"] = kubeconfig
	}
	if context != nil {
		props["context"] = context
	}
	p := &Provider{}
	opts = append([]pulumi.ResourceOption{pulumi.Version(ProviderVersion)}, opts...)
	if err := ctx.RegisterResource("pulumi:providers:kubernetes", name, props, p, opts...); err != nil {
		return nil, fmt.Errorf("kubernetes provider %q: %w", name, err)
	}
	return p, nil
}
