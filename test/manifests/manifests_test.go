package manifests

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v2"
	"k8s.io/client-go/openapi"
	"sigs.k8s.io/kubectl-validate/pkg/validator"
)

// object is one document of a golden file.
type object struct {
	file, kind, apiVersion string
	text                   []byte
}

// rendered are all objects in the golden files of the components. Their own tests hold the files equal to what is rendered.
func rendered(t *testing.T) []object {
	t.Helper()
	files, err := filepath.Glob("../../components/*/testdata/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var all []object
	for _, file := range files {
		if strings.Contains(file, "/stack/") {
			continue // stack files
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		decoder := yaml.NewDecoder(bytes.NewReader(data))
		for {
			var tree map[string]any
			if err := decoder.Decode(&tree); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			o := object{file: strings.TrimPrefix(file, "../../components/")}
			o.kind, _ = tree["kind"].(string)
			o.apiVersion, _ = tree["apiVersion"].(string)
			if o.kind == "" {
				continue // not a manifest
			}
			if o.text, err = yaml.Marshal(tree); err != nil {
				t.Fatal(err)
			}
			all = append(all, o)
		}
	}
	if len(all) < 30 {
		t.Fatalf("only %d objects were found", len(all))
	}
	return all
}

// custom are the groups of objects whose schemas Kubernetes does not have: the operator of Prometheus, Kyverno, Istio.
func custom(apiVersion string) bool {
	for _, group := range []string{"monitoring.coreos.com/", "kyverno.io/", "networking.istio.io/", "security.istio.io/", "gateway.networking.k8s.io/"} {
		if strings.HasPrefix(apiVersion, group) {
			return true
		}
	}
	return false
}

// policyAPIs are the releases, by minor version, that know the versions of the admission policy.
var policyAPIs = map[string][2]string{
	"admissionregistration.k8s.io/v1alpha1": {"32", "33"},
	"admissionregistration.k8s.io/v1beta1":  {"34", "36"},
	"admissionregistration.k8s.io/v1":       {"36", "99"},
}

func minorOf(release string) string { return strings.Split(strings.TrimPrefix(release, "v"), ".")[1] }

func clients(t *testing.T) map[string]openapi.Client {
	t.Helper()
	all := map[string]openapi.Client{Embedded: EmbeddedClient()}
	for _, release := range Releases {
		client, err := ReleaseClient(release)
		if err != nil {
			t.Fatal(err)
		}
		all[release] = client
	}
	return all
}

func TestEveryObjectIsValidInEveryRelease(t *testing.T) {
	objects := rendered(t)
	for release, client := range clients(t) {
		t.Run(release, func(t *testing.T) {
			v, err := validator.New(client)
			if err != nil {
				t.Fatal(err)
			}
			checked := map[string]int{}
			for _, o := range objects {
				if custom(o.apiVersion) {
					continue
				}
				if span, ok := policyAPIs[o.apiVersion]; ok && (minorOf(release) < span[0] || minorOf(release) > span[1]) {
					continue // the stack file's checks refuse it there
				}
				_, parsed, err := v.Parse(o.text)
				if err == nil {
					err = v.Validate(parsed)
				}
				if err != nil {
					t.Errorf("%s: %s: %v", o.file, o.kind, err)
				}
				checked[o.kind]++
			}
			t.Logf("%v", checked)
			for _, kind := range []string{"DaemonSet", "Deployment", "HorizontalPodAutoscaler", "NetworkPolicy", "PodDisruptionBudget", "PriorityClass", "ConfigMap", "Service"} {
				if checked[kind] == 0 {
					t.Errorf("no %s was checked", kind)
				}
			}
		})
	}
}

// What Kubernetes does not know is valid by the definitions that its users install, and what is wrong is not.
func TestObjectsOfOthersAreValidByTheirDefinitions(t *testing.T) {
	client, err := DefinitionsClient()
	if err != nil {
		t.Fatal(err)
	}
	v, err := validator.New(client)
	if err != nil {
		t.Fatal(err)
	}
	validate := func(text []byte) error {
		_, parsed, err := v.Parse(text)
		if err == nil {
			err = v.Validate(parsed)
		}
		return err
	}
	mistakes := map[string][][2]string{
		"PrometheusRule": {{"expr:", "expression:"}, {"groups:", "group:"}, {"for: ", "for: soon # "}},
		"ClusterPolicy":  {{"mutate:", "mutates:"}, {"rules:", "rules: none\n  others:"}, {"background:", "backgrounds:"}},
	}
	checked := map[string]int{}
	for _, o := range rendered(t) {
		if mistakes[o.kind] == nil {
			continue
		}
		checked[o.kind]++
		if err := validate(o.text); err != nil {
			t.Errorf("%s: %s: %v", o.file, o.kind, err)
		}
		for _, m := range mistakes[o.kind] {
			wrong := bytes.Replace(o.text, []byte(m[0]), []byte(m[1]), 1)
			if bytes.Equal(wrong, o.text) {
				t.Errorf("%s: %s: nothing to try %q on", o.file, o.kind, m[0])
			} else if validate(wrong) == nil {
				t.Errorf("%s: %s: accepted with %q", o.file, o.kind, m[1])
			}
		}
	}
	if checked["PrometheusRule"] == 0 || checked["ClusterPolicy"] == 0 {
		t.Errorf("checked were %v", checked)
	}
}

// The validation refuses what an API server refuses: otherwise the test above shows nothing.
func TestWrongObjectsAreRefused(t *testing.T) {
	for release, client := range clients(t) {
		v, err := validator.New(client)
		if err != nil {
			t.Fatal(err)
		}
		for name, change := range map[string][2]string{
			"an unknown field": {"minReadySeconds:", "minReadiSeconds:"},
			"a wrong type":     {"hostNetwork: true", "hostNetwork: [true]"},
			"no selector":      {"selector:", "selectors:"},
		} {
			refused := 0
			for _, o := range rendered(t) {
				if o.kind != "DaemonSet" || !bytes.Contains(o.text, []byte(change[0])) {
					continue
				}
				_, parsed, err := v.Parse(bytes.Replace(o.text, []byte(change[0]), []byte(change[1]), 1))
				if err == nil {
					err = v.Validate(parsed)
				}
				if err == nil {
					t.Errorf("%s: %s: accepted", release, name)
				}
				refused++
			}
			if refused == 0 {
				t.Errorf("%s: nothing to try it on", name)
			}
		}
	}
}
