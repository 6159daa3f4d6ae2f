package apiserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/components/manifests"
)

// beta has the API server serve the admission policy's beta too, which is off by default.
const beta = "--runtime-config=admissionregistration.k8s.io/v1beta1=true"

// running is the API server of all tests of a run.
var running *Cluster

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	bin := os.Getenv(BinVariable)
	if bin == "" {
		return 1, fmt.Errorf("%s is not set: run `make test-apiserver`, which builds the servers", BinVariable)
	}
	begun := time.Now()
	var err error
	if running, err = Start(bin, beta); err != nil {
		return 1, err
	}
	defer running.Stop()
	if err := running.Define(context.Background()); err != nil {
		return 1, err
	}
	for _, namespace := range []string{"monitoring", "billing", "shop", "istio-system", "egress"} {
		if _, _, err := running.Apply(context.Background(), manifests.New("v1", "Namespace", "", namespace)); err != nil {
			return 1, err
		}
	}
	fmt.Printf("the API server is ready after %s\n", time.Since(begun).Round(100*time.Millisecond))
	return m.Run(), nil
}

// outdated is what the API server and Kyverno warn of and what is meant for older ones: the stack file decides which is rendered.
func outdated(warning string) bool {
	return strings.Contains(warning, "admissionregistration.k8s.io/v1beta1 MutatingAdmissionPolicy") && strings.Contains(warning, "is deprecated") ||
		strings.Contains(warning, "kyverno.io/v1 ClusterPolicy is deprecated")
}

// apply applies an object and returns it as the API server holds it.
func apply(t *testing.T, o Object) Object {
	t.Helper()
	got, warnings, err := running.Apply(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range slices.DeleteFunc(warnings, outdated) {
		t.Errorf("%s: %s", o.ID(), w)
	}
	return got
}

// text is an object as JSON.
func text(t *testing.T, o Object) string {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// goldenFiles are the files with the objects of every component. Their own tests hold them equal to what is rendered.
func goldenFiles(t *testing.T) map[string][]Object {
	t.Helper()
	paths, err := filepath.Glob("../../components/*/testdata/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	files, count := map[string][]Object{}, 0
	for _, path := range paths {
		objects, err := readObjects(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(objects) > 0 {
			files[strings.TrimPrefix(path, "../../components/")] = objects
			count += len(objects)
		}
	}
	if count < 50 {
		t.Fatalf("only %d objects were found", count)
	}
	return files
}

// remove deletes objects, the last first. Namespaces stay: their controller does not run.
func remove(t *testing.T, objects []Object) {
	t.Helper()
	for _, o := range slices.Backward(objects) {
		if o.Kind() == "Namespace" {
			continue
		}
		if err := running.Delete(context.Background(), o); err != nil {
			t.Error(err)
		}
		if _, err := running.Get(context.Background(), o); err == nil {
			t.Errorf("%s is still there", o.ID())
		}
	}
}

func TestEveryObjectIsAcceptedAndApplyingItAgainChangesNothing(t *testing.T) {
	kinds := map[string]int{}
	for file, objects := range goldenFiles(t) {
		t.Run(file, func(t *testing.T) {
			defer remove(t, objects)
			for _, o := range objects {
				first, err := running.Take(t.Context(), apply(t, o))
				if err != nil {
					t.Fatal(err)
				}
				again := apply(t, o)
				if version(first) == "" || version(first) != version(again) {
					t.Errorf("%s: applied twice and written twice:\n%s\n%s", o.ID(), text(t, first), text(t, again))
				}
				kinds[o.Kind()]++
			}
		})
	}
	t.Logf("%v", kinds)
	for _, kind := range []string{
		"DaemonSet", "Deployment", "HorizontalPodAutoscaler", "NetworkPolicy", "PodDisruptionBudget", "PriorityClass", "ConfigMap", "Service",
		"MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding", "ClusterPolicy", "PrometheusRule", "ServiceEntry", "VirtualService",
		"DestinationRule", "Gateway",
	} {
		if kinds[kind] == 0 {
			t.Errorf("no %s was applied", kind)
		}
	}
}

// The API server refuses what is wrong: otherwise the test above shows nothing.
func TestWrongObjectsAreRefused(t *testing.T) {
	mistakes := map[string]struct {
		kind   string
		change [2]string
	}{
		"an unknown field":                  {"DaemonSet", [2]string{`"minReadySeconds":`, `"minReadiSeconds":`}},
		"a selector that selects nothing":   {"Deployment", [2]string{`"matchLabels":{`, `"matchLabels":{"other":"label",`}},
		"a port out of bounds":              {"Service", [2]string{`"port":`, `"port":999`}},
		"an unknown field of Istio's":       {"DestinationRule", [2]string{`"maxEjectionPercent":`, `"maxEjectionPercentage":`}},
		"an expression that does not parse": {"MutatingAdmissionPolicy", [2]string{`has(object.spec.dnsConfig)`, `has(object.spec.dnsConfig`}},
		"a rule without an expression":      {"PrometheusRule", [2]string{`"expr":`, `"expression":`}},
		"a policy of an unknown kind":       {"ClusterPolicy", [2]string{`"mutate":`, `"mutates":`}},
		"a namespace that is not there":     {"NetworkPolicy", [2]string{`"namespace":"`, `"namespace":"no-`}},
	}
	for name, m := range mistakes {
		tried := 0
		for file, objects := range goldenFiles(t) {
			for _, o := range objects {
				right, wrong := text(t, o), Object{}
				changed := strings.Replace(right, m.change[0], m.change[1], 1)
				if o.Kind() != m.kind || changed == right {
					continue
				}
				if err := json.Unmarshal([]byte(changed), &wrong); err != nil {
					t.Fatal(err)
				}
				tried++
				var refusal *Refusal
				if _, _, err := running.Apply(t.Context(), wrong); !errors.As(err, &refusal) {
					t.Errorf("%s: %s: %s: %v, want a refusal", name, file, o.ID(), err)
				}
			}
		}
		if tried == 0 {
			t.Errorf("%s: nothing to try it on", name)
		}
	}
}
