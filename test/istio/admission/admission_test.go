package admission

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"istio.io/istio/pilot/pkg/config/kube/crd"
	crdvalidation "istio.io/istio/pkg/config/crd"
	"istio.io/istio/pkg/config/schema/collections"

	"github.com/sallyport/sallyport/components/meshrouting"
	"github.com/sallyport/sallyport/test/istio/meshes"
)

// everyMesh is each kind of mesh with all that can be switched on in it.
func everyMesh(t *testing.T) map[string]string {
	t.Helper()
	rendered := map[string]string{}
	for name, settings := range map[string]meshrouting.Settings{
		"sidecar": meshes.Sidecar(), "sidecar with fallback": meshes.Fallback(), "ambient": meshes.Ambient(),
	} {
		rendered[name] = meshes.Render(t, settings)
	}
	return rendered
}

func TestIstiosAdmissionAcceptsEveryObjectWithoutWarning(t *testing.T) {
	for name, objects := range everyMesh(t) {
		configs, unknown, err := crd.ParseInputs(objects)
		if err != nil || len(unknown) > 0 {
			t.Fatalf("%s: %v, unknown kinds %v", name, err, unknown)
		}
		if want := strings.Count(objects, "apiVersion:"); len(configs) != want {
			t.Errorf("%s: %d of %d objects are known to Istio", name, len(configs), want)
		}
		for _, config := range configs {
			schema, ok := collections.PilotGatewayAPI().FindByGroupVersionKind(config.GroupVersionKind)
			if !ok {
				t.Fatalf("%s: %s: no schema", name, config.GroupVersionKind)
			}
			warning, err := schema.ValidateConfig(config)
			if err != nil || warning != nil {
				t.Errorf("%s: %s %s: %v, warning %v", name, config.GroupVersionKind.Kind, config.Name, err, warning)
			}
		}
	}
}

func TestTheDefinitionsOfTheClusterAcceptEveryObject(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "istio.io/istio").Output()
	if err != nil {
		t.Fatal(err)
	}
	source := strings.TrimSpace(string(out))
	validator, err := crdvalidation.NewValidatorFromFiles(
		filepath.Join(source, "manifests/charts/base/files/crd-all.gen.yaml"),
		filepath.Join(source, "tests/integration/pilot/testdata/gateway-api-crd.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for name, objects := range everyMesh(t) {
		if err := validator.ValidateCustomResourceYAML(objects, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The validator itself: a misspelt field and a value out of bounds are found.
	good := everyMesh(t)["sidecar"]
	for _, bad := range []string{
		strings.Replace(good, "maxEjectionPercent:", "maxEjectionPercentage:", 1),
		strings.Replace(good, "resolution: STATIC", "resolution: SOMETIMES", 1),
		strings.Replace(good, "number: 443", "number: 70000", 1),
	} {
		if bad == good || validator.ValidateCustomResourceYAML(bad, nil) == nil {
			t.Error("an object with a mistake passes")
		}
	}
}
