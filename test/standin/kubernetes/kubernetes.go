// Package kubernetes is the stand-in for pulumi-kubernetes v4 and an API server behind it: any kind is taken, names are unique in
// their namespace, namespaces must exist, and the fields that the API server or the provider calls immutable need a new object.
package kubernetes

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/test/standin/engine"
)

// Short names for what every table uses.
type (
	kind   = engine.Kind
	props  = engine.Props
	object = engine.Object
	tx     = engine.Tx
)

// Version is the version of the provider that is stood in for.
const Version = "4.25.0"

const namespaceKind = "kubernetes:core/v1:Namespace"

// builtin are the namespaces of every cluster.
var builtin = []string{"default", "kube-system", "kube-public", "kube-node-lease"}

// clusterScoped are kinds without a namespace, of all groups.
var clusterScoped = []string{
	"Namespace", "Node", "PersistentVolume", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "PriorityClass", "StorageClass",
	"IngressClass", "RuntimeClass", "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding", "ValidatingAdmissionPolicy",
	"ValidatingAdmissionPolicyBinding", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration", "APIService", "CSIDriver",
}

// immutable are the fields by kind whose change needs a new object. forceNewProperties of pulumi-kubernetes 4
// (provider/pkg/provider/diff.go): the data of ConfigMaps and Secrets are among them unless the provider is told otherwise.
var immutable = map[string][]string{
	"ConfigMap": {"data", "binaryData"}, "Deployment": {"spec.selector"}, "DaemonSet": {"spec.selector"}, "ReplicaSet": {"spec.selector"},
	"StatefulSet": {"spec.selector", "spec.serviceName", "spec.podManagementPolicy", "spec.volumeClaimTemplates"},
	"Service":     {"spec.clusterIP"}, "Job": {"spec.selector", "spec.template", "spec.completions"}, "RoleBinding": {"roleRef"},
	"ClusterRoleBinding": {"roleRef"}, "PriorityClass": {"value", "globalDefault"}, "StorageClass": {"parameters", "provisioner"},
	"Secret": {"type", "stringData", "data"}, "PersistentVolumeClaim": {"spec"}, "Pod": {"spec"},
}

// Package is the provider.
func Package() *engine.Package {
	p := engine.NewPackage("kubernetes")
	p.Functions = map[string]func(*tx, props) (props, error){}
	p.Missing = func(_ *kind, path, value string) error {
		return fmt.Errorf("%s: %q not found", path, value)
	}
	p.InUse = func(target, user *object) error { return fmt.Errorf("%s is used by %s", target.ID, user.ID) }
	p.Generic = describe
	return p
}

// describe makes the kind of a token like kubernetes:apps/v1:Deployment.
func describe(token string) *kind {
	parts := strings.Split(token, ":")
	if len(parts) != 3 || !strings.Contains(parts[1], "/") {
		return nil
	}
	name := strings.TrimSuffix(parts[2], "Patch")
	k := &kind{
		Token: token, Named: true,
		Replace: append([]string{"metadata.name", "metadata.namespace"}, immutable[name]...),
		Legal:   func(in props) []string { return legal(in, name) },
		Outputs: func(tx *tx, o, old *object) { outputs(tx, o, old, name) },
		ID: func(_ *tx, in props) string {
			if slices.Contains(clusterScoped, name) {
				return engine.Text(in, "metadata.name")
			}
			return namespaceOf(in) + "/" + engine.Text(in, "metadata.name")
		},
	}
	if !slices.Contains(clusterScoped, name) {
		k.Rules = []func(*tx, *object, *object) error{namespaceExists}
	}
	if token == namespaceKind {
		k.Delete = emptied
	}
	return k
}

func namespaceOf(in props) string {
	if namespace := engine.Text(in, "metadata.namespace"); namespace != "" {
		return namespace
	}
	return "default"
}

func legal(in props, name string) []string {
	var problems []string
	if engine.Text(in, "metadata.name") == "" && !unknown(in, "metadata", "name") {
		problems = append(problems, "metadata: the stand-in wants every object named")
	}
	if engine.Text(in, "apiVersion") == "" {
		problems = append(problems, "apiVersion: is required")
	}
	if got := engine.Text(in, "kind"); got != name {
		problems = append(problems, fmt.Sprintf("kind: must be %s, got %q", name, got))
	}
	selector, labels := engine.Block(engine.Block(in, "spec"), "selector"), engine.Block(engine.Block(engine.Block(engine.Block(in, "spec"), "template"), "metadata"), "labels")
	for key, value := range engine.Block(selector, "matchLabels") {
		if labels != nil && labels[key] != value {
			problems = append(problems, fmt.Sprintf("spec: selector %s=%v does not match the labels of the template", key, value))
		}
	}
	return problems
}

func unknown(in props, block, property string) bool {
	_, is := engine.Block(in, block)[property].(engine.Unknown)
	return is
}

func namespaceExists(tx *tx, o, _ *object) error {
	namespace := namespaceOf(o.Props)
	if tx.Settings.Lenient || slices.Contains(builtin, namespace) || tx.Find(namespaceKind, namespace) != nil {
		return nil
	}
	return fmt.Errorf("namespaces %q not found", namespace)
}

func emptied(tx *tx, o *object) error {
	for _, other := range tx.All() {
		if strings.HasPrefix(other.Type, "kubernetes:") && strings.HasPrefix(other.ID, o.ID+"/") {
			tx.Remove(other) // deleting a namespace deletes what is in it
			tx.Note("delete", other)
		}
	}
	return nil
}

// outputs are what the API server fills in.
func outputs(tx *tx, o, old *object, name string) {
	metadata := props{}
	for key, value := range engine.Block(o.Props, "metadata") {
		metadata[key] = value
	}
	if !slices.Contains(clusterScoped, name) {
		metadata["namespace"] = namespaceOf(o.Props)
	}
	tx.Sequence++
	metadata["resourceVersion"] = fmt.Sprint(tx.Sequence)
	metadata["uid"] = fmt.Sprintf("%08x-0000-4000-8000-%012x", hash(o.Type), hash(o.ID))
	o.Props["metadata"] = metadata
	if name != "Service" {
		return
	}
	spec := props{}
	for key, value := range engine.Block(o.Props, "spec") {
		spec[key] = value
	}
	if before := engine.Text(engine.Block(propsOf(old), "spec"), "clusterIP"); before != "" && spec["clusterIP"] == nil {
		spec["clusterIP"] = before
	}
	if spec["clusterIP"] == nil {
		spec["clusterIP"] = fmt.Sprintf("10.96.%d.%d", tx.Sequence/250%250, tx.Sequence%250+1)
	}
	o.Props["spec"] = spec
}

func propsOf(o *object) props {
	if o == nil {
		return nil
	}
	return o.Props
}

func hash(text string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(text))
	return h.Sum32()
}
