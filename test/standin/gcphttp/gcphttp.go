// Package gcphttp answers the lists that Sallyport's own programs ask GCP for over HTTP, out of a stand-in's world: so that what reads
// the project and what Pulumi made see the same things.
package gcphttp

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/sallyport/sallyport/test/standin/engine"
	"github.com/sallyport/sallyport/test/standin/world"
)

// Server is every API of all projects.
type Server struct{ World *world.World }

// Environment makes the provider's variables for a server at an address: where the APIs are, and a token.
func Environment(address string) []string {
	return []string{
		"GOOGLE_COMPUTE_CUSTOM_ENDPOINT=" + address + "/compute/v1/", "GOOGLE_MONITORING_CUSTOM_ENDPOINT=" + address + "/",
		"GOOGLE_IAM_CUSTOM_ENDPOINT=" + address + "/iam/v1/", "GOOGLE_ARTIFACT_REGISTRY_CUSTOM_ENDPOINT=" + address + "/v1/",
		"GOOGLE_STORAGE_CUSTOM_ENDPOINT=" + address + "/storage/v1/",
		"GOOGLE_DNS_CUSTOM_ENDPOINT=" + address + "/dns/v1/", "GOOGLE_OAUTH_ACCESS_TOKEN=standin",
	}
}

// lists are how the APIs call the items of a list; "items" if it is none of these.
var lists = map[string]string{
	"serviceAccounts": "accounts", "repositories": "repositories", "alertPolicies": "alertPolicies", "responsePolicies": "responsePolicies",
}

// ServeHTTP implements http.Handler: a path that ends in "projects/p/.../kind" lists what has an id below it, and "b" lists buckets.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := strings.Index(r.URL.Path, "projects/")
	inBuckets := strings.HasSuffix(r.URL.Path, "/storage/v1/b") && r.URL.Query().Get("project") != ""
	if r.Method != http.MethodGet || start < 0 && !inBuckets || r.Header.Get("Authorization") != "Bearer standin" {
		http.Error(w, `{"error": {"message": "a list is asked for with GET and a token"}}`, http.StatusBadRequest)
		return
	}
	path := r.URL.Path[max(start, 0):]
	name := cmp.Or(lists[path[strings.LastIndexByte(path, '/')+1:]], "items")
	items := []any{}
	if err := s.World.Look(func(state *world.State) {
		for _, o := range state.All() {
			rest, below := strings.CutPrefix(o.ID, path+"/")
			of := strings.HasPrefix(o.Type, "gcp:compute/") || name != "items" && strings.HasPrefix(o.Type, "gcp:")
			if inBuckets && o.Type == "gcp:storage/bucket:Bucket" || below && !strings.Contains(rest, "/") && of {
				items = append(items, item(state, o))
			}
		}
	}); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{name: items}) // the client notices
}

// item is an object in the words of its API.
func item(state *world.State, o *world.Object) map[string]any {
	out := map[string]any{"name": o.String("name")}
	for _, key := range []string{"selfLink", "displayName", "email", "userLabels", "responsePolicyName", "address", "addressType"} {
		if value, ok := o.Props[key]; ok {
			out[key] = value
		}
	}
	if labels, ok := o.Props["effectiveLabels"]; ok {
		out["labels"] = labels
	}
	switch o.Type {
	case "gcp:compute/router:Router":
		out["nats"] = gateways(state, o)
	case "gcp:compute/instanceTemplate:InstanceTemplate":
		out["properties"] = map[string]any{"labels": o.Props["labels"]}
	case "gcp:compute/instance:Instance":
		machine(state, o, out)
	case "gcp:artifactregistry/repository:Repository":
		out["name"] = o.ID
	}
	return out
}

// gateways are those on a router.
func gateways(state *world.State, router *world.Object) []any {
	nats := []any{}
	for _, nat := range state.All("gcp:compute/routerNat:RouterNat") {
		if nat.String("router") == router.String("name") && strings.HasPrefix(nat.ID, router.String("project")+"/") {
			nats = append(nats, map[string]any{"name": nat.String("name")})
		}
	}
	return nats
}

// machine adds what a machine has from its template and its group.
func machine(state *world.State, o *world.Object, out map[string]any) {
	out["selfLink"] = "https://www.googleapis.com/compute/v1/" + o.ID
	for _, template := range state.All("gcp:compute/instanceTemplate:InstanceTemplate") {
		if link := o.String("template"); link == template.String("selfLink") || link == template.ID {
			out["labels"] = template.Props["labels"]
		}
	}
	created := engine.Props{"key": "created-by", "value": strings.Replace(o.String("group"), "projects/", "projects/number-of-", 1)}
	out["metadata"] = map[string]any{"items": []any{created}, "fingerprint": fmt.Sprint(o.Born)}
}
