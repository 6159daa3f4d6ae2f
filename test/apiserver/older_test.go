package apiserver

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/sallyport/sallyport/components/manifests"
)

// The oldest release that this API server can behave as serves the admission policy as a beta only, and only when it is switched on.
const older = "1.34"

func TestAnOlderReleaseTakesTheBetaOfThePolicyAndEverythingElse(t *testing.T) {
	c, err := Start(os.Getenv(BinVariable), beta, "--emulated-version="+older)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()
	for _, name := range []string{"monitoring", "billing", "shop", "istio-system", "egress"} {
		if _, _, err := c.Apply(t.Context(), manifests.New("v1", "Namespace", "", name)); err != nil {
			t.Fatal(err)
		}
	}
	applied := 0
	var unserved []string
	for file, objects := range goldenFiles(t) {
		for _, o := range objects {
			_, warnings, err := c.Apply(t.Context(), o)
			switch {
			case errors.Is(err, ErrNotServed):
				unserved = append(unserved, o.APIVersion())
			case err != nil || len(slices.DeleteFunc(warnings, outdated)) > 0:
				t.Errorf("%s: %s: %v %v", file, o.ID(), err, warnings)
			default:
				applied++
			}
		}
		for _, o := range slices.Backward(objects) {
			if o.Kind() == "Namespace" {
				continue
			}
			if err := c.Delete(context.Background(), o); err != nil && !errors.Is(err, ErrNotServed) {
				t.Error(err)
			}
		}
	}
	slices.Sort(unserved)
	want := []string{ // the definitions were not installed here
		"admissionregistration.k8s.io/v1", "gateway.networking.k8s.io/v1", "kyverno.io/v1", "monitoring.coreos.com/v1", "networking.istio.io/v1",
	}
	if got := slices.Compact(unserved); !slices.Equal(got, want) {
		t.Errorf("not served are %v, want %v", got, want)
	}
	if applied < 30 {
		t.Errorf("only %d objects were applied", applied)
	}
}
