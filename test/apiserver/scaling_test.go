package apiserver

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"testing"

	"github.com/sallyport/sallyport/components/manifests"
)

// deployments are the Deployments among objects.
func deployments(t *testing.T, objects []Object) []Object {
	t.Helper()
	var all []Object
	for _, o := range objects {
		if o.Kind() == "Deployment" {
			all = append(all, o)
		}
	}
	if len(all) == 0 {
		t.Fatal("no Deployment")
	}
	return all
}

// scale sets the number of replicas as the controller of HorizontalPodAutoscalers does.
func scale(t *testing.T, o Object, replicas int) {
	t.Helper()
	path, err := running.path(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(manifests.Map{"spec": manifests.Map{"replicas": replicas}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := running.Raw(t.Context(), http.MethodPatch, path+"/scale?fieldManager=kube-controller-manager", "application/merge-patch+json", body); err != nil {
		t.Fatal(err)
	}
}

func TestAnUpdateLeavesTheNumberOfReplicasToTheAutoscaler(t *testing.T) {
	objects := goldenFiles(t)["poolcontroller/testdata/direct.yaml"]
	defer remove(t, objects)
	for _, o := range objects {
		apply(t, o)
	}
	for _, o := range deployments(t, objects) {
		scale(t, o, 7)
		if got := at(apply(t, o), "spec", "replicas"); got != float64(7) {
			t.Errorf("%s: %v replicas after an update, want 7", o.ID(), got)
		}
	}
}

// A field that somebody else has set by hand is not taken silently: Pulumi reports the conflict.
func TestAFieldThatSomebodyElseSetIsAConflict(t *testing.T) {
	objects := goldenFiles(t)["poolcontroller/testdata/direct.yaml"]
	defer remove(t, objects)
	for _, o := range objects {
		apply(t, o)
	}
	for _, o := range deployments(t, objects) {
		path, err := running.path(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		const change = `{"spec":{"template":{"spec":{"terminationGracePeriodSeconds":3600}}}}`
		if _, err := running.Raw(t.Context(), http.MethodPatch, path+"?fieldManager=kubectl-edit", "application/merge-patch+json", []byte(change)); err != nil {
			t.Fatal(err)
		}
		var refusal *Refusal
		if _, _, err := running.Apply(context.Background(), o); !errors.As(err, &refusal) || refusal.Status != http.StatusConflict {
			t.Errorf("%s: got %v, want a conflict", o.ID(), err)
		}
	}
}
