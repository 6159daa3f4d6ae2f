package gcpfound

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// api answers lists by the end of their path.
func api(t *testing.T, lists map[string]string, status int) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/compute/") && status != http.StatusOK {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(`{"error": {"message": "API has not been used", "errors": [{"reason": "accessNotConfigured"}]}}`))
			return
		}
		for path, body := range lists {
			if strings.HasSuffix(r.URL.Path, path) {
				_, _ = w.Write([]byte(body))
				return
			}
		}
		_, _ = w.Write([]byte(`{}`))
	}))
	t.Cleanup(server.Close)
	for _, name := range []string{"COMPUTE", "MONITORING", "IAM", "ARTIFACT_REGISTRY", "STORAGE", "DNS"} {
		path := ""
		if name == "COMPUTE" {
			path = "/compute/v1"
		}
		t.Setenv("GOOGLE_"+name+"_CUSTOM_ENDPOINT", server.URL+path+"/")
	}
	t.Setenv("GOOGLE_OAUTH_ACCESS_TOKEN", "test")
	t.Setenv("SALLYPORT_GCP_ATTEMPTS", "1")
}

var place = Place{Stack: "prod", Project: "example-prod", Network: "example-host", Region: "europe-west1", Zones: []string{"europe-west1-b"}}

func found(t *testing.T, creates ...string) map[string]string {
	t.Helper()
	things, err := List(context.Background(), place, func(token, name string) bool {
		for _, c := range creates {
			if c == token+" "+name {
				return true
			}
		}
		return false
	})
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]string{}
	for _, thing := range things {
		ids[thing.ID] = thing.Name
	}
	return ids
}

func list(items ...map[string]any) string {
	text, _ := json.Marshal(map[string]any{"items": items})
	return string(text)
}

func TestAPublicIPIsTheStacksByItsLabelOnly(t *testing.T) {
	link := func(name string) string {
		return "https://www.googleapis.com/compute/v1/projects/example-prod/regions/europe-west1/addresses/" + name
	}
	api(t, map[string]string{"/projects/example-prod/regions/europe-west1/addresses": list(
		map[string]any{"name": "prod-nat-1", "selfLink": link("prod-nat-1"), "addressType": "EXTERNAL", "address": "198.51.100.1", "labels": map[string]any{"sallyport-stack": "prod"}},
		map[string]any{"name": "prod-nat-2", "selfLink": link("prod-nat-2"), "addressType": "EXTERNAL", "address": "198.51.100.2"},
		map[string]any{"name": "prod-nat-3", "selfLink": link("prod-nat-3"), "addressType": "EXTERNAL", "address": "198.51.100.3", "labels": map[string]any{"sallyport-stack": "test"}},
		map[string]any{"name": "prod-proxy-internal", "selfLink": link("prod-proxy-internal"), "addressType": "INTERNAL", "address": "10.0.0.2"},
		map[string]any{"name": "other-internal", "selfLink": link("other-internal"), "addressType": "INTERNAL", "address": "10.0.0.3"},
	)}, http.StatusOK)
	got := found(t, addressToken+" prod-nat-2", addressToken+" prod-nat-3", addressToken+" prod-proxy-internal")
	const prefix = "projects/example-prod/regions/europe-west1/addresses/"
	if len(got) != 2 || got[prefix+"prod-nat-1"] == "" || got[prefix+"prod-proxy-internal"] == "" {
		t.Errorf("found %v, want the labelled public IP and the internal address that would be created", got)
	}
}

func TestGatewaysAndMachinesAreFoundInWhatHoldsThem(t *testing.T) {
	api(t, map[string]string{
		"/projects/example-host/regions/europe-west1/routers": list(map[string]any{
			"name": "prod-egress", "selfLink": "https://www.googleapis.com/compute/v1/projects/example-host/regions/europe-west1/routers/prod-egress",
			"nats": []any{map[string]any{"name": "prod-nat"}, map[string]any{"name": "of-somebody-else"}}}),
		"/zones/europe-west1-b/instances": list(map[string]any{
			"name": "prod-proxy-1", "selfLink": "https://www.googleapis.com/compute/v1/projects/example-prod/zones/europe-west1-b/instances/prod-proxy-1",
			"labels":   map[string]any{"sallyport-stack": "prod"},
			"metadata": map[string]any{"items": []any{map[string]any{"key": "created-by", "value": "projects/123/zones/europe-west1-b/instanceGroupManagers/prod-proxy"}}}},
			map[string]any{"name": "node-1", "selfLink": "https://www.googleapis.com/compute/v1/projects/example-prod/zones/europe-west1-b/instances/node-1"}),
	}, http.StatusForbidden) // the other APIs are not enabled: nothing of the stack is there
	got := found(t, "gcp:compute/routerNat:RouterNat prod-nat", "gcp:compute/router:Router prod-egress")
	want := []string{
		"projects/example-host/regions/europe-west1/routers/prod-egress", "example-host/europe-west1/prod-egress/prod-nat",
		"example-prod/europe-west1-b/prod-proxy/prod-proxy-1",
	}
	for _, id := range want {
		if got[id] == "" {
			t.Errorf("%s was not found in %v", id, got)
		}
	}
	if len(got) != len(want) {
		t.Errorf("found %v, want %v", got, want)
	}
}

func TestARefusalIsAnError(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`{"error": {"message": "Required 'compute.firewalls.list' permission"}}`))
	}))
	t.Cleanup(server.Close)
	t.Setenv("GOOGLE_COMPUTE_CUSTOM_ENDPOINT", server.URL+"/compute/v1/")
	t.Setenv("GOOGLE_OAUTH_ACCESS_TOKEN", "test")
	if _, err := List(context.Background(), place, nil); err == nil || !strings.Contains(err.Error(), "compute.firewalls.list") {
		t.Errorf("err = %v, want it to name the permission", err)
	}
}
