package admission

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"reflect"
	"testing"

	"k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating/patch"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/environment"
)

var pods = schema.GroupVersionResource{Version: "v1", Resource: "pods"}

// policy is a policy as the API server holds it after it was compiled.
type policy struct {
	matcher matchconditions.Matcher
	patcher patch.Patcher
	env     *cel.CompositedCompiler
}

// load compiles the policy of a golden file, which is what package poddns renders, for the CEL of a version of Kubernetes.
func load(t *testing.T, file string, minor uint) policy {
	t.Helper()
	data, err := os.ReadFile("../../../components/poddns/testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var raw v1.MutatingAdmissionPolicy // the fields used are the same in all versions
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for raw.Kind != "MutatingAdmissionPolicy" {
		if err := decoder.Decode(&raw); errors.Is(err, io.EOF) {
			t.Fatalf("%s holds no policy", file)
		} else if err != nil {
			t.Fatal(err)
		}
	}
	compiler, err := cel.NewCompositedCompiler(environment.MustBaseEnvSet(version.MajorMinor(1, minor)))
	if err != nil {
		t.Fatal(err)
	}
	options := cel.OptionalVariableDeclarations{HasAuthorizer: true}
	conditions := make([]cel.ExpressionAccessor, len(raw.Spec.MatchConditions))
	for i := range raw.Spec.MatchConditions {
		conditions[i] = (*matchconditions.MatchCondition)(&raw.Spec.MatchConditions[i])
	}
	options.HasPatchTypes = true
	result := compiler.CompileMutatingEvaluator(&patch.JSONPatchCondition{Expression: raw.Spec.Mutations[0].JSONPatch.Expression}, options, environment.NewExpressions)
	if err := result.CompilationErrors(); len(err) > 0 {
		t.Fatalf("%s: %v", file, err)
	}
	options.HasPatchTypes = false
	fail := v1.Fail // so that an error in a condition fails the test and is not ignored
	matcher := matchconditions.NewMatcher(compiler.CompileCondition(conditions, options, environment.NewExpressions), &fail, "policy", "mutate", raw.Name)
	return policy{matcher: matcher, patcher: patch.NewJSONPatcher(result), env: compiler}
}

// admit does what the API server does to a pod that is made in a namespace with the label.
func (p policy) admit(t *testing.T, pod *corev1.Pod) *corev1.Pod {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	kind := corev1.SchemeGroupVersion.WithKind("Pod")
	attributes := &admission.VersionedAttributes{
		Attributes:    admission.NewAttributesRecord(pod, nil, kind, pod.Namespace, pod.Name, pods, "", admission.Create, &metav1.CreateOptions{}, false, nil),
		VersionedKind: kind, VersionedObject: admission.NewLazyObject(pod), VersionedOldObject: admission.NewLazyObject(nil),
	}
	match := p.matcher.Match(context.Background(), attributes, nil, nil)
	if match.Error != nil {
		t.Fatal(match.Error)
	}
	if !match.Matches {
		return pod
	}
	got, err := p.patcher.Patch(context.Background(), patch.Request{
		MatchedResource: pods, VersionedAttributes: attributes, ObjectInterfaces: admission.NewObjectInterfacesFromScheme(scheme),
		Namespace: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: pod.Namespace}},
	}, celconfig.RuntimeCELCostBudget)
	if err != nil {
		t.Fatal(err)
	}
	return got.(*corev1.Pod)
}

// shopPod is a pod as it arrives: defaults are set before admission.
func shopPod(change func(*corev1.PodSpec)) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "cart", Namespace: "shop"},
		Spec:       corev1.PodSpec{DNSPolicy: corev1.DNSClusterFirst, Containers: []corev1.Container{{Name: "cart", Image: "cart"}}},
	}
	if change != nil {
		change(&pod.Spec)
	}
	return pod
}

func option(name, value string) corev1.PodDNSConfigOption {
	o := corev1.PodDNSConfigOption{Name: name}
	if value != "" {
		o.Value = &value
	}
	return o
}

func TestPods(t *testing.T) {
	ours := []corev1.PodDNSConfigOption{option("ndots", "2"), option("single-request-reopen", "")}
	local := append(append([]corev1.PodDNSConfigOption{}, ours...), option("use-vc", ""), option("timeout", "1"), option("attempts", "3"))
	onNode := &corev1.PodDNSConfig{
		Nameservers: []string{"169.254.20.10", "172.20.0.10"}, Searches: []string{"shop.svc.cluster.local", "svc.cluster.local", "cluster.local"}, Options: local,
	}
	for name, c := range map[string]struct {
		file   string
		pod    func(*corev1.PodSpec)
		want   *corev1.PodDNSConfig
		policy corev1.DNSPolicy
	}{
		"a pod without options gets ours":      {"options.yaml", nil, &corev1.PodDNSConfig{Options: ours}, corev1.DNSClusterFirst},
		"a pod on the node's cache is pointed": {"node-local.yaml", nil, onNode, corev1.DNSNone},
		"its own options stay": {"options.yaml", func(s *corev1.PodSpec) {
			s.DNSConfig = &corev1.PodDNSConfig{Options: []corev1.PodDNSConfigOption{option("timeout", "2"), option("single-request-reopen", "")}}
		}, &corev1.PodDNSConfig{Options: []corev1.PodDNSConfigOption{option("timeout", "2"), option("single-request-reopen", ""), option("ndots", "2")}}, corev1.DNSClusterFirst},
		"its own search domains stay": {"options.yaml", func(s *corev1.PodSpec) {
			s.DNSConfig = &corev1.PodDNSConfig{Searches: []string{"corp.example.com"}}
		}, &corev1.PodDNSConfig{Searches: []string{"corp.example.com"}, Options: ours}, corev1.DNSClusterFirst},
		"a pod that names ndots is left alone": {"options.yaml", func(s *corev1.PodSpec) {
			s.DNSConfig = &corev1.PodDNSConfig{Options: []corev1.PodDNSConfigOption{option("ndots", "5")}}
		}, &corev1.PodDNSConfig{Options: []corev1.PodDNSConfigOption{option("ndots", "5")}}, corev1.DNSClusterFirst},
		"a pod with its own servers is left alone": {"node-local.yaml", func(s *corev1.PodSpec) {
			s.DNSConfig = &corev1.PodDNSConfig{Nameservers: []string{"192.0.2.53"}}
		}, &corev1.PodDNSConfig{Nameservers: []string{"192.0.2.53"}}, corev1.DNSClusterFirst},
		"a pod on the node's network is left alone":   {"options.yaml", func(s *corev1.PodSpec) { s.HostNetwork = true }, nil, corev1.DNSClusterFirst},
		"a pod with another DNS policy is left alone": {"node-local.yaml", func(s *corev1.PodSpec) { s.DNSPolicy = corev1.DNSDefault }, nil, corev1.DNSDefault},
	} {
		for _, minor := range []uint{32, 34, 36} {
			got := load(t, c.file, minor).admit(t, shopPod(c.pod))
			if !reflect.DeepEqual(got.Spec.DNSConfig, c.want) || got.Spec.DNSPolicy != c.policy {
				t.Errorf("%s, CEL of 1.%d: got %s %+v, want %s %+v", name, minor, got.Spec.DNSPolicy, got.Spec.DNSConfig, c.policy, c.want)
			}
		}
	}
}

// A second round, as reinvocation makes it, changes nothing.
func TestTheSecondRoundChangesNothing(t *testing.T) {
	p := load(t, "options.yaml", 36)
	once := p.admit(t, shopPod(nil))
	if twice := p.admit(t, once.DeepCopy()); !reflect.DeepEqual(once.Spec, twice.Spec) {
		t.Errorf("got %+v, want %+v", twice.Spec.DNSConfig, once.Spec.DNSConfig)
	}
}
