package registrar

import (
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/components/manifests"
	"github.com/sallyport/sallyport/components/pulumitest"
)

// config renders a ConfigMap with a late value, and a plain one.
func config(value string) ([]Object, error) {
	return []Object{
		manifests.New("v1", "ConfigMap", "a", "late").With("data", manifests.Map{"key": value}),
		manifests.New("v1", "ConfigMap", "a", "plain").With("data", manifests.Map{"key": "1"}),
	}, nil
}

func TestLateValuesArriveAndTheRestIsPlain(t *testing.T) {
	r, rendered := pulumitest.New(nil), 0
	err := r.Run("sallyport", "test", t.TempDir(), nil, func(ctx *pulumi.Context) error {
		value := pulumi.String("x").ToStringOutput().ApplyT(func(s string) any { return s + "y" })
		_, err := RegisterLate(ctx, "c", Late[string]{Value: value, Samples: [2]string{"1", "2"}}, func(value string) ([]Object, error) {
			rendered++
			return config(value)
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Inputs("kubernetes:core/v1:ConfigMap", "c-configmap-a-late")["data"].(map[string]any)["key"]; got != "xy" {
		t.Errorf("got %v", got)
	}
	if got := r.Inputs("kubernetes:core/v1:ConfigMap", "c-configmap-a-plain")["data"].(map[string]any)["key"]; got != "1" {
		t.Errorf("got %v", got)
	}
	if rendered != 3 { // two samples, and once for the one field that waits
		t.Errorf("rendered %d times", rendered)
	}
}

func TestWhichObjectsThereAreMustNotDependOnLateValues(t *testing.T) {
	for name, render := range map[string]func(string) ([]Object, error){
		"their number": func(value string) ([]Object, error) {
			objects, err := config(value)
			return objects[:len(value)], err
		},
		"their names": func(value string) ([]Object, error) {
			return []Object{manifests.New("v1", "ConfigMap", "a", value)}, nil
		},
		"their fields": func(value string) ([]Object, error) {
			return []Object{manifests.New("v1", "ConfigMap", "a", "b").With(value, "1")}, nil
		},
	} {
		err := pulumitest.New(nil).Run("sallyport", "test", t.TempDir(), nil, func(ctx *pulumi.Context) error {
			_, err := RegisterLate(ctx, "c", Late[string]{Value: pulumi.String("x").ToStringOutput(), Samples: [2]string{"a", "bb"}}, render)
			return err
		})
		if err == nil || !strings.Contains(err.Error(), "must not depend on late values") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
