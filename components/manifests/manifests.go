// Package manifests holds Kubernetes objects as plain trees. It is pure; package registrar registers them with Pulumi.
//
// Components render objects and know nothing of Pulumi, so the same objects are compared with golden files, validated
// against the API's own schemas and applied to a real API server in tests. The typed packages of the Kubernetes provider's SDK
// are not used: they take minutes to compile, and what they check is checked against the schemas themselves.
package manifests

import (
	"fmt"
	"regexp"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/sallyport/sallyport/internal/problem"
)

// Map is an object of a tree, as it would be read from JSON: the values are Map, []any, string, int, float64, bool and nil.
type Map = map[string]any

// Object is one Kubernetes object: apiVersion, kind, metadata and the rest.
type Object Map

// New returns an object with a name. An empty namespace makes an object of the cluster.
func New(apiVersion, kind, namespace, name string) Object {
	metadata := Map{"name": name, "labels": Map{ManagedBy: Manager}}
	if namespace != "" {
		metadata["namespace"] = namespace
	}
	return Object{"apiVersion": apiVersion, "kind": kind, "metadata": metadata}
}

// The label that every object carries, as Kubernetes recommends.
const (
	ManagedBy = "app.kubernetes.io/managed-by"
	Manager   = "sallyport"
)

// With sets a top-level field, for example spec, and returns the object.
func (o Object) With(field string, value any) Object {
	o[field] = value
	return o
}

// Label adds labels and returns the object.
func (o Object) Label(labels map[string]string) Object {
	all := o.metadata()["labels"].(Map)
	for key, value := range labels {
		all[key] = value
	}
	return o
}

// Annotate adds an annotation and returns the object.
func (o Object) Annotate(key, value string) Object {
	annotations, _ := o.metadata()["annotations"].(Map)
	if annotations == nil {
		annotations = Map{}
		o.metadata()["annotations"] = annotations
	}
	annotations[key] = value
	return o
}

func (o Object) metadata() Map { m, _ := o["metadata"].(Map); return m }

// APIVersion, Kind, Namespace and Name identify an object. Namespace is empty for objects of the cluster.
func (o Object) APIVersion() string { s, _ := o["apiVersion"].(string); return s }

// Kind is the kind, for example Deployment.
func (o Object) Kind() string { s, _ := o["kind"].(string); return s }

// Namespace is empty for objects of the cluster.
func (o Object) Namespace() string { s, _ := o.metadata()["namespace"].(string); return s }

// Name is the name within namespace and kind.
func (o Object) Name() string { s, _ := o.metadata()["name"].(string); return s }

// Token is the object's type to the Kubernetes provider: "kubernetes:<apiVersion>:<kind>", where the core group is core/v1.
func (o Object) Token() string {
	version := o.APIVersion()
	if !strings.Contains(version, "/") {
		version = "core/" + version
	}
	return "kubernetes:" + version + ":" + o.Kind()
}

// dnsName is what most names of objects are held to.
var dnsName = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`)

// Check reports what would make an object collide or be refused in every cluster: a name that is none, the same object twice.
func Check(place string, objects []Object) error {
	var list problem.List
	seen := map[string]bool{}
	for i, o := range objects {
		at := problem.Index(place, i)
		if o.APIVersion() == "" || o.Kind() == "" {
			list.Add(at, "needs apiVersion and kind", o.Name(), "this is a bug of the component")
		}
		if !dnsName.MatchString(o.Name()) {
			list.Add(at+".metadata.name", "must be a DNS name", o.Name(), "choose a shorter or simpler name")
		}
		id := o.ID()
		if seen[id] {
			list.Add(at, "must be unique", id, "this is a bug of the component")
		}
		seen[id] = true
	}
	return list.Err()
}

// ID identifies an object in a cluster: kind, namespace and name.
func (o Object) ID() string { return fmt.Sprintf("%s/%s/%s", o.Kind(), o.Namespace(), o.Name()) }

// YAML prints objects as kubectl reads them. The same objects give the same text.
func YAML(objects []Object) (string, error) {
	var text strings.Builder
	for _, o := range objects {
		text.WriteString("---\n")
		encoder := yaml.NewEncoder(&text)
		encoder.SetIndent(2)
		if err := encoder.Encode(Map(o)); err != nil {
			return "", fmt.Errorf("%s: %w", o.ID(), err)
		}
		if err := encoder.Close(); err != nil {
			return "", err
		}
	}
	return text.String(), nil
}

// Strings turns texts into the items of a tree.
func Strings(texts []string) []any {
	all := make([]any, len(texts))
	for i, text := range texts {
		all[i] = text
	}
	return all
}

// Labels turns labels into an object of a tree.
func Labels(labels map[string]string) Map {
	all := Map{}
	for key, value := range labels {
		all[key] = value
	}
	return all
}
